# The agent's service: one message a datagram, never answered. Its Zipkin method is not served here.

include "jaeger.thrift"

namespace py agent

service Agent {
  oneway void emitBatch(1: jaeger.Batch batch)
}
