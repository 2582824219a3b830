"""At most so many traces a second."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from sls_tracing.clock import monotonic_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forks import call_in_child
from sls_tracing.samplers.sampler import Decision

if TYPE_CHECKING:
    from sls_tracing.clock import Clock
    from sls_tracing.model import TagValue

__all__ = ["RateLimiter", "RateLimitingSampler"]


class RateLimiter:
    """A leaky bucket: credit grows by ``rate`` a second up to ``max_balance``; a thing costs 1.

    It starts full, as in Jaeger's Go and Java clients. Safe to use from any thread; time is monotonic.
    """

    def __init__(self, rate: float, max_balance: float, clock: Clock = monotonic_clock) -> None:
        self.rate = rate
        self.max_balance = max_balance
        self.balance = max_balance
        self._clock = clock
        self._last = clock()
        self._renew_lock()
        call_in_child(self._renew_lock)

    def take(self) -> bool:
        """Take one credit, if there is one."""
        with self._lock:
            now = self._clock()
            self.balance = min(self.max_balance, self.balance + (now - self._last) * self.rate)
            self._last = now
            # Additions of a float clock fall short by some 1e-10 of a credit: do not refuse for that.
            if self.balance < 1.0 - 1e-9:
                return False
            self.balance -= 1.0
            return True

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # re-entrant: see Counters


class RateLimitingSampler:
    """Samples at most ``max_traces_per_second``; a rate below 1 means one in ``1 / rate`` seconds, 0 means none."""

    def __init__(self, max_traces_per_second: float, clock: Clock = monotonic_clock) -> None:
        rate = max_traces_per_second
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= sys.float_info.max:
            msg = f"the number of traces a second must be 0 or more, not {rate!r}"
            raise ConfigurationError(msg)
        self.max_traces_per_second = float(rate)
        self._limiter = RateLimiter(self.max_traces_per_second, max(self.max_traces_per_second, 1.0), clock)
        if not rate:
            self._limiter.balance = self._limiter.max_balance = 0.0
        tags: dict[str, TagValue] = {"sampler.type": "ratelimiting", "sampler.param": self.max_traces_per_second}
        self._yes, self._no = Decision(True, tags), Decision(False, tags)

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Sample while there is credit."""
        return self._yes if self._limiter.take() else self._no

    def close(self) -> None:
        """Nothing to release."""

    def __repr__(self) -> str:
        return f"RateLimitingSampler({self.max_traces_per_second})"
