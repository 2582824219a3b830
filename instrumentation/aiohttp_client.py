"""aiohttp's client: one client span for every logical call, its redirects told as logs.

``ClientSession._request`` is the one way to a request, WebSockets' handshakes included, of sessions made before and after. Each hop makes a request object of its
own with headers of its own: ours go in there when it is sent, by the rules for its host.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

# Not from `aiohttp` itself, which is still being imported when this is loaded.
from aiohttp.client import ClientSession
from aiohttp.client_exceptions import ClientError, ClientResponseError
from aiohttp.client_reqrep import ClientRequest

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._bodies import finish_when_called
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._instances import Instances
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._redirects import Hop, tell_hops

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["instrument", "patches", "uninstrument"]

_guard = Guard("instrumentation_aiohttp_client")
_requesting: ContextVar[ClientCall | None] = ContextVar("sls_tracing_aiohttp_requesting", default=None)


_instances: dict[type, Instances] = {}
"""By ``ClientSession``, which a reload replaces."""


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``aiohttp.client``, not yet installed."""
    return [_instances_of(module.ClientSession).for_library(tracer)]


def instrument(session: ClientSession, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
    """Trace this session, with its own tracer and options."""
    _instances_of(ClientSession).add(session, tracer, http)


def uninstrument(session: ClientSession) -> None:
    """Undo :func:`instrument`."""
    _instances_of(ClientSession).discard(session)


def _instances_of(kind: type) -> Instances:
    instances = _instances.get(kind)
    if instances is None:
        _instances.clear()
        instances = _instances[kind] = Instances(
            lambda all_: [Patch(kind, "_request", _Hooks(all_).request), Patch(ClientRequest, "send", _send)]
        )
    return instances


class _Hooks:
    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def request(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``ClientSession._request``."""
        source = self._instances.source(instance)
        if source is None or source.active() is None:
            return wrapped(*args, **kwargs)
        return self._traced(source, wrapped, instance, args, kwargs)

    async def _traced(
        self,
        source: TracerSource,
        wrapped: Callable[..., Any],
        session: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        # Not before it is awaited: a request that never is would leave its span behind.
        tracer = source.active()
        method, url = _guard.call(("", ""), _method_and_url, session, *args, **kwargs)
        headers = kwargs.get("headers") or ()
        call = tracer and ClientCall.start(tracer, "aiohttp", method, url, headers, source.http, session)
        if call is None:
            return await wrapped(*args, **kwargs)
        with _Requesting(call):
            response = await wrapped(*args, **kwargs)
        with _guard:
            _tell(call, response)
        if response.closed or response.status == 101:
            call.finish()
        else:  # closing, releasing and the end of the body all come through this
            finish_when_called(call, response, "_cleanup_writer", ClientError)
        return response


def _send(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``ClientRequest.send``, once a hop."""
    call = _requesting.get()
    if call is not None and not call.finished:
        with _guard:
            call.inject(instance.headers, str(instance.url))
    return wrapped(*args, **kwargs)


class _Requesting:
    """The time in which a call is under way in this task: the span is active, and the hops know their call."""

    __slots__ = ("_before", "_call")

    def __init__(self, call: ClientCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._before = _requesting.get()
        _requesting.set(self._call)
        self._call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _requesting.set(self._before)
        call = self._call
        if isinstance(error, ClientResponseError) and error.status >= 400:
            # ``raise_for_status``: an answer like any other, its status tells whether it is an error
            call.responded(error.status, error.headers or ())
            if error.status in call.options.client_error_statuses:
                call.failed(error)
            call.__exit__(None, None, None)
            call.finish()
        else:
            call.__exit__(kind, error, traceback)


def _method_and_url(session: Any, method: Any, str_or_url: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    url = session._build_url(str_or_url)
    params = kwargs.get("params")
    return str(method).upper(), str(url.update_query(params) if params else url)


def _tell(call: ClientCall, response: Any) -> None:
    call.responded(response.status, response.headers, response)
    if response.history:
        hops = [Hop(hop.status, str(hop.url), hop.headers.get("location")) for hop in response.history]
        tell_hops(call, hops, str(response.url))
