"""At most so many traces a second."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sls_tracing.clock import monotonic_clock
from sls_tracing.forks import call_in_child
from sls_tracing.samplers.rates import check_traces_per_second
from sls_tracing.samplers.sampler import Decision

if TYPE_CHECKING:
    from sls_tracing.clock import Clock
    from sls_tracing.model import TagValue

__all__ = ["RateLimiter", "RateLimitingSampler"]


class RateLimiter:
    """A leaky bucket: credit grows by ``rate`` a second; a thing costs 1. Safe to use from any thread; time is monotonic.

    It holds one second's credit, but 1 at least, or rates below 1 would never reach it; at rate 0 nothing. It starts full, as in
    Jaeger's Go and Java clients.
    """

    def __init__(self, rate: float, clock: Clock = monotonic_clock) -> None:
        self.rate = rate
        self.balance = self.max_balance = _bucket(rate)
        self._clock = clock
        self._last = clock()
        self._renew_lock()
        call_in_child(self._renew_lock)

    def take(self) -> bool:
        """Take one credit, if there is one."""
        with self._lock:
            self._accrue()
            # Additions of a float clock fall short by some 1e-10 of a credit: do not refuse for that.
            if self.balance < 1.0 - 1e-9:
                return False
            self.balance -= 1.0
            return True

    def update(self, rate: float) -> None:
        """Change the rate; the bucket stays as full as it was, in proportion. One that was switched off starts full."""
        with self._lock:
            self._accrue()
            share = self.balance / self.max_balance if self.max_balance else 1.0
            self.rate = rate
            self.max_balance = _bucket(rate)
            self.balance = share * self.max_balance

    def is_full(self) -> bool:
        """Whether nothing is missing: forgetting such a limiter and making it again later changes nothing."""
        with self._lock:
            self._accrue()
            return self.balance >= self.max_balance

    def _accrue(self) -> None:
        now = self._clock()
        self.balance = min(self.max_balance, self.balance + (now - self._last) * self.rate)
        self._last = now

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # re-entrant: see Counters


def _bucket(rate: float) -> float:
    return max(rate, 1.0) if rate else 0.0


class RateLimitingSampler:
    """Samples at most ``max_traces_per_second``; a rate below 1 means one in ``1 / rate`` seconds, 0 means none."""

    def __init__(self, max_traces_per_second: float, clock: Clock = monotonic_clock) -> None:
        self.max_traces_per_second = check_traces_per_second(max_traces_per_second)
        self._limiter = RateLimiter(self.max_traces_per_second, clock)
        self._make_decisions()

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Sample while there is credit."""
        return self._yes if self._limiter.take() else self._no

    def update(self, max_traces_per_second: float) -> bool:
        """Change the rate without losing credit; True if it differs from the one before."""
        rate = check_traces_per_second(max_traces_per_second)
        if rate == self.max_traces_per_second:
            return False
        self._limiter.update(rate)
        self.max_traces_per_second = rate
        self._make_decisions()
        return True

    def close(self) -> None:
        """Nothing to release."""

    def _make_decisions(self) -> None:
        tags: dict[str, TagValue] = {"sampler.type": "ratelimiting", "sampler.param": self.max_traces_per_second}
        self._yes, self._no = Decision(True, tags), Decision(False, tags)

    def __repr__(self) -> str:
        return f"RateLimitingSampler({self.max_traces_per_second})"
