"""The reporter of production: a bounded queue and one background thread that feeds a sender."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.exits import call_at_exit, call_in_ending_child, forget
from sls_tracing.forks import call_in_child
from sls_tracing.guard import Guard, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.client_statistics import ClientStatistics
from sls_tracing.uwsgi_threads import warn_if_threads_starve

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord
    from sls_tracing.senders.sender import Sender

__all__ = ["BatchingReporter"]

_HEAD_START = 0.25
_SHORTEST_PAUSE = 0.01
_FASTEST_GROWTH = 4  # of a pause: a moment without spans does not mean that none will come
_guard = Guard("batching_reporter")


class _Marker:
    """A place in the queue: everything in front of it has been dealt with when ``reached`` is set."""

    def __init__(self, *, stop: bool = False) -> None:
        self.reached = threading.Event()
        self.stop = stop
        self.given_up = False
        """Whether what was in front was dropped, not sent."""


class BatchingReporter:
    """Queues spans and sends them from a daemon thread, which starts with the first span.

    - ``sender``: where they go; ``UDPSender()``, the agent on this host, if None.
    - ``max_queue_size``: spans that may wait. More than that are dropped, newest first, and counted as ``reporter_spans_dropped``.
    - ``max_batch_size``: spans given to the sender in one call (the sender cuts datagrams by bytes).
    - ``flush_interval``: seconds that a span waits at most when few come.

    ``report`` costs one append and one comparison: the thread wakes by itself, the more often the more comes, and only a sudden batch
    wakes it. In a forked child the queue starts empty (the parent sends its own), with a new thread and a new socket. At exit of
    the interpreter it is closed with a bound of 5 seconds.
    """

    def __init__(
        self,
        sender: Sender | None = None,
        *,
        max_queue_size: int = 20_000,
        max_batch_size: int = 500,
        flush_interval: float = 1.0,
        counters: Counters = counters,
    ) -> None:
        for name, value in (("max_queue_size", max_queue_size), ("max_batch_size", max_batch_size)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                msg = f"{name} must be a whole number of spans, 1 or more, not {value!r}"
                raise ConfigurationError(msg)
        if isinstance(flush_interval, bool) or not isinstance(flush_interval, (int, float)) or not flush_interval > 0:
            msg = f"flush_interval must be a number of seconds above 0, not {flush_interval!r}"
            raise ConfigurationError(msg)
        if sender is None:
            from sls_tracing.senders.udp import UDPSender

            sender = UDPSender(counters=counters)
        self.sender = sender
        statistics = getattr(sender, "statistics", None)
        self._statistics = statistics if isinstance(statistics, ClientStatistics) else None
        self._max_queue_size = max_queue_size
        self._max_batch_size = max_batch_size
        preferred = getattr(sender, "preferred_batch_size", None)
        most = max(1, max_batch_size * 3 // 4)  # fewer than a batch, which would wake the thread before it wakes itself
        self._worth_sending = min(most, preferred) if isinstance(preferred, int) else most
        self._flush_interval = flush_interval
        self._counters = counters
        self._closed = False
        self._queue: deque[SpanRecord | _Marker]
        self._thread: threading.Thread | None
        self._wake: threading.Event
        self._lock: threading.RLock
        self._attention: int
        self._ended: threading.Event
        self._sent_all: bool
        self._start_afresh()
        call_in_child(self._after_fork)
        call_in_ending_child(self.flush)
        call_at_exit(self.close)

    # -- the application's threads -------------------------------------------------------------------------------------

    def report(self, span: SpanRecord) -> None:
        """Queue it."""
        # deque.append is atomic; the length decides alone whether anything else has to happen. `_attention` is 1 until the thread
        # runs, then a batch, then (thread woken) the queue's bound, and 0 when closed.
        queue = self._queue
        queue.append(span)
        if len(queue) >= self._attention:
            self._attend()

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what was reported until now; True if the sender had it all within ``timeout`` seconds."""
        if self._closed:
            return self._ended.wait(timeout) and self._sent_all
        deadline = time.monotonic() + timeout
        marker = _Marker()
        self._queue.append(marker)
        self._attend()
        if self._thread is None:
            self._send_from_here(marker, deadline)
        return marker.reached.wait(max(0.0, deadline - time.monotonic())) and not marker.given_up

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, stop the thread, close the sender; True if all was sent within ``timeout`` seconds.

        May be called again, and by several threads at once: the first one's answer is everybody's.
        """
        deadline = time.monotonic() + timeout
        marker = _Marker(stop=True)
        with self._lock:
            first, self._closed = not self._closed, True
            if first:
                self._queue.append(marker)
                self._attention = 0
        if not first:
            return self._ended.wait(timeout) and self._sent_all
        try:
            self._sent_all = self._end(marker, deadline)
        finally:
            self._ended.set()  # an interrupted close must not let the one at exit wait for it
        return self._sent_all

    def _end(self, marker: _Marker, deadline: float) -> bool:
        failed_before = self._failed
        if callable(stop_at := getattr(self.sender, "stop_at", None)):
            # A little earlier than ours, so that what it loses is counted when this returns.
            _guard.call(None, stop_at, deadline - min(_HEAD_START, (deadline - time.monotonic()) / 10))
        self._wake.set()
        thread = self._thread
        if thread is None:
            self._send_from_here(marker, deadline)
        done = marker.reached.wait(max(0.0, deadline - time.monotonic()))
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        with _guard:
            self.sender.close()
        forget(self.close)
        self._drop(self._drain(), "could not be sent before the reporter was closed")
        if not done:
            self._queue.append(
                _Marker(stop=True)
            )  # in place of the one that was drained: the thread ends when the sender lets it
        return done and self._failed == failed_before

    def _drain(self) -> int:
        """Empty the queue; return how many spans were left. The thread may still be there: each span is its or ours."""
        lost = 0
        while self._queue:
            try:
                item = self._queue.popleft()
            except IndexError:
                break
            if isinstance(item, _Marker):
                item.given_up = lost > 0
                item.reached.set()
            else:
                lost += 1
        return lost

    def _attend(self) -> None:
        """Do what a report seldom needs: start the thread, wake it, or drop a span."""
        if self._closed:
            self._take_back("came after the reporter was closed")
            return
        if len(self._queue) > self._max_queue_size and self._take_back("did not fit into the queue"):
            self._tell_full_queue()
        if self._thread is None:
            self._start_thread()
        # Where no thread can be started just now, a batch later is the time to try again.
        self._look_again_at(self._max_queue_size + 1 if self._thread else len(self._queue) + self._max_batch_size)
        self._wake.set()

    def _look_again_at(self, length: int) -> None:
        self._attention = length
        if self._closed:  # meanwhile, by another thread: after that nothing may be queued unseen
            self._attention = 0

    def _take_back(self, why: str) -> bool:
        """Drop the newest span; False if there is none."""
        try:
            item = self._queue.pop()
        except IndexError:
            return False
        if isinstance(item, _Marker):
            self._queue.append(item)
            return False
        self._drop(1, why)
        return True

    def _tell_full_queue(self) -> None:
        if self._statistics is not None:
            self._statistics.queue_was_full(1)

    def _drop(self, number: int, why: str) -> None:
        if number:
            self._counters.add("reporter_spans_dropped", number)
            limited_log.warning("reporter_spans_dropped " + why, "dropped %d span(s) that %s", number, why)

    # -- the background thread -----------------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is not None or self._closed:
                return
            # Kept before it starts: start() waits, and a greenlet or a signal handler that reports meanwhile passes the lock.
            self._thread = threading.Thread(target=self._run, name="sls-tracing-reporter", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is shutting down, or the system has no more threads
                self._thread = None
        warn_if_threads_starve()

    def _run(self) -> None:
        queue, wake = self._queue, self._wake
        pause = self._flush_interval
        while True:
            began = time.monotonic()
            wake.wait(pause)
            if queue is not self._queue:
                return  # a greenlet, which a fork copies as no thread is: the child's own comes with its first span
            wake.clear()
            self._look_again_at(self._max_batch_size)
            pause = self._next_pause(len(queue), time.monotonic() - began)
            while queue:
                marker = self._send_batch(queue)
                if marker is not None:
                    marker.reached.set()
                    if marker.stop:
                        return

    def _next_pause(self, came: int, seconds: float) -> float:
        """Return for how long to sleep: until as many spans as are worth sending have come, if they go on coming as they did.

        So the thread rises by itself under a steady load. Waking it takes the application's thread a system call of 50 µs, which one span
        in a hundred paid before: it was what p99 and p99.9 were made of (docs/performance.md).
        """
        longer = min(_FASTEST_GROWTH, self._worth_sending / came) if came else _FASTEST_GROWTH
        return min(self._flush_interval, max(_SHORTEST_PAUSE, seconds * longer))

    def _send_from_here(self, marker: _Marker, deadline: float) -> None:
        """Do the thread's work where none runs: no span came, or no thread could be started."""
        if self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            try:
                while self._thread is None and not marker.reached.is_set() and self._queue:
                    reached = self._send_batch(self._queue)
                    if reached is not None:
                        reached.reached.set()
            finally:
                self._lock.release()

    def _send_batch(self, queue: deque[SpanRecord | _Marker]) -> _Marker | None:
        """Send spans until the batch is full, the queue empty, or a marker met, which is returned."""
        batch: list[SpanRecord] = []
        marker = None
        take = queue.popleft
        try:
            for _ in range(min(len(queue), self._max_batch_size)):
                item = take()
                if isinstance(item, _Marker):
                    marker = item
                    break
                batch.append(item)
        except IndexError:  # another thread has just dropped the last one
            pass
        if batch:
            sent = _guard.call(0, self.sender.send, batch)
            if sent:
                self._counters.add("reporter_spans_sent", sent)
            if sent < len(batch):
                self._failed += len(batch) - sent
                self._counters.add("reporter_spans_failed", len(batch) - sent)
        return marker

    # -- fork ----------------------------------------------------------------------------------------------------------

    def _start_afresh(self) -> None:
        self._queue = deque()
        self._thread = None
        self._failed = 0
        self._wake = threading.Event()
        self._lock = threading.RLock()  # re-entrant: see Counters
        self._attention = 0 if self._closed else 1
        self._sent_all = True
        self._ended = threading.Event()  # when close has done its work
        if self._closed:
            self._ended.set()

    def _after_fork(self) -> None:
        self._start_afresh()
        with _guard:
            self.sender.after_fork()
