"""The collector: a bounded queue of spans and one thread that writes them to the trace store in batches."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sls_tracing.backend.bounded_queue import BoundedQueue
from sls_tracing.backend.sanitizer import sanitize
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.log_service import TraceStore
    from sls_tracing.model import SpanRecord

__all__ = ["Collector"]

BATCH_SPANS = 1000
"""Spans in one write: large enough for a columnar store, small enough to be visible soon."""

LINGER = 0.1
"""Seconds that a span waits at most for company."""

ISOLATION_WRITES = 24
"""Writes spent on a batch that failed: halving 1,000 spans down to the one that spoils it takes 20."""


class Collector:
    """Takes spans from any thread, never blocks there, and stores them from a thread of its own.

    ``capacity`` is in spans; a batch that does not fit is dropped whole, so that a caller that can say "busy" to its client (HTTP) may
    do so. Counts ``collector_spans_received``, and of those ``…_stored``, ``…_dropped`` (no room) and ``…_failed`` (the store refused).
    """

    def __init__(
        self,
        trace_store: TraceStore,
        *,
        capacity: int = 50_000,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._store = trace_store
        self._queue: BoundedQueue[Sequence[SpanRecord]] = BoundedQueue(capacity)
        self._counters = counters
        self._log = log
        self._guard = Guard("collector", counters=counters, log=log)
        self._writer = threading.Thread(target=self._work, name="sls-tracing-collector", daemon=True)
        self._writer.start()

    def submit(self, spans: Sequence[SpanRecord]) -> bool:
        """Queue spans to be stored; False when there was no room for them."""
        if not spans:
            return True
        self._counters.add("collector_spans_received", len(spans))
        if self._queue.put(spans, len(spans)):
            return True
        self._counters.add("collector_spans_dropped", len(spans))
        self._log.warning(
            "collector_full", "collector: queue of %d spans is full, dropped %d", self._queue.capacity, len(spans)
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
                "collector_close", "collector: %d spans were not stored within %s s", len(self._queue), timeout
            )
            return False
        return True

    def _work(self) -> None:
        while batches := self._queue.take(BATCH_SPANS, LINGER):
            with self._guard:
                self._store_or_isolate([sanitize(span) for batch in batches for span in batch])
            self._queue.done()

    def _store_or_isolate(self, spans: list[SpanRecord]) -> None:
        """Write the spans; on failure halve and write again, so that one span the store cannot take costs itself only.

        Writing twice what a failed write had stored in part is harmless: readers de-duplicate by (trace id, span id). The number of
        writes is limited, because a store that is down refuses the halves just the same.
        """
        pending = [spans]
        stored = failed = writes = 0
        while pending:
            part = pending.pop()
            writes += 1
            if self._guard.call(False, self._write, part):
                stored += len(part)
            elif len(part) > 1 and writes < ISOLATION_WRITES:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
            else:
                failed += len(part)
        self._counters.add("collector_spans_stored", stored)
        if failed:
            self._counters.add("collector_spans_failed", failed)

    def _write(self, spans: list[SpanRecord]) -> bool:
        self._store.write(spans)
        return True
