"""The fast readers against the general way: the same spans, or none at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_tracing.model import LogRecord, Process, Reference
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.decoding import read_any_batch, read_any_message
from sls_tracing.thrift.schema import ClientStats, DecodeError
from sls_tracing.thrift.usual import LONGEST, NOT_USUAL, KnownTexts
from sls_tracing.thrift.usual_binary import read_binary_batch, read_binary_message
from sls_tracing.thrift.usual_compact import read_compact_message

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
import conftest as spans
import oracles

PROTOCOLS = ["compact", "binary"]
READERS = {"compact": read_compact_message, "binary": read_binary_message}
ENCODERS = {"compact": CompactEncoder(), "binary": BinaryEncoder()}
RICH = spans.make_record(
    tags={"s": "ü" * 100, "b": True, "c": False, "i": -5, "f": 0.5, "raw": b"\xff" * 200, "n": -(2**63), "k" * 200: ""},
    logs=(LogRecord(1_600_000_000.375, {"event": "error", "n": 3}), LogRecord(0.0, {"empty": ""})),
    references=(Reference("child_of", 0xABC << 100, 0x123456789ABCDEF0), Reference("follows_from", 1, 2)),
)
PLAIN = spans.make_record(tags={}, logs=(), references=())


def message(protocol, *records, process=RICH.process, **options):
    encoder = ENCODERS[protocol]
    return encoder.emit_batch(encoder.process(process), [encoder.span(each) for each in records], **options)


def agree(protocol, data):
    """Whether the fast reader took it; if it did, the general way says the same, to the type of each value."""
    try:
        read = READERS[protocol](data)
    except NOT_USUAL:
        return False
    assert repr(read) == repr(read_any_message(data, protocol))
    return True


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=100)
@given(
    records=st.lists(spans.records(), max_size=3),
    seq_no=st.none() | st.integers(-(2**63), 2**63 - 1),
    stats=st.booleans(),
)
def test_all_that_our_encoders_write_is_read_fast(protocol, records, seq_no, stats):
    """Any spans at all; only what Jaeger repairs (invalid text, an empty service name) takes the general way."""
    data = message(protocol, *records, seq_no=seq_no, stats=ClientStats(1, 2**40, -3) if stats else None)
    assert agree(protocol, data)


@pytest.mark.parametrize("kind", [1, 4])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_that_thriftpy2_writes_is_read_fast(protocol, kind):
    """A writer that is not ours, empty lists and absent ones, messages of both types."""
    batch = oracles.batch_object(RICH.process, [RICH, PLAIN], 2**40, (1, 2, 3))
    batch.spans[1].tags = []
    batch.spans[1].logs = []
    batch.spans[1].references = []
    assert agree(protocol, oracles.write_message(batch, protocol, kind=kind))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "changes",
    [
        {"operationName": ""},
        {"flags": -1},
        {"flags": 2**31 - 1},
        {"startTime": -1},
        {"duration": 2**63 - 1},
        {"traceIdHigh": -1},
    ],
)
def test_odd_numbers_are_the_same_either_way(protocol, changes):
    """Whatever the fields of a fixed size hold."""
    batch = oracles.batch_object(RICH.process, [RICH])
    for name, value in changes.items():
        setattr(batch.spans[0], name, value)
    assert agree(protocol, oracles.write_message(batch, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("field", ["key", "vStr", "operationName", "serviceName"])
def test_text_that_is_not_utf_8_takes_the_general_way(protocol, field):
    """Which keeps its bytes and leaves a warning."""
    batch = oracles.batch_object(RICH.process, [RICH])
    holder = {"operationName": batch.spans[0], "serviceName": batch.process}.get(field, batch.spans[0].tags[0])
    setattr(holder, field, b"\xff")
    data = oracles.write_message(batch, protocol)
    assert not agree(protocol, data)
    assert read_any_message(data, protocol).spans


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_byte_changed_to_every_value(protocol):
    """One byte says something else: read the same, or left to the general way; nothing else is ever raised."""
    data = message(
        protocol,
        spans.make_record(tags=RICH.tags, logs=RICH.logs, references=RICH.references),
        PLAIN,
        seq_no=1,
        stats=ClientStats(1, 2, 3),
    )
    taken = 0
    for position in range(len(data)):
        for value in (0, 1, 2, 6, 11, 12, 15, 0x15, 0x18, 0x7F, 0x80, 0x9C, 0xFC, 0xFF):
            taken += agree_or_both_refuse(protocol, data[:position] + bytes((value,)) + data[position + 1 :])
    assert taken > len(data)  # most changes hit values


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=300)
@given(
    edits=st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)
)
def test_mutations_of_a_good_message(protocol, edits):
    """Parts removed, overwritten and inserted."""
    data = message(protocol, RICH, PLAIN, seq_no=1, stats=ClientStats())
    for position, removed, inserted in edits:
        data = data[:position] + inserted + data[position + removed :]
    agree_or_both_refuse(protocol, data)


def agree_or_both_refuse(protocol, data):
    try:
        return agree(protocol, data)
    except DecodeError as error:
        raise AssertionError(f"read fast, but {error}: {data!r}") from error


@given(edits=st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 8), st.binary(max_size=8)), max_size=4))
def test_bodies(edits):
    """The bare struct of a POST, as it is and changed."""
    encoder = ENCODERS["binary"]
    data = encoder.batch(encoder.process(RICH.process), [encoder.span(RICH), encoder.span(PLAIN)], seq_no=1)
    for position, removed, inserted in edits:
        data = data[:position] + inserted + data[position + removed :]
    try:
        read = read_binary_batch(data)
    except NOT_USUAL:
        assert edits
    else:
        assert repr(read) == repr(read_any_batch(data))


def test_numbers_written_longer_than_they_need_to_be():
    """Thrift permits it: 0x82 0x00 is 2, too."""
    data = message("compact", PLAIN)
    position = data.index(b"\x19\x1c", 20)  # the list of spans; its length in the long form
    assert agree("compact", data[:position] + b"\x19\xfc\x81\x00" + data[position + 2 :])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_message_that_could_hold_too_many_tags_takes_the_general_way(protocol):
    """Only there they are counted."""
    data = message(protocol, spans.make_record(tags={"long": "x" * LONGEST}))
    assert not agree(protocol, data)
    assert read_any_message(data, protocol).spans


def test_known_texts_are_bounded():
    """By number and by length: keys that a hostile client makes up cost no memory."""
    texts = KnownTexts()
    for number in range(20_000):
        assert texts[b"%d" % number] == str(number)
    assert len(texts) <= 8192
    assert texts[b"x" * 1000] == "x" * 1000
    assert b"x" * 1000 not in texts


def test_an_empty_service_name_is_repaired():
    """By the general way."""
    for protocol in PROTOCOLS:
        data = message(protocol, PLAIN, process=Process("", {}))
        assert not agree(protocol, data)


def tag_with_all_fields(key, value):
    """A tag as jaeger-client for Node writes it: every value field, empty where it does not count."""
    tag = oracles.jaeger.Tag(key=key, vStr="", vDouble=0.0, vBool=False, vLong=0, vBinary=bytes(8))
    for kind, (of, field) in enumerate(
        ((str, "vStr"), (float, "vDouble"), (bool, "vBool"), (int, "vLong"), (bytes, "vBinary"))
    ):
        if type(value) is of:
            tag.vType = kind
            setattr(tag, field, value)
    return tag


NODES_TAGS = {"s": "ü", "f": 0.5, "t": True, "n": False, "i": -5, "raw": b"\xff" * 300, "empty": ""}


def test_tags_with_all_value_fields_are_read_fast():
    """As Node's client writes them, over the binary protocol."""
    batch = oracles.batch_object(RICH.process, [PLAIN])
    batch.process.tags = batch.spans[0].tags = [tag_with_all_fields(key, value) for key, value in NODES_TAGS.items()]
    data = oracles.write_message(batch, "binary")
    assert agree("binary", data)
    assert read_binary_message(data).spans[0].tags == NODES_TAGS


@settings(max_examples=200)
@given(edits=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4))
def test_mutations_of_tags_with_all_value_fields(edits):
    """Read the same, or left to the general way."""
    batch = oracles.batch_object(RICH.process, [PLAIN])
    batch.spans[0].tags = [tag_with_all_fields(key, value) for key, value in NODES_TAGS.items()]
    data = oracles.write_message(batch, "binary")
    for position, removed, inserted in edits:
        data = data[:position] + inserted + data[position + removed :]
    agree_or_both_refuse("binary", data)


def test_the_datagram_of_jaeger_client_is_read_fast():
    """Apache's library wrote it, empty list of logs included."""
    import test_encoders

    assert agree("compact", test_encoders.VECTOR)
