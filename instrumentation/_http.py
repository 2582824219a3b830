"""HTTP, decided once for every library: span names, tags, what counts as an error, how context enters and leaves.

An adapter translates its library's objects into these calls and decides nothing. Everything here is guarded: whatever a tracer or
a strange header raises is counted, logged at a limited rate and gone; only the application's own exceptions pass.

Names: a server span is ``GET /products/<id>`` (method and route template) or ``GET <unmatched>``, never a raw path; a client span
is the method alone, for a client knows no template. Unknown methods read ``HTTP``: names must stay few whatever clients send.
Errors: a status of 500 and above on either side, and every exception. A 404 answered to a client is often what it asked to know
(is it there?), so 4xx is no error by itself.
Tags: OpenTracing's semantic conventions 1.1; ``http.route``, ``http.redirect_count``, ``http.resend_count`` and
``http.final_url`` in the same style, where that text has no name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import opentracing
from opentracing import Format

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._redaction import redact_text
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from types import TracebackType

__all__ = ["Call", "ClientCall", "InjectedHeader", "ServerCall", "inject_headers", "method_name"]

ERROR_STATUS = 500
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_STATUS = re.compile(r"\d{3}(?!\d)")
_NO_ERRORS = (StopIteration, StopAsyncIteration, GeneratorExit)
"""How iterables end: PEP 3333 bodies, and gunicorn's way out of a request at shutdown."""

_FORMATS = {"b3": "b3", "traceparent": "w3c", "tracestate": "w3c"}
_UNREADABLE = (
    opentracing.InvalidCarrierException,
    opentracing.SpanContextCorruptedException,
    opentracing.UnsupportedFormatException,
)
_guard = Guard("instrumentation_http")


def method_name(method: object) -> str:
    """Return the method as a span name may show it: known methods in upper case, ``HTTP`` for anything else."""
    name = method.upper() if isinstance(method, str) else ""
    return name if name in _METHODS else "HTTP"


