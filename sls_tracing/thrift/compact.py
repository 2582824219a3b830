"""Spans in Thrift's compact protocol: UDP 6831, what Jaeger's clients speak by default.

A field begins with one byte, the distance from the previous field's number (high nibble) and its type (low nibble; a bool's type is its
value). Integers are zigzag varints, text is a varint length and UTF-8, doubles are little-endian, a list begins with one byte of
count and type, or 0xF and the type and then the count as a varint, a struct ends with 0.
(Thrift's ``doc/specs/thrift-compact-protocol.md``.)

Optional lists that are empty are left out, as thriftpy2 does for a field that is None. jaeger-client writes an empty ``logs``; servers
read both alike.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from sls_tracing.thrift.schema import (
    DEBUG_FLAGS,
    FIREHOSE_FLAG,
    LOW_64,
    MAX_I64,
    MESSAGE_ID,
    METHOD,
    MIN_I64,
    REFERENCE_TYPES,
    TAG_BINARY,
    TAG_BOOL,
    TAG_DOUBLE,
    TAG_LONG,
    TAG_STRING,
    ClientStats,
    EncodeError,
    integer_text,
    text_bytes,
)
from sls_tracing.thrift.span_encoder import CANNOT_ENCODE, SpanEncoder
from sls_tracing.thrift.tags import Remembered, TagEncoder
from sls_tracing.thrift.varint import SHORT_NUMBERS as _SHORT
from sls_tracing.thrift.varint import unsigned_varint, zigzag, zigzag_duration, zigzag_ids, zigzag_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

__all__ = ["CompactEncoder"]

_SHORT_DURATION = len(_SHORT) // 2  # of microseconds; the fold doubles
_NO_PARENT = -1
_TRUE, _FALSE, _I32, _I64, _DOUBLE, _STRING, _LIST, _STRUCT = 1, 2, 5, 6, 7, 8, 9, 12
_STOP = b"\0"


def _field(distance: int, kind: int) -> bytes:
    return bytes((distance << 4 | kind,))


def _text(value: bytes) -> bytes:
    return unsigned_varint(len(value)) + value


def _list_header(count: int) -> bytes:
    return _field(count, _STRUCT) if count < 15 else _field(15, _STRUCT) + unsigned_varint(count)


# A tag: 1 key, 2 vType, and one of 3 vStr, 4 vDouble, 5 vBool, 6 vLong, 7 vBinary.
def _value_start(tag_type: int, number: int, kind: int) -> bytes:
    return _field(1, _I32) + zigzag(tag_type) + _field(number - 2, kind)


_start_text = _value_start(TAG_STRING, 3, _STRING)
_start_double = _value_start(TAG_DOUBLE, 4, _DOUBLE)
_start_long = _value_start(TAG_LONG, 6, _I64)
_start_binary = _value_start(TAG_BINARY, 7, _STRING)
_whole_true = _value_start(TAG_BOOL, 5, _TRUE) + _STOP
_whole_false = _value_start(TAG_BOOL, 5, _FALSE) + _STOP
_pack_double = Struct("<3sdx").pack


def _text_value(key: bytes, value: str) -> bytes:
    # What a tag with a new value costs: so not by `text_bytes` and `_text`, nor by adding bytes, each of which costs half of a join.
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = text_bytes(value)
    size = len(data)
    return b"".join((key, _start_text, _SHORT[size] if size < len(_SHORT) else unsigned_varint(size), data, _STOP))


def _binary_value(key: bytes, value: bytes) -> bytes:
    return b"".join((key, _start_binary, _text(value), _STOP))


def _long_value(key: bytes, value: int) -> bytes:
    if MIN_I64 <= value <= MAX_I64:
        return b"".join((key, _start_long, zigzag(value), _STOP))
    return b"".join((key, _start_text, _text(integer_text(value)), _STOP))


def _double_value(key: bytes, value: float) -> bytes:
    return key + _pack_double(_start_double, value)


def _bool_value(key: bytes, value: bool) -> bytes:
    return key + (_whole_true if value else _whole_false)


_VALUES: dict[type, Callable[..., bytes]] = {
    str: _text_value,
    bool: _bool_value,
    int: _long_value,
    float: _double_value,
    bytes: _binary_value,
}


def _tag_key(key: str) -> bytes:
    return _field(1, _STRING) + _text(text_bytes(key))


_next_i64, _next_text, _next_list = _field(1, _I64), _field(1, _STRING), _field(1, _LIST)
# With the header of the start time, which follows.
_FLAGS = [_field(1, _I32) + zigzag(flags) + _next_i64 for flags in range(16)]
_FLAGS_AFTER_NAME = [_field(2, _I32) + zigzag(flags) + _next_i64 for flags in range(16)]  # no references in between
_REFERENCE_TYPES = {name: _field(1, _I32) + zigzag(number) for name, number in REFERENCE_TYPES.items()}


_Link: TypeAlias = "tuple[bytes, int, int]"
"""A reference: its type's field, and where its trace's id and its span's are."""


