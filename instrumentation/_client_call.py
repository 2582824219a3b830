"""A request that this process makes. See `_http`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import opentracing

from sls_tracing.instrumentation._call import DEFAULTS, METHODS, Call, guard, method_name
from sls_tracing.instrumentation._injection import inject_headers
from sls_tracing.instrumentation._nesting import Layers
from sls_tracing.instrumentation._redaction import redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from types import TracebackType

    from sls_tracing.instrumentation._messages import Headers
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["LAYERS", "ClientCall"]

LAYERS = Layers("http", {"http.client": 0, "urllib": 1, "urllib3": 1})
"""Which HTTP library stands on which; those that are not named stand on top."""

_ORIGIN = re.compile(r"[^:/?#]+://[^/?#]*")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NO_DEFAULTS: Mapping[str, str] = {}


class ClientCall(Call):
    """A request that this process makes: one logical call, with all its redirects and repetitions."""

    __slots__ = ("component", "follower", "host")

    def __init__(
        self,
        tracer: opentracing.Tracer,
        span: opentracing.Span,
        method: str,
        options: HTTPOptions | None = None,
        component: str = "",
        host: str = "",
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
        self.host = host
        self.follower: Any = None
        """Who follows redirects within this call, for adapters that see each hop."""
        self.component = component

    @classmethod
    def start(
        cls,
        tracer: opentracing.Tracer,
        component: str,
        method: str,
        url: str = "",
        headers: Headers = (),
        options: HTTPOptions | None = None,
        native: Any = None,
    ) -> ClientCall | None:
        """Start the span under the active one. ``headers`` are the request's, before ours are in; ``native`` is what hooks are shown.

        None if the request is part of one that is under way (a library on top has begun it), or the tracer cannot: then it goes out as it is.
        A request to a ``url`` that ``options`` ignore gets a call that records nothing and injects the active span's context.
        """
        # Calls that most requests do not need are not made: 16,000 of 136,000 instructions a request, here and in what follows.
        if LAYERS.outermost() is not None and LAYERS.is_inner(component):
            return None
        name = method if method.__class__ is str and method in METHODS else method_name(method)
        options = DEFAULTS if options is None else options
        end = url.find("/", _BEHIND_SCHEME)
        # What comes before a slash and is an origin in the table is the address's origin.
        peer = (_peers.get(url[:end]) if end > 0 else None) or _peer_tags(url)
        shown = redact_url(url)
        host: str = peer.get("peer.hostname", "")  # type: ignore[assignment]
        if options.ignore_urls and options.ignores_url(url):
            ignored = guard.call(None, _ignored_call, tracer, name, options, component, host)
            if ignored is not None:
                return ignored
        # All at once: a tag that is set afterwards costs a call more.
        tags = {"component": component, "span.kind": "client", "http.method": method, "http.url": shown, **peer}
        span = guard.call_method(None, tracer, "start_span", name, tags=tags)
        if span is None:
            return None
        call = cls(tracer, span, name, options, component, host)
        if options.watches_requests:
            with guard:
                call._describe(shown, headers, native)
        return call

    def inject(
        self, headers: MutableMapping[str, Any], url: str | None = None, defaults: Mapping[str, str] = _NO_DEFAULTS
    ) -> None:
        """Put the span's context into ``headers``, which go to ``url`` (the call's own if None: give it for the hops of a redirect).

        What the caller set there himself stays; see `_injection` for that and for ``defaults``.
        """
        host = self.host if url is None else _host(url)
        inject_headers(self, headers, host, self.options, defaults)

    def responded(self, status: int, headers: Headers = (), native: Any = None) -> None:
        """Tag the final status; a server error makes the span one."""
        options = self.options
        with guard:
            self.span.set_tag("http.status_code", status)
            if status in options.client_error_statuses:
                self.span.set_tag("error", True)
        if options.captured_response_header is not None or options.response_hook is not None:
            self._answered(status, headers, native)

    def __enter__(self) -> None:
        with guard:  # as the base class does, which a call of it would take 0.2 µs to say
            self._scope = self.tracer.scope_manager.activate(self.span, False)
        self._outer = LAYERS.outermost()
        LAYERS.mark(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        LAYERS.mark(self._outer)
        self._outer = None
        if error is not None:
            super().__exit__(kind, error, traceback)
            return
        scope, self._scope = self._scope, None  # as the base class does
        if scope is not None:
            guard.call_method(None, scope, "close")

    def _describe(self, shown: str, headers: Headers, native: Any) -> None:
        """Do what the options ask for. ``shown`` is the address without its secrets."""
        options = self.options
        hears = options.request_hook is not None or options.response_hook is not None or options.span_name is not None
        if hears or self.is_recorded:
            self._requested(shown, headers, native)
            name = self._chosen_name(shown, headers, native, None)
            if name is not None:
                self.span.set_operation_name(name)


class _PassedOn(opentracing.Span):  # type: ignore[misc]
    """Stands in an ignored call for the span that is active around it, and keeps that one free of what belongs to the call."""

    is_recording = False

    def set_operation_name(self, operation_name: str) -> _PassedOn:
        """Do nothing."""
        return self


class _IgnoredCall(ClientCall):
    """A request that makes no span. Libraries below know that it is under way; the active span stays the active one."""

    __slots__ = ()

    is_recorded = False

    def __enter__(self) -> None:
        self._outer = LAYERS.outermost()
        LAYERS.mark(self)

    def inject(
        self, headers: MutableMapping[str, Any], url: str | None = None, defaults: Mapping[str, str] = _NO_DEFAULTS
    ) -> None:
        """Put the active span's context into ``headers``; without one, nothing."""
        if self.span.context is not None:
            super().inject(headers, url, defaults)

    def responded(self, status: int, headers: Headers = (), native: Any = None) -> None:
        """Do nothing."""


def _ignored_call(tracer: opentracing.Tracer, name: str, options: HTTPOptions, component: str, host: str) -> ClientCall:
    active = tracer.active_span
    span = _PassedOn(tracer, None if active is None else active.context)
    return _IgnoredCall(tracer, span, name, options, component, host)


def _origin(url: str) -> str:
    """Return scheme, host and port of an address; empty if it has none, as a test double's may."""
    origin = _ORIGIN.match(url)
    if origin is None:
        return ""
    scheme, _, host = origin[0].partition("://")
    return f"{scheme}://{host.rpartition('@')[2]}"  # nobody's password stays behind in the table


def _peer_tags(url: str) -> Mapping[str, object]:
    """Return the tags of the host and port in ``url``. A service calls few hosts, and taking an address apart costs 10 µs."""
    return guard.call(_NO_PEER, _peer_tags_of_origin, _origin(url))


def _peer_tags_of_origin(origin: str) -> Mapping[str, object]:
    peer = _peers.get(origin)
    if peer is None:
        peer, parts = _NO_PEER, urlsplit(origin)
        if parts.hostname:
            peer = {"peer.hostname": parts.hostname, "peer.port": parts.port or _PORTS.get(parts.scheme.lower(), 0)}
        if len(_peers) >= _MOST_PEERS:
            _peers.clear()
        _peers[origin] = peer
    return peer


_NO_PEER: Mapping[str, object] = {}
_MOST_PEERS = 256
_BEHIND_SCHEME = len("https://")
_peers: dict[str, Mapping[str, object]] = {}
"""By origin, as `_origin` returns it."""


def _host(url: str) -> str:
    return str(_peer_tags(url).get("peer.hostname", ""))
