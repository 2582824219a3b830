"""The tracers that are compared, each made ready the way its own documentation says.

A maker takes a port to send to (None: nothing is sent), whether to sample, and whether to keep the default queue; without that no tracer shall win
by losing spans, so queues are large. ``keep`` is called with each finished span instead of sending it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = 100_000


class Setting(NamedTuple):
    port: int | None = None
    sampled: bool = True
    default_queue: bool = False
    keep: Callable[[Any], Any] | None = None


def no_op(setting: Setting) -> Any:
    import opentracing
    from work_opentracing import OpenTracingWork

    return OpenTracingWork(opentracing.Tracer(), lambda: None)


class _Keeping:
    """A reporter, for sls-tracing and jaeger-client alike, that keeps what a queue would."""

    def __init__(self, keep: Callable[[Any], Any]) -> None:
        self.report_span = self.report = keep

    def set_process(self, *_: object, **__: object) -> None:
        pass

    def flush(self, timeout: float = 5.0) -> bool:
        return True

    def close(self, timeout: float = 5.0) -> bool:
        return True


def _sls(setting: Setting, sender: Callable[[int], Any]) -> Any:
    from work_opentracing import OpenTracingWork

    from sls_tracing import BatchingReporter, ConstSampler, NullReporter, Tracer, traced

    reporter: Any = NullReporter()
    if setting.keep is not None:
        reporter = _Keeping(setting.keep)
    elif setting.port is not None:
        options = {} if setting.default_queue else {"max_queue_size": QUEUE}
        reporter = BatchingReporter(sender(setting.port), **options)
    tracer = Tracer("bench", reporter, ConstSampler(setting.sampled))
    return OpenTracingWork(tracer, lambda: tracer.close(60), traced("work", tracer=tracer))


def sls_compact(setting: Setting) -> Any:
    from sls_tracing import UDPSender

    return _sls(setting, lambda port: UDPSender("127.0.0.1", port))


def sls_binary(setting: Setting) -> Any:
    from sls_tracing import UDPSender

    return _sls(setting, lambda port: UDPSender("127.0.0.1", port, protocol="binary"))


def sls_http(setting: Setting) -> Any:
    from sls_tracing import HTTPSender

    return _sls(setting, lambda port: HTTPSender(f"http://127.0.0.1:{port}"))


def sls_otlp(setting: Setting) -> Any:
    from sls_tracing import OTLPSender

    return _sls(setting, lambda port: OTLPSender(f"http://127.0.0.1:{port}"))


def jaeger_client(setting: Setting) -> Any:
    """jaeger-client 4.8.0: 100 spans a datagram, which favours it over its default of 10; B3, and its scope managers."""
    import jaeger_client as peer
    from jaeger_client.codecs import B3Codec
    from jaeger_client.reporter import NullReporter
    from opentracing import Format
    from opentracing.scope_managers.contextvars import ContextVarsScopeManager
    from work_opentracing import OpenTracingWork

    scopes = ContextVarsScopeManager()
    if setting.port is None:
        reporter: Any = NullReporter() if setting.keep is None else _Keeping(setting.keep)
        sampler = peer.ConstSampler(setting.sampled)
        tracer = peer.Tracer(
            "bench", reporter, sampler, scope_manager=scopes, extra_codecs={Format.HTTP_HEADERS: B3Codec()}
        )
        return OpenTracingWork(tracer, lambda: None)
    settings: dict[str, Any] = {
        "sampler": {"type": "const", "param": 1},
        "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": setting.port},
    }
    if not setting.default_queue:
        settings.update(reporter_queue_size=QUEUE, reporter_batch_size=100)
    tracer = peer.Config(settings, service_name="bench", scope_manager=scopes).new_tracer()

    def close() -> None:
        import time

        future = tracer.close()
        deadline = time.monotonic() + 60
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)

    return OpenTracingWork(tracer, close)


def _opentelemetry(setting: Setting, exporter: Callable[[int], Any]) -> Any:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
    from work_opentelemetry import OpenTelemetryWork

    provider = TracerProvider(sampler=ALWAYS_ON if setting.sampled else ALWAYS_OFF, shutdown_on_exit=False)
    if setting.keep is not None:
        keep = setting.keep

        class Keeping(SpanProcessor):
            def on_end(self, span: Any) -> None:
                keep(span)

        provider.add_span_processor(Keeping())
    elif setting.port is not None:
        options: dict[str, Any] = {} if setting.default_queue else {"max_queue_size": QUEUE}
        provider.add_span_processor(BatchSpanProcessor(exporter(setting.port), **options))
    return OpenTelemetryWork(provider.get_tracer("bench"), provider.shutdown)


def opentelemetry_otlp(setting: Setting) -> Any:
    def exporter(port: int) -> Any:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")

    return _opentelemetry(setting, exporter)


def opentelemetry_zipkin(setting: Setting) -> Any:
    def exporter(port: int) -> Any:
        from opentelemetry.exporter.zipkin.json import ZipkinExporter

        return ZipkinExporter(endpoint=f"http://127.0.0.1:{port}/api/v2/spans")

    return _opentelemetry(setting, exporter)


def ddtrace(setting: Setting) -> Any:
    """ddtrace; without a port a trace filter, its documented hook, drops every trace, as it would for one that is not wanted."""
    os.environ.update(
        DD_TRACE_AGENT_URL=f"http://127.0.0.1:{setting.port or 1}",
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
        DD_TRACE_PROPAGATION_STYLE="b3multi",
        DD_TRACE_STARTUP_LOGS="false",
        DD_CRASHTRACKING_ENABLED="false",
    )
    if not setting.default_queue:  # its queue is counted in bytes
        os.environ.update(
            DD_TRACE_WRITER_BUFFER_SIZE_BYTES=str(256 << 20), DD_TRACE_WRITER_MAX_PAYLOAD_SIZE_BYTES=str(8 << 20)
        )
    from ddtrace.trace import TraceFilter, tracer
    from work_ddtrace import DatadogWork

    if setting.port is None:
        keep = setting.keep

        class Dropping(TraceFilter):
            def process_trace(self, trace: list[Any]) -> None:
                if keep is not None:
                    for span in trace:
                        keep(span)

        tracer.configure(trace_processors=[Dropping()])
    return DatadogWork(tracer, lambda: tracer.shutdown(60))


def not_sent(setting: Setting) -> Any:
    """Ours with a reporter that does nothing, and no thread."""
    return _sls(setting._replace(port=None), lambda _: None)


class _EmptyLoop:
    def four_tags(self, _: int) -> None:
        for _ in range(400):
            pass

    def close(self) -> None:
        pass


def empty_loop(setting: Setting) -> Any:
    """Plain Python that takes about as long as a span: how often the machine itself (its timer, its neighbours) makes such a thing slow."""
    return _EmptyLoop()


TRACERS: dict[str, Callable[[Setting], Any]] = {
    "sls-tracing": sls_compact,
    "sls-tracing, binary": sls_binary,
    "sls-tracing, HTTP": sls_http,
    "sls-tracing, OTLP": sls_otlp,
    "jaeger-client": jaeger_client,
    "OpenTelemetry": opentelemetry_otlp,
    "OpenTelemetry, Zipkin": opentelemetry_zipkin,
    "ddtrace": ddtrace,
    "opentracing no-op": no_op,
}

CONTROLS: dict[str, Callable[[Setting], Any]] = {"sls-tracing, not sent": not_sent, "an empty loop": empty_loop}
"""What the latencies are read against."""

MODULES = {
    "sls-tracing": "from sls_tracing import BatchingReporter, ConstSampler, Tracer, current_span, init_tracer, traced",
    "jaeger-client": "import jaeger_client",
    "OpenTelemetry": "import opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "ddtrace": "import ddtrace",
    "opentracing no-op": "import opentracing",
}
"""What a service imports before it can make a tracer that sends."""
