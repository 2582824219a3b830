"""Compact messages, screened and turned into binary ones: see ``screening.py`` for what is checked and why.

thriftpy2's binary protocol is compiled and its compact one is not: this walk, which must be done anyhow, and the compiled decoder together
take less time than the latter alone, and there is one decoder to trust. Unknown fields do not come along.
"""

from __future__ import annotations

import struct
from struct import Struct

from sls_tracing.thrift.schema import METHOD, DecodeError
from sls_tracing.thrift.screening import (
    BOOL,
    DEPTH,
    I16,
    I32,
    I64,
    STRUCT,
    StructShape,
    check_count,
    check_field,
    check_method,
    check_type,
)

__all__ = ["binary_from_compact_message"]

_MOST_VARINT_BYTES = 10
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
_C_FIXED = {_C_TRUE: 1, _C_FALSE: 1, _C_I8: 1, _C_DOUBLE: 8}  # bytes of an element of a list

_pack_i16 = Struct(">3sh").pack
_pack_i32 = Struct(">3si").pack
_pack_i64 = Struct(">3sq").pack
_pack_list = Struct(">3sBi").pack


def binary_from_compact_message(message: bytes, arguments: StructShape, method: str = METHOD) -> bytes:
    """Return the arguments of a compact message to ``method`` as a binary struct. Raises :class:`DecodeError`."""
    try:
        if message[0] != 0x82 or message[1] & 0x1F != 1:
            raise DecodeError("not a message of the compact protocol, version 1")
        check_type(message[1] >> 5)
        _, position = _varint(message, 2)
        name, position = _sized(message, position)
        check_method(name, method)
        binary = bytearray()
        _rewrite_struct(message, position, arguments, binary)
    except (IndexError, struct.error):
        raise DecodeError("truncated, or a number out of its range") from None
    return bytes(binary)


def _rewrite_struct(data: bytes, position: int, shape: StructShape, binary: bytearray) -> int:
    seen = number = 0
    fields = shape.fields
    while head := data[position]:
        position += 1
        kind = head & 0x0F
        if head > 0x0F:
            number += head >> 4
        else:
            number, position = _signed_varint(data, position)
        field = fields.get(number)
        if field is None:
            position = _skip_compact(data, position, kind, DEPTH, in_field=True)
            continue
        expected, compact, header, inner, bit = field
        seen |= bit
        if kind != compact and not (expected == BOOL and kind == _C_FALSE):
            check_field(shape, number, kind, compact)
        if kind == _C_STRING:
            start = position
            position += 1
            length = data[start]
            if length > 0x7F:
                length, position = _varint(data, start)
            text = data[position : position + length]
            if len(text) != length:
                raise DecodeError(f"{shape.name}: {length} bytes declared in field {number}, more than there are")
            binary += _pack_i32(header, length)
            binary += text
            position += length
        elif expected == I64:
            value, position = _signed_varint(data, position)
            binary += _pack_i64(header, value)
        elif expected == I32:
            value, position = _signed_varint(data, position)
            binary += _pack_i32(header, value)
        elif inner is not None:
            position = _rewrite_inner(data, position, header, kind, inner, binary)
        elif expected == I16:
            value, position = _signed_varint(data, position)
            binary += _pack_i16(header, value)
        elif expected == BOOL:
            binary += header + (b"\1" if kind == _C_TRUE else b"\0")
        else:
            binary += header + data[position : position + 8][::-1]
            position += 8
    if seen != shape.required:
        raise shape.missing(seen)
    binary.append(0)
    return position + 1


def _rewrite_inner(data: bytes, position: int, header: bytes, kind: int, inner: StructShape, binary: bytearray) -> int:
    if kind == _C_STRUCT:
        binary += header
        return _rewrite_struct(data, position, inner, binary)
    element, count, position = _list_header(data, position)
    if count and element != _C_STRUCT:
        raise DecodeError(f"a list of type {element} in place of {inner.name}")
    binary += _pack_list(header, STRUCT, count)
    for _ in range(count):
        position = _rewrite_struct(data, position, inner, binary)
    return position


def _list_header(data: bytes, position: int) -> tuple[int, int, int]:
    head = data[position]
    count = head >> 4
    position += 1
    if count == 15:
        count, position = _varint(data, position)
    check_count(count, len(data) - position)
    return head & 0x0F, count, position


def _skip_compact(data: bytes, position: int, kind: int, depth: int, *, in_field: bool = False) -> int:
    if kind in (_C_TRUE, _C_FALSE):
        return position if in_field else position + 1  # a bool's value is in its field's header
    if kind == _C_I8:
        return position + 1
    if kind == _C_DOUBLE:
        return position + 8
    if _C_I8 < kind <= _C_I64:
        return _varint(data, position)[1]
    if kind == _C_STRING:
        return _sized(data, position)[1]
    if depth == 0:
        raise DecodeError("nested too deep")
    if kind == _C_STRUCT:
        while head := data[position]:
            position += 1
            if head <= 0x0F:
                _, position = _varint(data, position)
            position = _skip_compact(data, position, head & 0x0F, depth - 1, in_field=True)
        return position + 1
    if kind in (_C_LIST, _C_SET):
        element, count, position = _list_header(data, position)
        kinds: tuple[int, ...] = (element,)
    elif kind == _C_MAP:
        count, position = _varint(data, position)
        check_count(count, len(data) - position)
        kinds = (data[position] >> 4, data[position] & 0x0F) if count else ()
        position += 1 if count else 0
    else:
        raise DecodeError(f"no such type: {kind}")
    if all(each in _C_FIXED for each in kinds):
        return position + count * sum(_C_FIXED[each] for each in kinds)
    for _ in range(count):
        for each in kinds:
            position = _skip_compact(data, position, each, depth - 1)
    return position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    number = byte & 0x7F
    shift = 0
    start = position
    while byte > 0x7F:
        position += 1
        shift += 7
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if position - start == _MOST_VARINT_BYTES:
            raise DecodeError("a number of more than 64 bits")
    return number, position + 1


def _signed_varint(data: bytes, position: int) -> tuple[int, int]:
    number, position = _varint(data, position)
    return (number >> 1) ^ -(number & 1), position


def _sized(data: bytes, position: int) -> tuple[bytes, int]:
    length, position = _varint(data, position)
    content = data[position : position + length]
    if len(content) != length:
        raise DecodeError(f"{length} bytes declared, more than there are")
    return content, position + length
