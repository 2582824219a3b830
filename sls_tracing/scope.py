"""Which span is active: per thread, asyncio task and (patched) greenlet, through one context variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import opentracing

# The context variable of opentracing's own contextvars manager, on purpose: its `no_parent_scope()` then works with ours, and code
# that activates through either manager sees the same active span. opentracing 2.4 is the last release; the name is stable.
from opentracing.scope_managers.contextvars import _SCOPE

from sls_tracing.guard import Guard
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ContextVarsScopeManager", "Scope", "active_span"]

_get, _set = _SCOPE.get, _SCOPE.set
_guard = Guard("scope")


def active_span() -> opentracing.Span | None:
    """Return the span that is active here, whichever tracer made it, or None."""
    scope = _get(None)
    return None if scope is None else scope.span


class Scope(opentracing.Scope):  # type: ignore[misc]
    """The time during which a span is active. Closing one that is not the active one changes nothing."""

    __slots__ = ("_finish_on_close", "_manager", "_previous", "_span")

    # Filled by `activate`: a class without an `__init__` in Python is made for half the instructions, and each active span needs one.
    __init__ = object.__init__

    def close(self) -> None:
        """Make the span that was active before active again; finish this one if asked to at activation."""
        if _get(None) is not self:
            return
        _set(self._previous)
        if self._finish_on_close:
            self._span.finish()

    def __enter__(self) -> Scope:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            with (
                _guard
            ):  # the span may be another tracer's, and the application's exception must be the one that goes on
                self._span.set_tag("error", True)
                self._span.log_kv(error_fields(error))
        if _get(None) is self:  # as `close`
            _set(self._previous)
            if self._finish_on_close:
                self._span.finish()


class ContextVarsScopeManager(opentracing.ScopeManager):  # type: ignore[misc]
    """The default scope manager: a task, callback or copied context inherits the active span and cannot disturb its creator's.

    Threads (and greenlets) start with no active span; ``instrumentation`` carries it there.
    """

    def activate(self, span: opentracing.Span, finish_on_close: bool) -> Scope:
        """Make ``span`` active until the returned scope is closed."""
        scope: Scope = Scope()
        scope._manager = self
        scope._span = span
        scope._finish_on_close = finish_on_close
        # Not the variable's token: a token can be used only in the context that made it, and a scope may be closed in a task or
        # a generator that inherited it ("Token was created in a different Context").
        scope._previous = _get(None)
        _set(scope)
        return scope

    @property
    def active(self) -> opentracing.Scope | None:
        """The active scope, or None."""
        return _get(None)
