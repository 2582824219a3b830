"""aiohttp's server: one server span for every request, from its head to the end of the answer, named by the resource's pattern.

``RequestHandler`` makes answers of what handlers raise and sends them, so the span is there and not in a middleware: applications made before and after,
sub-applications and servers without one are all covered. A WebSocket is its handshake and its messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import helpers  # not `web`, which is still being imported when this is loaded

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ServerCall
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._websocket import Messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType, TracebackType

    import opentracing

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]


def _key(kind: str, name: str) -> Any:
    # aiohttp warns of plain texts as keys where it has keys of its own (3.14).
    make = getattr(helpers, kind, None)
    return name if make is None else make(name, object)


_CALL = _key("RequestKey", "sls_tracing.server_call")
_MESSAGES = _key("RequestKey", "sls_tracing.messages")
_MESSAGES_OF_RESPONSE = _key("ResponseKey", "sls_tracing.messages")
_guard = Guard("instrumentation_aiohttp_server")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``aiohttp.web_protocol``, ``aiohttp.web_app`` or ``aiohttp.web_ws``, not yet installed."""
    if module.__name__ == "aiohttp.web_protocol":
        return [Patch(module.RequestHandler, "_handle_request", _Hooks(tracer).handle_request)]
    if module.__name__ == "aiohttp.web_app":
        return [Patch(module.Application, "_handle", _handle)]
    return [
        Patch(module.WebSocketResponse, "prepare", _prepare_websocket),
        Patch(module.WebSocketResponse, "receive", _receive),
    ]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def handle_request(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``RequestHandler._handle_request``: the handler, what it raises, and the sending of the answer."""
        tracer = self._tracer.active()
        request = args[0] if args else kwargs.get("request")
        if tracer is None or request is None:
            return wrapped(*args, **kwargs)
        return self._traced(tracer, request, wrapped(*args, **kwargs))

    async def _traced(self, tracer: opentracing.Tracer, request: Any, handling: Any) -> Any:
        headers = _guard.call({}, _headers, request)
        call = ServerCall.start(tracer, "aiohttp", request.method, headers, request.path, self._tracer.http, request)
        if call is None:
            return await handling
        request[_CALL] = call
        with call:
            answered = await handling
        with _guard:
            _describe(call, request)
            call.responded(answered[0].status, answered[0].headers, answered[0])
        call.finish()
        return answered


async def _handle(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``Application._handle``: the routing, the middlewares and the handler."""
    request = args[0] if args else kwargs["request"]
    with _Handling(request):
        return await wrapped(*args, **kwargs)


class _Handling:
    """Notes what a handler raises, for the answer that will be made of it."""

    __slots__ = ("_request",)

    def __init__(self, request: Any) -> None:
        self._request = request

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        messages = self._request.get(_MESSAGES)
        if messages is not None:
            messages.end(error)
        call = self._request.get(_CALL)
        if call is not None:
            with _guard:
                _describe(call, self._request)
                if isinstance(error, Exception):
                    call.caught(error)


async def _prepare_websocket(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Around ``WebSocketResponse.prepare``: the handshake."""
    result = await wrapped(*args, **kwargs)
    request = args[0] if args else kwargs["request"]
    call = request.get(_CALL)
    if call is not None and not call.finished:
        with _guard:
            _describe(call, request)
            call.responded(101, instance.headers, instance)
            request[_MESSAGES] = instance[_MESSAGES_OF_RESPONSE] = Messages(call, _template(request))
        call.finish()
    return result


async def _receive(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``WebSocketResponse.receive``: the handling of one message ends, that of the next one begins."""
    messages = instance.get(_MESSAGES_OF_RESPONSE)
    if messages is None:
        return await wrapped(*args, **kwargs)
    messages.end()
    message = await wrapped(*args, **kwargs)
    if message.type.name in ("TEXT", "BINARY"):
        messages.begin()
    return message


def _describe(call: ServerCall, request: Any) -> None:
    if call.is_named:
        return
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    port = peer[1] if isinstance(peer, tuple) and len(peer) > 1 else None
    # Late: a Host that is none makes ``url`` raise.
    call.describe(lambda: str(request.url), request.remote, port)
    call.named(_template(request))


def _template(request: Any) -> str | None:
    match = getattr(request, "match_info", None)
    resource = None if match is None else match.route.resource
    return None if resource is None else resource.canonical


def _headers(request: Any) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for key, value in request.headers.items():
        name = key.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
