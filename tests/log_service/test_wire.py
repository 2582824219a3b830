"""Log groups as bytes: recorded ones of the official clients, and round trips. Against the SDK itself: tests/log_service_clients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.log_service.logstore import Log, LogGroup
from sls_tracing.log_service.wire import (
    COMPRESSIONS,
    WireError,
    compress,
    decode_log_group,
    decompress,
    encode_log_group,
)

CONTENTS = (("traceID", "00000000deadbeef"), ("duration", "1200"), ("process.serviceName", "svc"))
OF_SDK = bytes.fromhex(
    "0a560880e2cfaa06121b0a077472616365494412103030303030303030646561646265656612100a086475726174696f6e"
    "120431323030121a0a1370726f636573732e736572766963654e616d65120373766325006f833a1a002207302e302e302e30"
)
OF_PRODUCER = bytes.fromhex(
    "0a510880e2cfaa06121b0a077472616365494412103030303030303030646561646265656612100a086475726174696f6e"
    "120431323030121a0a1370726f636573732e736572766963654e616d6512037376630a510880e2cfaa06121b0a07747261"
    "6365494412103030303030303030646561646265656612100a086475726174696f6e120431323030121a0a1370726f6365"
    "73732e736572766963654e616d6512037376631a002207302e302e302e3032300a0b5f5f7061636b5f69645f5f12214537"
    "34343941433137324242334433392d30303030303030303030303030303030"
)
LOG = Log(1700000000, CONTENTS)
GROUPS = {
    OF_SDK: LogGroup([LOG._replace(time_ns=981692160)], source="0.0.0.0"),
    OF_PRODUCER: LogGroup([LOG, LOG], source="0.0.0.0", tags=[("__pack_id__", "E7449AC172BB3D39-0000000000000000")]),
}

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
logs = st.builds(
    Log, st.integers(0, 2**32 - 1), st.lists(st.tuples(text, text), max_size=5), st.none() | st.integers(0, 999_999_999)
)
groups = st.builds(LogGroup, st.lists(logs, max_size=5), text, text, st.lists(st.tuples(text, text), max_size=3))


@pytest.mark.parametrize("data", GROUPS, ids=["SDK", "producer"])
def test_recorded_groups(data):
    """The same bytes as the official clients, and back."""
    assert encode_log_group(GROUPS[data]) == data
    read = decode_log_group(data)
    assert read == GROUPS[data]._replace(logs=read.logs, tags=read.tags)
    assert [tuple(log) for log in read.logs] == [
        (log.time, list(log.contents), log.time_ns) for log in GROUPS[data].logs
    ]


@given(groups)
def test_a_group_survives(group):
    """What is written is read again."""
    read = decode_log_group(encode_log_group(group))
    assert (read.logs, read.topic, read.source, read.tags) == (group.logs, group.topic, group.source, group.tags)


def test_long_values():
    """Lengths beyond the table of small ones."""
    group = LogGroup([Log(1, [("k", "v" * size) for size in (127, 128, 16383, 16384, 3_000_000)])])
    assert decode_log_group(encode_log_group(group)).logs == group.logs


@pytest.mark.parametrize("time", [-1, 2**32])
def test_a_time_that_is_no_uint32(time):
    """It is refused here, and not cut to something else."""
    with pytest.raises(ValueError, match="seconds"):
        encode_log_group(LogGroup([Log(time, [])]))


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_read(data):
    """Nothing but WireError, whatever comes."""
    try:
        decode_log_group(data)
    except WireError:
        pass


@given(st.data())
def test_broken_groups(data):
    """A byte changed or the end cut off: refused or read, never another error."""
    whole = bytearray(OF_PRODUCER)
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_log_group(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except WireError:
        pass


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("data", [b"", b"a", OF_PRODUCER * 100], ids=["empty", "one byte", "logs"])
def test_compressions(kind, data):
    """Each one and back."""
    assert decompress(compress(data, kind), kind, len(data)) == data


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSIONS if kind])
def test_a_bomb_stops_at_the_size_that_was_announced(kind):
    """No more is made of a body than x-log-bodyrawsize says."""
    with pytest.raises(WireError):
        decompress(compress(bytes(50_000_000), kind), kind, 1000)


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSIONS if kind])
@given(data=st.binary(max_size=100), size=st.integers(0, 200))
def test_bodies_that_are_not_compressed(kind, data, size):
    """Refused with a reason, or of just the size that was announced."""
    try:
        assert len(decompress(data, kind, size)) == size
    except WireError:
        pass


def test_a_group_of_countless_empty_logs():
    """Four bytes a log: the number of logs is bounded, not only the bytes."""
    with pytest.raises(WireError, match="40960"):
        decode_log_group(b"\x0a\x02\x08\x01" * 50_000)


def test_a_size_beyond_the_services():
    """An announced size is no reason to reserve that memory."""
    with pytest.raises(WireError, match="the most is"):
        decompress(b"", "lz4", 1 << 40)


def test_an_unknown_compression():
    """Refused, not taken for none."""
    with pytest.raises(WireError, match="snappy"):
        decompress(b"a", "snappy", 1)


@pytest.mark.parametrize("kind", [b"\x20", b"\x25"])
def test_nanoseconds_beyond_a_second_are_left_out(kind):
    """Of any width: a store has a column of 32 bits for them, and one bad log must not cost its group."""
    field = b"\x20\xff\xff\xff\xff\xff\x01" if kind == b"\x20" else b"\x25\xff\xff\xff\xff"
    log = b"\x08\x01" + field
    assert decode_log_group(b"\x0a" + bytes((len(log),)) + log).logs[0].time_ns is None
