"""Protocol Buffers' wire format, one level at a time (protobuf.dev, "Encoding").

The library decodes a whole message into objects at once: 16 MiB of empty submessages, two bytes each, become more than a gigabyte.
Envelopes of unknown size are therefore walked here, and only what is inside, a span, goes to the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Value", "fields", "text", "varint"]

Value: TypeAlias = "int | bytes"
"""Of a varint or a fixed number the integer without sign, of anything else the bytes."""

MAX_FIELDS = 200_000
"""Fields of one message; only a hostile one has more than the spans of a request."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT = 63


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field, in the order in which they come. Raises :class:`DecodeError` where it stops making sense."""
    position, end = 0, len(message)
    for _ in range(MAX_FIELDS):
        if position == end:
            return
        key, position = _read_varint(message, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise DecodeError("a protobuf field with the number 0")
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _read_varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise DecodeError(f"protobuf wire type {kind}, which is not served")
        if size > end - position:
            raise DecodeError("truncated protobuf")
        piece = message[position : position + size]
        position += size
        yield number, piece if kind == _BYTES else int.from_bytes(piece, "little")
    raise DecodeError(f"more than {MAX_FIELDS} fields in one protobuf message")


def text(value: Value) -> str:
    """Return a string field. Raises :class:`DecodeError` for another type or what is not UTF-8."""
    if not isinstance(value, bytes):
        raise DecodeError("a protobuf number where text belongs")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DecodeError("protobuf text that is not UTF-8") from None


def varint(number: int) -> bytes:
    """Return a number from 0 on as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        if position >= len(message):
            raise DecodeError("truncated protobuf")
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (1 << 64) - 1, position
    raise DecodeError("a protobuf number of more than 64 bits")
