"""Tornado's ``AsyncHTTPClient``, simple and curl, and the ``HTTPClient`` on top of it: one client span for every logical call.

``fetch`` takes every request, and is called again by the simple client for each redirect. Headers go into a copy of the request: it is the caller's
object, and may wait in the client's queue for its turn.
"""

from __future__ import annotations

import asyncio
import copy
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import InjectedHeader
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._redaction import redact_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_guard = Guard("instrumentation_tornado_client")
_fetching: ContextVar[_Fetch | None] = ContextVar("sls_tracing_tornado_fetch", default=None)


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patch for ``tornado.httpclient``, not yet installed."""
    return [Patch(module.AsyncHTTPClient, "fetch", _Hooks(tracer).fetch)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def fetch(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``AsyncHTTPClient.fetch``."""
        tracer = self._tracer.active()
        if tracer is None:
            return wrapped(*args, **kwargs)
        request, raise_error, options = _arguments(*args, **kwargs)
        if not isinstance(request, HTTPRequest):
            request, options = HTTPRequest(request, **options), {}
        outer = _fetching.get()
        if outer is not None and outer.client is instance and not outer.call.finished and outer.is_hop(request):
            return wrapped(outer.hop(request), raise_error, **options)
        url, headers, http = request.url, request.headers or (), self._tracer.http
        call = ClientCall.start(tracer, "tornado", request.method, url, headers, http, native=request)
        if call is None:
            return wrapped(request, raise_error, **options)
        fetch = _Fetch(instance, call)
        before = _fetching.get()
        _fetching.set(fetch)
        try:
            with call:
                future = wrapped(fetch.hop(request), raise_error, **options)
        finally:
            _fetching.set(before)
        future.add_done_callback(fetch.done)
        return future


class _Fetch:
    """One call under way, which the hops of its redirects find by the context that they have inherited."""

    __slots__ = ("_ours", "_urls", "call", "client")

    def __init__(self, client: object, call: ClientCall) -> None:
        self.client = client
        self.call = call
        self._urls: list[str] = []
        self._ours: dict[str, str] = {}

    @staticmethod
    def is_hop(request: Any) -> bool:
        """Whether the simple client made this request of one before, to follow a redirect."""
        return hasattr(request, "original_request")

    def hop(self, request: Any) -> Any:
        """Return a copy of one hop's request, with our headers by the rules for its host."""
        made = copy.copy(request)
        with _guard:
            if self._urls:
                self.call.log({"event": "redirect", "http.location": redact_url(request.url)})
            self._urls.append(request.url)
            made.headers = HTTPHeaders(request.headers or {})
            for name, value in self._ours.items():  # of the hop before, from which this one was copied
                if made.headers.get(name) == value:
                    del made.headers[name]
            flat: dict[str, Any] = dict(made.headers.items())
            self.call.inject(flat, request.url)
            self._ours = {name: value for name, value in flat.items() if type(value) is InjectedHeader}
            for name, value in self._ours.items():
                made.headers[name] = value
        return made

    def done(self, future: Any) -> None:
        """Tell what came back, and finish the span."""
        with _guard:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            response = getattr(error, "response", None) if error is not None else future.result()
            if response is not None:
                self._tell(response)
            if error is not None and not (isinstance(error, HTTPClientError) and self._is_fine(response)):
                self.call.failed(error)
        self.call.finish()

    def _is_fine(self, response: Any) -> bool:
        """Whether what was raised is but an answer, whose status is no error."""
        return response is not None and response.code not in self.call.options.client_error_statuses

    def _tell(self, response: Any) -> None:
        self.call.responded(response.code, response.headers, response)
        redirects = len(self._urls) - 1
        if redirects or response.effective_url != self._urls[0]:  # libcurl follows redirects by itself
            self.call.set_tags({"http.final_url": redact_url(response.effective_url)})
        if redirects:
            self.call.set_tags({"http.redirect_count": redirects})


def _arguments(request: Any, raise_error: bool = True, **kwargs: Any) -> tuple[Any, bool, dict[str, Any]]:
    return request, raise_error, kwargs
