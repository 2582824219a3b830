"""Baggage in text carriers: one header an item, ``<prefix><key>: <value>``, both percent-encoded.

Percent-encoding keeps non-ASCII text and control characters out of the header block (no injected CRLF) in either direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["read_baggage", "write_baggage"]


def read_baggage(headers: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the baggage among ``headers`` (names in lower case).

    Go and Java encode a space as ``+`` and a plus as ``%2B``, so decoding ``+`` as a space loses nothing.
    """
    start = len(prefix)
    return {
        unquote(name[start:]): unquote(value.replace("+", " "))
        for name, value in headers.items()
        if name.startswith(prefix) and len(name) > start
    }


def write_baggage(baggage: Mapping[str, str], prefix: str, write: Callable[[str, str], object]) -> None:
    """Write each item of ``baggage``. HTTP does not keep the case of a key; see docs/propagation.md."""
    for key, value in baggage.items():
        write(prefix + quote(key, safe="", errors="replace"), quote(value, safe="", errors="replace"))