class Call:
    """One HTTP exchange and its span.

    ``with call:`` makes the span the active one for that block, in this thread and context only: a scope is never kept open
    across a ``yield`` or a return. An exception that leaves the block is recorded and ends the span.
    """

    __slots__ = ("__weakref__", "_scope", "finished", "span", "tracer")

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span) -> None:
        self.tracer = tracer
        self.span = span
        self.finished = False
        self._scope: Any = None

    @property
    def is_recorded(self) -> bool:
        """False when tags would go nowhere, as far as the tracer tells: ours says so in ``context.sampled``."""
        return getattr(self.span.context, "sampled", None) is not False

    def __enter__(self) -> None:
        with _guard:
            self._scope = self.tracer.scope_manager.activate(self.span, False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            with _guard:
                scope.close()
        if error is not None:
            if not isinstance(error, _NO_ERRORS):
                self.failed(error)
            self.finish()

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set each tag on the span."""
        with _guard:
            for key, value in tags.items():
                self.span.set_tag(key, value)

    def log(self, fields: Mapping[str, object]) -> None:
        """Log ``fields`` on the span."""
        with _guard:
            self.span.log_kv(fields)

    def failed(self, error: BaseException) -> None:
        """Mark the span as failed and log ``error`` on it, without the secrets that its text may quote."""
        if self.finished:
            return
        with _guard:
            self.span.set_tag("error", True)
            self.span.log_kv(_error_log(error))

    def finish(self) -> None:
        """Finish the span; later calls do nothing."""
        if not self.finished:
            self.finished = True
            with _guard:
                self.span.finish()


class ServerCall(Call):
    """A request that this process answers."""

    __slots__ = ("_caught", "body_is_complete", "is_described", "method")

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span, method: str) -> None:
        super().__init__(tracer, span)
        self.method = method
        self.is_described = False
        self.body_is_complete = False
        self._caught: BaseException | None = None

    @classmethod
    def start(
        cls, tracer: opentracing.Tracer, component: str, method: str, headers: Mapping[str, str]
    ) -> ServerCall | None:
        """Start the span as a child of what ``headers`` carry. None if the tracer cannot: then the request goes untraced.

        The active span is no parent: a request comes from outside, and what is active in a server's thread was left there by mistake.
        """
        parent = None
        with _guard:
            parent = _extract(tracer, headers)
        name = method_name(method)
        tags = {"component": component, "span.kind": "server", "http.method": method}
        span = _guard.call(None, tracer.start_span, name, child_of=parent, tags=tags, ignore_active_span=True)
        return None if span is None else cls(tracer, span, name)

    def named(self, route: str | None) -> None:
        """Name the span by its route template; None says that no route matched."""
        with _guard:
            self.span.set_operation_name(f"{self.method} {'<unmatched>' if route is None else route}")
            if route is not None:
                self.span.set_tag("http.route", route)

    def caught(self, error: BaseException) -> None:
        """Remember an exception that the application handles: it counts only if the answer is a server error."""
        self._caught = error

    def responded(self, status: str | int) -> None:
        """Tag the status, given as 200 or "200 OK". A server error makes the span one and logs the exception behind it."""
        match = _STATUS.match(str(status))
        if match is None:
            return
        code = int(match[0])
        error, self._caught = self._caught, None
        self.set_tags({"http.status_code": code, "error": True} if code >= ERROR_STATUS else {"http.status_code": code})
        if code >= ERROR_STATUS and error is not None:
            self.failed(error)


class ClientCall(Call):
    """A request that this process makes: one logical call, with all its redirects and repetitions."""

    __slots__ = ()

    @classmethod
    def start(cls, tracer: opentracing.Tracer, component: str, method: str) -> ClientCall | None:
        """Start the span under the active one. None if the tracer cannot: then the request goes out as it is."""
        tags = {"component": component, "span.kind": "client", "http.method": method}
        span = _guard.call(None, tracer.start_span, method_name(method), tags=tags)
        return None if span is None else cls(tracer, span)

    def responded(self, status: int) -> None:
        """Tag the final status; a server error makes the span one."""
        self.set_tags(
            {"http.status_code": status, "error": True} if status >= ERROR_STATUS else {"http.status_code": status}
        )


class InjectedHeader(str):
    """A header value of ours. Being a type of its own, it is told apart from the caller's wherever requests copies it."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


def inject_headers(call: Call, headers: MutableMapping[str, Any]) -> None:
    """Put the span's context into ``headers``; what the caller set there himself stays, with the whole format it belongs to.

    Ids of the caller beside ids of ours would make a trace that exists nowhere, hence the format as a whole. Values of an earlier
    injection (a prepared request sent twice, ``response.next``, a redirect) are replaced, and dropped if not injected again.
    """
    carrier: dict[str, str] = {}
    with _guard:
        call.tracer.inject(call.span.context, Format.HTTP_HEADERS, carrier)
    with _guard:
        stale, given = [], set()
        for name, value in headers.items():
            if type(value) is InjectedHeader:
                stale.append(name)
            else:
                given.add(_format_of(name))
        for name in stale:
            del headers[name]
        for name, value in carrier.items():
            if _format_of(name) not in given:
                headers[name] = InjectedHeader(value)


def _extract(tracer: opentracing.Tracer, headers: Mapping[str, str]) -> opentracing.SpanContext | None:
    try:
        return tracer.extract(Format.HTTP_HEADERS, headers)
    except _UNREADABLE:  # a tracer may say so of headers that are malformed, or just not there: a new trace begins
        return None


def _format_of(name: str | bytes) -> str:
    """Return the propagation format that a header belongs to; a header outside of the known formats is one by itself."""
    lower = name.lower() if isinstance(name, str) else name.decode("latin-1").lower()
    return "b3" if lower.startswith("x-b3-") else _FORMATS.get(lower, lower)


def _error_log(error: BaseException) -> dict[str, Any]:
    """OpenTracing's fields for an exception, with the object itself where its text is free of secrets."""
    fields: dict[str, Any] = dict(error_fields(error))
    redacted = {key: redact_text(value) if isinstance(value, str) else value for key, value in fields.items()}
    if redacted == fields:
        redacted["error.object"] = error
    return redacted
