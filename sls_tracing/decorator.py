"""``@traced``: a span around a function, a coroutine, a generator, the methods of a class, or a block.

What its spans look like stands here and in `traced_arguments`; how a call of each kind is run in `traced_calls` and `traced_generators`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import opentracing

from sls_tracing.exceptions import ConfigurationError, require_methods
from sls_tracing.guard import Guard
from sls_tracing.traced_calls import Operation, wrap
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

__all__ = ["Traced", "traced"]

C = TypeVar("C", bound=type)
P = ParamSpec("P")
T = TypeVar("T")

_guard = Guard("traced")


@overload
def traced(kind: C, /) -> C: ...
@overload
def traced(function: Callable[P, T], /) -> Callable[P, T]: ...
@overload
def traced(
    operation_name: str | None = None,
    /,
    *,
    tags: Mapping[str, Any] | None = None,
    arguments: bool | Iterable[str] = False,
    tracer: opentracing.Tracer | None = None,
) -> Traced: ...


def traced(
    function: Any = None,
    /,
    *,
    tags: Mapping[str, Any] | None = None,
    arguments: bool | Iterable[str] = False,
    tracer: opentracing.Tracer | None = None,
) -> Any:
    """Make each call of a function a span, active while the function runs; or make a block one.

        @traced
        def price(order): ...

        @traced("load order", tags={"component": "orders"}, arguments=["order_id"])
        async def load(order_id, token): ...

        @traced("rows of {table}")
        def rows(table):
            yield ...

        with traced("checkout", tags={"items": 3}) as span:      # or `async with`
            span.set_tag("paid", True)

    - The span is called like the function (its qualified name) unless a name is given. ``{parameter}`` or ``{parameter.attribute}`` in it is
      filled in at each call; take care to name what has few values. Braces that are meant are doubled. A block's name is taken as it is.
    - ``arguments``: the parameters, or attributes of them (``"order.id"``), to store as tags ``arg.<name>``; True for all. Values are bounded, and
      those whose name says secret (password, token, …) are not stored.
    - ``tracer`` is OpenTracing's global tracer at the time of the call if None.

    The span is a child of the active span; an exception marks it as failed and goes on. Functions, methods, coroutine functions, generators
    and asynchronous generators keep being that, above or below ``@staticmethod`` and ``@classmethod``. A generator's span begins with the first
    item, is active only while the generator's own code runs, and ends with it, however that comes. Of a class, the public methods that
    it defines itself are traced; a name given is put before theirs.

    Raises :class:`ConfigurationError` where it is applied; a tracer that fails at run time costs the span, never the call.
    """
    if tags is not None:
        require_methods("mapping of tag names to values", tags, ("items", "keys"))
    if tracer is not None:
        require_methods("tracer", tracer, ("start_span", "start_active_span"))
    if isinstance(arguments, str) or not (isinstance(arguments, bool) or hasattr(arguments, "__iter__")):
        raise ConfigurationError(f"arguments is a list of parameters' names, or True for all, not {arguments!r}")
    if isinstance(function, (str, type(None))):
        name, function = function, None
    elif callable(function) or isinstance(function, (staticmethod, classmethod)):
        name = None
    else:
        raise ConfigurationError(f"@traced takes a function, or the operation's name as text, not {function!r}")
    captured = arguments if isinstance(arguments, bool) else tuple(arguments)
    decorator = Traced(Operation(name, {**tags} if tags else None, captured, tracer))
    return decorator if function is None else decorator(function)


class Traced:
    """What ``traced("name")`` returns: a decorator, and a context manager that may be entered again and by many threads and tasks."""

    __slots__ = ("_open", "_operation")

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._open: list[tuple[opentracing.Scope | None, opentracing.Span]] = []

    @overload
    def __call__(self, kind: C, /) -> C: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]: ...

    def __call__(self, function: Any, /) -> Any:
        """Decorate a function or a class."""
        if not (callable(function) or isinstance(function, (staticmethod, classmethod))):
            raise ConfigurationError(f"@traced decorates a function or a class, not {function!r}")
        return wrap(function, self._operation)

    def __enter__(self) -> opentracing.Span:
        """Start the span and make it active."""
        operation = self._operation
        if operation.name is None:
            raise ConfigurationError('a traced block needs a name: `with traced("checkout"):`')
        span, scope = operation.start(operation.name), None
        if span is None:
            span = opentracing.Tracer().start_span()  # the block shall find something that it can tag
        else:
            scope = _guard.call(None, span.tracer.scope_manager.activate, span, False)
        self._open.append((scope, span))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, span = self._innermost()
        if error is not None and not isinstance(error, GeneratorExit):
            with _guard:
                span.set_tag("error", True)
                span.log_kv(error_fields(error))
        if scope is not None:
            _guard.call(None, scope.close)
        _guard.call(None, span.finish)

    async def __aenter__(self) -> opentracing.Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _innermost(self) -> tuple[opentracing.Scope | None, opentracing.Span]:
        """Remove and return what this thread or task entered last: its scope is the active one, unless the block left one open."""
        entries = self._open[:]
        found = entries[-1]
        if len(entries) > 1:
            active = _guard.call(None, getattr, found[1].tracer.scope_manager, "active")
            found = next((entry for entry in reversed(entries) if entry[0] is active and active is not None), found)
        self._open.remove(found)
        return found
