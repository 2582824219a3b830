"""urllib3: one client span for every logical call, its redirects and repetitions told as logs.

A call begins at ``PoolManager.urlopen`` or, for those who use pools (botocore), at ``HTTPConnectionPool.urlopen``. Both call themselves again for redirects
and retries. Headers go into a copy at the pool, which knows the host of each hop.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._bodies import finish_when_called
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import InjectedHeader
from sls_tracing.instrumentation._redaction import redact_text, redact_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType, TracebackType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["finish_with_body", "patches", "retry_log"]

_guard = Guard("instrumentation_urllib3")
_under_way: ContextVar[_UnderWay | None] = ContextVar("sls_tracing_urllib3", default=None)


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch]:
    """Return the patches for ``urllib3.poolmanager`` or ``urllib3.connectionpool``, not yet installed."""
    hooks = _Hooks(tracer)
    if module.__name__ == "urllib3.poolmanager":
        return [FunctionPatch(module.PoolManager, "urlopen", hooks.open_url)]
    return [FunctionPatch(module.HTTPConnectionPool, "urlopen", hooks.open_at_pool)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def open_url(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``PoolManager.urlopen``."""
        method, url, headers = _arguments(*args, **kwargs)
        return self._open(wrapped, instance, args, kwargs, method, url, headers)

    def open_at_pool(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``HTTPConnectionPool.urlopen``."""
        method, target, headers = _arguments(*args, **kwargs)
        return self._open(wrapped, instance, args, kwargs, method, _url(instance, target), headers)

    def _open(
        self,
        wrapped: Callable[..., Any],
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        method: Any,
        url: Any,
        headers: Any,
    ) -> Any:
        tracer, outer = self._tracer.active(), _under_way.get()
        if tracer is None:
            return wrapped(*args, **kwargs)
        if headers is None:
            headers = instance.headers
        is_pool = isinstance(instance, HTTPConnectionPool)
        if outer is not None and outer.owns(instance):
            if is_pool:
                args, kwargs = _with_headers(args, kwargs, _guard.call(headers, outer.injected, headers, url))
            return wrapped(*args, **kwargs)
        call = ClientCall.start(tracer, "urllib3", method, str(url), headers or (), self._tracer.http, native=instance)
        if call is None:
            return wrapped(*args, **kwargs)
        under_way = _UnderWay(call, instance)
        if is_pool:
            args, kwargs = _with_headers(args, kwargs, _guard.call(headers, under_way.injected, headers, url))
        with under_way:
            response = wrapped(*args, **kwargs)
        with _guard:
            _tell(call, response)
        if kwargs.get("preload_content", True) or not _guard.call(False, finish_with_body, call, response):
            call.finish()
        return response


class _UnderWay:
    """The time in which a call is under way: the span is active, and the hops know their call."""

    __slots__ = ("_before", "_call", "_ours", "_owner")

    def __init__(self, call: ClientCall, owner: object) -> None:
        self._call = call
        self._owner = owner
        self._ours: dict[str, str] = {}

    def owns(self, instance: object) -> bool:
        """Whether a call of ``instance`` is a part of this one: a manager's pools, and whoever calls himself again."""
        return self._owner is instance or (
            isinstance(instance, HTTPConnectionPool) and not isinstance(self._owner, HTTPConnectionPool)
        )

    def injected(self, headers: Any, url: str) -> Any:
        """Return a copy of ``headers`` with ours, instead of those for the hop before."""
        copy = headers.copy() if hasattr(headers, "copy") else dict(headers or ())
        for name, value in self._ours.items():  # urllib3's own dictionary of headers makes plain texts of them
            if copy.get(name) == value:
                del copy[name]
        flat: dict[str, Any] = dict(copy.items())
        self._call.inject(flat, url)
        self._ours = {name: value for name, value in flat.items() if type(value) is InjectedHeader}
        for name, value in self._ours.items():
            copy[name] = value
        return copy

    def __enter__(self) -> None:
        self._before = _under_way.get()
        _under_way.set(self)
        self._call.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _under_way.set(self._before)
        self._call.__exit__(kind, error, traceback)


def finish_with_body(call: ClientCall, response: Any) -> bool:
    """Finish the span when the streamed body has been read, was closed or is forgotten. False: there is nothing to wait for.

    urllib3 gives its connection back at the end of a body, and requests when a response is closed: both call ``release_conn``.
    """
    if response is None or response.closed or response.length_remaining == 0 or not hasattr(response, "release_conn"):
        return False
    finish_when_called(call, response, "release_conn", HTTPError)
    return True


def retry_log(attempt: Any) -> dict[str, Any]:
    """Return what is told of ``attempt``, urllib3's RequestHistory: method, url, error, status, redirect_location."""
    event = "redirect" if attempt.redirect_location else "retry"
    fields: dict[str, Any] = {"event": event, "http.url": redact_url(attempt.url or "")}
    if attempt.status is not None:
        fields["http.status_code"] = attempt.status
    if attempt.redirect_location:
        fields["http.location"] = redact_url(attempt.redirect_location)
    if attempt.error is not None:
        fields["error.kind"] = type(attempt.error).__name__
        fields["message"] = redact_text(str(attempt.error))
    return fields


def _tell(call: ClientCall, response: Any) -> None:
    call.responded(response.status, response.headers, response)
    history: Iterable[Any] = getattr(getattr(response, "retries", None), "history", None) or ()
    redirects = resends = 0
    for attempt in history:
        call.log(retry_log(attempt))
        redirects, resends = redirects + bool(attempt.redirect_location), resends + (not attempt.redirect_location)
    if redirects:
        call.set_tags({"http.redirect_count": redirects})
        final = response.geturl()
        if final:
            call.set_tags({"http.final_url": redact_url(final)})
    if resends:
        call.set_tags({"http.resend_count": resends})


def _arguments(method: Any = "", url: Any = "", *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    # urlopen(method, url, body, headers, …) of a pool; a manager takes them by name.
    return method, url, kwargs.get("headers", args[1] if len(args) > 1 else None)


def _with_headers(
    args: tuple[Any, ...], kwargs: dict[str, Any], headers: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(args) > 3:
        return (*args[:3], headers, *args[4:]), kwargs
    return args, {**kwargs, "headers": headers}


def _url(pool: Any, url: Any) -> str:
    target = str(url)
    if "://" in target.split("?", maxsplit=1)[0]:  # to a proxy
        return target
    host = f"[{pool.host}]" if ":" in pool.host and not pool.host.startswith("[") else pool.host
    default = {"http": 80, "https": 443}.get(pool.scheme)
    return f"{pool.scheme}://{host}{'' if pool.port in (None, default) else f':{pool.port}'}{target}"
