"""A request that this process answers. See `_http`."""

from __future__ import annotations

import re
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.context import SpanContext
from sls_tracing.forwarding import ForwardingSpan
from sls_tracing.instrumentation._call import DEFAULTS, METHODS, Call, guard, method_name
from sls_tracing.instrumentation._doctor import note_headers
from sls_tracing.instrumentation._operation import extract
from sls_tracing.instrumentation._redaction import redact_url
from sls_tracing.suppression import suppress
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from sls_tracing.instrumentation._messages import Headers
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["ServerCall"]

_STATUS = re.compile(r"\d{3}(?!\d)")
_serving: ContextVar[ServerCall | None] = ContextVar("sls_tracing_serving", default=None)


class ServerCall(Call):
    """A request that this process answers. ``path`` is the whole path, a mount point included, as the caller wrote or the server decoded it."""

    __slots__ = (
        "_caught",
        "_headers",
        "_native",
        "_suppression",
        "body_is_complete",
        "is_described",
        "is_named",
        "path",
    )

    def __init__(
        self,
        tracer: opentracing.Tracer,
        span: opentracing.Span,
        method: str,
        path: str = "",
        options: HTTPOptions | None = None,
        headers: Mapping[str, str] | None = None,
        native: Any = None,
    ) -> None:
        self.tracer = tracer  # as the base classes do, which a call of theirs would take 0.3 µs to say
        self.span = span
        self.finished = False
        self._scope = None
        self._logged = 0
        self.method = method
        self.options = DEFAULTS if options is None else options
        self._request = None
        self._outer = None
        self.path = path
        self.is_described = False
        self.is_named = False
        self.body_is_complete = False
        self._headers = headers or {}
        self._native = native
        self._caught: BaseException | None = None

    @classmethod
    def start(
        cls,
        tracer: opentracing.Tracer,
        component: str,
        method: str,
        headers: Mapping[str, str],
        path: str = "",
        options: HTTPOptions | None = None,
        native: Any = None,
    ) -> ServerCall | None:
        """Start the span as a child of what ``headers`` (names in lower case, values that came twice joined by a comma) carry.

        None if another layer traces the request already, or the tracer cannot: then this layer passes it on. The active span is no parent: a
        request comes from outside, and what is active in a server's thread was left there by mistake. A request to ``path`` that ``options``
        ignore gets a call that records nothing. ``native`` is what hooks are shown.
        """
        name = method if method.__class__ is str and method in METHODS else method_name(method)
        if _serving.get() is not None and cls.under_way(name, path) is not None:
            return None
        parent = extract(tracer, headers)
        if (DEFAULTS if options is None else options).ignores(path, headers.get("user-agent", "")):
            ignored = guard.call(None, _ignored_call, cls, tracer, parent, name, path, options or DEFAULTS)
            if ignored is not None:
                return ignored
        tags = {"component": component, "span.kind": "server", "http.method": method}
        span = guard.call_method(None, tracer, "start_span", name, child_of=parent, tags=tags, ignore_active_span=True)
        if span is None:
            return None
        call = cls(tracer, span, name, path, options, headers, native)
        if getattr(parent, "baggage", None):
            guard.call(None, note_headers, call, "headers received", headers)
        return call

    current = staticmethod(_serving.get)
    """Return the call that is active in this thread, task or greenlet, whichever request it is of. No Python: see `_function_patch`."""

    @classmethod
    def under_way(cls, method: str, path: str) -> ServerCall | None:
        """Return the call of this very request, if an outer layer has started it in this thread, task or greenlet.

        The same method and path: a request that the application makes to itself, in process, through a test client say, is another one.
        """
        call = _serving.get()
        if call is None or call.finished or not path or call.path != path or call.method != method_name(method):
            return None
        return call

    def __enter__(self) -> None:
        with guard:  # as Call.__enter__ does, which a call of it would take 0.2 µs to say
            self._scope = self.tracer.scope_manager.activate(self.span, False)
        self._outer = _serving.get()
        _serving.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _serving.set(self._outer)  # by value: a token is refused in another context than the one that made it
        self._outer = None
        if error is not None:
            super().__exit__(kind, error, traceback)
            return
        scope, self._scope = self._scope, None  # as the base class does
        if scope is not None:
            guard.call_method(None, scope, "close")

    def describe(self, url: Callable[[], str], address: str | None = None, port: object = None) -> None:
        """Tag address and peer, once. Best called as late as a framework can: middleware such as ProxyFix corrects both on their way.

        ``url`` is called only if somebody wants to know; ``address`` is the peer's IP address, or what the server has in its place.
        """
        if not self.is_described:
            self.is_described = True
            guard.call(None, self._describe, url, address, port)

    def _describe(self, url: Callable[[], str], address: str | None, port: object) -> None:
        options, is_recorded = self.options, self.is_recorded
        hears = options.request_hook is not None or options.response_hook is not None or options.span_name is not None
        if not is_recorded and not hears:
            return
        shown = redact_url(url())
        if is_recorded:
            set_tag = self.span.set_tag
            set_tag("http.url", shown)
            if address:
                set_tag("peer.ipv6" if ":" in address else "peer.ipv4", address)
            if port:
                number = str(port)
                if number.isdecimal():
                    set_tag("peer.port", int(number))
        if hears or options.captured_request_header is not None:
            self._requested(shown, self._headers, self._native)

    def named(self, route: str | None) -> None:
        """Name the span by its route template; None says that no route matched."""
        self.is_named = True
        chosen = None
        if self.options.span_name is not None:
            chosen = self._chosen_name("", self._headers, self._native, route)
        with guard:
            self.span.set_operation_name(chosen or f"{self.method} {'<unmatched>' if route is None else route}")
            if route is not None:
                self.span.set_tag("http.route", route)

    def caught(self, error: BaseException) -> None:
        """Remember an exception that the application handles: it counts only if the answer is a server error."""
        self._caught = error

    def responded(self, status: str | int, headers: Headers = (), native: Any = None) -> None:
        """Tag the status, given as 200 or "200 OK". A server error makes the span one and logs the exception behind it."""
        code = _code(status if status.__class__ is int else str(status))
        if code is None:
            return
        error, self._caught = self._caught, None
        options = self.options
        with guard:
            self.span.set_tag("http.status_code", code)
        if code in options.server_error_statuses:
            with guard:
                self.span.set_tag("error", True)
            if error is not None:
                self.failed(error)
        if options.captured_response_header is not None or options.response_hook is not None:
            self._answered(code, headers, native)

    def finish(self) -> None:
        """Finish the span; later calls do nothing."""
        if not self.finished and not self.is_named and self.options.span_name is not None:
            # It never came to a route: something before the routing answered or failed.
            name = self._chosen_name("", self._headers, self._native, None)
            if name is not None:
                with guard:
                    self.span.set_operation_name(name)
        if not self.finished:  # as the base class does
            self.finished = True
            guard.call_method(None, self.span, "finish")


