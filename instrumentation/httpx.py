"""httpx, synchronous and asynchronous: one client span for every logical call, its redirects told as logs.

``send`` is the one way to a request, whatever the transport (custom, mocked, ASGI). Each hop passes ``_send_single_request``, behind the client's
authentication; there our headers are put on and taken off again. The request is the caller's own object, and the next hop's is made from it: so neither keeps
ids of a call that is over, and each hop follows the rules for its own host.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import InjectedHeader
from sls_tracing.instrumentation._instances import Instances
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._redirects import Hop, tell_hops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import ModuleType, TracebackType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["instrument", "patches", "uninstrument"]

_DEFAULTS = {"user-agent": f"python-httpx/{httpx.__version__}"}
_guard = Guard("instrumentation_httpx")
_sending: ContextVar[tuple[Any, ClientCall] | None] = ContextVar("sls_tracing_httpx_sending", default=None)
"""The client whose request is under way here, and its call."""


_instances: dict[type, Instances] = {}
"""By ``Client`` and ``AsyncClient``, which a reload replaces."""


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``httpx``, not yet installed: the whole package, for streams of this module are subclasses of its own."""
    return [_instances_of(kind).for_library(tracer) for kind in (module.Client, module.AsyncClient)]


def instrument(
    client: httpx.Client | httpx.AsyncClient, tracer: opentracing.Tracer | None, http: HTTPOptions | None
) -> None:
    """Trace this client, with its own tracer and options."""
    _instances_of(_kind(client)).add(client, tracer, http)


def uninstrument(client: httpx.Client | httpx.AsyncClient) -> None:
    """Undo :func:`instrument`."""
    _instances_of(_kind(client)).discard(client)


def _kind(client: object) -> type:
    return httpx.Client if isinstance(client, httpx.Client) else httpx.AsyncClient


def _instances_of(kind: type) -> Instances:
    if kind not in _instances:
        _instances[kind] = Instances(partial(_patches, kind))
    return _instances[kind]


def _patches(kind: type, instances: Instances) -> list[Patch]:
    hooks = _Hooks(instances)
    if hasattr(kind, "__aenter__"):
        send, send_single = hooks.send_async, hooks.send_single_request_async
    else:
        send, send_single = hooks.send, hooks.send_single_request
    return [Patch(kind, "send", send), Patch(kind, "_send_single_request", send_single)]


class _Hooks:
    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def send(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``Client.send``."""
        call = self._start(instance, *args, **kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with _Sending(instance, call):
            response = wrapped(*args, **kwargs)
        _told(call, response, _TracedStream if kwargs.get("stream") else None)
        return response

    def send_async(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``AsyncClient.send``."""
        call = self._start(instance, *args, **kwargs)
        return (
            wrapped(*args, **kwargs) if call is None else _send_async(call, instance, wrapped(*args, **kwargs), kwargs)
        )

    def send_single_request(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``Client._send_single_request``, once a hop."""
        with _InjectedHeaders(instance, *args, **kwargs):
            return wrapped(*args, **kwargs)

    async def send_single_request_async(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``AsyncClient._send_single_request``."""
        with _InjectedHeaders(instance, *args, **kwargs):
            return await wrapped(*args, **kwargs)

    def _start(self, client: object, request: Any = None, *args: Any, **kwargs: Any) -> ClientCall | None:
        source = self._instances.source(client)
        tracer = None if source is None else source.active()
        if source is None or tracer is None or not isinstance(request, httpx.Request):
            return None
        url, headers = str(request.url), request.headers
        return ClientCall.start(tracer, "httpx", request.method, url, headers, source.http, native=request)


async def _send_async(call: ClientCall, client: Any, sending: Awaitable[Any], kwargs: dict[str, Any]) -> Any:
    with _Sending(client, call):
        response = await sending
    _told(call, response, _TracedAsyncStream if kwargs.get("stream") else None)
    return response


class _Sending:
    """The time in which a call is under way in this task: the span is active, and the hops know their call."""

    __slots__ = ("_before", "_call", "_client")

    def __init__(self, client: Any, call: ClientCall) -> None:
        self._client = client
        self._call = call

    def __enter__(self) -> None:
        self._before = _sending.get()
        _sending.set((self._client, self._call))
        self._call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _sending.set(self._before)
        self._call.__exit__(kind, error, traceback)


class _InjectedHeaders:
    """Puts the headers of the call that is under way on one request, and takes them off when its answer has begun."""

    __slots__ = ("_before", "_request")

    def __init__(self, client: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        self._request = request
        self._before: dict[str, str | None] = {}
        sending = _sending.get()
        if sending is not None and sending[0] is client:
            with _guard:
                self._inject(sending[1])

    def _inject(self, call: ClientCall) -> None:
        headers = dict(self._request.headers.items())
        call.inject(headers, str(self._request.url), _DEFAULTS)
        for name, value in headers.items():
            if type(value) is InjectedHeader:
                self._before[name] = self._request.headers.get(name)
                self._request.headers[name] = value

    def __enter__(self) -> None:
        return None

    def __exit__(self, *raised: object) -> None:
        with _guard:
            for name, value in self._before.items():
                if value is not None:
                    self._request.headers[name] = value
                elif name in self._request.headers:
                    del self._request.headers[name]


def _told(call: ClientCall, response: Any, stream: type[_Stream] | None) -> None:
    """Tell what came back, and finish the span: now, or (``stream``) when the body has been read or the response was closed."""
    with _guard:
        call.responded(response.status_code, response.headers, response)
        if response.history:
            hops = [Hop(hop.status_code, str(hop.url), hop.headers.get("location")) for hop in response.history]
            tell_hops(call, hops, str(response.url))
    if stream is None or response.is_closed:
        call.finish()
        return
    response.stream = stream(response.stream, call)
    weakref.finalize(response, call.finish)


class _Stream:
    def __init__(self, stream: Any, call: ClientCall) -> None:
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _TracedStream(_Stream, httpx.SyncByteStream):
    """A body whose end is the span's."""

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._stream)
        while True:
            with _Failures(self._call):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        """Close the body and finish the span."""
        try:
            self._stream.close()
        finally:
            self._call.finish()


class _TracedAsyncStream(_Stream, httpx.AsyncByteStream):
    """The same, asynchronous."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = self._stream.__aiter__()
        while True:
            part = None
            with _Failures(self._call):
                part = await anext(parts, None)
            if part is None:
                return
            yield part

    async def aclose(self) -> None:
        """Close the body and finish the span."""
        try:
            await self._stream.aclose()
        finally:
            self._call.finish()


class _Failures:
    """Tells the span of what breaks a body off."""

    __slots__ = ("_call",)

    def __init__(self, call: ClientCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._call.failed(error)
