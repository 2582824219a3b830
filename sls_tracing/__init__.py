"""sls-tracing: the tracing library of a Python service in an Istio mesh.

tracer        starts spans            span, context, scope     what a span is, what of it travels, which one is active
samplers      whether to record       propagators              contexts in headers: B3 and others
reporters     queue finished spans    senders, thrift          bytes out: Jaeger's Thrift over UDP or HTTP, OTLP
config        init_tracer, Config     settings, environment    the tables of what can be set; assembly: parts made from them
decorator     @traced                 instrumentation          Flask, requests: patched from outside
log_service   the store (Alibaba Cloud Log Service, or DuckDB)  backend, cli    agent, collector, query API; `sls-tracing`
model         the finished span       guard, metrics           nothing breaks the host, everything lost is counted
"""

from typing import TYPE_CHECKING

from sls_tracing.config import Config, init_tracer
from sls_tracing.context import SpanContext
from sls_tracing.decorator import traced
from sls_tracing.lazy import lazily
from sls_tracing.reporters import (
    BatchingReporter,
    CompositeReporter,
    InMemoryReporter,
    LoggingReporter,
    NullReporter,
)
from sls_tracing.samplers import ConstSampler, ProbabilisticSampler, RateLimitingSampler
from sls_tracing.scope import active_span as current_span
from sls_tracing.span import Span
from sls_tracing.tracer import Tracer
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from sls_tracing.samplers import (
        AdaptiveSampler,
        GuaranteedThroughputProbabilisticSampler,
        RemoteControlledSampler,
    )
    from sls_tracing.senders import HTTPSender, OTLPSender, UDPSender

__all__ = [
    "AdaptiveSampler",
    "BatchingReporter",
    "CompositeReporter",
    "Config",
    "ConstSampler",
    "GuaranteedThroughputProbabilisticSampler",
    "HTTPSender",
    "InMemoryReporter",
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

__getattr__ = lazily(
    __name__,
    {
        "AdaptiveSampler": "sls_tracing.samplers",
        "GuaranteedThroughputProbabilisticSampler": "sls_tracing.samplers",
        "RemoteControlledSampler": "sls_tracing.samplers",
        "HTTPSender": "sls_tracing.senders",
        "OTLPSender": "sls_tracing.senders",
        "UDPSender": "sls_tracing.senders",
    },
)
