"""Decoding: what comes back, what is repaired, and what is refused."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.decoding import DecodeError, decode_batch, decode_emit_batch
from sls_tracing.thrift.schema import ClientStats

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
import conftest as spans
import oracles

PROTOCOLS = ["compact", "binary"]
ENCODERS = {"compact": CompactEncoder(), "binary": BinaryEncoder()}
LOG = LogRecord(1_600_000_000.375, {"event": "error", "n": 3})
RICH = spans.make_record(
    tags={"s": "ü", "b": True, "i": -5, "f": 0.5, "raw": b"\xff", "n": 2**63 - 1},
    logs=(LOG, LOG),
    references=(Reference("child_of", 0xABC << 100, 0x123456789ABCDEF0), Reference("follows_from", 1, 2)),
)


def message(protocol: str, *records, process=RICH.process, **options) -> bytes:
    encoder = ENCODERS[protocol]
    return encoder.emit_batch(encoder.process(process), [encoder.span(each) for each in records], **options)


def decode_span(protocol: str, **changes):
    """The only span of a message that thriftpy2 wrote, after changes to its Thrift object."""
    batch = oracles.batch_object(RICH.process, [spans.make_record()])
    for name, value in changes.items():
        setattr(batch.spans[0], name, value)
    (record,) = decode_emit_batch(oracles.write_message(batch, protocol), protocol).spans
    return record


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_a_span_comes_back_as_it_was(protocol):
    """Encoding and decoding lose nothing that the model holds."""
    batch = decode_emit_batch(message(protocol, RICH, RICH, seq_no=9, stats=ClientStats(1, 2, 3)), protocol)
    assert batch.spans == [RICH, RICH]
    assert batch.process == RICH.process
    assert batch.spans[0].process is batch.process
    assert (batch.seq_no, batch.stats) == (9, ClientStats(1, 2, 3))
    assert decode_emit_batch(message(protocol, RICH), protocol)[2:] == (None, None)


def test_a_bare_batch_comes_back():
    """The body of a POST holds the struct without message."""
    encoder = ENCODERS["binary"]
    batch = decode_batch(encoder.batch(encoder.process(RICH.process), [encoder.span(RICH)], seq_no=1))
    assert (batch.spans, batch.seq_no) == ([RICH], 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=60)
@given(record=spans.records())
def test_any_span_is_decoded_to_what_the_wire_says(protocol, record):
    """Encoding the decoded span again gives the same bytes, whatever the span: nothing was misread or lost."""
    encoded = ENCODERS[protocol].span(record)
    (decoded,) = decode_emit_batch(message(protocol, record), protocol).spans
    if not record.operation_name:
        assert decoded.operation_name == "empty-span-name"
        decoded = decoded._replace(operation_name="")
    parent = Reference("child_of", record.context.trace_id, record.context.parent_id)
    if record.context.parent_id and parent[1:] not in [each[1:] for each in record.references]:
        assert decoded.references[0] == parent
        decoded = decoded._replace(references=decoded.references[1:])
    decoded = decoded._replace(
        context=decoded.context._replace(sampled=record.context.sampled or record.context.debug or None)
    )
    # Two keys that differ in a lone surrogate and its escape are one on the wire.
    if len(decoded.tags) == len(record.tags) and [len(each.fields) for each in decoded.logs] == [
        len(each.fields) for each in record.logs
    ]:
        assert ENCODERS[protocol].span(decoded) == encoded


def test_the_datagram_of_jaeger_client_is_read():
    """jaeger-client's own datagram, its empty list of logs included."""
    import test_encoders

    (record,) = decode_emit_batch(test_encoders.VECTOR, "compact").spans
    assert record.operation_name == "op"
    assert record.context == SpanContext(0x02B4FF48C4624F00, 0x68BB1127E8749D75, wide=False)
    assert record.tags == {"sampler.type": "const", "sampler.param": True}
    assert (record.start_time, record.finish_time, record.logs) == (1600000000.25, 1600000000.5, ())
    assert record.process.service_name == "svc"
    assert record.process.tags["num"] == 7


