"""Encoded tags, remembered: most tags of a service repeat from span to span.

Three dictionary look-ups (key, type, value) replace the encoding of a tag; the type is among them because ``1 == 1.0 == True``. Nested
dictionaries beat one dictionary of tuples by a third, since no tuple is made and hashed.

What is remembered is bounded three ways. Long tags never enter. A key whose values are many (a URL with ids in it) clears only
its own values when they reach a limit, so it cannot drive out the rest. And all together are cleared at a limit that only a
program with thousands of keys meets. Clearing costs one more encoding of each tag that is still in use, nothing else.

Threads may share it: each step is one dictionary operation, and two threads at worst encode the same tag twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sls_tracing.values import to_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.model import TagValue

__all__ = ["Remembered", "TagEncoder"]

LONGEST = 160
"""Encoded bytes of a tag or name that is still remembered: with the limits below, at most about 2 MB an encoder."""
MOST_TAGS = 4096
MOST_VALUES = 256

_Values: TypeAlias = "dict[TagValue, bytes]"
_NOTHING: Final[dict[Any, Any]] = {}


class Remembered(dict[str, bytes]):
    """Encoded names or keys: at most :data:`MOST_TAGS` of at most :data:`LONGEST` bytes.

    Look up with ``get``, which knows nothing of the limits; add with :meth:`add`.
    """

    __slots__ = ()

    def add(self, text: str, encoded: bytes) -> bytes:
        """Remember ``encoded`` under ``text`` if it is short; return it."""
        if len(encoded) <= LONGEST:
            if len(self) >= MOST_TAGS:
                self.clear()
            self[text] = encoded
        return encoded


class TagEncoder:
    """Encodes the tags of one wire format. ``encode_key`` writes the start of a tag, ``encode_value`` (by exact type) the rest."""

    __slots__ = ("_count", "_encode_key", "_encode_value", "_keys", "_tags")

    def __init__(self, encode_key: Callable[[str], bytes], encode_value: Mapping[type, Callable[..., bytes]]) -> None:
        self._encode_key = encode_key
        self._encode_value = encode_value
        self._keys = Remembered()
        self._tags: dict[str, dict[type, _Values]] = {}
        self._count = 0

    def encode(self, tags: Mapping[str, TagValue]) -> bytes:
        """Return the tags one after the other, without the list's header."""
        known = self._tags
        parts: list[bytes] = []
        try:
            for key, value in tags.items():  # a loop: a comprehension costs 0.2 µs more before Python 3.12
                parts.append(known[key][type(value)].get(value) or self._tag(key, value))
        except KeyError:  # a key that is new, or new with this type
            parts = [self._tag(key, value) for key, value in tags.items()]
        return b"".join(parts)

    def _tag(self, key: str, value: TagValue) -> bytes:
        kind = type(value)
        encode_value = self._encode_value.get(kind)
        if encode_value is None:
            return self._tag(key, _plain(value))
        known: bytes | None = self._tags.get(key, _NOTHING).get(kind, _NOTHING).get(value)
        if known is not None:
            return known
        encoded = (self._keys.get(key) or self._keys.add(key, self._encode_key(key))) + encode_value(value)
        # Zero and minus zero are equal but differ on the wire; a NaN is equal to nothing and would be added again and again.
        if len(encoded) <= LONGEST and (kind is not float or (value and value == value)):  # noqa: PLR0124 - the NaN
            self._remember(kind, key, value, encoded)
        return encoded

    def _remember(self, kind: type, key: str, value: TagValue, encoded: bytes) -> None:
        if self._count >= MOST_TAGS:
            self._tags = {}
            self._count = 0
        values = self._tags.setdefault(key, {}).setdefault(kind, {})
        if len(values) >= MOST_VALUES:
            self._count -= len(values)
            values.clear()
        values[value] = encoded
        self._count += 1


def _plain(value: object) -> TagValue:
    """Return a value of a subclass (``IntEnum``, ``numpy.float64``) as its base. Anything else should be text by now: TypeError.

    Turning an object into text runs its ``__str__``, which must not happen here, in a background thread (see ``values.py``).
    """
    if not isinstance(value, (str, int, float, bytes)):
        raise TypeError(f"a tag's value must be str, bool, int, float or bytes, not {type(value).__name__}")
    return to_value(value)
