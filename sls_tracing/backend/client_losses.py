"""What clients lost on the way to an agent: UDP loses in silence, but a batch's number and the client's own figures tell.

As in Jaeger's agent (v1.65.0 cmd/agent/app/reporter/client_metrics.go): a client is known by the process tag ``client-uuid``; its first batch sets the base;
a gap in the numbers is batches that never came; the totals in a batch's ``stats`` are what the client dropped itself. Numbers that
come out of order count nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.clock import Clock, monotonic_clock
from sls_tracing.metrics import Counters, counters
from sls_tracing.thrift.schema import ClientStats

if TYPE_CHECKING:
    from sls_tracing.thrift.schema import Batch

__all__ = ["ClientLosses"]

MAX_CLIENTS = 10_000
FORGET_AFTER = 3600.0
"""Seconds of silence after which a client is forgotten."""

_CAUSES = ("full_queue", "too_large", "send_failure")


class _Client(NamedTuple):
    seq_no: int
    stats: ClientStats
    seen: float


class ClientLosses:
    """Counts ``client_batches_received``, ``client_batches_lost``, and ``client_spans_dropped_full_queue``, ``…_too_large``, ``…_send_failure``."""

    def __init__(self, *, clock: Clock = monotonic_clock, counters: Counters = counters) -> None:
        self._clock = clock
        self._counters = counters
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # the longest silent first
        self._lock = threading.Lock()

    def saw(self, batch: Batch) -> None:
        """Take note of a batch that arrived; one without number or ``client-uuid`` says nothing."""
        uuid = batch.process.tags.get("client-uuid")
        if batch.seq_no is None or not isinstance(uuid, str):
            return
        now = self._clock()
        stats = batch.stats or ClientStats()
        self._counters.add("client_batches_received")
        with self._lock:
            known = self._clients.get(uuid)
            if known is not None and batch.seq_no <= known.seq_no:
                return
            self._clients[uuid] = _Client(batch.seq_no, stats, now)
            self._clients.move_to_end(uuid)
            self._forget(now)
        if known is None:
            return
        self._count("client_batches_lost", batch.seq_no - known.seq_no - 1)
        for cause, before, after in zip(_CAUSES, known.stats, stats, strict=True):
            self._count("client_spans_dropped_" + cause, (after or 0) - (before or 0))

    @property
    def connected(self) -> int:
        """The number of clients that were heard of within the hour."""
        with self._lock:
            self._forget(self._clock())
            return len(self._clients)

    def _count(self, name: str, amount: int) -> None:
        if amount > 0:
            self._counters.add(name, amount)

    def _forget(self, now: float) -> None:
        while self._clients:
            uuid, oldest = next(iter(self._clients.items()))
            if len(self._clients) <= MAX_CLIENTS and now - oldest.seen < FORGET_AFTER:
                return
            del self._clients[uuid]
