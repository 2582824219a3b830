# A program traced by Jaeger's client for Ruby, as it is in Debian:
#   ruby ruby_service.rb AGENT_PORT COLLECTOR_URL SAMPLING_HOST_PORT
# One trace over UDP, one over HTTP, one decided by a remote sampler. Prints their ids, as JSON.
require "jaeger/client"

agent_port, collector_url, sampling_host, sampling_port = ARGV
logger = Logger.new($stderr)
encoder = Jaeger::Encoders::ThriftEncoder.new(service_name: "ruby-http", logger: logger)
over_http = Jaeger::Reporters::RemoteReporter.new(
  sender: Jaeger::HttpSender.new(url: collector_url, encoder: encoder, logger: logger), flush_interval: 1
)
remote = Jaeger::Samplers::RemoteControlled.new(
  service_name: "ruby-remote", host: sampling_host, port: Integer(sampling_port), refresh_interval: 1, logger: logger,
  sampler: Jaeger::Samplers::Const.new(false)
)
common = { host: "127.0.0.1", port: Integer(agent_port), flush_interval: 1, logger: logger }
tracers = {
  udp: Jaeger::Client.build(service_name: "ruby-udp", tags: { "team" => "ü" }, **common),
  http: Jaeger::Client.build(service_name: "ruby-http", reporter: over_http, logger: logger),
  remote: Jaeger::Client.build(service_name: "ruby-remote", sampler: remote, **common)
}

def trace(tracer)
  scope = tracer.start_active_span("root", tags: { "span.kind" => "server", "text" => "grüße", "flag" => true })
  child = tracer.start_span("child", child_of: scope.span)
  child.set_tag("number", 7)
  child.set_tag("ratio", 0.5)
  child.log_kv(event: "answered", number: 3)
  child.finish
  scope.close
  scope.span.context
end

sleep 0.1 until (decided = tracers[:remote].start_span("probe")).context.sampled?
decided.finish
puts JSON.dump(tracers.transform_values { |tracer| trace(tracer).to_trace_id })
$stdout.flush
sleep 2.5 # its reporters have a loop and no flush
