"""Headers of ours in a request that goes out: whose win, which are taken off again, and which hosts get none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentracing import Format

from sls_tracing.guard import Guard
from sls_tracing.propagators.carrier import OutgoingHeaders

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from sls_tracing.instrumentation._http import Call
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["InjectedHeader", "inject_headers"]

_NO_HEADERS: Mapping[str, str] = {}
_FORMATS = {"b3": "b3", "traceparent": "w3c", "tracestate": "w3c"}
_guard = Guard("instrumentation_http")


class InjectedHeader(str):
    """A header value of ours. Being a type of its own, it is told apart from the caller's wherever requests copies it."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


def inject_headers(
    call: Call,
    headers: MutableMapping[str, Any],
    host: str = "",
    options: HTTPOptions | None = None,
    defaults: Mapping[str, str] = _NO_HEADERS,
) -> None:
    """Put the span's context into ``headers``; what the caller set there himself stays, with the whole format it belongs to.

    Ids of the caller beside ids of ours would make a trace that exists nowhere, hence the format as a whole. Values of an earlier
    injection (a prepared request sent twice, ``response.next``, a redirect) are replaced, and dropped if not injected again: ``host``, to which
    this one goes, may be one that ``options`` leave out. ``defaults`` are headers, by the names used for them, that the library sets by itself: nobody chose those.
    """
    carrier = OutgoingHeaders(host)
    if options is None or options.propagates_to(host):
        with _guard:
            call.tracer.inject(call.span.context, Format.HTTP_HEADERS, carrier)
    with _guard:
        stale, given = [], set()
        for name, value in headers.items():
            if type(value) is InjectedHeader:
                stale.append(name)
            elif defaults.get(name) != value:
                given.add(_format_of(name))
        for name in stale:
            del headers[name]
            if name in defaults:
                headers[name] = defaults[name]
        for name, value in carrier.items():
            if _format_of(name) not in given:
                headers[name] = InjectedHeader(value)


def _format_of(name: str | bytes) -> str:
    """Return the propagation format that a header belongs to; a header outside of the known formats is one by itself."""
    lower = name.lower() if isinstance(name, str) else name.decode("latin-1").lower()
    return "b3" if lower.startswith("x-b3-") else _FORMATS.get(lower, lower)
