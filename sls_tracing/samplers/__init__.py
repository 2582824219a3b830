"""Samplers decide, once a trace, whether it is recorded. Those that few services use are loaded when first asked for."""

from typing import TYPE_CHECKING

from sls_tracing.lazy import lazily
from sls_tracing.samplers.const import ConstSampler
from sls_tracing.samplers.sampler import Decision, Sampler

if TYPE_CHECKING:
    from sls_tracing.samplers.adaptive import AdaptiveSampler
    from sls_tracing.samplers.guaranteed_throughput import GuaranteedThroughputProbabilisticSampler
    from sls_tracing.samplers.probabilistic import ProbabilisticSampler
    from sls_tracing.samplers.rate_limiting import RateLimitingSampler
    from sls_tracing.samplers.remote import RemoteControlledSampler
    from sls_tracing.samplers.strategies import PerOperationStrategies

__all__ = [
    "AdaptiveSampler",
    "ConstSampler",
    "Decision",
    "GuaranteedThroughputProbabilisticSampler",
    "PerOperationStrategies",
    "ProbabilisticSampler",
    "RateLimitingSampler",
    "RemoteControlledSampler",
    "Sampler",
]

__getattr__ = lazily(
    __name__,
    {
        "AdaptiveSampler": "sls_tracing.samplers.adaptive",
        "GuaranteedThroughputProbabilisticSampler": "sls_tracing.samplers.guaranteed_throughput",
        "PerOperationStrategies": "sls_tracing.samplers.strategies",
        "ProbabilisticSampler": "sls_tracing.samplers.probabilistic",
        "RateLimitingSampler": "sls_tracing.samplers.rate_limiting",
        "RemoteControlledSampler": "sls_tracing.samplers.remote",
    },
)
