"""multiprocessing: a forked process delivers its spans before it ends.

It ends by ``os._exit``, which skips ``atexit`` and with it the tracer's own delivery; multiprocessing runs its finalizers before that. No
method is wrapped here, so a program that forks pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_LAST = -100
"""Finalizers run by priority, high ones first: the application's own may still make spans."""

_guard = Guard("instrumentation_multiprocessing")


def patches(module: ModuleType, tracer: TracerSource) -> list[_Delivery]:
    """Return what to register with ``multiprocessing.util``."""
    return [_Delivery(module, tracer)]


class _Delivery:
    def __init__(self, util: Any, tracer: TracerSource) -> None:
        self._util = util
        self._tracer = tracer
        self._enabled = False

    def install(self) -> None:
        """Ask to be called in forked processes, after they have forgotten their parent's finalizers. Held weakly there."""
        if not self._enabled:
            self._enabled = True
            self._util.register_after_fork(self, _Delivery._in_child)

    def remove(self) -> None:
        """Do nothing from now on."""
        self._enabled = False

    def _in_child(self) -> None:
        with _guard:
            if self._enabled:
                self._util.Finalize(None, self._deliver, exitpriority=_LAST)

    def _deliver(self) -> None:
        with _guard:
            flush = getattr(self._tracer.active(), "flush", None)
            if flush is not None:
                flush()
