"""The active span's identity, for code that runs where context variables do not reach: another thread, a pool's task, a greenlet.

    executor.submit(inheriting(work), order)        # what instrumentation does to every submit by itself

Only this library's own two variables are taken along, not a copy of the whole context. A copy would change the program: Flask's
request would be there in a thread that never had one, SQLAlchemy's scoped sessions would be shared between threads, decimal's settings would
differ. And it would keep all of them in memory for as long as the thread lives.

For the same reason the task gets the span's context and a weak reference, never the span: see :class:`InheritedSpan`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import opentracing
from opentracing.scope_managers.contextvars import _SCOPE  # the one that scope.py uses

from sls_tracing.guard import Guard
from sls_tracing.suppression import _suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Inheritance", "InheritedSpan", "inheritance", "inheriting", "without_inheritance"]

P = ParamSpec("P")
T = TypeVar("T")

_guard = Guard("inheritance")
_active = _SCOPE.get
_is_suppressed = _suppressed.get


class InheritedSpan(opentracing.Span):  # type: ignore[misc]
    """What is active in a task: it has the context of the span that was active where the task was handed over.

    Spans that start under it are that span's children, whether it has finished by then or not. Tags and logs reach it while it is
    unfinished and somebody else still holds it; after that they are dropped, because it has been reported. To finish it is not the
    task's business: ``finish`` does nothing.
    """

    def __init__(self, span: opentracing.Span) -> None:
        super().__init__(span.tracer, span.context)
        self.operation_name = getattr(span, "operation_name", "")
        self._span = weakref.ref(span)

    def __getattr__(self, name: str) -> Any:
        # jaeger-client's tracer takes the active span for a context unless it is a span of jaeger-client's own class.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._context, name)

    def set_operation_name(self, operation_name: str) -> InheritedSpan:
        """Rename the span, if it is unfinished."""
        span = self._unfinished()
        if span is not None:
            span.set_operation_name(operation_name)
            self.operation_name = operation_name
        return self

    def set_tag(self, key: str, value: Any) -> InheritedSpan:
        """Set a tag on the span, if it is unfinished."""
        span = self._unfinished()
        if span is not None:
            span.set_tag(key, value)
            self._context = span.context  # `sampling.priority` replaces it
        return self

    def log_kv(self, key_values: Mapping[str, Any], timestamp: float | None = None) -> InheritedSpan:
        """Add a log to the span, if it is unfinished."""
        span = self._unfinished()
        if span is not None:
            span.log_kv(key_values, timestamp)
        return self

    def set_baggage_item(self, key: str, value: str) -> InheritedSpan:
        """Set a baggage item on the span, if it is unfinished; what starts here carries it too."""
        span = self._unfinished()
        if span is not None:
            span.set_baggage_item(key, value)
            self._context = span.context
        return self

    def get_baggage_item(self, key: str) -> str | None:
        """Return the baggage item, or None."""
        item: str | None = self._context.baggage.get(key)
        return item

    def __repr__(self) -> str:
        return f"<InheritedSpan {self.operation_name!r}>"

    def _unfinished(self) -> opentracing.Span | None:
        span = self._span()
        # Ours says it by its finish_time, MockTracer's and jaeger-client's by a flag; the mock's finish_time begins at -1.
        if span is None or getattr(span, "finished", False) or getattr(span, "finish_time", None) not in (None, -1):
            return None
        return span


class _InheritedScope(opentracing.Scope):  # type: ignore[misc]
    """The scope of an inherited span; closing it leaves nothing active, since what is below belongs to another thread."""

    def close(self) -> None:
        """Deactivate the span here."""
        if _active(None) is self:
            _SCOPE.set(None)


class Inheritance:
    """What a task is handed: the active span's identity, and whether instrumentation has to stay silent."""

    __slots__ = ("_scope", "_suppressed")

    def __init__(self, scope: opentracing.Scope | None, suppressed: bool) -> None:
        self._scope = scope
        self._suppressed = suppressed

    def enter(self) -> None:
        """Take it up for good: for a context that ends together with the task, as a greenlet's does."""
        _SCOPE.set(self._scope)
        _suppressed.set(self._suppressed)

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` with it. Afterwards all is as before, even if the function left a scope open: a pool's thread goes on."""
        # set, not reset(token): a greenlet may have been switched between, and a token wants the very same context.
        scope, suppressed = _active(None), _is_suppressed()
        _SCOPE.set(self._scope)
        _suppressed.set(self._suppressed)
        try:
            return function(*args, **kwargs)
        finally:
            _SCOPE.set(scope)
            _suppressed.set(suppressed)


class _Inheriting(Generic[P, T]):
    """A function and what it inherits. Pickles as the function alone, for executors that send tasks to other interpreters."""

    __slots__ = ("_function", "_inheritance")

    def __init__(self, function: Callable[P, T], inherited: Inheritance) -> None:
        self._function = function
        self._inheritance = inherited

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._inheritance.run(self._function, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._function)

    def __reduce__(self) -> tuple[Callable[[Callable[P, T]], Callable[P, T]], tuple[Callable[P, T]]]:
        return _itself, (self._function,)


def _itself(function: Callable[P, T]) -> Callable[P, T]:
    return function


def inheritance() -> Inheritance | None:
    """Return what a task that is handed over here inherits; None if that is nothing."""
    scope = _active(None)
    suppressed = _is_suppressed()
    if scope is None:
        return Inheritance(None, suppressed) if suppressed else None
    return _guard.call(None, _of_scope, scope, suppressed)


def _of_scope(scope: opentracing.Scope, suppressed: bool) -> Inheritance:
    if type(scope) is _InheritedScope:  # a task's own task: the same identity, not a chain of references
        return Inheritance(scope, suppressed)
    return Inheritance(_InheritedScope(scope.manager, InheritedSpan(scope.span)), suppressed)


def inheriting(function: Callable[P, T], inherited: Inheritance | None = None) -> Callable[P, T]:
    """Return ``function`` so that it runs, wherever and however often it is called, under the span that is active now.

    For pools and queues that instrumentation does not know. The function itself comes back if nothing is active.
    """
    if inherited is None:
        inherited = inheritance()
    return function if inherited is None else _Inheriting(function, inherited)


def without_inheritance(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function`` with nothing active: for what starts threads that outlive the request which happened to need them first."""
    return _NOTHING.run(function, *args, **kwargs)


_NOTHING = Inheritance(None, False)
