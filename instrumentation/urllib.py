"""urllib.request: one client span for every ``urlopen``, its redirects told as logs.

``OpenerDirector.open`` begins a call, and is called again for each redirect; ``do_open`` sends each hop. Our headers stand among those that urllib
does not take along on a redirect, and come off again: the request is the caller's own object.
"""

from __future__ import annotations

from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import InjectedHeader
from sls_tracing.instrumentation._redirects import Hop, tell_hops
from sls_tracing.instrumentation.http_client import finish_with_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_guard = Guard("instrumentation_urllib")
_opening: ContextVar[_Opening | None] = ContextVar("sls_tracing_urllib_opening", default=None)


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch]:
    """Return the patches for ``urllib.request``, not yet installed."""
    return [
        FunctionPatch(module.OpenerDirector, "open", _Hooks(tracer).open),
        FunctionPatch(module.AbstractHTTPHandler, "do_open", _do_open),
    ]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def open(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``OpenerDirector.open``."""
        tracer, outer = self._tracer.active(), _opening.get()
        if tracer is None or (outer is not None and outer.opener is instance):
            return wrapped(*args, **kwargs)
        request, data = _arguments(*args, **kwargs)
        url = request.full_url if isinstance(request, Request) else str(request)
        if not url[:8].lower().startswith(("http://", "https://")):
            return wrapped(*args, **kwargs)
        is_request = isinstance(request, Request)
        method = request.get_method() if is_request and data is None else "GET" if data is None else "POST"
        headers = request.headers if is_request else {}
        call = ClientCall.start(tracer, "urllib", method, url, headers, self._tracer.http, native=request)
        if call is None:
            return wrapped(*args, **kwargs)
        opening = _Opening(instance, call)
        with opening:
            response = wrapped(*args, **kwargs)
        with _guard:
            opening.tell(response)
        return response


def _do_open(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``AbstractHTTPHandler.do_open``, once a hop."""
    opening = _opening.get()
    request = args[1] if len(args) > 1 else kwargs.get("req")
    if opening is None or not isinstance(request, Request):
        return wrapped(*args, **kwargs)
    ours = _guard.call((), opening.inject, request)
    try:
        response = wrapped(*args, **kwargs)
    finally:
        for name in ours:
            request.unredirected_hdrs.pop(name, None)
    with _guard:
        opening.hops.append(Hop(response.status, request.full_url, response.headers.get("location")))
    return response


class _Opening:
    """One call under way: the span is active, and the hops know their call."""

    __slots__ = ("_before", "call", "hops", "opener")

    def __init__(self, opener: object, call: ClientCall) -> None:
        self.opener = opener
        self.call = call
        self.hops: list[Hop] = []

    def __enter__(self) -> None:
        self._before = _opening.get()
        _opening.set(self)
        self.call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _opening.set(self._before)
        if isinstance(error, HTTPError):  # an answer like any other: its status tells whether it is an error
            self.tell(error)
            if error.code in self.call.options.client_error_statuses:
                self.call.failed(error)
            self.call.__exit__(None, None, None)
            self.call.finish()
        else:
            self.call.__exit__(kind, error, traceback)

    def inject(self, request: Request) -> list[str]:
        """Put our headers on one hop's request and return their names there."""
        headers: dict[str, Any] = dict(request.header_items())
        self.call.inject(headers, request.full_url)
        ours = [name.capitalize() for name, value in headers.items() if type(value) is InjectedHeader]
        for name, value in headers.items():
            if type(value) is InjectedHeader:
                request.add_unredirected_header(name, value)
        return ours

    def tell(self, response: Any) -> None:
        """Tell what came back, after which hops. The span ends with the body."""
        self.call.responded(response.status, list(response.headers.items()), response)
        tell_hops(self.call, self.hops[:-1], response.url)
        if isinstance(response, HTTPResponse):
            finish_with_body(self.call, response)
        elif not isinstance(response, HTTPError):  # another handler's, a cache's say
            self.call.finish()


def _arguments(fullurl: Any, data: Any = None, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return fullurl, data
