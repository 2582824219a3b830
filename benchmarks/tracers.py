"""The tracers that are compared, each made ready the way its own documentation says.

A tracer is three functions: ``start(name) -> span``, ``tag(span, key, value)``, ``finish(span)``, and ``close()`` which returns when all is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = 100_000  # no tracer shall win by losing spans


class Traced(NamedTuple):
    start: Callable[[str], Any]
    tag: Callable[[Any, str, Any], Any]
    finish: Callable[[Any], Any]
    close: Callable[[], Any]


def _opentracing(tracer: Any, close: Callable[[], Any]) -> Traced:
    return Traced(
        tracer.start_span,
        lambda span, key, value: span.set_tag(key, value),
        lambda span: span.finish(),
        close,
    )


def sls_tracing(port: int | None, *, protocol: str = "compact", default_queue: bool = False) -> Traced:
    """sls-tracing; without a port nothing is sent."""
    from sls_tracing import BatchingReporter, ConstSampler, NullReporter, Tracer, UDPSender

    if port is None:
        reporter: Any = NullReporter()
    else:
        sender = UDPSender("127.0.0.1", port, protocol=protocol)
        reporter = BatchingReporter(sender) if default_queue else BatchingReporter(sender, max_queue_size=QUEUE)
    tracer = Tracer("bench", sampler=ConstSampler(True), reporter=reporter)
    return _opentracing(tracer, lambda: tracer.close(60))


def sls_tracing_binary(port: int | None, *, default_queue: bool = False) -> Traced:
    """sls-tracing with the binary protocol."""
    return sls_tracing(port, protocol="binary", default_queue=default_queue)


def jaeger_client(port: int | None, *, default_queue: bool = False) -> Traced:
    """jaeger-client 4.8.0: 100 spans a datagram, which favours it over its default of 10."""
    import jaeger_client as peer
    from jaeger_client.reporter import NullReporter

    if port is None:
        tracer = peer.Tracer("bench", NullReporter(), peer.ConstSampler(True))
        return _opentracing(tracer, lambda: None)
    settings: dict[str, Any] = {
        "sampler": {"type": "const", "param": 1},
        "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": port},
    }
    if not default_queue:
        settings.update(reporter_queue_size=QUEUE, reporter_batch_size=100)
    tracer = peer.Config(settings, service_name="bench").new_tracer()

    def close() -> None:
        import time

        future = tracer.close()
        deadline = time.monotonic() + 60
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)

    return _opentracing(tracer, close)


def opentelemetry(port: int | None, *, default_queue: bool = False) -> Traced:
    """The OpenTelemetry SDK with its OTLP/HTTP exporter; without a port, with a processor that forgets."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    if port is not None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")
        options: dict[str, Any] = {} if default_queue else {"max_queue_size": QUEUE}
        provider.add_span_processor(BatchSpanProcessor(exporter, **options))
    tracer = provider.get_tracer("bench")
    return Traced(
        tracer.start_span,
        lambda span, key, value: span.set_attribute(key, value),
        lambda span: span.end(),
        provider.shutdown,
    )


TRACERS: dict[str, Callable[..., Traced]] = {
    "sls-tracing": sls_tracing,
    "sls-tracing binary": sls_tracing_binary,
    "jaeger-client": jaeger_client,
    "opentelemetry": opentelemetry,
}