def test_both_message_types_are_read(protocol):
    """Go's client calls, the others send one-way; a reply or an exception is no batch."""
    batch = oracles.batch_object(RICH.process, [RICH])
    for kind in (1, 4):
        assert decode_emit_batch(oracles.write_message(batch, protocol, kind=kind), protocol).spans == [RICH]
    for kind in (2, 3):
        with pytest.raises(DecodeError, match="type"):
            decode_emit_batch(oracles.write_message(batch, protocol, kind=kind), protocol)


def test_another_method_is_refused(protocol):
    """Only emitBatch is served."""
    batch = oracles.batch_object(RICH.process, [RICH])
    with pytest.raises(DecodeError, match="emitZipkinBatch"):
        decode_emit_batch(oracles.write_message(batch, protocol, name="emitZipkinBatch"), protocol)


# -- Jaeger's semantics ------------------------------------------------------------------------------------------------


def test_the_parent_becomes_the_first_reference(protocol):
    """parentSpanId adds a CHILD_OF in front, unless some reference, of any type, names the same span."""
    parent = Reference("child_of", 0xABC << 100, 0x123456789ABCDEF0)
    other = oracles.jaeger.SpanRef(refType=1, traceIdLow=1, traceIdHigh=0, spanId=2)
    assert decode_span(protocol, references=None).references == (parent,)
    assert decode_span(protocol, references=[other]).references == (parent, Reference("follows_from", 1, 2))
    same = oracles.jaeger.SpanRef(refType=1, traceIdLow=0, traceIdHigh=0xABC << 36, spanId=parent.span_id)
    assert decode_span(protocol, references=[other, same]).references == (
        Reference("follows_from", 1, 2),
        Reference("follows_from", parent.trace_id, parent.span_id),
    )


def test_ids_are_unsigned_and_keep_their_width(protocol):
    """Negative i64 are large ids; a zero high half makes the trace id 16 digits wide."""
    record = decode_span(protocol, traceIdLow=-1, traceIdHigh=0, spanId=-2, parentSpanId=0, references=None)
    assert record.context[:3] == (2**64 - 1, 2**64 - 2, None)
    assert record.context.wide is False
    assert record.references == ()
    assert decode_span(protocol, traceIdHigh=1).context.wide is True


@pytest.mark.parametrize(
    ("flags", "sampled", "debug", "firehose"),
    [
        (0, False, False, False),
        (1, True, False, False),
        (2, True, True, False),
        (3, True, True, False),
        (9, True, False, True),
    ],
)
def test_flags(protocol, flags, sampled, debug, firehose):
    """1 is sampled, 2 is debug, which implies sampled, 8 is firehose."""
    context = decode_span(protocol, flags=flags).context
    assert (context.sampled, context.debug, context.firehose) == (sampled, debug, firehose)


def test_of_equal_keys_the_last_counts(protocol):
    """A list of tags becomes a dict; the later tag wins."""
    tag = oracles.jaeger.Tag
    assert decode_span(protocol, tags=[tag(key="k", vType=3, vLong=1), tag(key="k", vType=0, vStr="x")]).tags == {
        "k": "x"
    }


def test_a_tag_of_an_unknown_type_is_told_as_text(protocol):
    """An unknown vType costs the value, not the span."""
    assert decode_span(protocol, tags=[oracles.jaeger.Tag(key="k", vType=99)]).tags == {"k": "Unknown VType: 99"}


def test_a_tag_without_its_value_is_the_zero_of_its_type(protocol):
    """Go's getters read an absent value as zero."""
    tags = [oracles.jaeger.Tag(key=str(kind), vType=kind) for kind in range(5)]
    assert decode_span(protocol, tags=tags).tags == {"0": "", "1": 0.0, "2": False, "3": 0, "4": b""}


