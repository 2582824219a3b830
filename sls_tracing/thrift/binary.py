"""Spans in Thrift's binary protocol: UDP 6832 and the body of HTTP 14268.

A field is its type (1 byte), its number (2) and its value, all big-endian; text is a 4-byte length and UTF-8; a list is its elements'
type and a 4-byte count; a struct ends with 0. (Thrift's ``doc/specs/thrift-binary-protocol.md``; the strict form of the message header.)

Optional lists that are empty are left out, as thriftpy2 does for a field that is None. jaeger-client writes an empty ``logs``; servers
read both alike.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

__all__ = ["BinaryEncoder"]

_BOOL, _DOUBLE, _I32, _I64, _STRING, _STRUCT, _LIST = 2, 4, 8, 10, 11, 12, 15
_STOP = b"\0"


def _field(kind: int, number: int) -> bytes:
    return bytes((kind, 0, number))


_field_1, _field_2, _field_3, _field_4 = (_field(_I64, number) for number in range(1, 5))
_flags_field, _start_field, _duration_field = _field(_I32, 7), _field(_I64, 8), _field(_I64, 9)
_references_field = _field(_LIST, 6) + bytes((_STRUCT,))
_reference_type_field = _field(_I32, 1)
_tags_field = _field(_LIST, 10) + bytes((_STRUCT,))

# Ids are packed unsigned (Q): the bits are those of the i64 that Thrift asks for, and a range check comes for free.
_pack_ids = Struct(">3sQ3sQ3sQ3sQ").pack
_pack_rest = Struct(">3si3sq3sq").pack
_pack_rest_and_tags_header = Struct(">3si3sq3sq4si").pack
_pack_reference = Struct(">3si3sQ3sQ3sQB").pack
_pack_one_reference = Struct(">4si3si3sQ3sQ3sQB").pack
_pack_log = Struct(">3sq4si").pack
_pack_list = Struct(">4si").pack
_pack_text = Struct(">3si").pack
_pack_i64 = Struct(">3sq").pack
_pack_stats = Struct(">3s3sq3sq3sqB").pack


def _text_field(number: int, value: bytes) -> bytes:
    return _pack_text(_field(_STRING, number), len(value)) + value


def _list_field(number: int, count: int) -> bytes:
    return _pack_list(_field(_LIST, number) + bytes((_STRUCT,)), count)


# A tag: 1 key, 2 vType, and one of 3 vStr, 4 vDouble, 5 vBool, 6 vLong, 7 vBinary.
def _value_start(tag_type: int, kind: int, number: int) -> bytes:
    return _field(_I32, 2) + tag_type.to_bytes(4, "big") + _field(kind, number)


_start_text = _value_start(TAG_STRING, _STRING, 3)
_start_double = _value_start(TAG_DOUBLE, _DOUBLE, 4)
_start_bool = _value_start(TAG_BOOL, _BOOL, 5)
_start_long = _value_start(TAG_LONG, _I64, 6)
_start_binary = _value_start(TAG_BINARY, _STRING, 7)
_pack_length = Struct(">10si").pack
_pack_long = Struct(">10sqx").pack
_pack_double = Struct(">10sdx").pack


def _text_value(key: bytes, value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = text_bytes(value)
    return b"".join((key, _pack_length(_start_text, len(data)), data, _STOP))


def _binary_value(key: bytes, value: bytes) -> bytes:
    return b"".join((key, _pack_length(_start_binary, len(value)), value, _STOP))


def _long_value(key: bytes, value: int) -> bytes:
    if MIN_I64 <= value <= MAX_I64:
        return key + _pack_long(_start_long, value)
    data = integer_text(value)
    return b"".join((key, _pack_length(_start_text, len(data)), data, _STOP))


def _double_value(key: bytes, value: float) -> bytes:
    return key + _pack_double(_start_double, value)


def _bool_value(key: bytes, value: bool) -> bytes:
    return key + _start_bool + (b"\1\0" if value else b"\0\0")


_VALUES: dict[type, Callable[..., bytes]] = {
    str: _text_value,
    bool: _bool_value,
    int: _long_value,
    float: _double_value,
    bytes: _binary_value,
}


def _tag_key(key: str) -> bytes:
    return _text_field(1, text_bytes(key))


def _one_reference(reference: Reference) -> bytes:
    """Almost every span has its parent and no other link: one call of C for list header and struct."""
    kind, trace_id, span_id = reference
    return _pack_one_reference(
        _references_field, 1, _reference_type_field, REFERENCE_TYPES[kind],
        _field_2, trace_id & LOW_64, _field_3, trace_id >> 64, _field_4, span_id, 0
    )  # fmt: skip


def _references(references: Sequence[Reference]) -> bytes:
    parts = [_list_field(6, len(references))]
    for kind, trace_id, span_id in references:
        parts.append(_pack_reference(
            _reference_type_field, REFERENCE_TYPES[kind],
            _field_2, trace_id & LOW_64, _field_3, trace_id >> 64, _field_4, span_id, 0
        ))  # fmt: skip
    return b"".join(parts)


_MESSAGE = b"\x80\x01\x00\x04" + len(METHOD).to_bytes(4, "big") + METHOD.encode() + MESSAGE_ID.to_bytes(4, "big")
_MESSAGE += _field(_STRUCT, 1)  # the argument "batch"; 4 above is ONEWAY
_PROCESS_FIELD = _field(_STRUCT, 1)
_ENVELOPE = len(_MESSAGE) + len(_PROCESS_FIELD) + len(_list_field(2, 0)) + 2 * len(_STOP)


class BinaryEncoder(SpanEncoder):
    """Encodes spans one by one, then the message around them (see :class:`sls_tracing.thrift.schema.Encoder`)."""

    def __init__(self) -> None:
        self._names = Remembered()
        self._encode_tags = TagEncoder(_tag_key, _VALUES).encode

    def _encode_spans(self, records: Sequence[SpanRecord]) -> list[bytes]:
        find_name, encode_tags = self._names.get, self._encode_tags
        encoded = []
        for record in records:
            operation_name, context, references, start_time, finish_time, tags, logs, _, _ = record
            trace_id, span_id, parent_id, sampled, debug, _, _, _, _, firehose = context
            if trace_id is None or span_id is None:
                raise ValueError("a context without ids")
            start = (start_time * 1e6).__round__()  # `round` costs 500 instructions more
            duration = (finish_time * 1e6).__round__() - start
            if duration < 0:  # noqa: PLR1730 - the wall clock was set back while the span ran; max() costs 0.1 µs
                duration = 0
            flags = (DEBUG_FLAGS if debug else 1 if sampled else 0) | (FIREHOSE_FLAG if firehose else 0)
            encoded.append(b"".join((
                _pack_ids(_field_1, trace_id & LOW_64, _field_2, trace_id >> 64, _field_3, span_id, _field_4, parent_id or 0),
                find_name(operation_name) or self._name(operation_name),
                (_one_reference(*references) if len(references) == 1 else _references(references)) if references else b"",
                _pack_rest(_flags_field, flags, _start_field, start, _duration_field, duration),
                encode_tags(tags, _pack_list(_tags_field, len(tags))) if tags else b"",
                self._logs(logs) if logs else _STOP,
            )))  # fmt: skip
        return encoded

    def _name(self, name: str) -> bytes:
        return self._names.add(name, _text_field(5, text_bytes(name)))

    def _logs(self, logs: Sequence[LogRecord]) -> bytes:
        parts = [_list_field(11, len(logs))]
        for timestamp, fields in logs:
            start = _pack_log(_field_1, round(timestamp * 1e6), _LOG_FIELDS, len(fields))
            parts += (self._encode_tags(fields, start), _STOP)
        parts.append(_STOP)
        return b"".join(parts)

    def process(self, process: Process) -> bytes:
        """Return a whole ``Process`` struct."""
        try:
            name = _text_field(1, text_bytes(process.service_name))
            tags = process.tags
            return name + (self._encode_tags(tags, _list_field(2, len(tags))) if tags else b"") + _STOP
        except CANNOT_ENCODE as error:
            raise EncodeError(f"a process that cannot be encoded: {error!r}") from error

    def emit_batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return the message ``Agent.emitBatch``: one datagram."""
        return b"".join((
            _MESSAGE, _PROCESS_FIELD, process, _list_field(2, len(spans)), *spans, _trailer(seq_no, stats), _STOP, _STOP
        ))  # fmt: skip

    def batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return a bare ``Batch`` struct: the body of a POST to a collector."""
        return b"".join((_PROCESS_FIELD, process, _list_field(2, len(spans)), *spans, _trailer(seq_no, stats), _STOP))

    def envelope_size(
        self, process: bytes, count: int, *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> int:
        """Return the exact bytes that :meth:`emit_batch` adds to ``count`` spans, the process among them."""
        return _ENVELOPE + len(process) + len(_trailer(seq_no, stats))


_LOG_FIELDS = _field(_LIST, 2) + bytes((_STRUCT,))


def _trailer(seq_no: int | None, stats: ClientStats | None) -> bytes:
    trailer = b"" if seq_no is None else _pack_i64(_field_3, seq_no)
    if stats is not None:
        full, large, failed = stats
        trailer += _pack_stats(_field(_STRUCT, 4), _field_1, full, _field_2, large, _field_3, failed, 0)
    return trailer
