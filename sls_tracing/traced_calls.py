"""How a call of a traced function is run: one wrapper for each kind of function, each of the same kind itself."""

from __future__ import annotations

import functools
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import opentracing

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard
from sls_tracing.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sls_tracing.traced_arguments import Arguments

__all__ = ["Operation", "wrap"]

_guard = Guard("traced")


class Operation(NamedTuple):
    """What was asked for: the spans' name (None: the function's), tags, arguments to capture, and tracer."""

    name: str | None
    tags: dict[str, Any] | None
    arguments: bool | tuple[str, ...]
    tracer: opentracing.Tracer | None

    def start(self, name: str) -> opentracing.Span | None:
        """Start a span, not active; None if the tracer cannot."""
        tracer = opentracing.tracer if self.tracer is None else self.tracer
        return _guard.call(None, tracer.start_span, name, tags={**self.tags} if self.tags else None)


def wrap(function: Any, operation: Operation) -> Any:
    """Return the traced twin of a function, static or class method; a class comes back itself, its methods traced."""
    if isinstance(function, type):
        return _wrap_class(function, operation)
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(wrap(function.__func__, operation))
    import inspect  # 4 ms at import, for those alone who decorate

    name = operation.name or getattr(function, "__qualname__", None) or type(function).__qualname__
    captured: Arguments | None = None
    if operation.arguments or "{" in name or "}" in name:
        from sls_tracing.traced_arguments import Arguments

        captured = Arguments(function, operation.arguments, operation.name)
        name = captured.plain_name or name
    if _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function):
        from sls_tracing.traced_generators import traced_async_generator, traced_generator

        asynchronous = _is(inspect.isasyncgenfunction, function)
        wrapped = (traced_async_generator if asynchronous else traced_generator)(function, operation, name, captured)
    else:
        start = _starter(operation, name, captured)
        asynchronous = _is(inspect.iscoroutinefunction, function)
        wrapped = (_traced_coroutine if asynchronous else _traced_function)(function, start)
    wrapped.__traced__ = True  # type: ignore[attr-defined]
    return wrapped


def _is(question: Callable[[object], bool], function: Any) -> bool:
    """Ask ``question`` of a function, or of the method that calling an instance calls."""
    return question(function) or (
        not isinstance(function, (FunctionType, functools.partial)) and question(getattr(function, "__call__", None))  # noqa: B004 - not a test for callability
    )


def _wrap_class(kind: type, operation: Operation) -> type:
    """Trace the public methods that the class defines itself, but those that are traced already. Inherited ones are their own class's."""
    found: set[str] = set()
    for name, method in list(vars(kind).items()):
        function = getattr(method, "__func__", method)
        if name.startswith("_") or not isinstance(function, FunctionType) or getattr(function, "__traced__", False):
            continue
        own = operation
        if operation.name is not None:
            own = own._replace(name=f"{operation.name}.{name}".replace("{", "{{").replace("}", "}}"))
        if not isinstance(operation.arguments, bool):
            from sls_tracing.traced_arguments import known_to

            own = own._replace(arguments=known_to(function, operation.arguments))
            found.update(own.arguments)  # type: ignore[arg-type]
        setattr(kind, name, wrap(method, own))
    if not isinstance(operation.arguments, bool) and not found.issuperset(operation.arguments):
        missing = ", ".join(sorted(set(operation.arguments) - found))
        raise ConfigurationError(f"no traced method of {kind.__qualname__} has a parameter called {missing}")
    return kind


def _starter(
    operation: Operation, name: str, captured: Arguments | None
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return what starts the span of a call: a function of its arguments that returns a scope, or None if the tracer cannot."""
    tags, tracer = operation.tags, operation.tracer

    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> opentracing.Scope | _GuardedScope | None:
        scope: opentracing.Scope | None = None
        with _guard:  # 0.3 µs less than `_guard.call`, which takes arguments apart and puts them together again
            scope = (opentracing.tracer if tracer is None else tracer).start_active_span(
                name, tags={**tags} if tags else None
            )
        return scope if scope is None or type(scope) is Scope else _GuardedScope(scope)

    if captured is None:
        return start

    def start_with_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> opentracing.Scope | _GuardedScope | None:
        used = tracer if tracer is not None else opentracing.tracer
        called = captured.name(name, args, kwargs)
        scope = _guard.call(None, used.start_active_span, called, tags={**tags} if tags else None)
        if scope is None:
            return None
        captured.describe(scope.span, args, kwargs)
        return scope if type(scope) is Scope else _GuardedScope(scope)

    return start_with_arguments


def _traced_function(
    function: Callable[..., Any], start: Callable[[tuple[Any, ...], dict[str, Any]], Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = start(args, kwargs)
        if scope is None:
            return function(*args, **kwargs)
        with scope:
            return function(*args, **kwargs)

    return call


def _traced_coroutine(
    function: Callable[..., Any], start: Callable[[tuple[Any, ...], dict[str, Any]], Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
        scope = start(args, kwargs)
        if scope is None:
            return await function(*args, **kwargs)
        with scope:
            return await function(*args, **kwargs)

    return call_coroutine


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
