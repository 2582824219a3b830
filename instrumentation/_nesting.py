"""One logical call, one span, however many instrumented libraries it passes through.

`requests` stands on `urllib3`, and that on `http.client`; SQLAlchemy stands on a driver. If all of them are instrumented, only the outermost
makes a span and injects headers: while its call is under way in this thread, task or greenlet, a library that stands *below* it stays silent.
A library beside or above it does not: a hook of a session that calls another service with requests makes a call of its own.

    LAYERS = Layers("http", {"http.client": 0, "urllib3": 1})      # what is not named stands on top

    if LAYERS.is_inner("urllib3"):  pass the call on, change nothing
    before = LAYERS.enter("requests", call)
    try: ...
    finally: LAYERS.leave(before)
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Layers", "Outer"]

_TOP = 1_000
_new_tuple = tuple.__new__  # a NamedTuple's own constructor is a Python function


class Finishable(Protocol):
    """A call that is under way until it is ``finished``."""

    finished: bool


class Outer(NamedTuple):
    """The outermost call that is under way here."""

    level: int
    call: Finishable


class Layers:
    """Which library stands on which, and whose call is under way here. ``levels`` names those that stand below others, ground first."""

    __slots__ = ("_levels", "_outer")

    def __init__(self, name: str, levels: Mapping[str, int]) -> None:
        self._levels = dict(levels)
        self._outer: ContextVar[Outer | None] = ContextVar(f"sls_tracing_{name}_call", default=None)

    def is_inner(self, component: str) -> bool:
        """Whether a call of ``component`` that begins here is but a part of one that is under way."""
        outer = self._outer.get()
        # A task or thread that was started within a call, and outlives it, has inherited the mark: hence the second question.
        return outer is not None and self._levels.get(component, _TOP) < outer.level and not outer.call.finished

    def under_way(self) -> Finishable | None:
        """Return the outermost call that is under way here, or None."""
        outer = self._outer.get()
        return None if outer is None or outer.call.finished else outer.call

    def enter(self, component: str, call: Finishable) -> Outer | None:
        """Mark ``call`` as under way; what is returned goes to :meth:`leave`."""
        before = self._outer.get()
        self._outer.set(_new_tuple(Outer, (self._levels.get(component, _TOP), call)))
        return before

    def leave(self, before: Outer | None) -> None:
        """Take the mark off again. By value: a token is refused in another context than the one that made it."""
        self._outer.set(before)
