"""Encoded tags, remembered: most tags of a service repeat from span to span.

Three dictionary look-ups (key, type, value) replace the encoding of a tag; the type is among them because ``1 == 1.0 == True``. Nested
dictionaries beat one dictionary of tuples by a third, since no tuple is made and hashed.

What is remembered is bounded three ways. Long tags never enter. A key whose values are many (a URL with ids in it) keeps the first of them and
takes no more, so it cannot drive out the rest and costs no bookkeeping; after as many misses as would fill it several times, it begins again. And all
together are cleared at a limit that only a program with a thousand keys meets. Clearing costs one more encoding of each tag that is still in use,
nothing else.

Threads may share it: each step is one dictionary operation, and two threads at worst encode the same tag twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from sls_tracing.values import to_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.model import TagValue

__all__ = ["Remembered", "TagEncoder"]

LONGEST = 160
"""Encoded bytes of a tag or name that is still remembered: with the limits below, at most about 2 MB an encoder."""
MOST_TAGS = 4096
MOST_VALUES = 256
_PATIENCE = 4096
"""Misses of a key with many values until others of them get their chance."""
_KEY_COUNTS = 4
"""A key with its tables takes the place of so many tags."""

# By exact type of the value: how to find it among those remembered, and how to encode one that is not.
_Kinds: TypeAlias = "dict[type, tuple[Callable[[Any], bytes | None], Callable[[Any], bytes]]]"


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
    """Encodes the tags of one wire format. ``encode_key`` writes the start of a tag, ``encode_value`` (by exact type) joins the rest to it."""

    __slots__ = ("_encode_key", "_encode_value", "_known", "count")

    def __init__(self, encode_key: Callable[[str], bytes], encode_value: Mapping[type, Callable[..., bytes]]) -> None:
        self._encode_key = encode_key
        self._encode_value = encode_value
        self._known: dict[str, _Kinds] = {}
        self.count = 0
        """Tags that are remembered, a key counting as :data:`_KEY_COUNTS` of them."""

    def encode(self, tags: Mapping[str, TagValue], header: bytes = b"") -> bytes:
        """Return ``header`` and the tags one after the other."""
        known = self._known
        parts = [header]
        try:
            for key, value in tags.items():  # a loop: a comprehension costs 0.2 µs more before Python 3.12
                find, add = known[key][type(value)]
                parts.append(find(value) or add(value))
        except KeyError:  # a key that is new, or new with this type
            parts = [header, *[self._tag(key, value) for key, value in tags.items()]]
        return b"".join(parts)

    def _tag(self, key: str, value: TagValue) -> bytes:
        kind = type(value)
        if kind not in self._encode_value:
            return self._tag(key, _plain(value))
        kinds = self._known.get(key)
        if kinds is None or kind not in kinds:
            start = self._encode_key(key)
            if len(start) > LONGEST:
                return self._encode_value[kind](start, value)
            self.make_room(_KEY_COUNTS)
            values = _Values(self, kind, start, self._encode_value[kind])
            kinds = self._known.setdefault(key, {})
            kinds[kind] = (values.known.get, values.add)
        find, add = kinds[kind]
        return find(value) or add(value)

    def make_room(self, number: int) -> None:
        """Count ``number`` tags more; forget all others where they do not fit."""
        if self.count + number > MOST_TAGS:
            self._known = {}
            self.count = 0
        self.count += number


class _Values:
    """The values of one type under one key."""

    __slots__ = ("_encode", "_encoder", "_is_float", "_room", "_start", "known")

    def __init__(self, encoder: TagEncoder, kind: type, start: bytes, encode: Callable[[bytes, Any], bytes]) -> None:
        self.known: dict[Any, bytes] = {}
        self._encoder = encoder
        self._start = start
        self._encode = encode
        self._is_float = kind is float
        self._room = MOST_VALUES

    def add(self, value: Any) -> bytes:
        """Encode a value that is not remembered."""
        encoded = self._encode(self._start, value)
        self._room = room = self._room - 1
        if room < 0:
            if room < -_PATIENCE:
                self._encoder.count -= len(self.known)
                self.known.clear()
                self._room = MOST_VALUES
        # Zero and minus zero are equal but differ on the wire; a NaN is equal to nothing and would be added again and again.
        elif len(encoded) <= LONGEST and not (self._is_float and (not value or value != value)):  # noqa: PLR0124 - the NaN
            self._encoder.make_room(1)
            self.known[value] = encoded
        return encoded


def _plain(value: object) -> TagValue:
    """Return a value of a subclass (``IntEnum``, ``numpy.float64``) as its base. Anything else should be text by now: TypeError.

    Turning an object into text runs its ``__str__``, which must not happen here, in a background thread (see ``values.py``).
    """
    if not isinstance(value, (str, int, float, bytes)):
        raise TypeError(f"a tag's value must be str, bool, int, float or bytes, not {type(value).__name__}")
    return to_value(value)
