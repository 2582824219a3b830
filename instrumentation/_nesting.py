"""One logical call, one span, however many instrumented libraries it passes through.

`requests` stands on `urllib3`, and that on `http.client`; SQLAlchemy stands on a driver. If all of them are instrumented, only the outermost
makes a span and injects headers: while its call is under way in this thread, task or greenlet, a library that stands *below* it stays silent.
A library beside or above it does not: a hook of a session that calls another service with requests makes a call of its own.

    LAYERS = Layers("http", {"http.client": 0, "urllib3": 1})      # what is not named stands on top

    if LAYERS.is_inner("urllib3"):  pass the call on, change nothing
    outer = LAYERS.outermost()
    LAYERS.mark(call)
    try: ...
    finally: LAYERS.mark(outer)     # by value: a token is refused in another context than the one that made it
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Layers", "LogicalCall"]

_TOP = 1_000


class LogicalCall(Protocol):
    """A call of the library ``component`` that is under way until it is ``finished``."""

    component: str
    finished: bool


class Layers:
    """Which library stands on which, and whose call is under way here. ``levels`` names those that stand below others, ground first."""

    __slots__ = ("_levels", "mark", "outermost")

    def __init__(self, name: str, levels: Mapping[str, int]) -> None:
        self._levels = dict(levels)
        outermost: ContextVar[LogicalCall | None] = ContextVar(f"sls_tracing_{name}_call", default=None)
        # The variable's own methods, which are no Python: every call asks, marks and takes the mark off again.
        self.outermost = outermost.get
        """Return the call that is marked here, be it finished or not."""
        self.mark = outermost.set
        """Mark a call as the outermost one that is under way here, or none."""

    def is_inner(self, component: str) -> bool:
        """Whether a call of ``component`` that begins here is but a part of one that is under way."""
        outer, level = self.under_way(), self._levels.get
        return outer is not None and level(component, _TOP) < level(outer.component, _TOP)

    def under_way(self) -> LogicalCall | None:
        """Return the outermost call that is under way here, or None."""
        outer = self.outermost()
        # A task or thread that was started within a call, and outlives it, has inherited the mark.
        return None if outer is None or outer.finished else outer
