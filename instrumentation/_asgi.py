"""A request over ASGI from the server's call to the last byte of the body, and a WebSocket's handshake and messages (ASGI 3.0).

The span of a request ends when its body has been sent. Background tasks, which frameworks run behind the body in the same call, still find it
active, so their spans are its children. A server error's span waits for the application's return: what Starlette raises after it has sent
its error page is the exception behind that page.

A WebSocket makes one span for its handshake and one for each message that arrives (`_websocket`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ServerCall
from sls_tracing.instrumentation._websocket import Messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from types import TracebackType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Exchange", "exchange_of", "serve"]

_EXCHANGE = "sls_tracing.exchange"
"""Where a request's exchange is found in its scope, and the sign that the request is traced already."""

_BODY_MESSAGES = frozenset(("http.response.body", "http.response.pathsend", "http.response.zerocopysend", "websocket.http.response.body"))  # fmt: skip
_START_MESSAGES = frozenset(("http.response.start", "websocket.http.response.start"))
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_guard = Guard("instrumentation_asgi")


def exchange_of(scope: Mapping[str, Any]) -> Exchange | None:
    """Return what this request runs under, or None if it is not traced."""
    exchange = scope.get(_EXCHANGE)
    return exchange if isinstance(exchange, Exchange) else None


async def serve(
    tracer: opentracing.Tracer,
    component: str,
    application: Application,
    scope: Scope,
    receive: Receive,
    send: Send,
    options: HTTPOptions | None = None,
    *,
    has_routes: bool = True,
) -> None:
    """Call ``application`` under a server span; lifespan calls and requests that are traced already pass untouched.

    ``has_routes`` tells that a framework names its routes: a request that none of them takes is then named as unmatched.
    """
    if scope["type"] not in ("http", "websocket") or _EXCHANGE in scope:
        await application(scope, receive, send)
        return
    method, path, headers = scope.get("method", "GET"), scope.get("path", ""), _guard.call({}, _headers, scope)
    call = ServerCall.start(tracer, component, method, headers, path, options, scope)
    if call is not None:
        kind = Exchange if scope["type"] == "http" else _Connection
        exchange = kind(call, scope, headers, has_routes)
        with exchange:
            await application(scope, exchange.receiving(receive), exchange.sending(send))
        return
    outer = ServerCall.under_way(method, path)
    if outer is not None:  # begun by a layer that did not hand the scope on as it was: what is left to do is to name it
        scope[_EXCHANGE] = Exchange(outer, scope, headers, has_routes)
    try:
        await application(scope, receive, send)
    finally:
        scope.pop(_EXCHANGE, None)


