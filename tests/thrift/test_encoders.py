"""The encoders against their oracles."""

from __future__ import annotations

import itertools
import math
import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference
from sls_tracing.thrift import tags as tags_module
from sls_tracing.thrift import varint
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.schema import ClientStats, EncodeError

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
import conftest as spans
import oracles

ENCODERS = {"compact": CompactEncoder(), "binary": BinaryEncoder()}
"""Used for all examples of a property, so that what an encoder remembers is put to the test as well."""

VECTOR = bytes.fromhex(
    "82810109656d697442617463681c1c1803737663195c180e6a61656765722e76657273696f6e1500180c507974686f6e"
    "2d342e382e30001808686f73746e616d6515001806686f73742d310018026970150018093139322e302e322e33001803"
    "656e7615001804746573740018036e756d1506460e0000191c1680bc92c698d2ffb405160016eaf5a487fdc988bbd101"
    "160018026f70250216a0c2befaa0ccd70516a0c21e192c180c73616d706c65722e7479706515001805636f6e73740018"
    "0d73616d706c65722e706172616d15043100190c000000"
)
"""One datagram of jaeger-client 4.8.0."""


@pytest.mark.parametrize("protocol", ["compact", "binary"])
@settings(max_examples=100, deadline=None)
@given(record=spans.records())
def test_span_equals_thriftpy2(protocol, record):
    """A span's bytes are thriftpy2's, for every kind of value, first and second time (from memory)."""
    expected = oracles.write_struct(oracles.span_object(record), protocol)
    assert ENCODERS[protocol].span(record) == expected
    assert ENCODERS[protocol].span(record) == expected


@pytest.mark.parametrize("protocol", ["compact", "binary"])
@settings(max_examples=30, deadline=None)
@given(
    process=spans.processes(),
    records=st.lists(spans.records(), max_size=3) | st.lists(st.just(spans.make_record()), min_size=14, max_size=17),
    seq_no=st.none() | st.integers(0, 2**63 - 1),
    stats=st.none() | st.builds(ClientStats, *[st.integers(0, 2**63 - 1)] * 3),
)
def test_message_equals_thriftpy2(protocol, process, records, seq_no, stats):
    """Message and bare batch are thriftpy2's bytes, with and without sequence number and statistics, and measured exactly."""
    encoder = ENCODERS[protocol]
    header, encoded = encoder.process(process), [encoder.span(each) for each in records]
    batch = oracles.batch_object(process, records, seq_no, stats)
    message = encoder.emit_batch(header, encoded, seq_no=seq_no, stats=stats)
    assert message == oracles.write_message(batch, protocol)
    assert encoder.batch(header, encoded, seq_no=seq_no, stats=stats) == oracles.write_struct(batch, protocol)
    size = encoder.envelope_size(header, len(encoded), seq_no=seq_no, stats=stats) + sum(map(len, encoded))
    assert size == len(message)


@settings(max_examples=30, deadline=None)
@given(
    process=spans.processes(spans.readable_values),
    records=st.lists(spans.records(spans.readable_values), min_size=1, max_size=2),
)
@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_jaeger_client_reads_it(protocol, process, records):
    """jaeger-client's generated code reads back what thriftpy2's objects hold.

    It knows no sequence number, and takes bytes for text, so they have to be readable as such.
    """
    encoder = ENCODERS[protocol]
    message = encoder.emit_batch(encoder.process(process), [encoder.span(each) for each in records], seq_no=7)
    batch = oracles.read_message_with_jaeger_client(message, protocol)
    expected = oracles.batch_object(process, records)
    assert _plain(batch) == {name: value for name, value in _plain(expected).items() if name not in ("seqNo", "stats")}


def _plain(value):
    """Any generated object as dicts and lists; NaN and minus zero by their text."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "__dict__"):
        return {name: _plain(each) for name, each in vars(value).items()}
    return value


def test_the_vector_of_jaeger_client():
    """The same span gives jaeger-client's datagram, but for the empty list of logs, which we leave out."""
    encoder = CompactEncoder()
    tags = {"jaeger.version": "Python-4.8.0", "hostname": "host-1", "ip": "192.0.2.3", "env": "test", "num": 7}
    record = spans.make_record(
        operation_name="op",
        context=SpanContext(0x02B4FF48C4624F00, 0x68BB1127E8749D75),
        references=(),
        start_time=1600000000.25,
        finish_time=1600000000.5,
        tags={"sampler.type": "const", "sampler.param": True},
    )
    message = encoder.emit_batch(encoder.process(Process("svc", tags)), [encoder.span(record)])
    assert message == VECTOR.replace(b"\x19\x0c\0\0\0", b"\0\0\0")
    assert len(VECTOR) == 215


