"""gevent: a greenlet inherits the active span of whoever spawns it, and so does a task of gevent's pool of native threads.

A new greenlet starts with an empty context. Greenlet is compiled and cannot be patched, but calls back before it starts, by
whatever way: ``spawn``, ``spawn_later``, ``start``, pools and groups. The callback gives it a context of its own that holds nothing but ours.

Nothing is imported here: this runs within ``import gevent``, before the program could call ``patch_all``. Raw greenlets
(``spawn_raw``) stay as they are.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.inheritance import inheritance
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation.futures import hand_over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_guard = Guard("instrumentation_gevent")


def patches(module: ModuleType, tracer: TracerSource) -> Sequence[FunctionPatch | _SpawnCallback]:
    """Return the patch for ``gevent.greenlet`` or ``gevent.threadpool``, not yet installed."""
    if module.__name__ == "gevent.threadpool":
        return [FunctionPatch(module.ThreadPool, "spawn", hand_over)]
    return [_SpawnCallback(module.Greenlet)]


class _SpawnCallback:
    """gevent keeps the callbacks in a set: to add one twice is to add it once."""

    def __init__(self, greenlet: Any) -> None:
        self._greenlet = greenlet

    def install(self) -> None:
        """Be called for every greenlet that starts."""
        self._greenlet.add_spawn_callback(_inherit)

    def remove(self) -> None:
        """Be called no more."""
        self._greenlet.remove_spawn_callback(_inherit)


def _inherit(greenlet: Any) -> None:
    with _guard:  # an exception here would come out of the application's spawn
        inherited = inheritance()
        if inherited is not None and greenlet.gr_context is None:  # else the application has chosen a context itself
            greenlet.gr_context = context = contextvars.Context()
            context.run(inherited.enter)
