"""What the library counts about itself, so that nothing is lost silently.

    >>> from sls_tracing.metrics import counters
    >>> counters.snapshot()  # doctest: +SKIP
    {'reporter_spans_sent': 1200, 'reporter_spans_dropped': 3}

Counters are for events that are rare or come once a batch: a span that is started and finished touches none. Names are flat, in
lower case, subject first (``reporter_spans_dropped``, ``propagation_headers_malformed``, ``guard_failures_flask``).
"""

from __future__ import annotations

import threading

from sls_tracing.forks import call_in_child

__all__ = ["Counters", "counters"]


class Counters:
    """Named integers that only grow. Safe to use from any thread.

    The lock is re-entrant: the garbage collector may run inside it, close a forgotten response, finish that one's span, and count.
    """

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._renew_lock()
        # A thread may hold the lock at the moment of a fork; in the child it would stay locked for ever.
        call_in_child(self._renew_lock)

    def add(self, name: str, amount: int = 1) -> None:
        """Add ``amount`` to the counter ``name``, which starts at zero."""
        with self._lock:
            self._values[name] = self._values.get(name, 0) + amount

    def get(self, name: str) -> int:
        """Return the counter's value; zero for one that never counted."""
        return self._values.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """Return all counters that ever counted, sorted by name."""
        with self._lock:
            return dict(sorted(self._values.items()))

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()


counters = Counters()
"""The process-wide counters. Components take ``counters=`` to count elsewhere, as tests do."""
