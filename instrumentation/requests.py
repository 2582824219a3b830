"""requests: one client span for every logical call, its redirects and repetitions told as logs.

``Session.send`` is the place: sessions and subclasses made before and after, prepared requests and test doubles such as
``responses`` all pass through it. The span's context goes into the prepared request's headers only, so the caller's dict stays his;
headers are added after authentication has signed the request, which signatures such as AWS's SigV4 allow.
"""

from __future__ import annotations

import re
import sys
import weakref
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from requests.utils import default_user_agent
from urllib3.exceptions import HTTPError

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._injection import inject_headers
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._redaction import redact_text, redact_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_ORIGIN = re.compile(r"[^:/?#]+://[^/?#]*")
_DEFAULTS = dict.fromkeys(("User-Agent", "user-agent"), default_user_agent())
_PORTS = {"http": 80, "https": 443}
_guard = Guard("instrumentation_requests")
_sending: ContextVar[tuple[Any, ClientCall] | None] = ContextVar("sls_tracing_requests_sending", default=None)
"""The session that follows redirects here, and its call."""


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``requests.sessions``, not yet installed."""
    return [Patch(module.Session, "send", _Hooks(tracer).send)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def send(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``Session.send``."""
        tracer = self._tracer.active()
        request = args[0] if args else kwargs.get("request")
        if tracer is None or not isinstance(request, PreparedRequest):
            return wrapped(*args, **kwargs)
        outer = _sending.get()
        if outer is not None and outer[0] is instance and kwargs.get("allow_redirects") is False:
            # resolve_redirects calls send for every hop: part of the same logical call, with the same ids.
            self._inject(outer[1], request)
            return wrapped(*args, **kwargs)
        call = ClientCall.start(tracer, "requests", request.method or "")
        if call is None:
            return wrapped(*args, **kwargs)
        _describe(call, request)
        self._inject(call, request)
        response = _send(call, instance, wrapped, args, kwargs)
        with _guard:
            _tell(call, response)
        stream = kwargs.get("stream", instance.stream)
        if not (stream and _guard.call(False, _finish_with_body, call, response)):
            call.finish()
        return response

    def _inject(self, call: ClientCall, request: PreparedRequest) -> None:
        headers: Any = request.headers
        if headers is None:  # of a PreparedRequest that nobody prepared; requests sends it all the same
            headers = request.headers = CaseInsensitiveDict()
        host = _guard.call("", _host, request)
        inject_headers(call, headers, host, self._tracer.http, _DEFAULTS)


def _send(
    call: ClientCall, session: Any, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    previous = _sending.get()
    _sending.set((session, call) if kwargs.get("allow_redirects", True) else None)
    try:
        with call:
            return wrapped(*args, **kwargs)
    finally:
        _sending.set(previous)


def _describe(call: ClientCall, request: PreparedRequest) -> None:
    if not call.is_recorded:
        return
    with _guard:
        url = redact_url(str(request.url))
        call.set_tags({"http.url": url})
        origin = _ORIGIN.match(url)
        if origin is not None:  # a test double's scheme may have no host
            call.set_tags(_peer_tags(origin[0]))


@lru_cache(maxsize=256)  # a service calls few hosts; taking an address apart costs 10 µs
def _peer_tags(origin: str) -> dict[str, object]:
    parts = urlsplit(origin)
    return {"peer.hostname": parts.hostname or "", "peer.port": parts.port or _PORTS.get(parts.scheme, 0)}


def _host(request: PreparedRequest) -> str:
    origin = _ORIGIN.match(str(request.url))
    return str(_peer_tags(origin[0])["peer.hostname"]) if origin is not None else ""


def _tell(call: ClientCall, response: Any) -> None:
    """Tell what came back and what it took: requests keeps each redirect and resend, urllib3 each retry below it."""
    call.responded(response.status_code)
    if not call.is_recorded:
        return
    redirects = resends = 0
    for hop in (*response.history, response):
        for attempt in getattr(getattr(hop.raw, "retries", None), "history", None) or ():
            resends += 1
            call.log(_retry_log(attempt))
        if hop is response:
            break
        if hop.is_redirect:
            redirects += 1
        else:  # answered a challenge: HTTPDigestAuth sends the request again and keeps the 401 here
            resends += 1
        call.log(_hop_log(hop))
    if redirects:
        call.set_tags({"http.redirect_count": redirects, "http.final_url": redact_url(response.url)})
    if resends:
        call.set_tags({"http.resend_count": resends})


def _hop_log(hop: Any) -> dict[str, Any]:
    fields = {
        "event": "redirect" if hop.is_redirect else "resend",
        "http.status_code": hop.status_code,
        "http.url": redact_url(hop.url),
    }
    location = hop.headers.get("location")
    return {**fields, "http.location": redact_url(location)} if location else fields


def _retry_log(attempt: Any) -> dict[str, Any]:
    """``attempt`` is urllib3's RequestHistory: method, url, error, status, redirect_location."""
    fields: dict[str, Any] = {"event": "retry", "http.url": redact_url(attempt.url or "")}
    if attempt.status is not None:
        fields["http.status_code"] = attempt.status
    if attempt.error is not None:
        fields["error.kind"] = type(attempt.error).__name__
        fields["message"] = redact_text(str(attempt.error))
    return fields


def _finish_with_body(call: ClientCall, response: Any) -> bool:
    """Finish the span when the streamed body has been read, was closed or is forgotten. False: there is nothing to wait for.

    urllib3 gives its connection back at the end of a body, and requests when a response is closed: both call ``release_conn``. The
    response is not held here, and no cycle is made that would keep its connection until the next collection.
    """
    raw = response.raw
    if raw is None or raw.closed or raw.length_remaining == 0 or not hasattr(raw, "release_conn"):
        return False
    reference = weakref.ref(raw)

    def release_conn() -> None:
        error = sys.exc_info()[1]
        if isinstance(error, HTTPError):  # the connection broke in mid-body
            call.failed(error)
        call.finish()
        raw = reference()
        if raw is not None:
            type(raw).release_conn(raw)

    raw.release_conn = release_conn
    weakref.finalize(raw, call.finish)
    return True
