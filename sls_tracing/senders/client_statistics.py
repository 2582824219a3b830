"""What a client tells of its own losses, in every batch: Jaeger's ``seqNo`` and ``ClientStats``.

An agent reads them (``cmd/agent/app/reporter/client_metrics.go``) if the process has a tag ``client-uuid`` of type text: gaps between the
numbers are batches that were lost on the way, and the counts say what never left. All are cumulative since the start of the client, so
that a lost batch loses none of them.
"""

from __future__ import annotations

import threading

from sls_tracing.thrift.schema import ClientStats

__all__ = ["ClientStatistics"]


class ClientStatistics:
    """The counts of one sender. Its reporter adds the spans that found no room in the queue; they come from any thread."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Count from zero: a forked child is another client."""
        self._lock = threading.RLock()  # re-entrant: see Counters
        self._full_queue = self._too_large = self._failed = 0
        self.batches = 0
        """How many batches were numbered; the last one has this number."""

    def number_batch(self) -> int:
        """Return the next batch's number, from 1 on. Whatever becomes of the batch: an agent reads losses from the gaps."""
        self.batches += 1
        return self.batches

    def take_number_back(self) -> None:
        """The last batch was refused unread and goes out again in parts: the first of them takes its number."""
        self.batches -= 1

    def queue_was_full(self, spans: int) -> None:
        """Count spans that the reporter could not queue."""
        with self._lock:
            self._full_queue += spans

    def was_too_large(self, spans: int) -> None:
        """Count spans that do not fit into a batch even when trimmed."""
        with self._lock:
            self._too_large += spans

    def failed(self, spans: int) -> None:
        """Count spans that could not be encoded or sent."""
        with self._lock:
            self._failed += spans

    def snapshot(self) -> ClientStats:
        """Return the counts of this moment."""
        with self._lock:
            return ClientStats(self._full_queue, self._too_large, self._failed)
