"""Compact messages in the usual layout: see ``usual.py``.

A regular expression finds where the numbers of a span's head end, all in one call; two bytes of a number are one look-up.
(Thrift's ``doc/specs/thrift-compact-protocol.md``.)
"""

from __future__ import annotations

import re
from struct import Struct

from sls_tracing.model import LogRecord, Process, Reference, SpanRecord, TagValue
from sls_tracing.thrift.schema import LOW_64, METHOD, Batch, ClientStats
from sls_tracing.thrift.usual import LONGEST, REFERENCE_TYPES, KnownTexts, UnusualError, make_span

__all__ = ["read_compact_message"]

_NUMBER = rb"([\x80-\xff]{0,9}[\x00-\x7f])"
_LENGTH = rb"([\x80-\xff]{0,3}[\x00-\x7f])"

# A header of a field: how far its number is from the one before, and its type.
_I32, _I64, _TEXT, _LIST, _STRUCT = (bytes((0x10 | kind,)) for kind in (5, 6, 8, 9, 12))
_MESSAGE = re.compile(rb"\x82[\x21\x81]" + _NUMBER + bytes((len(METHOD),)) + METHOD.encode() + _STRUCT * 2, re.DOTALL)
_IDS = re.compile((_I64 + _NUMBER) * 4 + _TEXT + _LENGTH, re.DOTALL)
_REST = re.compile(rb"([\x15\x25])" + _NUMBER + (_I64 + _NUMBER) * 2, re.DOTALL)
_REFERENCE = re.compile(_I32 + rb"([\x00\x02])" + (_I64 + _NUMBER) * 3 + rb"\x00", re.DOTALL)
_TIME = re.compile(_I64 + _NUMBER + _LIST, re.DOTALL)
_SEQ_NO = re.compile(_I64 + _NUMBER, re.DOTALL)
_STATS = re.compile(rb"[\x1c\x2c]" + (_I64 + _NUMBER) * 3 + rb"\x00", re.DOTALL)

_STRING, _BINARY, _DOUBLE, _TRUE, _FALSE, _LONG = range(6)
_VALUES = {
    b"\x15\x00\x18": _STRING,
    b"\x15\x02\x27": _DOUBLE,
    b"\x15\x04\x31": _TRUE,
    b"\x15\x04\x32": _FALSE,
    b"\x15\x06\x46": _LONG,
    b"\x15\x08\x58": _BINARY,
}
"""Between a tag's key and its value stand the field vType with its value and the header of the value's field."""

_BITS = [pair & 0x7F | (pair >> 1 & 0x3F80) for pair in range(1 << 16)]
"""The 14 bits of two bytes, the first the lowest."""
_unpack_pairs = Struct("<5H").unpack
_unpack_double = Struct("<d").unpack_from

_texts = KnownTexts()


def read_compact_message(message: bytes) -> Batch:
    """Return the batch of an ``emitBatch`` message. Raises one of :data:`~sls_tracing.thrift.usual.NOT_USUAL`."""
    match = _MESSAGE.match(message)
    if match is None or len(message) > LONGEST:
        raise UnusualError
    process, position = _read_process(message, match.end())
    if message[position] != _LIST[0]:
        raise UnusualError
    count, position = _read_list(message, position + 1)
    spans: list[SpanRecord] = []
    for _ in range(count):
        span, position = _read_span(message, position, process)
        spans.append(span)
    seq_no = stats = None
    match = _SEQ_NO.match(message, position)
    if match is not None:
        seq_no = _signed(match[1])
        position = match.end()
    match = _STATS.match(message, position)
    if match is not None:
        if message[position] != (0x2C if seq_no is None else 0x1C):
            raise UnusualError
        stats = ClientStats(*map(_signed, match.groups()))
        position = match.end()
    if message[position : position + 2] != b"\0\0":
        raise UnusualError
    return Batch(process, spans, seq_no, stats)


def _read_process(data: bytes, position: int) -> tuple[Process, int]:
    if data[position] != _TEXT[0]:
        raise UnusualError
    name, position = _read_sized(data, position + 1)
    if not name:
        raise UnusualError
    tags: dict[str, TagValue] = {}
    if data[position] == _LIST[0]:
        count, position = _read_list(data, position + 1)
        tags, position = _read_tags(data, position, count)
    if data[position]:
        raise UnusualError
    return Process(_texts[name], tags), position + 1


