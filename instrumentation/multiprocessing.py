"""multiprocessing: a pool's worker delivers its spans before it hands over a result.

Leaving the with-block of a ``Pool`` kills the workers, a moment after the last result has come. (Processes that end in order need nothing: see
``exits.py``. Neither does ``ProcessPoolExecutor``, which lets them.) Rejected: a handler of SIGTERM in the workers. Python runs
handlers between bytecodes, so one that is in C code could no longer be stopped.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_PATIENCE = 0.5
"""Seconds that a result waits at most. UDP needs a ten-thousandth of that."""
_FORBEARANCE = 30.0
"""Seconds for which results wait no more after one that waited in vain: the spans' way is blocked, not the application's."""

_guard = Guard("instrumentation_multiprocessing")


def patches(module: ModuleType, tracer: TracerSource) -> list[_WorkerPatch]:
    """Return the patch for ``multiprocessing.pool``, not yet installed."""
    return [_WorkerPatch(module, tracer)]


class _WorkerPatch:
    """Around ``pool.worker``, which runs in the child. A plain function: a spawned worker's target is pickled, by its name."""

    def __init__(self, module: Any, tracer: TracerSource) -> None:
        self._module = module
        self._tracer = tracer
        self._enabled = False

    def install(self) -> None:
        if self._enabled:
            return
        self._enabled = True
        self._own = own = self._module.worker

        @functools.wraps(own)
        def worker(inqueue: Any, outqueue: Any, *args: Any, **kwargs: Any) -> Any:
            # A ThreadPool's queue has no pipe, and its threads nothing to fear.
            if self._enabled and hasattr(outqueue, "_writer"):
                outqueue = _DeliveringQueue(outqueue, self._tracer)
            return own(inqueue, outqueue, *args, **kwargs)

        self._patched = self._module.worker = worker

    def remove(self) -> None:
        self._enabled = False
        if getattr(self._module, "worker", None) is getattr(self, "_patched", _guard):
            self._module.worker = self._own


class _DeliveringQueue:
    """A worker's way out."""

    def __init__(self, queue: Any, tracer: TracerSource) -> None:
        self._queue = queue
        self._tracer = tracer
        self._wait_from = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def put(self, result: object) -> None:
        with _guard:
            self._deliver()
        self._queue.put(result)

    def _deliver(self) -> None:
        flush = getattr(self._tracer.active(), "flush", None)
        if flush is not None and time.monotonic() >= self._wait_from and flush(_PATIENCE) is False:
            self._wait_from = time.monotonic() + _FORBEARANCE