def test_empty_names_are_named(protocol):
    """Jaeger v2's sanitizers name what has no name."""
    batch = decode_emit_batch(message(protocol, RICH._replace(operation_name=""), process=Process("")), protocol)
    assert batch.spans[0].operation_name == "empty-span-name"
    assert batch.process.service_name == "empty-service-name"


def test_invalid_utf_8_costs_its_own_value_only(protocol):
    """Text that is not UTF-8 stays as bytes and leaves a warning; the rest of the span is whole."""
    tag = oracles.jaeger.Tag
    tags = [tag(key="a", vType=0, vStr=b"\xff"), tag(key=b"\xfe", vType=3, vLong=5), tag(key="c", vType=0, vStr="good")]
    record = decode_span(protocol, tags=tags, operationName=b"\xff\xfd")
    assert record.tags == {
        "a": b"\xff",
        "invalid-tag-key": b"\xfe:5",
        "c": "good",
        "invalid-span-name": b"\xff\xfd",
    }
    assert record.operation_name == "invalid-span-name"
    assert len(record.warnings) == 3
    assert record.references == spans.make_record().references


def test_an_invalid_service_name_is_replaced(protocol):
    """So does a service's name."""
    batch = oracles.batch_object(RICH.process, [RICH])
    batch.process.serviceName = b"\xff"
    process = decode_emit_batch(oracles.write_message(batch, protocol), protocol).process
    assert process == Process("invalid-service-name", {"hostname": "host-1", "invalid-service-name": b"\xff"})


# -- what is refused ---------------------------------------------------------------------------------------------------


def check(data: bytes, protocol: str) -> None:
    """Decode to a batch or to DecodeError; anything else fails the test."""
    try:
        decode_emit_batch(data, protocol)
    except DecodeError:
        return


def test_truncated_at_every_byte(protocol):
    """No proper prefix of a message is a message."""
    whole = message(protocol, RICH, RICH, seq_no=300, stats=ClientStats(1, 2, 3))
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            decode_emit_batch(whole[:length], protocol)


def test_a_body_truncated_at_every_byte():
    """Nor is a prefix of a body a batch."""
    encoder = ENCODERS["binary"]
    body = encoder.batch(encoder.process(RICH.process), [encoder.span(RICH)], seq_no=1)
    for length in range(len(body)):
        with pytest.raises(DecodeError):
            decode_batch(body[:length])


def test_every_byte_changed_to_every_value(protocol):
    """Whatever one byte says, there is an answer."""
    whole = message(protocol, spans.make_record(logs=(LOG,)), seq_no=1)
    for position in range(len(whole)):
        for value in (0, 1, 2, 11, 12, 13, 15, 0x7F, 0x80, 0x9C, 0xFC, 0xFF):
            check(whole[:position] + bytes((value,)) + whole[position + 1 :], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(data=st.binary(max_size=400))
@example(data=b"")
def test_random_bytes_behind_a_good_header(protocol, data):
    """Bytes of no meaning at all, alone, as arguments, and as a batch."""
    header = message(protocol)
    check(data, protocol)
    for start in (17, 14, 24, 27):
        check(header[:start] + data, protocol)
    try:
        decode_batch(data)
    except DecodeError:
        pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=6))
@settings(max_examples=200)
def test_mutations_of_a_good_message(protocol, edits):
    """A good message with parts removed, overwritten and inserted."""
    data = message(protocol, RICH, spans.make_record(), seq_no=1, stats=ClientStats())
    for position, removed, inserted in edits:
        data = data[:position] + inserted + data[position + removed :]
    check(data, protocol)


def test_a_missing_required_field_is_malformed(protocol):
    """As for Go's generated reader: a span without its ids, a tag without its key, a batch without process."""
    for name in ("traceIdLow", "spanId", "operationName", "startTime"):
        with pytest.raises(DecodeError, match="Span without"):
            decode_span(protocol, **{name: None})
    with pytest.raises(DecodeError, match="Tag without"):
        decode_span(protocol, tags=[oracles.jaeger.Tag(key="k")])
    with pytest.raises(DecodeError, match="Batch without"):
        decode_emit_batch(oracles.write_message(oracles.jaeger.Batch(spans=[]), protocol), protocol)
    with pytest.raises(DecodeError):
        decode_emit_batch(oracles.write_message(None, protocol), protocol)


