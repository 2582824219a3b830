"""Carriers of text: every shape in which Python libraries hand over headers, read as one.

A mapping (``dict``, Werkzeug, requests, ``http.client``, tornado, Django), or an iterable of pairs (ASGI, aiohttp's raw headers, WSGI
response headers); keys in any case; text or bytes; a list where one value is expected. HTTP header names are case-insensitive
and intermediaries do change their case, so names come out in lower case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import opentracing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OutgoingHeaders", "first_value", "read_headers", "writer"]

_NO_NAMES: frozenset[str] = frozenset()
_NO_TEXT: Any = (
    object()
)  # never a key of those below: bytes must not be compared with text (`python -bb`), and a bytearray has no hash
_MOST_SPELLINGS, _LONGEST_SPELLING = 1024, 64
_spellings: dict[tuple[frozenset[str], tuple[str, ...]], dict[str, str | None]] = {}
"""For each set of names: how names were spelled, and which of the set each is, if any. A service meets the same few dozen again and again."""

_MAX_JOINED = 65536  # beyond every limit of a list header: whatever is appended behind it would be dropped anyway


class OutgoingHeaders(dict[str, str]):
    """A carrier that tells to which host its headers go, for those that may not go to every one."""

    __slots__ = ("destination",)

    def __init__(self, destination: str | None = None) -> None:
        self.destination = destination  # dict itself has nothing to prepare


def read_headers(
    carrier: Any, names: frozenset[str], prefixes: tuple[str, ...] = (), lists: frozenset[str] = _NO_NAMES
) -> dict[str, str]:
    """Return those headers of ``carrier`` whose lower-case name is in ``names`` or starts with one of ``prefixes``.

    Where a name repeats, the first value wins (B3 specification), unless it is in ``lists``: then the values are joined by commas in
    their order (RFC 9110, 5.3), as WSGI servers and proxies do. Values are stripped of white space.
    """
    # One loop, and no list of the pairs beforehand: this runs once a request. Names are looked up as they are spelled, a dictionary's work,
    # not brought to lower case and compared: 10 headers are 9,000 instructions, not 21,000 (benchmarks/instructions.py).
    found: dict[str, str] = {}
    known = _spellings.get((names, prefixes))
    if known is None:
        known = _spellings[names, prefixes] = {}
    items = getattr(carrier, "items", carrier)
    try:
        for key, value in items() if callable(items) else items:
            try:
                name = known[key if key.__class__ is str else _NO_TEXT]
            except KeyError:
                name = _wanted(key, names, prefixes, known)
            if name is None:
                continue
            text = value if value.__class__ is str else _text(value, name in lists)
            if text is None:
                continue
            if name not in found:
                found[name] = text.strip()
            elif name in lists and len(found[name]) < _MAX_JOINED:
                found[name] += "," + text.strip()
    except (TypeError, ValueError) as error:
        msg = f"cannot read headers from {type(carrier).__name__}: need a mapping or an iterable of (name, value) pairs"
        raise opentracing.InvalidCarrierException(msg) from error
    return found


def _wanted(key: Any, names: frozenset[str], prefixes: tuple[str, ...], known: dict[str, str | None]) -> str | None:
    """Return the name in lower case if it is wanted, and remember a short text's answer: strangers choose names, so within bounds."""
    if isinstance(key, (bytes, bytearray)):
        name = bytes(key).decode("latin-1").lower()
    elif isinstance(key, str):
        name = str(key).lower()
    else:
        return None
    wanted = name if name in names or name.startswith(prefixes) else None
    if key.__class__ is str and len(key) <= _LONGEST_SPELLING:
        if len(known) >= _MOST_SPELLINGS:
            known.clear()
        known[key] = wanted
    return wanted


def _text(value: Any, joined: bool) -> str | None:
    if isinstance(value, (list, tuple)):
        texts = [text for text in (_text(each, False) for each in value) if text is not None]
        if not texts:
            return None
        return ",".join(texts) if joined else texts[0]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("latin-1")
    return str(value) if isinstance(value, str) else None


def first_value(value: str) -> str:
    """Return the first of the values that WSGI and proxies join by commas when a header repeats."""
    return value if "," not in value else value.split(",", 1)[0].strip()


def writer(carrier: Any) -> Callable[[str, str], object]:
    """Return a function ``write(name, value)`` for ``carrier``: a mutable mapping, or a list of pairs."""
    if hasattr(carrier, "__setitem__") and not isinstance(carrier, (list, bytearray, memoryview)):
        return carrier.__setitem__  # type: ignore[no-any-return]
    if isinstance(carrier, list):
        return lambda name, value: carrier.append((name, value))
    msg = f"cannot write headers into {type(carrier).__name__}: need a mutable mapping or a list of (name, value) pairs"
    raise opentracing.InvalidCarrierException(msg)
