"""How many traces a debug flag may force: without a throttler, whoever can send ``jaeger-debug-id`` can have everything sampled.

    LocalThrottler(1.0)                   at most one debug trace a second of each operation
    RemoteThrottler("productpage")        as many as a server grants (Jaeger's protocol; no open-source Jaeger server speaks it)

A trace that is refused is not forced; the caller counts on :meth:`Throttler.is_allowed` alone. Refusals are counted as
``throttled_debug_spans``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote_plus

from sls_tracing.clock import monotonic_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forks import call_in_child
from sls_tracing.http_fetch import FetchAbortedError, FetchError, JSONFetcher, agent_url
from sls_tracing.identifiers import random_bits
from sls_tracing.metrics import Counters, counters
from sls_tracing.polling import Poller, polling_log
from sls_tracing.samplers.rate_limiting import RateLimiter
from sls_tracing.samplers.rates import check_traces_per_second

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.clock import Clock

__all__ = ["LocalThrottler", "RemoteThrottler", "Throttler"]

_LOG_KIND = "remote throttler"
_MAX_QUERY_BYTES = 4096
"""Operations named in one question, encoded; servers refuse request lines of more than 8 KB."""
_SYNCHRONOUS_TIMEOUT = 1.0
"""Seconds that an application waits at most for the first credit of an operation, if it asked for that."""


class Throttler(Protocol):
    """Decides whether one more trace may be forced by a debug flag or ``sampling.priority``."""

    def is_allowed(self, operation_name: str) -> bool:
        """Take one credit of the operation, if there is one. Runs on the application's path: be quick."""
        ...

    def close(self) -> None:
        """Release what the throttler holds."""
        ...


class LocalThrottler:
    """At most ``max_traces_per_second`` forced traces of each operation; below 1 means one in ``1 / rate`` seconds.

    Needs no server. ``max_operations`` bounds what is remembered; operations beyond it share one allowance.
    """

    def __init__(
        self,
        max_traces_per_second: float = 1.0,
        *,
        max_operations: int = 2000,
        clock: Clock = monotonic_clock,
        counters: Counters = counters,
    ) -> None:
        self._rate = check_traces_per_second(max_traces_per_second)
        self._max_operations = max_operations
        self._clock = clock
        self._counters = counters
        self._limiters: dict[str, RateLimiter] = {}
        self._rest = RateLimiter(self._rate, clock)

    def is_allowed(self, operation_name: str) -> bool:
        """Take one credit, if there is one."""
        limiter = self._limiters.get(operation_name)
        if limiter is None:
            limiter = self._rest
            if len(self._limiters) < self._max_operations:
                # setdefault is atomic: of two threads that meet here, both get the one that was first.
                limiter = self._limiters.setdefault(operation_name, RateLimiter(self._rate, self._clock))
        if limiter.take():
            return True
        self._counters.add("throttled_debug_spans")
        return False

    def close(self) -> None:
        """Nothing to release."""


