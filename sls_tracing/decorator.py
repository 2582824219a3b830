"""``@traced``: a span around a function, a coroutine or a generator."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import opentracing

from sls_tracing.exceptions import ConfigurationError, require_methods
from sls_tracing.guard import Guard
from sls_tracing.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["traced"]

P = ParamSpec("P")
T = TypeVar("T")

_guard = Guard("traced")


@overload
def traced(function: Callable[P, T], /) -> Callable[P, T]: ...
@overload
def traced(
    operation_name: str | None = None,
    /,
    *,
    tags: Mapping[str, Any] | None = None,
    tracer: opentracing.Tracer | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def traced(
    function: Callable[..., Any] | str | None = None,
    /,
    *,
    tags: Mapping[str, Any] | None = None,
    tracer: opentracing.Tracer | None = None,
) -> Any:
    """Make each call of a function a span, active while the function runs.

        @traced
        def price(order): ...

        @traced("load order", tags={"component": "orders"})
        async def load(order_id): ...

    The span is called like the function (its qualified name) unless a name is given. It is a child of the active span; an exception marks it as
    failed and goes on. ``tracer`` is OpenTracing's global tracer at the time of the call if None. Works for functions, methods and
    coroutine functions, above or below ``@staticmethod`` and ``@classmethod``. Raises :class:`ConfigurationError` where it is applied; a tracer that
    fails at run time costs the span, never the call.
    """
    if tags is not None:
        require_methods("mapping of tag names to values", tags, ("items", "keys"))
    if tracer is not None:
        require_methods("tracer", tracer, ("start_active_span",))
    if callable(function) or isinstance(function, (staticmethod, classmethod)):
        return _wrap(function, None, tags, tracer)
    if not isinstance(function, (str, type(None))):
        raise ConfigurationError(f"@traced takes a function, or the operation's name as text, not {function!r}")
    name = function

    def decorate(decorated: Callable[..., Any]) -> Any:
        return _wrap(decorated, name, tags, tracer)

    return decorate


def _wrap(
    function: Callable[..., Any], name: str | None, tags: Mapping[str, Any] | None, tracer: opentracing.Tracer | None
) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_wrap(function.__func__, name, tags, tracer))
    operation_name = name or getattr(function, "__qualname__", None) or type(function).__qualname__

    def start() -> opentracing.Scope | None:
        used = tracer if tracer is not None else opentracing.global_tracer()
        scope = _guard.call(None, used.start_active_span, operation_name, tags={**tags} if tags else None)
        return scope if scope is None or type(scope) is Scope else _GuardedScope(scope)

    import inspect  # 4 ms at import, for those alone who decorate

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
            scope = start()
            if scope is None:
                return await function(*args, **kwargs)
            with scope:
                return await function(*args, **kwargs)

        return call_coroutine

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = start()
        if scope is None:
            return function(*args, **kwargs)
        with scope:
            return function(*args, **kwargs)

    return call


class _GuardedScope:
    """The scope of another tracer, which may raise when it is closed; ours does not."""

    def __init__(self, scope: opentracing.Scope) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _guard.call(None, self._scope.__exit__, kind, error, traceback)
