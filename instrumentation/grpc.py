"""gRPC: a client span and a server span for every call of the four kinds; the asynchronous half is in `grpc_aio`.

Channels and servers get an interceptor when they are made, in front of the application's own; those made before stay as they are. The
explicit form, for these or without ``install``:

    from sls_tracing.instrumentation.grpc import ClientInterceptor, ServerInterceptor

    channel = grpc.intercept_channel(channel, ClientInterceptor())
    server = grpc.server(pool, interceptors=[ServerInterceptor()])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._rpc import RPCClientCall, RPCServerCall, abandoned, tracer_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["ClientInterceptor", "ServerInterceptor", "patches"]

_INTERCEPTORS = 2
"""Where ``interceptors`` stands among the arguments of ``grpc.server``."""
_guard = Guard("instrumentation_grpc")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``grpc``, not yet installed."""
    from sls_tracing.instrumentation.grpc_aio import aio_patches

    hooks = _Hooks(tracer)
    found = [
        Patch(module, "insecure_channel", hooks.channel),
        Patch(module, "secure_channel", hooks.channel),
        Patch(module, "server", hooks.server),
    ]
    hooks.is_enabled = found[0].is_enabled
    return [*found, *aio_patches(module.aio, tracer)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self.is_enabled: Callable[[], bool] = bool

    def channel(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``insecure_channel`` and ``secure_channel``."""
        channel = wrapped(*args, **kwargs)
        target = args[0] if args else kwargs.get("target", "")
        interceptor = ClientInterceptor(None, str(target), source=self._tracer, is_enabled=self.is_enabled)
        return _guard.call(channel, grpc.intercept_channel, channel, interceptor)

    def server(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``server``."""
        ours = ServerInterceptor(source=self._tracer, is_enabled=self.is_enabled)
        args, kwargs = with_interceptors(args, kwargs, _INTERCEPTORS, [ours])
        return wrapped(*args, **kwargs)


def with_interceptors(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, ours: list[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with ``ours`` in front of the application's; unchanged if those have one of ours already."""
    given = args[position] if len(args) > position else kwargs.get("interceptors")
    given = list(given or ())
    if any(isinstance(interceptor, type(ours[0])) for interceptor in given):
        return args, kwargs
    if len(args) > position:
        return (*args[:position], [*ours, *given], *args[position + 1 :]), kwargs
    return args, {**kwargs, "interceptors": [*ours, *given]}


class _Details(NamedTuple):
    method: Any
    timeout: Any
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _CallDetails(_Details, grpc.ClientCallDetails):
    """A call's details with other metadata."""


class ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Makes the client spans of a channel. ``tracer``: else OpenTracing's global one; ``target``: the channel's, for the peer tags."""

    def __init__(
        self,
        tracer: opentracing.Tracer | None = None,
        target: str = "",
        *,
        source: TracerSource | None = None,
        is_enabled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = tracer_source(tracer) if source is None else source
        self._target = target
        self._is_enabled = is_enabled

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, one response."""
        return self._intercept(continuation, client_call_details, request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, several responses: the span ends with the last."""
        return self._intercept(continuation, client_call_details, request)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Several requests, one response."""
        return self._intercept(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Several of both."""
        return self._intercept(continuation, client_call_details, request_iterator)

    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        if not self._is_enabled():
            return continuation(details, request)
        call = _guard.call(None, RPCClientCall.start, self._source, details.method, self._target)
        if call is None:
            return continuation(details, request)
        details = _guard.call(details, _with_metadata, call, details)
        try:
            with call:
                response = continuation(details, request)
        except BaseException as error:
            call.ended(grpc.StatusCode.UNKNOWN, error=error)
            raise
        if not _guard.call(False, _end_with, call, response):
            call.finish()
        return response


def _with_metadata(call: RPCClientCall, details: Any) -> Any:
    return _CallDetails(
        details.method,
        details.timeout,
        call.metadata(details.metadata),
        details.credentials,
        getattr(details, "wait_for_ready", None),
        getattr(details, "compression", None),
    )


def _end_with(call: RPCClientCall, response: Any) -> bool:
    """End the span with the call, in whichever thread: its last response, an error, the deadline, or that nobody wants it any more."""

    def done(response: Any) -> None:
        call.ended(response.code(), response.details())

    response.add_done_callback(_guard.wrap(done, None))
    return True


class TracedServer:
    """What the server interceptors of both halves have. ``tracer``: else OpenTracing's global one."""

    def __init__(
        self,
        tracer: opentracing.Tracer | None = None,
        *,
        source: TracerSource | None = None,
        is_enabled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = tracer_source(tracer) if source is None else source
        self._is_enabled = is_enabled

    def _traced(self, handler: Any, details: Any, around: Callable[[Any, Any, TracerSource], Any]) -> Any:
        """Return the method's handler, traced by ``around``; the handler as it is while nothing shall be traced."""
        if not self._is_enabled():
            return handler
        if handler is None:
            return _guard.call(None, _unmatched, self._source, details)
        return _guard.call(handler, around, handler, details, self._source)


class ServerInterceptor(TracedServer, grpc.ServerInterceptor):
    """Makes the server spans of a server. ``tracer``: else OpenTracing's global one."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, traced."""
        return self._traced(continuation(handler_call_details), handler_call_details, traced_handler)


def _unmatched(source: TracerSource, details: Any) -> None:
    """Tell of a call of a method that the server does not have: for the caller an error, here none."""
    call = RPCServerCall.start(source, details.method, details.invocation_metadata)
    if call is not None:
        call.set_tags({"rpc.grpc.status_code": grpc.StatusCode.UNIMPLEMENTED.value[0]})
        call.finish()


def traced_handler(handler: Any, details: Any, source: TracerSource) -> Any:
    """Return a handler of the same kind around a synchronous one."""
    around = _stream_method if handler.response_streaming else _unary_method
    return with_method(handler, around(method_of(handler), details, source))


def method_of(handler: Any) -> Callable[..., Any]:
    """Return the one of the handler's four methods that it has."""
    method: Callable[..., Any] = getattr(handler, _kind(handler))
    return method


def with_method(handler: Any, method: Callable[..., Any]) -> Any:
    """Return a handler of the same kind with another method."""
    make = getattr(grpc, f"{_kind(handler)}_rpc_method_handler")
    return make(method, handler.request_deserializer, handler.response_serializer)


def _kind(handler: Any) -> str:
    return f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"


def _unary_method(method: Callable[..., Any], details: Any, source: TracerSource) -> Callable[..., Any]:
    def traced(request: Any, context: Any) -> Any:
        call = _guard.call(None, RPCServerCall.start, source, details.method, details.invocation_metadata, context)
        if call is None:
            return method(request, context)
        try:
            with call:
                response = method(request, context)
        except BaseException as error:
            call.raised(error, _guard.call(None, context.code))
            raise
        with _guard:
            call.ended(*_outcome(context))
        return response

    return traced


def _stream_method(method: Callable[..., Any], details: Any, source: TracerSource) -> Callable[..., Any]:
    def traced(request: Any, context: Any) -> Iterator[Any]:
        call = _guard.call(None, RPCServerCall.start, source, details.method, details.invocation_metadata, context)
        if call is None:
            yield from method(request, context)
            return
        # Of a client that went away nobody tells the method: it is just not asked for more.
        _guard.call(False, context.add_callback, lambda: _guard.call(None, _gone, call, context))
        try:
            with call:
                responses = iter(method(request, context))
            while True:
                try:
                    with call:
                        response = next(responses)
                except StopIteration:
                    break
                yield response
        except GeneratorExit:
            call.ended(abandoned(context))
            raise
        except BaseException as error:
            call.raised(error, _guard.call(None, context.code))
            raise
        with _guard:
            call.ended(*_outcome(context))

    return traced


def _gone(call: RPCServerCall, context: Any) -> None:
    if not call.finished:
        code = context.code()
        call.ended(abandoned(context) if code is None else code)


def _outcome(context: Any) -> tuple[Any, Any]:
    code = context.code()
    if code is None and not context.is_active():
        return abandoned(context), ""
    return code, context.details()
