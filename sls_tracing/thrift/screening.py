"""Is this a well-formed message? Asked of every datagram and every body before thriftpy2 sees it.

thriftpy2 trusts what it reads: a declared length is allocated before it is compared with what is there, a read past the end yields zeros
or stale memory, a list of 2**31 "void" elements is counted to its end, nesting recurses, and its compact protocol ignores the
declared type of list elements. So the bytes are walked here first, along the structs of ``jaeger.thrift``: each length and count is held
against the bytes that remain, the type of each known field against the IDL, each required field is there, unknown fields are
skipped to a limited depth. The walk is linear in the bytes and allocates no more than they are.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.thrift.schema import METHOD, DecodeError, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StructShape", "binary_from_message", "check_binary_struct"]

DEPTH = 32
"""How deep unknown fields may nest. The structs themselves nest four deep."""
MAX_STRUCTS = 500_000
"""Elements of all lists of one message. An empty struct is one byte, and some 200 once it is an object. 16 MiB of spans hold about 400,000
tags, logs and references."""
_CALL, _ONEWAY = 1, 4

# Type numbers: of the binary protocol, which thriftpy2 uses in its specifications too, and of the compact one.
BOOL, I8, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
_FIXED = {BOOL: 1, I8: 1, DOUBLE: 8, I16: 2, I32: 4, I64: 8}
_C_TRUE, _C_FALSE, _C_I8, _C_I64, _C_DOUBLE, _C_STRING, _C_LIST, _C_SET, _C_MAP, _C_STRUCT = (
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
)
_COMPACT = {
    BOOL: _C_TRUE,
    I16: 4,
    I32: 5,
    I64: _C_I64,
    DOUBLE: _C_DOUBLE,
    STRING: _C_STRING,
    LIST: _C_LIST,
    STRUCT: _C_STRUCT,
}

_pack_i32 = Struct(">3si").pack
_pack_i64 = Struct(">3sq").pack
_pack_list = Struct(">3sBi").pack
_unpack_field = Struct(">Bh").unpack_from
_unpack_count = Struct(">i").unpack_from
_unpack_list = Struct(">Bi").unpack_from
_unpack_map = Struct(">BBi").unpack_from


class _Field(NamedTuple):
    kind: int  # binary type
    compact: int  # compact type; of a bool, TRUE
    header: bytes  # the field's header in binary
    inner: StructShape | None  # of a struct, or of a list's elements: our lists hold nothing but structs
    bit: int  # 0 if optional


class StructShape:
    """A struct of the IDL as the walk needs it, made from thriftpy2's ``thrift_spec``."""

    def __init__(self, name: str, spec: Mapping[int, tuple[object, ...]], known: dict[str, StructShape]) -> None:
        self.name = name
        self.fields: dict[int, _Field] = {}
        self.required = 0
        for number, (declared, _, *inner, required) in spec.items():
            kind = _wire_type(declared)
            bit = 1 << number if required else 0
            self.required |= bit
            shape = StructShape.of(inner[0][1] if kind == LIST else inner[0], known) if kind in (LIST, STRUCT) else None  # type: ignore[index]
            self.fields[number] = _Field(kind, _COMPACT[kind], bytes((kind, 0, number)), shape, bit)

    @classmethod
    def of(cls, struct: object, known: dict[str, StructShape] | None = None) -> StructShape:
        """Return the shape of a struct class that thriftpy2 made, the shapes of its parts included."""
        known = {} if known is None else known
        name: str = struct.__name__  # type: ignore[attr-defined]
        if name not in known:
            known[name] = cls(name, struct.thrift_spec, known)  # type: ignore[attr-defined]
        return known[name]

    def missing(self, seen: int) -> DecodeError:
        """Return the error for required fields that did not come."""
        numbers = [str(number) for number, field in self.fields.items() if field.bit & ~seen]
        return DecodeError(f"{self.name} without its required field {', '.join(numbers)}")


def _wire_type(kind: object) -> int:
    assert isinstance(kind, int)
    return STRING if kind == 18 else kind  # thriftpy2's own number for ``binary``, which travels as a string


