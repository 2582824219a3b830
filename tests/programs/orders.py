"""A service as it was written for jaeger-client: nothing in here but its import knows which library is under it."""

import logging
import sys
import time

import jaeger_client
import opentracing
from opentracing import Format, child_of, follows_from
from opentracing.ext import tags

log = logging.getLogger("orders")


def init_tracer(port):
    config = jaeger_client.Config(
        config={
            "sampler": {"type": "const", "param": 1},
            "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": port},
            "logging": True,
            "tags": {"zone": "eu-1", "replicas": 3, "canary": False, "weight": 0.5},
            "reporter_batch_size": 1,
            "max_tag_value_length": 64,
        },
        service_name="orders",
        validate=True,
    )
    return config.initialize_tracer()


def handle_request(headers):
    tracer = opentracing.global_tracer()
    caller = tracer.extract(Format.HTTP_HEADERS, headers)
    span_tags = {tags.SPAN_KIND: tags.SPAN_KIND_RPC_SERVER, tags.HTTP_METHOD: "POST"}
    with tracer.start_active_span("create_order", child_of=caller, tags=span_tags) as scope:
        span = scope.span
        span.set_tag("order.items", 3).set_tag("order.total", 12.5).set_tag("order.gift", True)
        span.set_tag("order.note", "n" * 100)
        span.set_tag("order.address", {"street": "Main"})
        span.set_baggage_item("tenant", "blue")
        span.log_kv({"event": "validated", "took.ms": 4, "ok": True})
        total = price(span)
        outgoing = call_warehouse()
        span.set_tag(tags.HTTP_STATUS_CODE, 201)
        log.info("order of %s in trace %032x", total, span.context.trace_id)
    return outgoing


def price(parent):
    with opentracing.global_tracer().start_span("price", child_of=parent) as span:
        assert span.get_baggage_item("tenant") == "blue"
        span.set_operation_name("price_order")
        span.log_kv({"event": "cache", "hit": False}, timestamp=time.time())
    return 12.5


def call_warehouse():
    tracer = opentracing.global_tracer()
    with tracer.start_active_span("reserve", tags={tags.SPAN_KIND: tags.SPAN_KIND_RPC_CLIENT}) as scope:
        outgoing = {}
        tracer.inject(scope.span.context, Format.HTTP_HEADERS, outgoing)
        text, binary = {}, bytearray()
        tracer.inject(scope.span, Format.TEXT_MAP, text)
        tracer.inject(scope.span, Format.BINARY, binary)
        for each, carrier in ((Format.HTTP_HEADERS, outgoing), (Format.TEXT_MAP, text), (Format.BINARY, binary)):
            context = tracer.extract(each, carrier)
            assert context.trace_id == scope.span.context.trace_id
            assert context.span_id == scope.span.context.span_id
            assert context.baggage == {"caller": "shop front", "tenant": "blue"}
        try:
            with tracer.start_active_span("connect"):
                raise ConnectionError("warehouse is closed")
        except ConnectionError as error:
            scope.span.set_tag(tags.ERROR, True)
            scope.span.log_kv({"event": "error", "message": str(error)})
        return outgoing


def background(headers):
    tracer = opentracing.global_tracer()
    cause = tracer.start_span("enqueue", ignore_active_span=True)
    cause.finish()
    other = tracer.extract(Format.HTTP_HEADERS, headers)
    job = tracer.start_span("job", references=[follows_from(cause.context), child_of(other)], ignore_active_span=True)
    job.finish()
    job.finish()
    debug = tracer.extract(Format.HTTP_HEADERS, {"jaeger-debug-id": "ticket-7"})
    tracer.start_span("debugged", child_of=debug).finish()
    unsampled = tracer.extract(Format.HTTP_HEADERS, {"uber-trace-id": "5:6:0:0"})
    quiet = tracer.start_span("quiet", child_of=unsampled)
    quiet.finish()
    forced = tracer.start_span("forced", child_of=unsampled)
    forced.set_tag(tags.SAMPLING_PRIORITY, 1)
    forced.finish()


def main():
    logging.basicConfig(level=logging.WARNING)
    tracer = init_tracer(int(sys.argv[1]))
    assert tracer is opentracing.global_tracer()
    headers = {"uber-trace-id": "1234567890abcdef:fedcba0987654321:0:1", "uberctx-caller": "shop%20front"}
    outgoing = handle_request(headers)
    background(outgoing)
    time.sleep(float(sys.argv[2]))  # as jaeger-client's README tells: its close() does not wait
    tracer.close()
    time.sleep(float(sys.argv[2]))
    print(sorted(outgoing))


main()