def test_a_clock_that_was_set_back_gives_no_negative_duration(encoder, protocol):
    """Duration is never below zero."""
    record = spans.make_record(start_time=1000.5, finish_time=999.5)
    assert encoder.span(record) == encoder.span(record._replace(finish_time=1000.5))


def test_what_is_remembered_of_ids_and_times_is_right(encoder, protocol):
    """Ids that come again, and times around the places where a time's upper half changes, in any order, are encoded as by themselves."""
    change = 12_666_373 << 27  # microseconds; of the year 2023
    times = [
        change - 1,
        change,
        change + 1,
        change - (1 << 27),
        1,
        (1 << 27) - 1,
        1 << 27,
        (1 << 27) + 1,
        0,
        -5,
        -(1 << 27),
        change,
    ]
    for (index, start), trace_id in zip(enumerate(times), itertools.cycle([1 << 100 | 7, 7, 1 << 64]), strict=False):
        context = SpanContext(trace_id, 7 + index % 2, 7 if index % 3 else None)
        references = (Reference("child_of", trace_id, 7), Reference("follows_from", 7, 8))
        record = spans.make_record(
            context=context, references=references, start_time=start / 1e6, finish_time=start / 1e6 + 1
        )
        assert encoder.span(record) == oracles.write_struct(oracles.span_object(record), protocol)


BAD = {
    "no ids": {"context": SpanContext(None, None)},
    "trace id too long": {"context": SpanContext(1 << 128, 1)},
    "trace id negative": {"context": SpanContext(-1, 1)},
    "span id too long": {"context": SpanContext(1, 1 << 64)},
    "span id negative": {"context": SpanContext(1, -1)},
    "parent too long": {"context": SpanContext(1, 1, 1 << 64)},
    "parent negative": {"context": SpanContext(1, 1, -1)},
    "id no number": {"context": SpanContext("1", "1")},
    "linked span too long": {"references": (Reference("child_of", 1, 1 << 64),)},
    "linked trace negative": {"references": (Reference("child_of", -5, 1), Reference("child_of", 1, 1))},
    "unknown link": {"references": (Reference("self", 1, 1),)},
    "time NaN": {"start_time": math.nan},
    "time infinite": {"finish_time": math.inf},
    "time beyond 64 bits": {"start_time": 1e300, "finish_time": 1e300},
    "time missing": {"start_time": None},
    "name missing": {"operation_name": None},
    "name bytes": {"operation_name": b"x"},
    "key no text": {"tags": {3: "x"}},
    "value None": {"tags": {"x": None}},
    "value object": {"tags": {"x": object()}},
    "value list": {"tags": {"a": "b", "x": [1]}},
    "tags missing": {"tags": [1]},
    "log time NaN": {"logs": (LogRecord(math.nan, {"a": 1}),)},
    "log value None": {"logs": (LogRecord(1.0, {"a": None}),)},
    "log no log": {"logs": (3,)},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_a_bad_span_costs_only_itself(encoder, protocol, changes):
    """What cannot be encoded raises EncodeError, and the next span's bytes are as if nothing had been."""
    good = spans.make_record()
    expected = oracles.write_struct(oracles.span_object(good), protocol)
    for _ in range(2):
        with pytest.raises(EncodeError):
            encoder.span(spans.make_record(**changes))
        assert encoder.span(good) == expected


def test_a_bad_process_is_an_encode_error(encoder):
    """So is a process that cannot be encoded."""
    with pytest.raises(EncodeError):
        encoder.process(Process("s", {"x": None}))
    with pytest.raises(EncodeError):
        encoder.process(Process(None))


def test_subclasses_are_written_as_their_base(encoder, protocol):
    """A value of a subclass of a plain type that slipped through is written as the plain value."""
    import enum

    class Colour(enum.IntEnum):
        RED = 7

    class Markup(str):
        __slots__ = ()

        def __str__(self):
            raise RuntimeError("never to be called")

    plain = spans.make_record(tags={"a": 7, "b": "x"})
    assert encoder.span(plain._replace(tags={"a": Colour.RED, "b": Markup("x")})) == encoder.span(plain)


def test_equal_values_of_different_types_are_not_confused(encoder, protocol):
    """1, 1.0 and True, 0.0 and -0.0 are equal as dictionary keys and differ on the wire."""
    for order in itertools.permutations([1, 1.0, True, 0, 0.0, -0.0, False, "1", b"1"], 3):
        for value in order:
            record = spans.make_record(tags={"k": value})
            assert encoder.span(record) == oracles.write_struct(oracles.span_object(record), protocol)


def test_unique_values_do_not_grow_memory(encoder):
    """A value that is new with every span, of any length, leaves the encoder at a bounded size."""

    def spend(first: int, number: int) -> None:
        for index in range(first, first + number):
            name = f"GET /users/{index}"
            tags = {
                "component": "Flask",
                "http.url": f"http://h/{index}",
                "body": "x" * 3000 + str(index),
                f"key-{index}": index,
            }
            encoder.span(spans.make_record(operation_name=name, tags=tags))

    spend(0, 12_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        spend(12_000, 12_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 3_000_000


@pytest.fixture
def encodings():
    """Every value that a tag encoder had to encode, in order."""
    return []


@pytest.fixture
def tag_encoder(encodings):
    def encode_text(key, value):
        encodings.append(value)
        return key + value.encode()

    return tags_module.TagEncoder(str.encode, {str: encode_text})


def test_a_key_of_many_values_leaves_the_others_remembered(tag_encoder, encodings):
    """Unique URLs clear their own values only; the tag that repeats is encoded once."""
    for index in range(5_000):
        tag_encoder.encode({"component": "Flask", "http.url": str(index)})
    assert encodings.count("Flask") == 1
    assert tag_encoder.count <= tags_module.MOST_VALUES + 10


def test_values_that_came_later_get_their_chance(tag_encoder, encodings):
    """A key that met many values once remembers others later, when those come again and again."""
    for index in range(1_000):
        tag_encoder.encode({"http.url": f"once-{index}"})
    for _ in range(10_000):
        tag_encoder.encode({"http.url": "again"})
    encodings.clear()
    assert tag_encoder.encode({"http.url": "again"}) == b"http.urlagain"
    assert encodings == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.integers(2**55, 2**57), max_size=200))
def test_ids_side_by_side_are_those_one_by_one(numbers):
    """Of any length, any number of them, short ones among long ones."""
    assert varint.zigzag_ids(numbers) == [varint.zigzag_id(number) for number in numbers]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(2**48, 2**55 - 1), max_size=200) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=70))
