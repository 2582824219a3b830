"""One HTTP exchange and its span: what servers and clients have in common. See `_http`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._messages import HTTPRequest, HTTPResponse, capture
from sls_tracing.instrumentation._operation import Operation
from sls_tracing.instrumentation._options import HTTPOptions

if TYPE_CHECKING:
    import opentracing

    from sls_tracing.instrumentation._messages import Headers

__all__ = ["DEFAULTS", "METHODS", "Call", "guard", "method_name"]

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))

DEFAULTS = HTTPOptions()
guard = Guard("instrumentation_http")
_hook_guard = Guard("instrumentation_hook")


def method_name(method: object) -> str:
    """Return the method as a span name may show it: known methods in upper case, ``HTTP`` for anything else."""
    if method.__class__ is str and method in METHODS:
        return method
    name = method.upper() if isinstance(method, str) else ""
    return name if name in METHODS else "HTTP"


class Call(Operation):
    """One HTTP exchange and its span."""

    __slots__ = ("_outer", "_request", "method", "options")

    def __init__(
        self, tracer: opentracing.Tracer, span: opentracing.Span, method: str, options: HTTPOptions | None = None
    ) -> None:
        self.tracer = tracer  # as the base class does, which a call of it would take 0.1 µs to say
        self.span = span
        self.finished = False
        self._scope = None
        self._logged = 0
        self.method = method
        self.options = DEFAULTS if options is None else options
        self._request: HTTPRequest | None = None
        self._outer: Any = None

    # -- what the options ask for; a subclass calls these at its moments -------------------------------------------------

    def _requested(self, url: str, headers: Headers, native: Any) -> None:
        """Capture what is wanted of the request and call the hook. ``url`` without credentials."""
        options = self.options
        request = self._request = HTTPRequest(self.method, url, headers, native)
        matches = options.captured_request_header
        if matches is not None and self.is_recorded:
            self.set_tags(guard.call({}, capture, "request", headers, matches, options.redacted_header))
        if options.request_hook is not None:
            _hook_guard.call(None, options.request_hook, self.span, request)

    def _answered(self, status: int, headers: Headers, native: Any) -> None:
        """The same for the response."""
        options = self.options
        matches = options.captured_response_header
        if matches is not None and self.is_recorded:
            self.set_tags(guard.call({}, capture, "response", headers, matches, options.redacted_header))
        if options.response_hook is not None:
            request = self._request or HTTPRequest(self.method, "", {})
            _hook_guard.call(None, options.response_hook, self.span, request, HTTPResponse(status, headers, native))

    def _chosen_name(self, url: str, headers: Headers, native: Any, route: str | None) -> str | None:
        """Return the name that the application's own function chooses, or None."""
        choose = self.options.span_name
        if choose is None:
            return None
        request = self._request or HTTPRequest(self.method, url, headers, native)
        name = _hook_guard.call(None, choose, request, route)
        return name if isinstance(name, str) and name else None
