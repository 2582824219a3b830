"""Samplers decide, once a trace, whether it is recorded."""

from sls_tracing.samplers.adaptive import AdaptiveSampler
from sls_tracing.samplers.const import ConstSampler
from sls_tracing.samplers.guaranteed_throughput import GuaranteedThroughputProbabilisticSampler
from sls_tracing.samplers.probabilistic import ProbabilisticSampler
from sls_tracing.samplers.rate_limiting import RateLimitingSampler
from sls_tracing.samplers.remote import RemoteControlledSampler
from sls_tracing.samplers.sampler import Decision, Sampler
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
