"""A background thread that asks a server now and then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forks import call_in_child
from sls_tracing.guard import Guard, LimitedLog
from sls_tracing.identifiers import random_bits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Poller", "polling_log"]

polling_log = LimitedLog(interval=600.0)
"""For servers that do not answer. They are asked every minute and may be absent on purpose, so a message a minute would be too many."""

_guard = Guard("polling")


class Poller:
    """Calls ``poll`` from a daemon thread: at once, then every ``interval`` seconds, give or take a tenth so that a fleet spreads out.

    ``poll`` returns whether it succeeded. Until the first success it is called again after 1, 2, 4, … seconds (at most ``interval``): an
    agent often starts a moment after its application. ``abort`` is called by :meth:`close` to cut a poll that is going on.

    The thread starts with the first :meth:`start`, never in the constructor, which may run while a module is imported or before a
    server forks. A forked child starts its own with its own first :meth:`start`.
    """

    def __init__(
        self, name: str, poll: Callable[[], bool], interval: float, abort: Callable[[], object] = lambda: None
    ) -> None:
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not 0 < interval <= 86_400:
            msg = f"the refresh interval must be above 0 and at most 86400 seconds (a day), not {interval!r}"
            raise ConfigurationError(msg)
        self._name = name
        self._poll = poll
        self._interval = interval
        self._abort = abort
        self._closed = False
        self._thread: threading.Thread | None
        self.started: bool
        """Whether :meth:`start` has nothing to do; the callers look here first, it costs nothing."""
        self._renew()
        call_in_child(self._renew)

    def start(self) -> None:
        """Start the thread, unless :attr:`started`. Never raises and never waits for the thread."""
        with self._lock:
            if self.started:
                return
            # Whatever comes of it: the callers stand on the application's path and must not try again for every span.
            self.started = True
            thread = threading.Thread(
                target=self._run, args=(self._wake,), name="sls-tracing-" + self._name, daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is shutting down, or the system has no more threads
                _guard.failed(error)
            else:
                self._thread = thread

    def wake(self) -> None:
        """Poll now instead of at the end of the interval."""
        self._wake.set()

    def close(self, timeout: float = 1.0) -> None:
        """Stop the thread and wait for its end at most ``timeout`` seconds. May be called again."""
        with self._lock:
            self._closed = self.started = True
            thread = self._thread
        self._abort()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self, wake: threading.Event) -> None:
        failures = 0
        succeeded = False
        while True:
            wake.clear()
            if _guard.call(False, self._poll):
                succeeded = True
            else:
                failures += 1
            # close() sets _closed first and the event then: whichever of the two came too late for this round, the other is seen.
            if self._closed:
                return
            pause = self._interval if succeeded else min(self._interval, 2.0 ** min(failures - 1, 20))
            wake.wait(pause * (0.9 + 0.2 * random_bits(32) / 2**32))
            if wake is not self._wake:
                return  # a greenlet's copy in a forked child: see BatchingReporter

    def _renew(self) -> None:
        self._lock = threading.RLock()  # re-entrant: see Counters
        self._wake = threading.Event()
        self._thread = None
        self.started = self._closed
