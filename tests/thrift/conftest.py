"""Spans of every kind, and thriftpy2's and jaeger-client's view of the same wire."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

I64 = 1 << 63

# Lone surrogates are among the characters: st.text() alone leaves them out.
texts = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["", "GET", "x" * 200, "\udcff", "ü€😀"])
integers = st.integers(-I64 * 4, I64 * 4) | st.sampled_from(
    [0, 1, -1, 63, 64, 8191, 8192, I64 - 1, I64, -I64, -I64 - 1, 10**1000]
)
floats = st.floats() | st.sampled_from([0.0, -0.0, 1.0])
readable_values = texts | st.booleans() | integers | floats | st.just(b"bytes")
values = readable_values | st.binary(max_size=40)


def tag_maps(of=values):
    """Maps of a few tags; sometimes so many that a compact list's count needs a varint."""
    return st.dictionaries(texts, of, max_size=4) | st.just({f"k{number}": number for number in range(15)})


ids_64 = st.integers(1, 2**64 - 1) | st.integers(1, 300) | st.sampled_from([I64 - 1, I64, 2**56 - 1, 2**56, 2**64 - 1])
ids_128 = st.integers(1, 2**128 - 1) | ids_64
times = st.floats(-1e5, 4e9) | st.floats(1.6e9, 1.8e9) | st.just(0.0)
contexts = st.builds(
    SpanContext,
    ids_128,
    ids_64,
    st.none() | ids_64,
    sampled=st.sampled_from([True, False, None]),
    debug=st.booleans(),
    firehose=st.booleans(),
)
links = st.builds(Reference, st.sampled_from(["child_of", "follows_from"]), ids_128, ids_64)


def processes(of=values):
    return st.builds(Process, texts, tag_maps(of))


@st.composite
def records(draw: st.DrawFn, of=values) -> SpanRecord:
    context = draw(contexts)
    references = draw(st.lists(links, max_size=3))
    if context.parent_id is not None and draw(st.booleans()):
        references.insert(0, Reference("child_of", context.trace_id, context.parent_id))
    start = draw(times)
    return SpanRecord(
        operation_name=draw(texts),
        context=context,
        references=references,
        start_time=start,
        finish_time=start + draw(st.floats(-10, 1e5)),
        tags=draw(tag_maps(of)),
        logs=draw(st.lists(st.builds(LogRecord, times, tag_maps(of)), max_size=2)),
        process=Process("unused"),
    )


def make_record(**changes: object) -> SpanRecord:
    """A plain child span, for tests that change one thing."""
    record = SpanRecord(
        operation_name="GET /productpage",
        context=SpanContext(0xABC << 100, 0xFEDCBA9876543210, 0x123456789ABCDEF0),
        references=(Reference("child_of", 0xABC << 100, 0x123456789ABCDEF0),),
        start_time=1_600_000_000.25,
        finish_time=1_600_000_000.5,
        tags={"http.method": "GET", "http.status_code": 200},
        logs=(),
        process=Process("productpage", {"hostname": "host-1"}),
    )
    return record._replace(**changes)


@pytest.fixture(params=["compact", "binary"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Either wire format."""
    return request.param


@pytest.fixture
def encoder(protocol: str):
    """A fresh encoder of that format."""
    from sls_tracing.thrift.binary import BinaryEncoder
    from sls_tracing.thrift.compact import CompactEncoder

    return {"compact": CompactEncoder, "binary": BinaryEncoder}[protocol]()
