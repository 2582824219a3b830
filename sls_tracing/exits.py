"""The end of a process.

    exits.call_at_exit(self.close)              exits.forget(self.close)
    exits.call_in_ending_child(self.flush)

One function stands in `atexit` for all: CPython keeps a slot for each that was ever registered there, unregistered or not.

A process that multiprocessing has forked (its forkserver forks too) ends by ``os._exit``, which skips `atexit`. multiprocessing runs its own
finalizers before; that is where this comes in. ``os._exit`` in an application's own child, and signals that kill, skip everything.
"""

from __future__ import annotations

import atexit
import sys
import weakref
from typing import TYPE_CHECKING, Any

from sls_tracing.forks import call_in_child
from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_at_exit", "call_in_ending_child", "forget"]

_LAST = -100
"""Finalizers run by priority, high ones first: the application's own may still make spans."""

_at_exit: dict[Callable[[], object], None] = {}  # an ordered set, held strongly: what was reported is to be delivered
_registered = False
_methods: weakref.WeakKeyDictionary[object, Callable[[Any], object]] = weakref.WeakKeyDictionary()
_guard = Guard("exit")


def call_at_exit(method: Callable[[], object]) -> None:
    """Call ``method`` when the interpreter exits, the latest first. Holds its object until :func:`forget`."""
    global _registered  # noqa: PLW0603 - the exit is the process's
    if not _registered:
        _registered = True
        atexit.register(_exit)
    _at_exit[method] = None


def forget(method: Callable[[], object]) -> None:
    """Undo :func:`call_at_exit`."""
    _at_exit.pop(method, None)


def _exit() -> None:
    for method in reversed(list(_at_exit)):
        _guard.call(None, method)


def call_in_ending_child(method: Callable[[], object]) -> None:
    """Call the bound method ``method`` before this process ends, if multiprocessing made it, and before its children of that kind do.

    The method's object is held weakly; one method an object.
    """
    _methods[method.__self__] = method.__func__  # type: ignore[attr-defined]
    _ending.expect()


class _Ending:
    """The end of this process. multiprocessing's modules are looked up, never imported: in its children they are loaded."""

    def __init__(self) -> None:
        self._registered = False
        self._expected = False
        call_in_child(self._after_fork)

    def expect(self) -> None:
        """Ask to be called at the end of this process, now or as soon as it is known that multiprocessing made it."""
        self._register()
        process = sys.modules.get("multiprocessing.process")
        with _guard:
            if not self._expected and process is not None and process.parent_process() is not None:
                self._in_child()

    def _register(self) -> None:
        # A child of multiprocessing, a spawned one too, imports the main program, whose tracer may come here; then it forgets all
        # finalizers that there are; then it calls what was registered as "after fork".
        util = sys.modules.get("multiprocessing.util")
        if util is not None and not self._registered:
            with _guard:
                util.register_after_fork(self, _Ending._in_child)
                self._registered = True

    def _in_child(self) -> None:
        sys.modules["multiprocessing.util"].Finalize(None, self._come, exitpriority=_LAST)
        self._expected = True

    def _after_fork(self) -> None:
        self._expected = False
        self._register()  # multiprocessing may be newer than the tracer

    def _come(self) -> None:
        for owner, method in list(_methods.items()):
            _guard.call(None, method, owner)


_ending = _Ending()
