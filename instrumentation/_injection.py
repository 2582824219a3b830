"""Headers of ours in a request that goes out: whose win, which are taken off again, and which hosts get none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentracing import Format

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._doctor import note_headers
from sls_tracing.propagators.carrier import OutgoingHeaders

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from sls_tracing.instrumentation._operation import Operation
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["InjectedHeader", "inject_headers", "lower_case_stores"]

_NO_HEADERS: Mapping[str, str] = {}
_HTTP_HEADERS = Format.HTTP_HEADERS
_FORMATS = {
    **dict.fromkeys(("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"), "b3"),
    **dict.fromkeys(("traceparent", "tracestate"), "w3c"),
}
_TEXT = frozenset((str,))
_new = OutgoingHeaders.__new__
_guard = Guard("instrumentation_http")


lower_case_stores: set[type] = set()
"""Types of dictionaries whose ``_store`` maps names in lower case to (name, value), as requests' does. The adapter adds it."""


class InjectedHeader(str):
    """A header value of ours. Being a type of its own, it is told apart from the caller's wherever requests copies it."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


def inject_headers(
    call: Operation,
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
    carrier, context = _new(OutgoingHeaders), None  # as its constructor does, in Python
    carrier.destination = host
    with _guard:
        try:
            context = call.span.context
            if options is None or options.propagates_to_all or options.propagates_to(host):
                call.tracer.inject(context, _HTTP_HEADERS, carrier)
        finally:
            _put(headers, carrier, defaults)
        if getattr(context, "baggage", None):
            note_headers(call, "headers sent", headers)


def _put(headers: MutableMapping[str, Any], carrier: OutgoingHeaders, defaults: Mapping[str, str]) -> None:
    if headers.__class__ in lower_case_stores:
        store: MutableMapping[Any, tuple[Any, str]] = headers._store  # type: ignore[attr-defined]
        # Nothing of ours and no ids of the caller's among them, so nothing to weigh up. Text must not be compared with bytes (`python -bb`).
        if (
            (_ours.issuperset(carrier) or _learn(carrier))
            and _TEXT.issuperset(map(type, store))
            and _ours.isdisjoint(store)
        ):
            for name, value in carrier.items():
                store[name] = (name, InjectedHeader(value))
            return
    _merge(headers, carrier, defaults)


_MOST_NAMES, _LONGEST_NAME = 1024, 64
_ours = set(_FORMATS)
"""Names that tell of ids, and names under which something was injected: headers with none of them need no closer look."""


def _learn(carrier: OutgoingHeaders) -> bool:
    """Add the names to `_ours`, a baggage item's among them; False if some are not in lower case."""
    _ours.update(map(str.lower, carrier))
    if len(_ours) > _MOST_NAMES:
        lower_case_stores.clear()  # from now on each request is looked at closely
    return _ours.issuperset(carrier)


def _merge(headers: MutableMapping[str, Any], carrier: OutgoingHeaders, defaults: Mapping[str, str]) -> None:
    stale, given = [], set()
    # requests' dictionary makes its items one by one in Python, but tells the names in lower case for less: 4 µs a request.
    pairs = getattr(headers, "lower_items", headers.items)
    for name, value in pairs():
        if type(value) is InjectedHeader:
            stale.append(name)
            continue
        if name.__class__ is bytes:  # text must not be compared with bytes (`python -bb`)
            name = name.decode("latin-1")  # noqa: PLW2901
        if name not in defaults or defaults[name] != value:
            given.add(_formats[name])
    for name in stale:
        del headers[name]
        if name in defaults:
            headers[name] = defaults[name]
    for name, value in carrier.items():
        if _formats[name] not in given:
            headers[name] = InjectedHeader(value)


class _Formats(dict[str, str]):
    """The propagation format that each header belongs to, by its name; a header outside of the known formats is one by itself."""

    def __missing__(self, name: str) -> str:
        lower = name.lower()
        found = _FORMATS.get(lower, lower)
        if len(self) < _MOST_NAMES and len(name) <= _LONGEST_NAME:  # a service sends the same few again and again
            self[name] = found
        return found


_formats = _Formats()
