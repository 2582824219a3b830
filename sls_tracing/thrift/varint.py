"""Zigzag varints, the integers of Thrift's compact protocol: one at a time, or 64 at a time.

A varint carries 7 bits a byte, lowest first, with the top bit set on all but the last. Small numbers are looked up.
Span ids are random, thus almost always 9 or 10 bytes long, and a batch has hundreds of them: :func:`zigzag_ids` encodes 64 at once, side by side in one
large integer.
(Thrift's ``doc/specs/thrift-compact-protocol.md``, "Integer encoding".)
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHORT_NUMBERS", "unsigned_varint", "zigzag", "zigzag_duration", "zigzag_id", "zigzag_ids", "zigzag_times"]

_ONE_MORE = [bytes((bits | 0x80,)) for bits in range(1 << 7)]
_ONE_LAST = [bytes((bits,)) for bits in range(1 << 7)]
SHORT_NUMBERS = _ONE_LAST + [low + high for high in _ONE_LAST[1:32] for low in _ONE_MORE]
"""The varint of each number below ``len(SHORT_NUMBERS)``, which is 4096: for those who cannot afford a call."""
_SHORT = len(SHORT_NUMBERS)

_SIGN = 1 << 63
_TWICE_64 = (1 << 65) - 1


def unsigned_varint(number: int) -> bytes:
    """Return a varint of any length; ``number`` is not negative."""
    if number < _SHORT:
        return SHORT_NUMBERS[number]
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def zigzag(number: int) -> bytes:
    """Return a signed 64-bit integer. Raises OverflowError beyond."""
    if not -_SIGN <= number < _SIGN:
        raise OverflowError("an integer beyond 64 bits")
    return unsigned_varint(number << 1 if number >= 0 else ~(number << 1))


def zigzag_id(number: int) -> bytes:
    """Return an unsigned 64-bit id as the signed integer of the same bits. Raises OverflowError beyond."""
    if not 0 <= number < _SIGN << 1:
        raise OverflowError("an id beyond 64 bits")
    return unsigned_varint(number << 1 if number < _SIGN else _TWICE_64 - (number << 1))


def zigzag_duration(microseconds: int) -> bytes:
    """Return a signed 64-bit integer, fastest for a duration below two minutes."""
    folded = microseconds << 1
    if not 1 << 7 <= folded < 1 << 28:
        return zigzag(microseconds)
    if folded < 1 << 14:
        return bytes((folded & 0x7F | 0x80, folded >> 7))
    if folded < 1 << 21:
        return bytes((folded & 0x7F | 0x80, folded >> 7 & 0x7F | 0x80, folded >> 14))
    return bytes((folded & 0x7F | 0x80, folded >> 7 & 0x7F | 0x80, folded >> 14 & 0x7F | 0x80, folded >> 21))


_LANES = 64
"""Numbers that are encoded side by side. With more, the integers leave the processor's nearest cache."""
_EVERY = sum(1 << 64 * lane for lane in range(_LANES))
_NO_SIGNS, _LOW_56 = _EVERY * (_SIGN - 1), _EVERY * ((1 << 56) - 1)
# Where 56 bits are in two, four and eight parts, those that still have to move up.
_UPPER_28, _UPPER_14, _UPPER_7 = (
    _EVERY * 0x00FFFFFF_F0000000,
    _EVERY * 0x0FFFC000_0FFFC000,
    _EVERY * 0x3F803F80_3F803F80,
)
_MARKS, _MARKS_BUT_LAST = _EVERY * 0x80808080_80808080, _EVERY * 0x00808080_80808080
_pack_lanes = Struct(f"<{_LANES}Q").pack
_split_lanes = Struct("8s" * _LANES).unpack
_top_bytes = [unsigned_varint(top) for top in range(1 << 8)].__getitem__


def zigzag_ids(numbers: Sequence[int]) -> list[bytes]:
    """Return what :func:`zigzag_id` returns for each, at a third of its price. Raises struct.error beyond 64 bits."""
    varints: list[bytes] = []
    for at in range(0, len(numbers), _LANES):
        part = numbers[at : at + _LANES]
        lanes = _side_by_side(part)
        signs = lanes >> 63 & _EVERY
        lanes = (lanes & _NO_SIGNS) << 1 ^ (signs << 64) - signs  # the fold: a negative number's bits are turned round
        tops = lanes.to_bytes(8 * _LANES, "little")[7::8]
        eights = _sevens(lanes & _LOW_56, _MARKS)
        varints += map(b"".join, zip(eights[: len(part)], map(_top_bytes, tops)))  # noqa: B905 - of one length; `strict` costs
        # No top byte: the number is shorter than its lane. One in 256 of random ids is.
        place = tops.find(0, 0, len(part))
        while place >= 0:
            varints[at + place] = zigzag_id(part[place])
            place = tops.find(0, place + 1, len(part))
    return varints


def zigzag_times(times: Sequence[int]) -> list[bytes]:
    """Return the zigzag varints of times in microseconds since 1970. Raises OverflowError beyond 64 bits."""
    if not times or min(times) < 1 << 48 or max(times) >= 1 << 55:  # before 1979 or after 3111: not of eight bytes
        return [zigzag(time) for time in times]
    varints: list[bytes] = []
    for at in range(0, len(times), _LANES):
        part = times[at : at + _LANES]
        varints += _sevens(_side_by_side(part) << 1, _MARKS_BUT_LAST)[: len(part)]  # the fold of what is positive
    return varints


def _side_by_side(numbers: Sequence[int]) -> int:
    return int.from_bytes(_pack_lanes(*numbers, *(0,) * (_LANES - len(numbers))), "little")


def _sevens(lanes: int, marks: int) -> tuple[bytes, ...]:
    """Return the 56 bits of each lane as eight bytes of 7 bits and a mark: halves, quarters and eighths move apart by 4, 2 and 1 bits."""
    lanes += (lanes & _UPPER_28) * 15
    lanes += (lanes & _UPPER_14) * 3
    lanes += lanes & _UPPER_7
    return _split_lanes((lanes | marks).to_bytes(8 * _LANES, "little"))
