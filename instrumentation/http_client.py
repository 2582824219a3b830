"""http.client: one client span for every request over a connection, from its headers to the end of its body.

``endheaders`` is where every request passes, put together by ``request`` or piece by piece: there its line and headers are known, and nothing
has been sent. What stands on http.client and is instrumented itself (requests, urllib3, urllib) has its own call under way, so there is no span here.
"""

from __future__ import annotations

import weakref
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._bodies import finish_when_called
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import InjectedHeader

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from http.client import HTTPConnection, HTTPResponse
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["finish_with_body", "patches"]

_guard = Guard("instrumentation_http_client")


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch]:
    """Return the patches for ``http.client``, not yet installed."""
    hooks = _Hooks(tracer)
    return [
        FunctionPatch(module.HTTPConnection, "endheaders", hooks.end_headers),
        FunctionPatch(module.HTTPConnection, "getresponse", hooks.get_response),
    ]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self._calls: MutableMapping[HTTPConnection, ClientCall] = weakref.WeakKeyDictionary()

    def end_headers(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``endheaders``: it sends, and connects before that."""
        call = _guard.call(None, self._start, instance)
        if call is None:
            return wrapped(*args, **kwargs)
        with call:
            return wrapped(*args, **kwargs)

    def get_response(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``getresponse``."""
        call = self._calls.pop(instance, None) if self._calls else None
        if call is None or call.finished:
            return wrapped(*args, **kwargs)
        with call:
            response = wrapped(*args, **kwargs)
        call.responded(response.status, list(response.headers.items()), response)
        finish_with_body(call, response)
        return response

    def _start(self, connection: Any) -> ClientCall | None:
        forgotten = self._calls.pop(connection, None)
        if forgotten is not None:  # its answer was never asked for
            forgotten.finish()
        tracer = self._tracer.active()
        if tracer is None or not connection._buffer:
            return None
        line, *lines = (part.decode("latin-1") for part in connection._buffer)
        method, _, rest = line.partition(" ")
        headers = dict(_header(text) for text in lines if ":" in text)
        url = _url(connection, rest.rpartition(" ")[0])
        call = ClientCall.start(tracer, "http.client", method, url, headers, self._tracer.http, connection)
        if call is None:
            return None
        self._calls[connection] = call
        call.inject(headers)
        for name, value in headers.items():
            if type(value) is InjectedHeader:
                connection.putheader(name, value)
        return call


def finish_with_body(call: ClientCall, response: HTTPResponse) -> None:
    """Finish the span when the body has been read, was closed or is forgotten; now, if there is none."""
    if response.isclosed() or response.length == 0:
        call.finish()
    else:
        finish_when_called(call, response, "_close_conn", HTTPException)


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _url(connection: Any, target: str) -> str:
    if "://" in target.split("?", maxsplit=1)[0]:  # to a proxy
        return target
    host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
    default = connection.default_port
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if default == 443 else 'http'}://{shown}{'' if port == default else f':{port}'}{target}"