class RemoteThrottler:
    """Spends credits that a server grants, operation by operation.

    Every ``refresh_interval`` seconds a background thread asks ``GET /credits?service=S&uuid=CLIENT&operations=A&operations=B``;
    the answer ``{"balances": [{"operation": "A", "balance": 1.5}]}`` is added to what is left. A forced trace costs 1.

    - ``url``: whom to ask; if None, ``http://host:port/credits``.
    - ``client_id`` tells the server which process asks. Made up if None, and then another one in a forked child.
    - ``synchronous_initialization``: an operation's first trace waits for its credits, a second at most, instead of being refused.
    - ``max_operations``: those beyond it are refused.

    Counted as ``throttler_updates_ok`` and ``throttler_updates_failed``. A wrong answer grants nothing.
    """

    def __init__(
        self,
        service_name: str,
        *,
        url: str | None = None,
        host: str = "localhost",
        port: int = 5778,
        refresh_interval: float = 5.0,
        client_id: str | None = None,
        synchronous_initialization: bool = False,
        max_operations: int = 2000,
        timeout: float = 10.0,
        counters: Counters = counters,
    ) -> None:
        url = url if url is not None else agent_url(host, port, "/credits")
        self.service_name = service_name
        self._own_client_id = client_id is None
        self.client_id = _new_client_id() if client_id is None else client_id
        self._max_operations = max_operations
        self._counters = counters
        self._credits: dict[str, float] = {}
        self._lock = threading.RLock()  # re-entrant: see Counters
        self._fetcher = JSONFetcher(url, timeout=timeout)
        # Of its own: a fetcher serves one thread at a time.
        self._first_fetcher = (
            JSONFetcher(url, timeout=min(timeout, _SYNCHRONOUS_TIMEOUT)) if synchronous_initialization else None
        )
        self._poller = Poller("throttler", self._poll, refresh_interval, self._fetcher.abort)
        call_in_child(self._after_fork)

    def is_allowed(self, operation_name: str) -> bool:
        """Take one credit, if there is one. An operation that is not known yet has none, and the server is asked for some."""
        allowed, new = self._take(operation_name)
        if new:
            if self._first_fetcher is not None:
                self._ask(self._first_fetcher, [operation_name])
                allowed, _ = self._take(operation_name)
                self._poller.start()
            elif self._poller.started:
                self._poller.wake()
            else:
                self._poller.start()
        if not allowed:
            self._counters.add("throttled_debug_spans")
        return allowed

    def set_client_id(self, client_id: str) -> None:
        """Name this process as the tracer does in its ``client-uuid`` tag."""
        self.client_id = client_id
        self._own_client_id = False

    def close(self) -> None:
        """Stop asking."""
        self._poller.close()
        if self._first_fetcher is not None:
            self._first_fetcher.abort()

    def _take(self, operation: str) -> tuple[bool, bool]:
        """Return whether a credit was taken, and whether the operation is new."""
        with self._lock:
            credit = self._credits.get(operation)
            if credit is None:
                new = len(self._credits) < self._max_operations
                if new:
                    self._credits[operation] = 0.0
                return False, new
            if credit < 1.0:
                return False, False
            self._credits[operation] = credit - 1.0
            return True, False

    def _poll(self) -> bool:
        with self._lock:
            operations = list(self._credits)
        # Not all(): one question that fails must not cost the others their credits.
        return False not in [self._ask(self._fetcher, some) for some in _portions(operations)]

    def _ask(self, fetcher: JSONFetcher, operations: Sequence[str]) -> bool:
        question = [("service", self.service_name), ("uuid", self.client_id)]
        try:
            balances = _read_balances(fetcher.fetch(question + [("operations", each) for each in operations]))
        except FetchAbortedError:
            return False
        except (FetchError, ConfigurationError) as error:
            self._counters.add("throttler_updates_failed")
            polling_log.warning(_LOG_KIND, "no debug credits from %s (%s)", fetcher.shown_url, error)
            return False
        with self._lock:
            for operation, balance in balances:
                if operation in self._credits:  # others were not asked for, and would grow the table
                    self._credits[operation] += balance
        self._counters.add("throttler_updates_ok")
        polling_log.recovered(_LOG_KIND, "debug credits come again from %s", fetcher.shown_url)
        return True

    def _after_fork(self) -> None:
        # The credits are the parent's to spend: the server has counted them against its id.
        self._lock = threading.RLock()  # re-entrant: see Counters
        self._credits = {}
        if self._own_client_id:
            self.client_id = _new_client_id()


def _new_client_id() -> str:
    return f"{random_bits(64):016x}"


def _portions(operations: Sequence[str]) -> Iterator[list[str]]:
    """Divide the operations so that no question's line grows too long."""
    portion: list[str] = []
    size = 0
    for operation in operations:
        length = len("&operations=") + len(quote_plus(operation, errors="replace"))
        if portion and size + length > _MAX_QUERY_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(operation)
        size += length
    if portion:
        yield portion


def _read_balances(answer: object) -> list[tuple[str, float]]:
    """Read the answer. Raises :class:`ConfigurationError`, as the samplers' reader does."""
    balances = answer.get("balances") if isinstance(answer, Mapping) else None
    if not isinstance(balances, list):
        msg = "the answer holds no list of balances"
        raise ConfigurationError(msg)
    read = []
    for each in balances:
        operation = each.get("operation") if isinstance(each, Mapping) else None
        if not isinstance(operation, str):
            msg = "a balance names no operation"
            raise ConfigurationError(msg)
        read.append((operation, check_traces_per_second(each.get("balance"))))
    return read
