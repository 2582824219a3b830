"""Carriers of text: every shape in which Python libraries hand over headers, read as one.

A mapping (``dict``, Werkzeug, requests, ``http.client``, tornado, Django), or an iterable of pairs (ASGI, aiohttp's raw headers, WSGI
response headers); keys in any case; text or bytes; a list where one value is expected. HTTP header names are case-insensitive
and intermediaries do change their case, so names come out in lower case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import opentracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["read_headers", "writer"]


def read_headers(carrier: Any, names: frozenset[str], prefix: str) -> dict[str, str]:
    """Return those headers of ``carrier`` whose lower-case name is in ``names`` or starts with ``prefix``.

    Where a name repeats, the first value wins (B3 specification). Values are stripped of white space.
    """
    found: dict[str, str] = {}
    for key, value in _pairs(carrier):
        if key.__class__ is str:
            name = key.lower()
        elif isinstance(key, (bytes, bytearray)):
            name = bytes(key).decode("latin-1").lower()
        elif isinstance(key, str):
            name = str(key).lower()
        else:
            continue
        if (name in names or name.startswith(prefix)) and name not in found:
            text = _text(value)
            if text is not None:
                found[name] = text
    return found


def _pairs(carrier: Any) -> Iterable[tuple[Any, Any]]:
    items = getattr(carrier, "items", carrier)
    try:
        return [(key, value) for key, value in (items() if callable(items) else items)]
    except (TypeError, ValueError) as error:
        msg = f"cannot read headers from {type(carrier).__name__}: need a mapping or an iterable of (name, value) pairs"
        raise opentracing.InvalidCarrierException(msg) from error


def _text(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("latin-1")
    return str(value).strip() if isinstance(value, str) else None


def writer(carrier: Any) -> Callable[[str, str], object]:
    """Return a function ``write(name, value)`` for ``carrier``: a mutable mapping, or a list of pairs."""
    if hasattr(carrier, "__setitem__") and not isinstance(carrier, (list, bytearray, memoryview)):
        return carrier.__setitem__  # type: ignore[no-any-return]
    if isinstance(carrier, list):
        return lambda name, value: carrier.append((name, value))
    msg = f"cannot write headers into {type(carrier).__name__}: need a mutable mapping or a list of (name, value) pairs"
    raise opentracing.InvalidCarrierException(msg)
