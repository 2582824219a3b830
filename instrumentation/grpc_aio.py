"""gRPC's asynchronous half (``grpc.aio``): the same spans. See `grpc`.

channel = grpc.aio.insecure_channel(target, interceptors=client_interceptors())
server = grpc.aio.server(interceptors=[AioServerInterceptor()])
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._rpc import RPCClientCall, RPCServerCall, abandoned, tracer_source
from sls_tracing.instrumentation.grpc import TracedServer, method_of, traced_handler, with_interceptors, with_method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["AioServerInterceptor", "aio_patches", "client_interceptors"]

_guard = Guard("instrumentation_grpc")


def aio_patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``grpc.aio``, not yet installed."""
    hooks = _Hooks(tracer)
    found = [
        Patch(module, "insecure_channel", hooks.insecure_channel),
        Patch(module, "secure_channel", hooks.secure_channel),
        Patch(module, "server", hooks.server),
    ]
    hooks.is_enabled = found[0].is_enabled
    return found


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self.is_enabled: Callable[[], bool] = bool

    def insecure_channel(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``insecure_channel(target, options, compression, interceptors)``."""
        return self._channel(wrapped, args, kwargs, 3)

    def secure_channel(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``secure_channel(target, credentials, options, compression, interceptors)``."""
        return self._channel(wrapped, args, kwargs, 4)

    def server(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``server(migration_thread_pool, handlers, interceptors, …)``."""
        ours = AioServerInterceptor(source=self._tracer, is_enabled=self.is_enabled)
        args, kwargs = with_interceptors(args, kwargs, 2, [ours])
        return wrapped(*args, **kwargs)

    def _channel(
        self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], position: int
    ) -> Any:
        target = str(args[0] if args else kwargs.get("target", ""))
        ours = client_interceptors(None, target, source=self._tracer, is_enabled=self.is_enabled)
        args, kwargs = with_interceptors(args, kwargs, position, ours)
        return wrapped(*args, **kwargs)


def client_interceptors(
    tracer: opentracing.Tracer | None = None,
    target: str = "",
    *,
    source: TracerSource | None = None,
    is_enabled: Callable[[], bool] = lambda: True,
) -> list[Any]:
    """Return what makes the client spans of a channel: an interceptor for each kind of call, since ``grpc.aio`` takes one object for one kind.

    ``tracer``: else OpenTracing's global one; ``target``: the channel's, for the peer tags.
    """
    source = tracer_source(tracer) if source is None else source
    return [kind(source, target, is_enabled) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Interceptor:
    def __init__(self, source: TracerSource, target: str, is_enabled: Callable[[], bool]) -> None:
        self._source = source
        self._target = target
        self._is_enabled = is_enabled

    async def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        if not self._is_enabled():
            return await continuation(details, request)
        call = _guard.call(None, RPCClientCall.start, self._source, details.method, self._target)
        if call is None:
            return await continuation(details, request)
        details = _guard.call(details, _with_metadata, call, details)
        try:
            with call:
                response = await continuation(details, request)
        except asyncio.CancelledError:
            call.ended(grpc.StatusCode.CANCELLED)
            raise
        except BaseException as error:
            code = error.code() if isinstance(error, aio.AioRpcError) else grpc.StatusCode.UNKNOWN
            call.ended(code, error=error)
            raise
        if not _guard.call(False, _end_with, call, response):
            call.finish()
        return response


class _UnaryUnary(_Interceptor, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._intercept(continuation, client_call_details, request)


class _UnaryStream(_Interceptor, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._intercept(continuation, client_call_details, request)


class _StreamUnary(_Interceptor, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._intercept(continuation, client_call_details, request_iterator)


class _StreamStream(_Interceptor, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._intercept(continuation, client_call_details, request_iterator)


def _with_metadata(call: RPCClientCall, details: Any) -> Any:
    metadata = aio.Metadata(*call.metadata(details.metadata))
    return aio.ClientCallDetails(details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)


def _end_with(call: RPCClientCall, response: Any) -> bool:
    def done(response: Any) -> None:
        call.ended(_at_once(response.code()), _at_once(response.details()))

    response.add_done_callback(_guard.wrap(done, None))
    return True


def _at_once(coroutine: Any) -> Any:
    """Return a coroutine's result. A call that is done has its status: nothing is awaited, and a task of our own could outlive the loop."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    coroutine.close()
    return grpc.StatusCode.UNKNOWN


class AioServerInterceptor(TracedServer, aio.ServerInterceptor):
    """Makes the server spans of an asynchronous server. ``tracer``: else OpenTracing's global one."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, traced."""
        return self._traced(await continuation(handler_call_details), handler_call_details, _traced_handler)


def _traced_handler(handler: Any, details: Any, source: TracerSource) -> Any:
    method = method_of(handler)
    if inspect.isasyncgenfunction(method):
        return with_method(handler, _stream_method(method, details, source))
    if inspect.iscoroutinefunction(method):  # of one response, or a stream that is written with `context.write`
        return with_method(handler, _unary_method(method, details, source))
    # A synchronous one, which runs in a thread: its context is given what can be asked for the status.
    traced = method_of(traced_handler(handler, details, source))
    return with_method(handler, lambda request, context: traced(request, _KnownStatus(context)))


class _KnownStatus:
    """A synchronous method's context, which grpc.aio makes without ``code`` and ``details``; everything else is its own."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None
        self._details: Any = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        return self._code

    def details(self) -> Any:
        return self._details

    def is_active(self) -> bool:
        return True  # that is not told

    def set_code(self, code: Any) -> None:
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: Any) -> None:
        self._details = details
        self._context.set_details(details)

    def abort(self, code: Any, details: Any = "", trailing_metadata: Any = ()) -> None:
        self._code, self._details = code, details
        self._context.abort(code, details, trailing_metadata)


def _start(details: Any, source: TracerSource, context: Any) -> RPCServerCall | None:
    return _guard.call(None, RPCServerCall.start, source, details.method, details.invocation_metadata, context)


def _unary_method(method: Callable[..., Any], details: Any, source: TracerSource) -> Callable[..., Any]:
    async def traced(request: Any, context: Any) -> Any:
        call = _start(details, source, context)
        if call is None:
            return await method(request, context)
        try:
            with call:
                response = await method(request, context)
        except BaseException as error:
            _raised(call, error, context)
            raise
        with _guard:
            call.ended(context.code(), context.details())
        return response

    return traced


def _stream_method(method: Callable[..., Any], details: Any, source: TracerSource) -> Callable[..., Any]:
    async def traced(request: Any, context: Any) -> AsyncIterator[Any]:
        call = _start(details, source, context)
        responses = method(request, context)
        try:
            while True:
                try:
                    if call is None:
                        response = await anext(responses)
                    else:
                        with call:
                            response = await anext(responses)
                except StopAsyncIteration:
                    break
                yield response
        except BaseException as error:
            if call is not None:
                _raised(call, error, context)
            raise
        finally:
            await responses.aclose()
        if call is not None:
            with _guard:
                call.ended(context.code(), context.details())

    return traced


def _raised(call: RPCServerCall, error: BaseException, context: Any) -> None:
    with _guard:
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            call.ended(abandoned(context))
        else:
            call.raised(error, context.code())
