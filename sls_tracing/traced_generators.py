"""Traced generators: a span that is active only while the generator's own code runs.

A span that stayed active between two items would be the parent of whatever the caller does with them, of the next request even if the
generator is put aside. So each step, asked for by ``next``, ``send``, ``throw`` or ``close``, swaps the generator's view of what is active in and
out again. The view is kept over the steps: a scope that the generator opened itself before a ``yield`` is active again after it.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from opentracing.scope_managers.contextvars import _SCOPE  # the one that scope.py uses

from sls_tracing.guard import Guard
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from types import TracebackType

    import opentracing

    from sls_tracing.traced_arguments import Arguments
    from sls_tracing.traced_calls import Operation

__all__ = ["traced_async_generator", "traced_generator"]

_FIRST = object()
_guard = Guard("traced")
_active = _SCOPE.get
_ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)
"""How a generator ends that did not fail."""


def traced_generator(
    function: Callable[..., Any], operation: Operation, name: str, captured: Arguments | None
) -> Callable[..., Any]:
    """Return the traced twin of a generator function: one too, for the frameworks that look."""

    @functools.wraps(function)
    def call_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        # `yield from` forwards everything by itself, the way PEP 380 demands, and to any object that has the methods.
        return (yield from _Steps(generator, _Frames(operation, name, captured, args, kwargs)))

    return call_generator


def traced_async_generator(
    function: Callable[..., Any], operation: Operation, name: str, captured: Arguments | None
) -> Callable[..., Any]:
    """Return the traced twin of an asynchronous generator function. There is no `yield from` here: the forwarding is written out."""

    @functools.wraps(function)
    async def call_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        frames = _Frames(operation, name, captured, args, kwargs)
        thrown = _Thrown()
        sent: Any = _FIRST
        while True:
            try:
                with frames:
                    error = thrown.take()
                    if error is not None:
                        step = generator.athrow(error)
                    else:
                        step = _first_step(generator) if sent is _FIRST else generator.asend(sent)
                    del error  # its traceback holds this frame
                    value = await step
            except StopAsyncIteration:
                return
            with thrown:
                sent = yield value
            if thrown.is_exit():
                try:
                    with frames:
                        await generator.aclose()
                finally:
                    frames.finish()
                raise thrown.take() or GeneratorExit

    return call_async_generator


def _first_step(generator: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Ask for the first item, unseen by the event loop: told of the inner generator, it would close that one and ours at its end, in any order."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)  # the hooks are called here, not when the step is awaited
    finally:
        sys.set_asyncgen_hooks(*hooks)


class _Frames:
    """The span of one generator, and the time in which its code runs: ``with frames:`` around each step.

    Whatever leaves a step ends the span. So does the end of this object, for a generator that nobody closes: the interpreter may drop the
    frame of an asynchronous one without running it.
    """

    __slots__ = ("_inside", "_outside", "_scope", "_span")

    def __init__(
        self,
        operation: Operation,
        name: str,
        captured: Arguments | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._inside: opentracing.Scope | None = None
        self._outside: opentracing.Scope | None = None
        self._scope: opentracing.Scope | None = None
        self._span: opentracing.Span | None = None
        self._span = operation.start(name if captured is None else captured.name(name, args, kwargs))
        if self._span is not None and captured is not None:
            captured.describe(self._span, args, kwargs)

    def __enter__(self) -> None:
        self._outside = _active(None)
        if self._inside is not None:
            _SCOPE.set(self._inside)
        elif self._span is not None:
            with _guard:
                self._scope = self._span.tracer.scope_manager.activate(self._span, False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._inside is not None or (self._scope is not None and _active(None) is not self._outside):
            # The scope manager is one of context variables: what is active in there waits for the next step.
            self._inside = _active(None)
            _SCOPE.set(self._outside)
        elif self._scope is not None:  # one that keeps its scopes elsewhere
            _guard.call(None, self._scope.close)
        self._outside = None
        if error is not None:
            if not isinstance(error, _ENDS) and self._span is not None:
                with _guard:
                    self._span.set_tag("error", True)
                    self._span.log_kv(error_fields(error))
            self.finish()

    def finish(self) -> None:
        """Finish the span; later calls do nothing."""
        span, self._span = self._span, None
        self._inside = self._scope = None
        if span is not None:
            _guard.call(None, span.finish)

    __del__ = finish


class _Steps:
    """What ``yield from`` drives: the generator, each of its steps inside the frames."""

    __slots__ = ("_frames", "_generator")

    def __init__(self, generator: Generator[Any, Any, Any], frames: _Frames) -> None:
        self._generator = generator
        self._frames = frames

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:
        with self._frames:
            return next(self._generator)

    def send(self, value: Any) -> Any:
        with self._frames:
            return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        with self._frames:
            return self._generator.throw(*error)

    def close(self) -> None:
        try:
            with self._frames:
                self._generator.close()
        finally:
            self._frames.finish()


class _Thrown:
    """``with thrown:`` around a ``yield`` catches what the caller throws in there, to be forwarded."""

    __slots__ = ("_error",)

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._error = error
        return True

    def is_exit(self) -> bool:
        """Whether the caller closes the generator."""
        return isinstance(self._error, GeneratorExit)

    def take(self) -> BaseException | None:
        """Return what was thrown, once."""
        error, self._error = self._error, None
        return error
