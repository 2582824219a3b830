"""sls-tracing: the tracing library of a Python service in an Istio mesh.

tracer        starts spans            span, context, scope     what a span is, what of it travels, which one is active
samplers      whether to record       propagators              contexts in headers: B3 and others
reporters     queue finished spans    senders, thrift          bytes out: Jaeger's Thrift over UDP or HTTP, OTLP
config        init_tracer, Config     settings, environment    the tables of what can be set; assembly: parts made from them
decorator     @traced                 instrumentation          Flask, requests: patched from outside
log_service   the store (Alibaba Cloud Log Service, or DuckDB)  backend, cli    agent, collector, query API; `sls-tracing`
model         the finished span       guard, metrics           nothing breaks the host, everything lost is counted
"""

from sls_tracing.lazy import lazily
from sls_tracing.version import __version__

TYPE_CHECKING = False  # type checkers go by the name; typing takes 10 ms to load, which a process that traces nothing can do without
if TYPE_CHECKING:
    from sls_tracing.config import Config, init_tracer
    from sls_tracing.context import SpanContext
    from sls_tracing.decorator import traced
    from sls_tracing.reporters import (
        BatchingReporter,
        CompositeReporter,
        InMemoryReporter,
        LoggingReporter,
        NullReporter,
    )
    from sls_tracing.samplers import (
        AdaptiveSampler,
        ConstSampler,
        GuaranteedThroughputProbabilisticSampler,
        ProbabilisticSampler,
        RateLimitingSampler,
        RemoteControlledSampler,
    )
    from sls_tracing.scope import active_span as current_span
    from sls_tracing.senders import HTTPSender, LogServiceSender, OTLPSender, UDPSender
    from sls_tracing.span import Span
    from sls_tracing.tracer import Tracer

__all__ = [
    "AdaptiveSampler",
    "BatchingReporter",
    "CompositeReporter",
    "Config",
    "ConstSampler",
    "GuaranteedThroughputProbabilisticSampler",
    "HTTPSender",
    "InMemoryReporter",
    "LogServiceSender",
    "LoggingReporter",
    "NullReporter",
    "OTLPSender",
    "ProbabilisticSampler",
    "RateLimitingSampler",
    "RemoteControlledSampler",
    "Span",
    "SpanContext",
    "Tracer",
    "UDPSender",
    "__version__",
    "current_span",
    "init_tracer",
    "traced",
]

# Whoever asks for a name loads what it needs: `sls-tracing run` starts two processes, and the first one needs none of it.
__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(("Config", "init_tracer"), "sls_tracing.config"),
        "Span": "sls_tracing.span",
        "SpanContext": "sls_tracing.context",
        "Tracer": "sls_tracing.tracer",
        "current_span": "sls_tracing.scope:active_span",
        "traced": "sls_tracing.decorator",
        **dict.fromkeys(
            ("BatchingReporter", "CompositeReporter", "InMemoryReporter", "LoggingReporter", "NullReporter"),
            "sls_tracing.reporters",
        ),
        **dict.fromkeys(
            (
                "AdaptiveSampler",
                "ConstSampler",
                "GuaranteedThroughputProbabilisticSampler",
                "ProbabilisticSampler",
                "RateLimitingSampler",
                "RemoteControlledSampler",
            ),
            "sls_tracing.samplers",
        ),
        **dict.fromkeys(("HTTPSender", "LogServiceSender", "OTLPSender", "UDPSender"), "sls_tracing.senders"),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