class _IgnoredCall(ServerCall):
    """A request that is ignored: hooks and names are not for it."""

    __slots__ = ()

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span, method: str, path: str) -> None:
        super().__init__(tracer, span, method, path)


class _SilentCall(_IgnoredCall):
    """The same under a tracer that knows no unsampled spans: every instrumentation is silent within."""

    __slots__ = ()

    is_recorded = False

    def __enter__(self) -> None:
        self._suppression = suppress()
        self._suppression.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._suppression.__exit__(None, None, None)


def _ignored_call(
    call: type[ServerCall],
    tracer: opentracing.Tracer,
    parent: opentracing.SpanContext | None,
    name: str,
    path: str,
    options: HTTPOptions,
) -> ServerCall | None:
    """Return the call of a request that is not to be traced; None if it is, since a sampled trace came with it.

    Under our tracer its span carries "not sampled" to whatever the request calls, or, with ``ignore_sampled``, the context that came.
    """
    if not isinstance(tracer, Tracer):
        return _SilentCall(tracer, opentracing.Tracer().start_span(), name, path)
    context = parent if isinstance(parent, SpanContext) else SpanContext()
    if parent is not None and context.sampled:
        return _IgnoredCall(tracer, ForwardingSpan(tracer, context), name, path) if options.ignore_sampled else None
    context = context._replace(sampled=False, debug=False)
    span = tracer.start_span(name, child_of=context, ignore_active_span=True)
    return _IgnoredCall(tracer, span, name, path)


@lru_cache(maxsize=128)  # a service gives few
def _code(status: str | int) -> int | None:
    match = _STATUS.match(str(status))
    return None if match is None else int(match[0])
