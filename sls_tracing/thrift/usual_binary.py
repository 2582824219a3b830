"""Binary messages in the usual layout: see ``usual.py``."""

from __future__ import annotations

from struct import Struct

from sls_tracing.model import LogRecord, Process, Reference, SpanRecord, TagValue
from sls_tracing.thrift.schema import METHOD, Batch, ClientStats
from sls_tracing.thrift.usual import LONGEST, REFERENCE_TYPES, KnownTexts, UnusualError, make_span

__all__ = ["read_binary_batch", "read_binary_message"]

_NAME = len(METHOD).to_bytes(4, "big") + METHOD.encode()
_MESSAGES = (b"\x80\x01\x00\x01" + _NAME, b"\x80\x01\x00\x04" + _NAME)  # CALL, ONEWAY
_HEADER_LENGTH = len(_MESSAGES[0]) + 4  # behind the name comes the message's own number

# Headers of fields: type and number. Lists hold structs, whose type is a part of a list's header.
_FIELD_1_STRUCT, _FIELD_4_STRUCT = b"\x0c\0\1", b"\x0c\0\4"
_FIELD_1_TEXT, _FIELD_5_TEXT = b"\x0b\0\1", b"\x0b\0\5"
_I64_FIELDS = _FIELD_1, _FIELD_2, _FIELD_3, _FIELD_4 = tuple(b"\x0a\0" + bytes((number,)) for number in range(1, 5))
_FIELD_8, _FIELD_9 = b"\x0a\0\x08", b"\x0a\0\x09"
_FLAGS, _REFERENCE_TYPE = b"\x08\0\7", b"\x08\0\1"
_FIELD_2_LIST = b"\x0f\0\2\x0c"
_REFERENCES, _TAGS, _LOGS = b"\x0f\0\6\x0c", b"\x0f\0\x0a\x0c", b"\x0f\0\x0b\x0c"

_unpack_ids = Struct(">3sQ3sQ3sQ3sQ3sI").unpack_from
_unpack_rest = Struct(">3si3sq3sq").unpack_from
_unpack_reference = Struct(">3si3sQ3sQ3sQB").unpack_from
_unpack_list = Struct(">4sI").unpack_from
_unpack_text = Struct(">3sI").unpack_from
_unpack_value = Struct(">10sI").unpack_from
_unpack_long = Struct(">qB").unpack_from
_unpack_double = Struct(">dB").unpack_from
_unpack_i64 = Struct(">3sq").unpack_from
_unpack_stats = Struct(">3s3sq3sq3sqB").unpack_from
_unpack_log = Struct(">3sq4sI").unpack_from

_STRING, _BINARY, _DOUBLE, _BOOL, _LONG, _ALL = range(6)
_VALUES = {
    b"\x08\0\2\0\0\0\0\x0b\0\3": _STRING,
    b"\x08\0\2\0\0\0\1\x04\0\4": _DOUBLE,
    b"\x08\0\2\0\0\0\2\x02\0\5": _BOOL,
    b"\x08\0\2\0\0\0\3\x0a\0\6": _LONG,
    b"\x08\0\2\0\0\0\4\x0b\0\7": _BINARY,
}
"""Between a tag's key and its value stand the field vType with its value and the header of the value's field."""
_VALUES.update(dict.fromkeys([b"\x08\0\2\0\0\0" + bytes((kind,)) + b"\x0b\0\3" for kind in range(1, 5)], _ALL))
_unpack_all = Struct(">3sd3sB3sq3sI").unpack_from
"""Node's client writes every value field of every tag, those that do not count empty; so vStr, behind which come these and vBinary's bytes."""

_texts = KnownTexts()


def read_binary_message(message: bytes) -> Batch:
    """Return the batch of an ``emitBatch`` message. Raises one of :data:`~sls_tracing.thrift.usual.NOT_USUAL`."""
    if not message.startswith(_MESSAGES) or message[_HEADER_LENGTH : _HEADER_LENGTH + 3] != _FIELD_1_STRUCT:
        raise UnusualError
    batch, position = _read_batch(message, _HEADER_LENGTH + 3)
    if message[position]:
        raise UnusualError
    return batch


def read_binary_batch(body: bytes) -> Batch:
    """Return what a bare ``Batch`` struct says. Raises one of :data:`~sls_tracing.thrift.usual.NOT_USUAL`."""
    return _read_batch(body, 0)[0]


def _read_batch(data: bytes, position: int) -> tuple[Batch, int]:
    if len(data) > LONGEST or data[position : position + 3] != _FIELD_1_STRUCT:
        raise UnusualError
    process, position = _read_process(data, position + 3)
    header, count = _unpack_list(data, position)
    if header != _FIELD_2_LIST:
        raise UnusualError
    position += 8
    spans: list[SpanRecord] = []
    for _ in range(count):
        span, position = _read_span(data, position, process)
        spans.append(span)
    seq_no = stats = None
    if data[position : position + 3] == _FIELD_3:
        _, seq_no = _unpack_i64(data, position)
        position += 11
    if data[position]:
        *parts, stop = _unpack_stats(data, position)
        if (*parts[:2], parts[3], parts[5], stop) != (_FIELD_4_STRUCT, _FIELD_1, _FIELD_2, _FIELD_3, 0):
            raise UnusualError
        stats = ClientStats(parts[2], parts[4], parts[6])
        position += 37
    if data[position]:
        raise UnusualError
    return Batch(process, spans, seq_no, stats), position + 1