def _read_span(data: bytes, position: int, process: Process) -> tuple[SpanRecord, int]:
    match = _IDS.match(data, position)
    if match is None:
        raise UnusualError
    low, high, span_id, parent_id, size = match.groups()
    position = match.end()
    end = position + (size[0] if len(size) == 1 else _unsigned(size))
    name = _texts[data[position:end]]
    references: list[Reference] = []
    header = 0x25  # flags are field 7, behind the name, 5, or the references, 6
    if data[end] == _LIST[0]:
        references, end = _read_references(data, end + 1)
        header = 0x15
    match = _REST.match(data, end)
    if match is None or match[1][0] != header:
        raise UnusualError
    _, flags, start, duration = match.groups()
    position = match.end()
    tags: dict[str, TagValue] = {}
    logs: tuple[LogRecord, ...] = ()
    header = 0x29  # logs are field 11, behind the duration, 9, or the tags, 10
    if data[position] == _LIST[0]:
        count, position = _read_list(data, position + 1)
        tags, position = _read_tags(data, position, count)
        header = _LIST[0]
    if data[position] == header:
        logs, position = _read_logs(data, position + 1)
    if data[position]:
        raise UnusualError
    ids = (_id(low), _id(high), _id(span_id), 0 if parent_id == b"\0" else _id(parent_id))
    times = (_signed(start), _signed(duration))
    flag = flags[0] >> 1 if flags[0] in (0, 2, 4, 6) else _flags(flags)
    return make_span(name, ids, flag, times, references, tags, logs, process), position + 1


def _read_tags(data: bytes, position: int, count: int) -> tuple[dict[str, TagValue], int]:
    tags: dict[str, TagValue] = {}
    value: TagValue
    for _ in range(count):
        if data[position] != 0x18:
            raise UnusualError
        position += 1
        size = data[position]
        if size > 0x7F:
            content, end = _read_sized(data, position)
        else:
            end = position + 1 + size
            content = data[position + 1 : end]
        position = end + 3
        kind = _VALUES[data[end:position]]
        key = _texts[content]
        if kind <= _BINARY:
            size = data[position]
            if size > 0x7F:
                value, position = _read_sized(data, position)
            else:
                end = position + 1 + size
                value = data[position + 1 : end]
                position = end
            if kind == _STRING:
                value = value.decode()
        elif kind == _LONG:
            start = position
            while data[position] > 0x7F:
                position += 1
            position += 1
            value = _signed(data[start:position])
        elif kind == _DOUBLE:
            (value,) = _unpack_double(data, position)
            position += 8
        else:
            value = kind == _TRUE
        if data[position]:
            raise UnusualError
        position += 1
        tags[key] = value
    return tags, position


def _read_references(data: bytes, position: int) -> tuple[list[Reference], int]:
    count, position = _read_list(data, position)
    references = []
    for _ in range(count):
        match = _REFERENCE.match(data, position)
        if match is None:
            raise UnusualError
        kind, low, high, span_id = match.groups()
        references.append(Reference(REFERENCE_TYPES[kind[0] >> 1], _id(high) << 64 | _id(low), _id(span_id)))
        position = match.end()
    return references, position


def _read_logs(data: bytes, position: int) -> tuple[tuple[LogRecord, ...], int]:
    count, position = _read_list(data, position)
    logs = []
    for _ in range(count):
        match = _TIME.match(data, position)
        if match is None:
            raise UnusualError
        number, position = _read_list(data, match.end())
        fields, position = _read_tags(data, position, number)
        if data[position]:
            raise UnusualError
        position += 1
        logs.append(LogRecord(_signed(match[1]) / 1e6, fields))
    return tuple(logs), position


def _read_list(data: bytes, position: int) -> tuple[int, int]:
    """Return the number of structs in a list and where they begin."""
    head = data[position]
    position += 1
    if head == 0xFC:
        start = position
        while data[position] > 0x7F:
            position += 1
        position += 1
        return _unsigned(data[start:position]), position
    if head & 0x0F != 0x0C:
        raise UnusualError
    return head >> 4, position


def _read_sized(data: bytes, position: int) -> tuple[bytes, int]:
    start = position
    while data[position] > 0x7F:
        position += 1
    position += 1
    end = position + _unsigned(data[start:position])
    data[end]  # IndexError unless something follows, as it must
    return data[position:end], end


def _unsigned(number: bytes) -> int:
    if len(number) > 10:
        raise UnusualError
    one, two, three, four, five = _unpack_pairs(number.ljust(10, b"\0"))
    value: int = _BITS[one] | _BITS[two] << 14 | _BITS[three] << 28 | _BITS[four] << 42 | _BITS[five] << 56
    if value > LOW_64:
        raise UnusualError
    return value


def _signed(number: bytes) -> int:
    value = number[0] if len(number) == 1 else _unsigned(number)
    return value >> 1 ^ -(value & 1)


def _id(number: bytes) -> int:
    value = number[0] if len(number) == 1 else _unsigned(number)
    return value >> 1 ^ LOW_64 if value & 1 else value >> 1


def _flags(number: bytes) -> int:
    value = _signed(number)
    if not -(1 << 31) <= value < 1 << 31:
        raise UnusualError
    return value
