"""Samplers decide, once a trace, whether it is recorded."""

from sls_tracing.samplers.const import ConstSampler
from sls_tracing.samplers.probabilistic import ProbabilisticSampler
from sls_tracing.samplers.rate_limiting import RateLimitingSampler
from sls_tracing.samplers.sampler import Decision, Sampler

__all__ = ["ConstSampler", "Decision", "ProbabilisticSampler", "RateLimitingSampler", "Sampler"]
