"""A share of one operation's traces, but never less than so many a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.clock import monotonic_clock
from sls_tracing.samplers.probabilistic import ProbabilisticSampler
from sls_tracing.samplers.rate_limiting import RateLimiter
from sls_tracing.samplers.rates import check_traces_per_second
from sls_tracing.samplers.sampler import Decision

if TYPE_CHECKING:
    from sls_tracing.clock import Clock
    from sls_tracing.model import TagValue

__all__ = ["GuaranteedThroughputProbabilisticSampler"]


class GuaranteedThroughputProbabilisticSampler:
    """Samples the share ``rate`` of an operation's traces, and others up to ``lower_bound`` a second so that a rare one is seen at all.

    A trace that the share takes also uses up the lower bound, so the bound adds traces only where the share takes too few. Tags are
    Jaeger's: ``probabilistic`` for the share, ``lowerbound`` for the rest, ``sampler.param`` being the rate in both; the server's
    adaptive sampling computes with exactly these.
    """

    def __init__(self, operation: str, lower_bound: float, rate: float, clock: Clock = monotonic_clock) -> None:
        self.operation = operation
        self.lower_bound = check_traces_per_second(lower_bound)
        self._limiter = RateLimiter(self.lower_bound, clock)
        self._set_rate(rate)

    @property
    def rate(self) -> float:
        """The share, 0.0 to 1.0."""
        return self._current[0].rate

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Decide by the trace id, then by the lower bound."""
        probabilistic, guaranteed, refused = self._current
        decision = probabilistic.is_sampled(trace_id)
        credit = self._limiter.take()
        if decision.sampled:
            return decision
        return guaranteed if credit else refused

    def update(self, lower_bound: float, rate: float) -> None:
        """Change both numbers; credit that is left stays."""
        lower_bound = check_traces_per_second(lower_bound)
        if rate != self.rate:
            self._set_rate(rate)
        if lower_bound != self.lower_bound:
            self._limiter.update(lower_bound)
            self.lower_bound = lower_bound

    def close(self) -> None:
        """Nothing to release."""

    def is_rested(self) -> bool:
        """Whether forgetting this sampler and making it again later would change no decision."""
        return self._limiter.is_full()

    def _set_rate(self, rate: float) -> None:
        probabilistic = ProbabilisticSampler(rate)
        tags: dict[str, TagValue] = {"sampler.type": "lowerbound", "sampler.param": probabilistic.rate}
        # One assignment: a thread that decides meanwhile sees the old three or the new three.
        self._current = (probabilistic, Decision(True, tags), Decision(False, tags))

    def __repr__(self) -> str:
        return f"GuaranteedThroughputProbabilisticSampler({self.operation}, {self.rate:f}, {self.lower_bound:f})"
