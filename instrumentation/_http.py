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

from sls_tracing.context import SpanContext
from sls_tracing.forwarding import ForwardingSpan
from sls_tracing.guard import Guard
from sls_tracing.instrumentation._redaction import redact_text
from sls_tracing.suppression import suppress
from sls_tracing.tracer import Tracer
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["Call", "ClientCall", "ServerCall", "method_name"]

ERROR_STATUS = 500
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_STATUS = re.compile(r"\d{3}(?!\d)")
_NO_ERRORS = (StopIteration, StopAsyncIteration, GeneratorExit)
"""How iterables end: PEP 3333 bodies, and gunicorn's way out of a request at shutdown."""

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
        recording = getattr(self.span, "is_recording", None)
        return getattr(self.span.context, "sampled", None) is not False if recording is None else bool(recording)

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
        cls,
        tracer: opentracing.Tracer,
        component: str,
        method: str,
        headers: Mapping[str, str],
        path: str = "",
        options: HTTPOptions | None = None,
    ) -> ServerCall | None:
        """Start the span as a child of what ``headers`` (names in lower case) carry. None if the tracer cannot: then the request goes untraced.

        The active span is no parent: a request comes from outside, and what is active in a server's thread was left there by mistake.
        A request to ``path`` that ``options`` ignore gets a call that records nothing.
        """
        parent = None
        with _guard:
            parent = _extract(tracer, headers)
        name = method_name(method)
        if options is not None and options.ignores(path, headers.get("user-agent", "")):
            ignored = _guard.call(None, _ignored_call, cls, tracer, parent, name, options)
            if ignored is not None:
                return ignored
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


class _SilentCall(ServerCall):
    """A request that is ignored under a tracer that knows no unsampled spans: every instrumentation is silent within."""

    __slots__ = ()

    def __init__(self, tracer: opentracing.Tracer, method: str) -> None:
        super().__init__(tracer, opentracing.Tracer().start_span(), method)

    is_recorded = False

    def __enter__(self) -> None:
        self._scope = suppress()
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.__exit__(None, None, None)


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


def _ignored_call(
    call: type[ServerCall],
    tracer: opentracing.Tracer,
    parent: opentracing.SpanContext | None,
    name: str,
    options: HTTPOptions,
) -> ServerCall | None:
    """Return the call of a request that is not to be traced; None if it is, since a sampled trace came with it.

    Under our tracer its span carries "not sampled" to whatever the request calls, or, with ``ignore_sampled``, the context that came.
    """
    if not isinstance(tracer, Tracer):
        return _SilentCall(tracer, name)
    context = parent if isinstance(parent, SpanContext) else SpanContext()
    if parent is not None and context.sampled:
        return call(tracer, ForwardingSpan(tracer, context), name) if options.ignore_sampled else None
    context = context._replace(sampled=False, debug=False)
    return call(tracer, tracer.start_span(name, child_of=context, ignore_active_span=True), name)


def _extract(tracer: opentracing.Tracer, headers: Mapping[str, str]) -> opentracing.SpanContext | None:
    try:
        return tracer.extract(Format.HTTP_HEADERS, headers)
    except _UNREADABLE:  # a tracer may say so of headers that are malformed, or just not there: a new trace begins
        return None


def _error_log(error: BaseException) -> dict[str, Any]:
    """OpenTracing's fields for an exception, with the object itself where its text is free of secrets."""
    fields: dict[str, Any] = dict(error_fields(error))
    redacted = {key: redact_text(value) if isinstance(value, str) else value for key, value in fields.items()}
    if redacted == fields:
        redacted["error.object"] = error
    return redacted