def _read_process(data: bytes, position: int) -> tuple[Process, int]:
    header, length = _unpack_text(data, position)
    position += 7
    end = position + length
    if header != _FIELD_1_TEXT or not length:
        raise UnusualError
    name = _texts[data[position:end]]
    tags: dict[str, TagValue] = {}
    if data[end]:
        header, count = _unpack_list(data, end)
        if header != _FIELD_2_LIST:
            raise UnusualError
        tags, end = _read_tags(data, end + 8, count)
        if data[end]:
            raise UnusualError
    return Process(name, tags), end + 1


def _read_span(data: bytes, position: int, process: Process) -> tuple[SpanRecord, int]:
    one, low, two, high, three, span_id, four, parent_id, five, length = _unpack_ids(data, position)
    if (one, two, three, four, five) != (_FIELD_1, _FIELD_2, _FIELD_3, _FIELD_4, _FIELD_5_TEXT):
        raise UnusualError
    position += 51
    end = position + length
    data[end]  # IndexError if the name is not there
    name = _texts[data[position:end]]
    references: list[Reference] = []
    if data[end] == 0x0F:
        references, end = _read_references(data, end)
    seven, flags, eight, start, nine, duration = _unpack_rest(data, end)
    if (seven, eight, nine) != (_FLAGS, _FIELD_8, _FIELD_9):
        raise UnusualError
    position = end + 29
    tags: dict[str, TagValue] = {}
    logs: tuple[LogRecord, ...] = ()
    if data[position]:
        header, count = _unpack_list(data, position)
        if header == _TAGS:
            tags, position = _read_tags(data, position + 8, count)
        if data[position]:
            logs, position = _read_logs(data, position)
    if data[position]:
        raise UnusualError
    ids, times = (low, high, span_id, parent_id), (start, duration)
    return make_span(name, ids, flags, times, references, tags, logs, process), position + 1


def _read_tags(data: bytes, position: int, count: int) -> tuple[dict[str, TagValue], int]:
    tags: dict[str, TagValue] = {}
    value: TagValue
    for _ in range(count):
        header, length = _unpack_text(data, position)
        if header != _FIELD_1_TEXT:
            raise UnusualError
        position += 7
        end = position + length
        head, length = _unpack_value(data, end)
        key = _texts[data[position:end]]
        kind = _VALUES[head]
        position = end + 10
        if kind <= _BINARY:
            position += 4
            end = position + length
            stop = data[end]
            value = data[position:end]
            if kind == _STRING:
                value = value.decode()
                if stop:
                    _, end = _read_all(data, end, head)
                    stop = data[end]
            position = end + 1
        elif kind == _LONG:
            value, stop = _unpack_long(data, position)
            position += 9
        elif kind == _BOOL:
            value, stop = (False, True)[data[position]], data[position + 1]
            position += 2
        elif kind == _DOUBLE:
            value, stop = _unpack_double(data, position)
            position += 9
        else:
            value, end = _read_all(data, position + 4 + length, head)
            stop = data[end]
            position = end + 1
        if stop:
            raise UnusualError
        tags[key] = value
    return tags, position


def _read_all(data: bytes, position: int, head: bytes) -> tuple[TagValue, int]:
    """Return the value of a tag with all value fields, and its end; ``position`` is behind vStr."""
    four, double, five, boolean, six, long, seven, length = _unpack_all(data, position)
    if (four, five, six, seven) != (b"\x04\0\4", b"\x02\0\5", b"\x0a\0\6", b"\x0b\0\7"):
        raise UnusualError
    position += 33
    end = position + length
    data[end]  # IndexError unless something follows, as it must
    values = ("", double, (False, True)[boolean], long, data[position:end])
    return values[head[6]], end


def _read_references(data: bytes, position: int) -> tuple[list[Reference], int]:
    header, count = _unpack_list(data, position)
    if header != _REFERENCES:
        raise UnusualError
    position += 8
    references = []
    for _ in range(count):
        one, kind, two, low, three, high, four, span_id, stop = _unpack_reference(data, position)
        if (one, two, three, four, stop) != (_REFERENCE_TYPE, _FIELD_2, _FIELD_3, _FIELD_4, 0) or kind < 0:
            raise UnusualError
        references.append(Reference(REFERENCE_TYPES[kind], high << 64 | low, span_id))
        position += 41
    return references, position


def _read_logs(data: bytes, position: int) -> tuple[tuple[LogRecord, ...], int]:
    header, count = _unpack_list(data, position)
    if header != _LOGS:
        raise UnusualError
    position += 8
    logs = []
    for _ in range(count):
        one, timestamp, two, fields = _unpack_log(data, position)
        if (one, two) != (_FIELD_1, _FIELD_2_LIST):
            raise UnusualError
        tags, position = _read_tags(data, position + 19, fields)
        if data[position]:
            raise UnusualError
        position += 1
        logs.append(LogRecord(timestamp / 1e6, tags))
    return tuple(logs), position