def binary_from_message(message: bytes, arguments: StructShape, method: str = METHOD) -> bytes:
    """Return the arguments of a binary message to ``method``. Raises :class:`DecodeError`."""
    if len(message) < 12 or message[:3] != b"\x80\x01\x00":
        raise DecodeError("not a message of the strict binary protocol")
    check_type(message[3])
    (length,) = _unpack_count(message, 4)
    start = 8 + length + 4  # behind the name comes the message's number
    if not 0 <= length <= len(message) - 12:
        raise DecodeError("truncated in its header")
    check_method(message[8 : 8 + length], method)
    check_binary_struct(message, arguments, start)
    return message[start:]


def check_type(kind: int) -> None:
    """Raise unless a message is of a type that carries a batch."""
    if kind not in (_CALL, _ONEWAY):  # Go's client sends CALL, all others ONEWAY
        raise DecodeError(f"message type {kind} is neither CALL nor ONEWAY")


def check_method(name: bytes, expected: str) -> None:
    """Raise unless it is the expected method that is called."""
    if name != expected.encode():
        raise DecodeError(f"method {name[:40]!r} is not served here, only {expected}")


def check_field(shape: StructShape, number: int, kind: int, expected: int) -> None:
    """Raise if a known field is not of the type that the IDL gives it."""
    if kind != expected:
        raise DecodeError(f"{shape.name}: field {number} is of type {kind}, not {expected}")


def check_binary_struct(data: bytes, shape: StructShape, position: int = 0) -> None:
    """Raise :class:`DecodeError` unless a whole struct of that shape stands at ``position``. What follows it is ignored."""
    try:
        _check_struct(data, position, shape, [MAX_STRUCTS])
    except (IndexError, struct.error):
        raise DecodeError("truncated") from None


def _check_struct(data: bytes, position: int, shape: StructShape, budget: list[int]) -> int:
    end = len(data)
    seen = 0
    fields = shape.fields
    while data[position]:
        kind, number = _unpack_field(data, position)
        position += 3
        field = fields.get(number)
        if field is None:
            position = _skip(data, position, kind, DEPTH)
            continue
        expected, _, _, inner, bit = field
        if kind != expected:
            check_field(shape, number, kind, expected)
        seen |= bit
        if kind == STRING:
            (length,) = _unpack_count(data, position)
            position += 4 + length
            if length < 0 or position > end:
                raise DecodeError(f"{shape.name}: {length} bytes declared in field {number}, more than there are")
        elif inner is None:
            position += _FIXED[kind]
        elif kind == STRUCT:
            position = _check_struct(data, position, inner, budget)
        else:
            element, count = _unpack_list(data, position)
            position += 5
            check_count(count, end - position)
            if count and element != STRUCT:
                raise DecodeError(f"{shape.name}: a list of type {element} in field {number}, not of structs")
            budget[0] -= count
            if budget[0] < 0:
                raise TooMuchError(f"more than {MAX_STRUCTS} tags, logs and the like in one message")
            for _ in range(count):
                position = _check_struct(data, position, inner, budget)
    if seen != shape.required:
        raise shape.missing(seen)
    return position + 1


def check_count(count: int, remaining: int) -> None:
    """Raise if more bytes or elements are declared than can be there."""
    if not 0 <= count <= remaining:  # an element of any type takes a byte at least
        raise DecodeError(f"{count} elements declared in {remaining} bytes")


def _skip(data: bytes, position: int, kind: int, depth: int) -> int:
    if kind in _FIXED:
        return position + _FIXED[kind]
    if kind == STRING:
        (length,) = _unpack_count(data, position)
        check_count(length, len(data) - position - 4)
        return position + 4 + int(length)
    if depth == 0:
        raise DecodeError("nested too deep")
    if kind == STRUCT:
        while data[position]:
            position = _skip(data, position + 3, data[position], depth - 1)
        return position + 1
    if kind in (LIST, SET):
        element, count = _unpack_list(data, position)
        kinds: tuple[int, ...] = (element,)
        position += 5
    elif kind == MAP:
        key, value, count = _unpack_map(data, position)
        kinds = (key, value)
        position += 6
    else:
        raise DecodeError(f"no such type: {kind}")
    check_count(count, len(data) - position)
    if all(each in _FIXED for each in kinds):
        return position + int(count) * sum(_FIXED[each] for each in kinds)
    for _ in range(count):
        for each in kinds:
            position = _skip(data, position, each, depth - 1)
    return position