# Headers up to and including the argument "batch", then fields by hand.
COMPACT = b"\x82\x81\x01\x09emitBatch"
BINARY = b"\x80\x01\x00\x04\x00\x00\x00\x09emitBatch\x00\x00\x00\x01"
HUGE = b"\xff\xff\xff\xff\x07"  # 2**31 - 1 as a varint
HUGER = b"\xff" * 9 + b"\x01"  # 2**64 - 1
I32_MAX = struct.pack(">i", 2**31 - 1)

HOSTILE = {
    "compact, a name of 2 GiB": ("compact", b"\x82\x81\x01" + HUGE + b"x"),
    "compact, a service name of 2 GiB": ("compact", COMPACT + b"\x1c\x1c\x18" + HUGE + b"x"),
    "compact, a service name of 2**64": ("compact", COMPACT + b"\x1c\x1c\x18" + HUGER + b"x"),
    "compact, 2**31 spans": ("compact", COMPACT + b"\x1c\x1c\x18\x01s\x00\x19\xfc" + HUGE + b"\x00" * 60_000),
    "compact, 60,000 empty spans": (
        "compact",
        COMPACT + b"\x1c\x1c\x18\x01s\x00\x19\xfc\xe0\xd4\x03" + b"\x00" * 60_010,
    ),
    "compact, spans that are numbers": (
        "compact",
        COMPACT + b"\x1c\x1c\x18\x01s\x00\x19\xf6\xe0\xd4\x03" + b"\x00" * 60_010,
    ),
    "compact, 2**64 elements of nothing in an unknown list": (
        "compact",
        COMPACT + b"\x1c\xf9\xf0" + HUGER + b"\x00" * 9,
    ),
    "compact, 60,000 elements of nothing in an unknown list": (
        "compact",
        COMPACT + b"\x1c\xf9\xf0\xe0\xd4\x03" + b"\x00" * 60_010,
    ),
    "compact, a map of 2**31": ("compact", COMPACT + b"\x1c\xfb" + HUGE + b"\x11" + b"\x01" * 60_000),
    "compact, an endless number": ("compact", COMPACT + b"\x1c\xf6" + b"\xff" * 60_000),
    "compact, unknown structs nested 60,000 deep": ("compact", COMPACT + b"\x1c\xfc" + b"\x1c" * 60_000),
    "compact, unknown lists nested 60,000 deep": ("compact", COMPACT + b"\x1c\xf9" + b"\x19" * 60_000),
    "compact, 30,000 unknown fields": ("compact", COMPACT + b"\x1c\xf5\x00" + b"\x15\x00" * 30_000),
    "compact, 60,000 unknown bools": ("compact", COMPACT + b"\x1c\xf1" + b"\x11" * 60_000),
    "compact, an unknown list of 60,000 bools": ("compact", COMPACT + b"\x1c\xf9\xf1\xe0\xd4\x03" + b"\x01" * 60_010),
    "compact, a field of a type that is none": ("compact", COMPACT + b"\x1c\x1f"),
    "binary, a name of 2 GiB": ("binary", BINARY[:4] + I32_MAX + BINARY[8:]),
    "binary, a name of -1": ("binary", BINARY[:4] + b"\xff\xff\xff\xff" + BINARY[8:]),
    "binary, a service name of 2 GiB": ("binary", BINARY + b"\x0c\0\1\x0c\0\1\x0b\0\1" + I32_MAX + b"x"),
    "binary, a service name of -1": ("binary", BINARY + b"\x0c\0\1\x0c\0\1\x0b\0\1\xff\xff\xff\xff" + b"\0" * 99),
    "binary, 2**31 spans": (
        "binary",
        BINARY + b"\x0c\0\1\x0c\0\1\x0b\0\1\0\0\0\1s\0\x0f\0\2\x0c" + I32_MAX + b"\0" * 60_000,
    ),
    "binary, 60,000 empty spans": (
        "binary",
        BINARY + b"\x0c\0\1\x0c\0\1\x0b\0\1\0\0\0\1s\0\x0f\0\2\x0c" + struct.pack(">i", 60_000) + b"\0" * 60_002,
    ),
    "binary, -1 spans": ("binary", BINARY + b"\x0c\0\1\x0c\0\1\x0b\0\1\0\0\0\1s\0\x0f\0\2\x0c\xff\xff\xff\xff\0\0"),
    "binary, 2**31 elements of nothing": ("binary", BINARY + b"\x0c\0\1\x0f\0\x63\x01" + I32_MAX + b"\0" * 99),
    "binary, a map of 2**31": ("binary", BINARY + b"\x0c\0\1\x0d\0\x63\x02\x02" + I32_MAX + b"\0" * 60_000),
    "binary, unknown structs nested 20,000 deep": ("binary", BINARY + b"\x0c\0\1" + b"\x0c\0\x63" * 20_000),
    "binary, unknown lists nested 12,000 deep": ("binary", BINARY + b"\x0c\0\1\x0f\0\x63" + b"\x0f\0\0\0\1" * 12_000),
    "binary, an unknown list of 60,000 bools": (
        "binary",
        BINARY + b"\x0c\0\1\x0f\0\x63\x02" + struct.pack(">i", 60_000) + b"\1" * 60_010,
    ),
    "binary, a field of a type that is none": ("binary", BINARY + b"\x0c\0\1\x63\0\x63"),
    "binary, not strict": ("binary", b"\0\0\0\x09emitBatch\x04\0\0\0\1"),
}