def _links(
    references: Sequence[Reference], trace_id: int, trace: int, parent_id: int | None, parent: int, numbers: list[int]
) -> list[_Link]:
    """Return references as places in ``numbers``. Nearly always there is one, to the parent in the same trace, whose ids are there already."""
    links = []
    for kind, linked_trace, linked_span in references:
        if linked_trace == trace_id and linked_span == parent_id:
            links.append((_REFERENCE_TYPES[kind], trace, parent))
        else:
            links.append((_REFERENCE_TYPES[kind], len(numbers), len(numbers) + 2))
            numbers += (linked_trace & LOW_64, linked_trace >> 64, linked_span)
    return links


def _references(links: Sequence[_Link], ids: Sequence[bytes]) -> bytes:
    parts = [_next_list, _list_header(len(links))]
    for kind, trace, span in links:
        parts += (kind, _next_i64, ids[trace], _next_i64, ids[trace + 1], _next_i64, ids[span], _STOP)
    return b"".join(parts)


class CompactEncoder(SpanEncoder):
    """Encodes spans, best many at once, then the message around them (see :class:`sls_tracing.thrift.schema.Encoder`)."""

    def __init__(self) -> None:
        self._names = Remembered()
        self._encode_tags = TagEncoder(_tag_key, _VALUES).encode

    def _encode_spans(self, records: Sequence[SpanRecord]) -> list[bytes]:
        # Flat, for its speed, and in two passes, since ids and times are encoded many at once, for a third of what one by one costs. The first pass
        # keeps an id as its place in `numbers`: spans of one trace that follow each other share its id, a root the lower half of its trace's.
        find_name, encode_tags = self._names.get, self._encode_tags
        numbers: list[int] = []
        starts: list[int] = []
        passed = []
        known_trace = low = None
        trace = 0
        for record in records:
            operation_name, context, references, start_time, finish_time, tags, logs, _, _ = record
            trace_id, span_id, parent_id, sampled, debug, _, _, _, _, firehose = context
            if trace_id is None or span_id is None:
                raise ValueError("a context without ids")
            if trace_id != known_trace:
                known_trace, low, trace = trace_id, trace_id & LOW_64, len(numbers)
                numbers += (low, trace_id >> 64)
            if span_id == low:
                span = trace
            else:
                span = len(numbers)
                numbers.append(span_id)
            parent = _NO_PARENT
            if parent_id:
                parent = len(numbers)
                numbers.append(parent_id)
            flags = (DEBUG_FLAGS if debug else 1 if sampled else 0) | (FIREHOSE_FLAG if firehose else 0)
            start = (start_time * 1e6).__round__()  # `round` costs 500 instructions more
            duration = (finish_time * 1e6).__round__() - start
            starts.append(start)
            links = None
            if references:
                links = _links(references, trace_id, trace, parent_id, parent, numbers)
            encoded_tags = b""
            if tags:
                count = len(tags)
                encoded_tags = encode_tags(tags, _TAGS[count] if count < 15 else _next_list + _list_header(count))
            passed.append((
                trace, span, parent,
                find_name(operation_name) or self._name(operation_name),
                links,
                (_FLAGS if links else _FLAGS_AFTER_NAME)[flags],
                # Negative when the clock was set back.
                (_SHORT[duration << 1] if duration < _SHORT_DURATION else zigzag_duration(duration)) if duration > 0 else _STOP,
                encoded_tags,
                self._logs(logs, _next_list if tags else _field(2, _LIST)) if logs else _STOP,
            ))  # fmt: skip
        times = zigzag_times(starts)
        ids = zigzag_ids(numbers)
        ids.append(_STOP)  # at _NO_PARENT
        return [
            b"".join((
                _next_i64, ids[trace], _next_i64, ids[trace + 1], _next_i64, ids[span], _next_i64, ids[parent],
                name, _references(links, ids) if links else b"", flags, time, _next_i64, duration, tags, end
            ))
            for (trace, span, parent, name, links, flags, duration, tags, end), time in zip(passed, times, strict=True)
        ]  # fmt: skip

    def _name(self, name: str) -> bytes:
        return self._names.add(name, _next_text + _text(text_bytes(name)))

    def _logs(self, logs: Sequence[LogRecord], field: bytes) -> bytes:
        parts = [field, _list_header(len(logs))]
        for timestamp, fields in logs:
            parts += (
                _next_i64,
                zigzag(round(timestamp * 1e6)),
                self._encode_tags(fields, _next_list + _list_header(len(fields))),
                _STOP,
            )
        parts.append(_STOP)
        return b"".join(parts)

    def process(self, process: Process) -> bytes:
        """Return a whole ``Process`` struct."""
        try:
            name = _next_text + _text(text_bytes(process.service_name))
            tags = process.tags
            return name + (self._encode_tags(tags, _next_list + _list_header(len(tags))) if tags else b"") + _STOP
        except CANNOT_ENCODE as error:
            raise EncodeError(f"a process that cannot be encoded: {error!r}") from error

    def emit_batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return the message ``Agent.emitBatch``: one datagram."""
        return b"".join((
            _MESSAGE, process, _next_list, _list_header(len(spans)), *spans, _trailer(seq_no, stats), _STOP, _STOP
        ))  # fmt: skip

    def batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return a bare ``Batch`` struct."""
        return b"".join((
            _next_struct, process, _next_list, _list_header(len(spans)), *spans, _trailer(seq_no, stats), _STOP
        ))  # fmt: skip

    def envelope_size(
        self, process: bytes, count: int, *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> int:
        """Return the exact bytes that :meth:`emit_batch` adds to ``count`` spans, the process among them."""
        return _ENVELOPE + len(process) + len(_list_header(count)) + len(_trailer(seq_no, stats))


_TAGS = [_next_list + _list_header(count) for count in range(15)]
_next_struct = _field(1, _STRUCT)
_ONEWAY, _VERSION = 4, 1
_MESSAGE = bytes((0x82, _ONEWAY << 5 | _VERSION, MESSAGE_ID)) + _text(METHOD.encode())
_MESSAGE += _next_struct  # the argument "batch"
_MESSAGE += _next_struct  # its field "process"
_ENVELOPE = len(_MESSAGE + _next_list + _STOP + _STOP)


def _trailer(seq_no: int | None, stats: ClientStats | None) -> bytes:
    if seq_no is None and stats is None:
        return b""
    trailer = b"" if seq_no is None else _next_i64 + zigzag(seq_no)
    if stats is not None:
        trailer += _field(1 if seq_no is not None else 2, _STRUCT)
        trailer += b"".join([_next_i64 + zigzag(count) for count in stats]) + _STOP
    return trailer
