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
from sls_tracing.instrumentation._function_patch import FunctionPatch
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
_sending: ContextVar[tuple[Any, ClientCall, Any] | None] = ContextVar("sls_tracing_httpx_sending", default=None)
"""The client whose request is under way here, its call, and the address that was asked for."""
_HAS_LIST = isinstance(getattr(httpx.Headers(), "_list", None), list)
"""Whether headers are kept in a list of (name as written, name in lower case, value), all bytes: several are then added at once, 20 µs less."""

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


def _patches(kind: type, instances: Instances) -> list[RemovablePatch]:
    hooks = _Hooks(instances)
    if hasattr(kind, "__aenter__"):
        # wrapt's, for it stays a coroutine function to those who ask.
        send: RemovablePatch = Patch(kind, "send", hooks.send_async)
        send_single = hooks.send_single_request_async
    else:
        send, send_single = FunctionPatch(kind, "send", hooks.send), hooks.send_single_request
    return [send, FunctionPatch(kind, "_send_single_request", send_single, _sending.get)]


class _Hooks:
    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def send(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``Client.send``."""
        call = self._start(instance, *args, **kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with _Sending(instance, call, *args, **kwargs):
            response = wrapped(*args, **kwargs)
        _told(call, response, _TracedStream if kwargs.get("stream") else None)
        return response

    def send_async(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``AsyncClient.send``."""
        call = self._start(instance, *args, **kwargs)
        return (
            wrapped(*args, **kwargs)
            if call is None
            else _send_async(call, _Sending(instance, call, *args, **kwargs), wrapped(*args, **kwargs), kwargs)
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
        tracing = self._instances.tracing(client)
        if tracing is None or not isinstance(request, httpx.Request):
            return None
        tracer, options = tracing
        return ClientCall.start(tracer, "httpx", request.method, str(request.url), request.headers, options, request)


async def _send_async(call: ClientCall, sending: _Sending, answer: Awaitable[Any], kwargs: dict[str, Any]) -> Any:
    with sending:
        response = await answer
    _told(call, response, _TracedAsyncStream if kwargs.get("stream") else None)
    return response


class _Sending:
    """The time in which a call is under way in this task: the span is active, and the hops know their call."""

    __slots__ = ("_before", "_call", "_sending")

    def __init__(self, client: Any, call: ClientCall, request: Any, *args: Any, **kwargs: Any) -> None:
        self._sending = (client, call, request.url)
        self._call = call

    def __enter__(self) -> None:
        self._before = _sending.get()
        _sending.set(self._sending)
        self._call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _sending.set(self._before)
        self._call.__exit__(kind, error, traceback)


class _InjectedHeaders:
    """Puts the headers of the call that is under way on one request, and takes them off when its answer has begun."""

    __slots__ = ("_added", "_before", "_request")

    def __init__(self, client: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        self._request = request
        self._added: list[tuple[bytes, bytes, bytes]] = []
        self._before: dict[str, str | None] = {}
        sending = _sending.get()
        if sending is not None and sending[0] is client:
            _guard.call(None, self._inject, sending[1], sending[2])

    def _inject(self, call: ClientCall, url: object) -> None:
        headers = self._request.headers
        before = _as_dict(headers)
        after = {**before}
        # An address is an object that never changes, and the first hop's is the call's own.
        call.inject(after, None if self._request.url is url else str(self._request.url), _DEFAULTS)
        for name, value in after.items():
            if value.__class__ is not InjectedHeader:
                continue
            if _HAS_LIST and name not in before:
                raw = name.lower().encode("latin-1")
                self._added.append((raw, raw, value.encode("latin-1")))
            else:
                self._before[name] = before.get(name)
                headers[name] = value
        if self._added:
            headers._list.extend(self._added)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *raised: object) -> None:
        _guard.call(None, self._take_off)

    def _take_off(self) -> None:
        headers, added = self._request.headers, self._added
        if added:
            headers._list[:] = [header for header in headers._list if header not in added]
        for name, value in self._before.items():
            if value is not None:
                headers[name] = value
            elif name in headers:
                del headers[name]


def _as_dict(headers: Any) -> dict[str, str]:
    if not _HAS_LIST:
        return dict(headers.items())
    # What `items` does, but for the search for the encoding: all that is asked of these is whose they are.
    return {name.decode("latin-1"): value.decode("latin-1") for _, name, value in headers._list}


def _told(call: ClientCall, response: Any, stream: type[_Stream] | None) -> None:
    """Tell what came back, and finish the span: now, or (``stream``) when the body has been read or the response was closed."""
    _guard.call(None, _tell, call, response)
    if stream is None or response.is_closed:
        call.finish()
        return
    response.stream = stream(response.stream, call)
    weakref.finalize(response, call.finish)


def _tell(call: ClientCall, response: Any) -> None:
    call.responded(response.status_code, response.headers, response)
    if response.history:
        hops = [Hop(hop.status_code, str(hop.url), hop.headers.get("location")) for hop in response.history]
        tell_hops(call, hops, str(response.url))


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