class Exchange:
    """One request and its answer."""

    def __init__(self, call: ServerCall, scope: Scope, headers: Mapping[str, str], has_routes: bool) -> None:
        self.call = call
        self.route: object = None
        self.template: str | None = None
        self._scope = scope
        self._headers = headers
        self._has_routes = has_routes
        self._prefix = ""
        self._status = 0
        self._has_trailers = False

    def __enter__(self) -> None:
        self._scope[_EXCHANGE] = self
        self.call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.pop(_EXCHANGE, None)
        self._describe()
        self.call.__exit__(kind, error, traceback)
        self.call.finish()

    def mounted(self, route: object, prefix: str) -> None:
        """Tell that ``route`` hands everything below ``prefix`` on to another application, whose routes stand below it from now on."""
        if self.route is not route:
            self._prefix += prefix
            self.matched(route, "/{path}")

    def matched(self, route: object, template: str) -> None:
        """Tell that ``route`` takes the request; a second time for the same route changes nothing."""
        if self.route is not route:
            self.route = route
            self._describe_address()
            self.named(self._prefix + template)

    def named(self, template: str | None) -> None:
        """Name the span by the whole template."""
        self.template = template
        self.call.named(template)

    def receiving(self, receive: Receive) -> Receive:
        """Return what the application receives with."""
        return receive

    def sending(self, send: Send) -> Send:
        """Return what the application sends with."""

        async def observed_send(message: Message) -> None:
            kind = message["type"]
            if kind in _START_MESSAGES:
                self._begin(message)
            await send(message)
            if self._is_last(kind, message) and self._status < 500:
                self.call.finish()

        return observed_send

    def _begin(self, message: Message) -> None:
        self._status = message["status"]
        self._has_trailers = bool(message.get("trailers"))
        self._describe()
        self.call.responded(self._status, message.get("headers", ()))

    def _is_last(self, kind: str, message: Message) -> bool:
        if kind in _BODY_MESSAGES:
            return not message.get("more_body", False) and not self._has_trailers
        return kind == "http.response.trailers" and not message.get("more_trailers", False)

    def _describe(self) -> None:
        """Name and address, if no route has told: as late as this, because middleware for proxies corrects the scope on its way."""
        self._describe_address()
        if not self.call.is_named:
            with _guard:
                template = _scope_template(self._scope)
                if template is not None or self._has_routes:
                    self.named(template)

    def _describe_address(self) -> None:
        if not self.call.is_described:
            client = self._scope.get("client") or (None, None)
            self.call.describe(partial(_url, self._scope, self._headers), *client)


class _Connection(Exchange):
    """A WebSocket: handshake, then message after message."""

    _messages: Messages | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._messages is not None:
            self._messages.end(error)
        super().__exit__(kind, error, traceback)

    def receiving(self, receive: Receive) -> Receive:
        async def observed_receive() -> Message:
            if self._messages is None:
                return await receive()
            self._messages.end()
            message = await receive()
            if message["type"] == "websocket.receive":
                self._messages.begin()
            return message

        return observed_receive

    def sending(self, send: Send) -> Send:
        observed_send = super().sending(send)

        async def observed_websocket_send(message: Message) -> None:
            kind = message["type"]
            if self._messages is not None or kind not in ("websocket.accept", "websocket.close"):
                await observed_send(message)
                return
            self._describe()
            # What servers answer to a handshake that is refused by closing (ASGI, WebSocket, "Close - send").
            self.call.responded(101 if kind == "websocket.accept" else 403, message.get("headers", ()))
            await send(message)
            if kind == "websocket.accept":
                self._messages = Messages(self.call, self.template)
            self.call.finish()

        return observed_websocket_send


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers with names in lower case, as ASGI has them; those that repeat joined by commas (RFC 9110, 5.3), as WSGI servers do."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _scope_template(scope: Scope) -> str | None:
    """Return the template that Starlette, FastAPI or a framework alike left in the scope, with the mounts above it; None if there is none."""
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    if context is not None and context.original_route is route:
        route = context
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(template, str):
        return None
    mounted = scope.get("root_path", "")[len(scope.get("app_root_path", "")) :] if "app_root_path" in scope else ""
    for name, value in scope.get("path_params", {}).items():  # a mount's own parameters
        mounted = mounted.replace(f"/{value}", f"/{{{name}}}") if f"/{value}/" in f"{mounted}/" else mounted
    if mounted and template.endswith("/{path}") and hasattr(route, "app") and not hasattr(route, "methods"):
        return f"{mounted}/{{path}}"  # the mount itself: nothing below it took the request
    return mounted + template


def _url(scope: Scope, headers: Mapping[str, str]) -> str:
    scheme = scope.get("scheme", "http")
    host = headers.get("host")
    if not host:
        name, port = scope.get("server") or ("", None)
        host = name if port in (None, _PORTS.get(scheme)) else f"{name}:{port}"
    raw_path = scope.get("raw_path")
    path = raw_path.decode("latin-1") if raw_path else quote(scope.get("path", ""), safe="/:@!$&'()*+,;=~")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scheme}://{host}{path or '/'}{'?' if query else ''}{query}"