def test_times_side_by_side_are_those_one_by_one(times):
    """Those of our millennium, and those of clocks that were never set."""
    assert varint.zigzag_times(times) == [varint.zigzag(time) for time in times]


@pytest.mark.parametrize("number", [-1, 2**64])
def test_what_is_no_id_is_refused(number):
    with pytest.raises(struct.error):
        varint.zigzag_ids([1, number])


@pytest.mark.parametrize("protocol", ["compact", "binary"])
@settings(max_examples=50, deadline=None)
@given(records=st.lists(spans.records(), max_size=70))
def test_many_spans_are_encoded_like_each_alone(protocol, records):
    """Whether their ids and traces are shared with neighbours or not."""
    encoder = ENCODERS[protocol]
    assert list(encoder.spans(records)) == [encoder.span(record) for record in records]
    doubled = [each for record in records for each in (record, record)]
    assert list(encoder.spans(doubled)) == [encoder.span(record) for record in doubled]


def test_a_bad_span_among_many_is_told_of(encoder):
    """Alone, the good ones are what they were."""
    good, bad = spans.make_record(), spans.make_record(context=SpanContext(1 << 64, -1))
    with pytest.raises(EncodeError):
        encoder.spans([good, bad, good])
    assert encoder.spans([good]) == [encoder.span(good)]
    assert encoder.spans([]) == []


def test_encoding_loads_no_thrift_library():
    """A client that only sends never imports thriftpy2."""
    import subprocess

    program = (
        "import sys, sls_tracing.senders.udp;"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('thriftpy2', 'thrift', 'ply')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_integer_that_python_will_not_print_is_sent_as_hexadecimal(encoder, protocol):
    """An integer of thousands of digits costs neither the span nor a second of CPU."""
    record = spans.make_record(tags={"huge": 10**5000})
    assert encoder.span(record) == encoder.span(spans.make_record(tags={"huge": hex(10**5000)}))
