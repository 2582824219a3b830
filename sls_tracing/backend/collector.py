"""The collector: a bounded queue of spans and one thread that writes them to the trace store in batches.

Who can be told (HTTP) is told when its spans are stored, not when they are queued: what was acknowledged survives ``kill -9``. While
one write is going on the next batch comes together, so waiting costs no throughput: the more wait, the larger the writes.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sls_tracing.backend.bounded_queue import BoundedQueue
from sls_tracing.backend.sanitizer import sanitize
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.log_service.logstore import TRANSIENT, LogServiceError
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.log_service import TraceStore
    from sls_tracing.model import SpanRecord

__all__ = ["Collector", "Outcome"]

BATCH_BYTES = 512 * 1024
"""Of spans as they came, in one write: about 1,500. Large enough for a columnar store, small enough to be visible soon."""

SPAN_BYTES = 350
"""What a span counts whose size nobody said."""

LINGER = 0.1
"""Seconds that a span waits at most for company."""

Outcome: TypeAlias = Literal["stored", "refused", "later"]
"""What became of spans: ``refused`` for good, ``later`` if the store may take them another time."""

ISOLATION_WRITES = 24
"""Writes spent on a batch that failed: halving 1,000 spans down to the one that spoils it takes 20."""


_Numbered: TypeAlias = "list[tuple[SpanRecord, int]]"  # each with the number of its batch


class _Batch(NamedTuple):
    """What was submitted together, and who waits for it."""

    spans: Sequence[SpanRecord]
    stored: Future[Outcome] | None


class Collector:
    """Takes spans from any thread, never blocks there unless told to, and stores them from a thread of its own.

    ``capacity`` is in bytes of spans as they came, which take five to seven times as much in memory; a batch that does not fit is dropped whole, so that a caller that can say "busy" to its
    client (HTTP) may do so. Counts ``collector_spans_received``, and of those ``…_stored``, ``…_dropped`` (no room) and ``…_failed`` (the
    store refused).
    """

    def __init__(
        self,
        trace_store: TraceStore,
        *,
        capacity: int = 32 * 1024 * 1024,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._store = trace_store
        self._queue: BoundedQueue[_Batch] = BoundedQueue(capacity)
        self._counters = counters
        self._log = log
        self._guard = Guard("collector", counters=counters, log=log)
        self._writer = threading.Thread(target=self._work, name="sls-tracing-collector", daemon=True)
        self._writer.start()

    def submit(self, spans: Sequence[SpanRecord], size: int | None = None, *, wait: float = 0.0) -> bool:
        """Queue spans, which came as ``size`` bytes, to be stored; False when there was no room for them, not even after ``wait`` seconds."""
        return not spans or self._put(_Batch(spans, None), size, wait)

    def submit_and_tell(self, spans: Sequence[SpanRecord], size: int | None = None) -> Future[Outcome] | None:
        """Queue spans to be stored soon; None when there was no room. The future says what became of the worst of them."""
        stored: Future[Outcome] = Future()
        if not spans:
            stored.set_result("stored")
            return stored
        return stored if self._put(_Batch(spans, stored), size) else None

    @property
    def queued_bytes(self) -> int:
        """Bytes of spans that wait."""
        return len(self._queue)

    def _put(self, batch: _Batch, size: int | None, wait: float = 0.0) -> bool:
        number = len(batch.spans)
        self._counters.add("collector_spans_received", number)
        if self._queue.put(batch, size or number * SPAN_BYTES, urgent=batch.stored is not None, wait=wait):
            return True
        self._counters.add("collector_spans_dropped", number)
        self._log.warning(
            "collector_full", "collector: queue of %d bytes is full, dropped %d span(s)", self._queue.capacity, number
        )
        return False

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every span submitted before this call is stored or counted as failed; False after ``timeout`` seconds."""
        return self._queue.flush(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Accept no more, store what is queued, end the thread; False if ``timeout`` seconds were too few. Harmless when repeated."""
        self._queue.close()
        self._writer.join(timeout)
        if self._writer.is_alive():
            self._log.warning(
                "collector_close", "collector: %d bytes of spans were not stored within %s s", len(self._queue), timeout
            )
            return False
        return True

    def _work(self) -> None:
        while batches := self._queue.take(BATCH_BYTES, LINGER):
            lost: dict[int, Outcome] = {}
            with self._guard:
                lost = self._store_all([[sanitize(span) for span in batch.spans] for batch in batches])
            for number, batch in enumerate(batches):
                if batch.stored is not None:
                    batch.stored.set_result(lost.get(number, "stored"))
            self._queue.done()

    def _store_all(self, batches: list[list[SpanRecord]]) -> dict[int, Outcome]:
        """Write all spans; return what became of the batches that lost some, by their numbers."""
        spans = [(span, number) for number, batch in enumerate(batches) for span in batch]
        refused, waiting = self._store_or_isolate(spans)
        self._counters.add("collector_spans_stored", len(spans) - len(refused) - len(waiting))
        if refused or waiting:
            self._counters.add("collector_spans_failed", len(refused) + len(waiting))
        lost: dict[int, Outcome] = {number: "refused" for _, number in refused}
        return lost | {number: "later" for _, number in waiting}

    def _store_or_isolate(self, spans: _Numbered) -> tuple[_Numbered, _Numbered]:
        """Write the spans; on failure halve and write again, so that one span the store cannot take costs itself only.

        Return those that were refused, and those for which the store had no time. Writing twice what a failed write had stored in part is
        harmless: readers de-duplicate by (trace id, span id). The number of writes is limited, and a store that does not answer is not asked
        about the halves.
        """
        pending = [spans]
        refused: _Numbered = []
        writes = 0
        while pending:
            part = pending.pop()
            writes += 1
            outcome = self._guard.call("refused", self._write, part)
            if outcome == "later":
                return refused, [*part, *(each for rest in pending for each in rest)]
            if outcome == "refused" and len(part) > 1 and writes < ISOLATION_WRITES:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
            elif outcome == "refused":
                refused += part
        return refused, []

    def _write(self, spans: _Numbered) -> Outcome:
        try:
            self._store.write([span for span, _ in spans])
        except LogServiceError as error:
            if error.code not in TRANSIENT:
                raise
            self._counters.add("collector_writes_failed")
            self._log.warning("collector_store", "collector: the store does not take spans now: %s", error)
            return "later"
        return "stored"
