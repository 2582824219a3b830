"""Baggage in text carriers, in its two forms.

- One header an item, ``<prefix><key>: <value>``: Jaeger's ``uberctx-``, and ``baggage-`` beside B3.
- One header for all, ``baggage: key=value,key=value``: W3C Baggage.

Percent-encoding keeps non-ASCII text and control characters out of the header block (no injected CRLF) in either direction. Whoever can
reach the service can send baggage, and it goes on to every service behind: so it is bounded where it comes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.context import NO_BAGGAGE
from sls_tracing.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sls_tracing.metrics import Counters

__all__ = [
    "MAX_BYTES",
    "MAX_ITEMS",
    "clean_text",
    "read_baggage",
    "read_baggage_list",
    "read_baggage_pairs",
    "write_baggage",
    "write_baggage_list",
    "write_baggage_plain",
]

MAX_ITEMS, MAX_BYTES = 180, 8192
"""Bounds of what is read from one carrier, the bytes in encoded form: those of W3C Baggage's producers (it asks for at least 64
and 8,192). Items that do not fit are left out and counted as ``propagation_baggage_dropped``."""

# RFC 9110 token, and W3C's baggage-octet.
_TOKEN = Pattern(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OCTETS = Pattern(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_CONTROL = Pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Other clients write keys as they are. A key of token characters goes out so too; "%" alone must be encoded, since it is decoded here.
_KEY_SAFE = "!#$&'*^`|"
# What W3C lets stand in a value, but for the two that are decoded: so that what came in within the limits also goes out within them.
_OCTETS_SAFE = "!#$&'()*-./:<=>?@[]^_`{|}~"


def clean_text(text: str) -> str:
    """Return ``text`` without lone surrogates, which UTF-8, and so no encoder and no sender, can take."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# urllib.parse takes 6 ms to load, with ipaddress: nothing for a process that meets no baggage, and every HTTP library has loaded it.


def _quote(text: str, safe: str) -> str:
    from urllib.parse import quote

    return quote(text, safe=safe, errors="replace")


def _unquote(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


def _decode(text: str) -> str:
    """Decode percent-encoding, and ``+`` as a space.

    Go's and Java's Jaeger clients and several OpenTelemetry SDKs (Python, C++) write a space as ``+``, and all of these a plus as ``%2B``.
    """
    return clean_text(_unquote(text.replace("+", " ")))


# -- one header an item ------------------------------------------------------------------------------------------------


def read_baggage(
    headers: Mapping[str, str], prefix: str, counters: Counters, *, encoded: bool = True
) -> dict[str, str]:
    """Return the baggage among ``headers`` (names in lower case); ``encoded`` as :func:`write_baggage` does, or plain."""
    names = [name for name in headers if name.startswith(prefix)]
    if not names:
        return NO_BAGGAGE
    start = len(prefix)
    fitting = _within_bounds(((name[start:], headers[name]) for name in names), len(names), counters)
    if not encoded:
        return {clean_text(key): clean_text(value) for key, value in fitting if key}
    return {clean_text(_unquote(key)): _decode(value) for key, value in fitting if key}


def write_baggage(baggage: Mapping[str, str], prefix: str, write: Callable[[str, str], object]) -> None:
    """Write each item of ``baggage``. HTTP does not keep the case of a key; see docs/propagation.md."""
    for key, value in baggage.items():
        write(prefix + _encode_key(key), _quote(value, safe=""))


def write_baggage_plain(
    baggage: Mapping[str, str], prefix: str, write: Callable[[str, str], object], counters: Counters
) -> None:
    """Write each item of ``baggage`` without encoding, as Jaeger's clients do into text maps that are no HTTP headers.

    An item with control characters is left out: text maps do end up as headers, and a line break there makes another header.
    """
    for key, value in baggage.items():
        if _CONTROL.search(key) or _CONTROL.search(value):
            counters.add("propagation_baggage_dropped")
        else:
            write(prefix + clean_text(key), clean_text(value))


# -- one header for all ------------------------------------------------------------------------------------------------


def read_baggage_list(header: str, counters: Counters) -> dict[str, str]:
    """Return the items of a W3C ``baggage`` header; of a repeated key the last. Properties (``;…``) are dropped."""
    if not header:
        return NO_BAGGAGE
    members = []
    for member in _cut(header, counters):
        key, equals, value = member.partition(";")[0].partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if equals and _TOKEN.fullmatch(key) and _OCTETS.fullmatch(value):
            members.append((key, value))
        elif member.strip(" \t"):
            counters.add("propagation_baggage_dropped")
    return {_decode(key): _decode(value) for key, value in _within_bounds(members, len(members), counters)}


def read_baggage_pairs(header: str, counters: Counters) -> dict[str, str]:
    """Return the items of Jaeger's ``jaeger-baggage: k1=v1, k2=v2``, which people type: so a ``+`` is a plus.

    A part without exactly one ``=`` is dropped, as every client does.
    """
    pairs = []
    for part in _cut(header, counters):
        key, *values = (text.strip() for text in part.split("=", 2))
        if key and len(values) == 1:
            pairs.append((key, values[0]))
        elif part.strip():
            counters.add("propagation_baggage_dropped")
    fitting = _within_bounds(pairs, len(pairs), counters)
    return {clean_text(_unquote(key)): clean_text(_unquote(value)) for key, value in fitting}


def write_baggage_list(
    baggage: Mapping[str, str], header: str, write: Callable[[str, str], object], counters: Counters
) -> None:
    """Write all of ``baggage`` as the W3C header named ``header``, whole items up to ``MAX_ITEMS`` and ``MAX_BYTES``."""
    encoded = ((_encode_key(key), _quote(value, safe=_OCTETS_SAFE)) for key, value in baggage.items() if key)
    members = [f"{key}={value}" for key, value in _within_bounds(encoded, len(baggage), counters)]
    if members:
        write(header, ",".join(members))


def _cut(header: str, counters: Counters) -> list[str]:
    """Split ``header``, of one that is far too long only what can fit: the work stays bounded."""
    longest = 2 * MAX_BYTES
    if len(header) > longest:
        counters.add("propagation_baggage_dropped", header.count(",", longest) + 1)
        header = header[:longest].rpartition(",")[0]
    return header.split(",")


# -- both --------------------------------------------------------------------------------------------------------------


def _encode_key(key: str) -> str:
    return _quote(key, safe=_KEY_SAFE)


def _within_bounds(items: Iterable[tuple[str, str]], count: int, counters: Counters) -> list[tuple[str, str]]:
    """Return those of ``items``, in encoded form, that fit, in their order; a large one does not keep out the smaller behind it."""
    fitting: list[tuple[str, str]] = []
    size = 0
    for key, value in items:
        needed = len(key) + len(value) + (2 if fitting else 1)  # with "=", and "," between items
        if size + needed <= MAX_BYTES and len(fitting) < MAX_ITEMS:
            fitting.append((key, value))
            size += needed
    if len(fitting) < count:
        counters.add("propagation_baggage_dropped", count - len(fitting))
    return fitting
