"""A WSGI request from the server's call to the last byte of the body (PEP 3333), for every framework that speaks WSGI."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ServerCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

    Environ = dict[str, Any]

__all__ = ["CALL", "TracedBody", "call_of", "describe", "serve"]

CALL = "sls_tracing.server_call"
"""Where a request's call is found in its environ, and the sign that the request is traced already."""

_NO_HEADERS: dict[str, str] = {}
_SAFE_PATH = re.compile(r"[A-Za-z0-9/_.~\-]*")
_guard = Guard("instrumentation_wsgi")


def call_of(environ: Environ) -> ServerCall | None:
    """Return the call under which this request runs, or None if it is not traced."""
    call = environ.get(CALL)
    return call if isinstance(call, ServerCall) else None


def serve(
    tracer: opentracing.Tracer,
    component: str,
    application: Callable[..., Iterable[bytes]],
    environ: Environ,
    start_response: Callable[..., Any],
    is_complete: Callable[[ServerCall, object], bool],
    options: HTTPOptions | None = None,
) -> Iterable[bytes]:
    """Call ``application`` under a server span and return its body.

    The span ends here if the body is whole, else with the body. ``is_complete(call, body)`` lets a framework say so of bodies
    that have no ``len``. A request that is traced already, by middleware or by the server around this one, goes on under that call.
    """
    if CALL in environ:
        return application(environ, start_response)
    method = environ.get("REQUEST_METHOD", "")
    headers, path = _guard.call((_NO_HEADERS, ""), _headers_and_path, environ)
    call = ServerCall.start(tracer, component, method, headers, path, options, environ)
    if call is None:
        return _serve_under(ServerCall.under_way(method, path), application, environ, start_response)
    environ[CALL] = call
    with call:
        try:
            body = application(environ, _observed(call, start_response))
        finally:
            # Off again: a server or a test may use the same dict for its next request.
            environ.pop(CALL, None)
            if not call.is_described:
                describe(call, environ)
    if (
        hasattr(body, "__len__")
        or ("wsgi.file_wrapper" in environ and _is_file(environ, body))
        or _guard.call(False, is_complete, call, body)
    ):
        call.finish()
        return body
    return TracedBody(call, body)


def describe(call: ServerCall, environ: Environ) -> None:
    """Tag address and peer. Best called as late as a framework can: middleware such as ProxyFix corrects the environ on its way."""
    call.describe(partial(_url, environ), environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT"))


def _serve_under(
    outer: ServerCall | None,
    application: Callable[..., Iterable[bytes]],
    environ: Environ,
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    if outer is None:
        return application(environ, start_response)
    environ[CALL] = outer
    try:
        return application(environ, start_response)
    finally:
        environ.pop(CALL, None)


class TracedBody:
    """A streamed body. The span is active while the application produces a part, never in between, and ends with the body.

    It has no ``__len__``: servers take a body of length one for its own Content-Length. A body that nobody reads to its end and
    nobody closes is finished when it is collected.
    """

    __slots__ = ("_body", "_call", "_parts")

    def __init__(self, call: ServerCall, body: Iterable[bytes]) -> None:
        self._call = call
        self._body = body
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> TracedBody:
        return self

    def __next__(self) -> bytes:
        with self._call:  # StopIteration and every other exception leave through it and end the span
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)

    def close(self) -> None:
        """Close the application's body, as PEP 3333 asks, and end the span."""
        with self._call:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        self._call.finish()

    def __del__(self) -> None:
        self._call.finish()


def _observed(call: ServerCall, start_response: Callable[..., Any]) -> Callable[..., Any]:
    def observing_start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        call.responded(status, headers)
        # Only when given: some servers' start_response takes two arguments.
        return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

    return observing_start_response


def _is_file(environ: Environ, body: object) -> bool:
    """Whether the server may send ``body`` by itself (sendfile): it recognises the object, so the object must stay what it is."""
    wrapper = environ["wsgi.file_wrapper"]
    if wrapper is None:
        return False
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        return True
    return hasattr(body, "fileno") or hasattr(body, "filelike")


class _Names(dict[str, str]):
    """Header names by their keys in an environ, empty for other keys. A service meets the same few dozen again and again: 3 µs a request."""

    def __missing__(self, key: str) -> str:
        name = key[5:].replace("_", "-").lower() if key[:5] == "HTTP_" else ""
        if len(self) < _MOST_NAMES and len(key) <= _LONGEST_NAME:
            self[key] = name
        return name


_MOST_NAMES, _LONGEST_NAME = 1024, 64
_names = _Names()


def _headers_and_path(environ: Environ) -> tuple[dict[str, str], str]:
    headers = {name: environ[key] for key in environ if (name := _names[key])}
    return headers, environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")


def _url(environ: Environ) -> str:
    """Rebuild the address (PEP 3333, "URL Reconstruction"). Paths come as latin-1 text of the bytes sent."""
    host = environ.get("HTTP_HOST")
    if not host:
        host, port = environ.get("SERVER_NAME", ""), str(environ.get("SERVER_PORT", ""))
        if port and port != {"http": "80", "https": "443"}.get(environ.get("wsgi.url_scheme", "http")):
            host = f"{host}:{port}"
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if not _SAFE_PATH.fullmatch(path):
        path = quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")
    query = environ.get("QUERY_STRING", "")
    return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{path or '/'}{'?' if query else ''}{query}"
