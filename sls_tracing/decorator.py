"""``@traced``: a span around a function, a coroutine or a generator."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import opentracing

from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    coroutine functions; put it below ``@staticmethod`` and ``@classmethod``.
    """
    if callable(function):
        return _wrap(function, None, tags, tracer)
    name = function

    def decorate(decorated: Callable[P, T]) -> Callable[P, T]:
        return _wrap(decorated, name, tags, tracer)

    return decorate


def _wrap(
    function: Callable[..., Any], name: str | None, tags: Mapping[str, Any] | None, tracer: opentracing.Tracer | None
) -> Callable[..., Any]:
    operation_name = name or getattr(function, "__qualname__", None) or type(function).__qualname__

    def start() -> opentracing.Scope | None:
        used = tracer if tracer is not None else opentracing.global_tracer()
        return _guard.call(None, used.start_active_span, operation_name, tags=dict(tags) if tags else None)

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
