"""Sampling strategies for the clients of this machine, asked of a collector: what an agent's port 5778 passes on.

An answer is good for a while, so that a hundred processes of one service cost the collector one question. When the collector is away, the last
answer stays in force, however old.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.clock import Clock, monotonic_clock
from sls_tracing.guard import limited_log
from sls_tracing.http_fetch import FetchError, JSONFetcher
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RemoteStrategies"]

FRESH_FOR = 10.0
"""Seconds; clients ask once a minute."""

MAX_SERVICES = 1000


class _Answer(NamedTuple):
    value: Any
    asked: float


class RemoteStrategies:
    """Asks the first of ``urls`` (collectors' base URLs) that answers. A StrategyProvider; raises FetchError if none ever answered."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        path: str = "/api/sampling",
        token: str = "",
        ca: str = "",
        timeout: float = 2.0,
        clock: Clock = monotonic_clock,
        counters: Counters = counters,
    ) -> None:
        self._fetchers = [JSONFetcher(url.rstrip("/") + path, timeout=timeout, token=token, ca=ca) for url in urls]
        self._clock = clock
        self._counters = counters
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def strategy(self, service: str) -> Any:
        """Return the strategy of a service."""
        now = self._clock()
        with self._lock:
            known = self._answers.get(service)
        if known is not None and now - known.asked < FRESH_FOR:
            return known.value
        try:
            value = self._ask(service)
        except FetchError as error:
            self._counters.add("agent_strategies_failed")
            if known is None:
                raise
            limited_log.warning("agent_strategies", "agent: the last strategies stay in force: %s", error)
            value = known.value
        with self._lock:
            self._answers[service] = _Answer(value, now)
            self._answers.move_to_end(service)
            if len(self._answers) > MAX_SERVICES:
                self._answers.popitem(last=False)
        return value

    def _ask(self, service: str) -> Any:
        for fetcher in self._fetchers[:-1]:
            try:
                return fetcher.fetch({"service": service})
            except FetchError:
                continue
        return self._fetchers[-1].fetch({"service": service})