@pytest.mark.parametrize(("protocol", "data"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_are_refused_in_bounded_memory(protocol, data):
    """What is declared is never believed: memory stays within a small multiple of the datagram, and the end comes soon."""
    decode_emit_batch(message(protocol, RICH), protocol)  # what is loaded once is not the datagram's
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode_emit_batch(data, protocol)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("depth", [1, 30])
def test_unknown_fields_are_skipped(protocol, depth):
    """A newer client may send fields that we do not know, of any type, at any place."""
    if protocol == "compact":
        extra = (
            b"\xfc" + b"\x1c" * (depth - 1) + b"\x11\x12\x13\x05\x14\x02\x15\x02\x16\x02\x17" + b"\0" * 8 + b"\x18\x01x"
        )
        extra += b"\x19\x31\x01\x01\x02\x1a\x15\x04\x1b\x01\x86\x01x\x02\x1b\x00\x06\x80\x01\x02" + b"\0" * depth
    else:
        scalars = b"\x02\0\1\1\x03\0\2\1\x06\0\3\0\1\x08\0\4\0\0\0\1\x0a\0\5" + b"\0" * 8 + b"\x04\0\6" + b"\0" * 8
        extra = b"\x0c\0\x63" + b"\x0c\0\1" * (depth - 1) + scalars + b"\x0b\0\7\0\0\0\1x\x0f\0\x08\x02\0\0\0\1\1"
        extra += b"\x0e\0\x09\x08\0\0\0\1\0\0\0\1\x0d\0\x0a\x0b\x0a\0\0\0\1\0\0\0\1x" + b"\0" * 8 + b"\0" * depth
    whole = message(protocol, RICH)
    assert decode_emit_batch(whole[:-2] + extra + whole[-2:], protocol).spans == [RICH]


def test_bytes_after_the_message_are_ignored(protocol):
    """As Jaeger does: a reader stops at the message's end."""
    assert decode_emit_batch(message(protocol, RICH) + b"\xff" * 100, protocol).spans == [RICH]
