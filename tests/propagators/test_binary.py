"""The BINARY format: Jaeger's Go layout, its bounds, and hostile bytes."""

import struct

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import SpanContext
from sls_tracing.metrics import counters
from sls_tracing.propagators import BinaryPropagator

BINARY = BinaryPropagator()
IDS = st.integers(1, 2**64 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def injected(context):
    carrier = bytearray()
    BINARY.inject(context, carrier)
    return carrier


@given(
    trace_id=st.integers(1, 2**128 - 1),
    span_id=IDS,
    parent_id=IDS | st.none(),
    sampled=st.booleans(),
    debug=st.booleans(),
    baggage=st.dictionaries(TEXT, TEXT, max_size=5),
)
def test_a_round_trip(trace_id, span_id, parent_id, sampled, debug, baggage):
    """All that the format can hold comes back; debug implies sampled; the width follows from the id."""
    context = SpanContext(trace_id, span_id, parent_id, sampled, debug, baggage)
    assert BINARY.extract(injected(context)) == SpanContext(
        trace_id, span_id, parent_id, sampled or debug, debug, baggage, trace_id >= 2**64
    )


def test_the_layout_is_jaegers():
    """Big-endian: two halves of the trace id, span, parent, flags, count, then length and bytes of each text."""
    context = SpanContext(0x1_0000000000000002, 3, 4, True, True, {"k": "vä"})
    assert injected(context) == (
        bytes.fromhex("0000000000000001 0000000000000002 0000000000000003 0000000000000004 03 00000001")
        + b"\x00\x00\x00\x01k\x00\x00\x00\x03v\xc3\xa4"
    )


@pytest.mark.parametrize(
    ("sampled", "debug", "flags"),
    [(True, False, 1), (False, False, 0), (None, False, 0), (True, True, 3), (False, True, 3)],
)
def test_flags(sampled, debug, flags):
    """A decision that is still open is written as not sampled: the format has no third state."""
    assert injected(SpanContext(1, 2, None, sampled, debug))[32] == flags


def test_a_context_without_ids_writes_nothing():
    """And an empty carrier reads as none."""
    assert injected(SpanContext(sampled=False)) == b""
    for empty in (b"", bytearray(), memoryview(b"")):
        assert BINARY.extract(empty) is None


def test_it_appends():
    """What the carrier holds stays in front."""
    carrier = bytearray(b"before")
    BINARY.inject(SpanContext(1, 2), carrier)
    assert carrier == b"before" + injected(SpanContext(1, 2))


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5), st.integers(0, 5000).map("x".__mul__), max_size=4
    )
)
def test_what_go_would_refuse_is_left_out(baggage):
    """An item of more than 4096 bytes costs itself, not the whole context; it is counted."""
    before = counters.get("propagation_baggage_dropped")
    back = BINARY.extract(injected(SpanContext(1, 2, baggage=baggage)))
    fitting = {key: value for key, value in baggage.items() if len(key.encode()) + len(value) <= 4096}
    assert back.baggage == fitting
    assert counters.get("propagation_baggage_dropped") == before + len(baggage) - len(fitting)


def test_no_more_items_than_go_takes():
    """180."""
    back = BINARY.extract(injected(SpanContext(1, 2, baggage={str(number): "x" for number in range(200)})))
    assert len(back.baggage) == 180


@given(st.binary(max_size=120))
def test_any_bytes_are_a_context_or_corrupted(data):
    """No other exception."""
    try:
        context = BINARY.extract(data)
    except opentracing.SpanContextCorruptedException:
        return
    assert context is None or (context.trace_id and context.span_id)


@given(cut=st.integers(1, 60))
def test_a_truncated_context_is_corrupted(cut):
    """Wherever it is cut."""
    whole = injected(SpanContext(1, 2, 3, baggage={"key": "value" * 4}))
    with pytest.raises(opentracing.SpanContextCorruptedException):
        BINARY.extract(whole[:-cut] or b"\0")


HEAD = struct.Struct(">QQQQBi")


@pytest.mark.parametrize(
    "data",
    [
        HEAD.pack(0, 0, 1, 0, 1, 0),
        HEAD.pack(0, 1, 0, 0, 1, 0),
        HEAD.pack(0, 1, 1, 0, 1, -1),
        HEAD.pack(0, 1, 1, 0, 1, 181),
        HEAD.pack(0, 1, 1, 0, 1, 2**31 - 1),
        HEAD.pack(0, 1, 1, 0, 1, 1) + b"\x7f\xff\xff\xff",
        HEAD.pack(0, 1, 1, 0, 1, 1) + b"\xff\xff\xff\xff",
        HEAD.pack(0, 1, 1, 0, 1, 1) + b"\0\0\0\1\xff\0\0\0\0",
    ],
    ids=["no trace id", "no span id", "count -1", "count 181", "count huge", "length huge", "length -1", "no UTF-8"],
)
def test_hostile_contexts_are_corrupted(data):
    """Zero ids, and lengths that the bytes do not bear out, before anything is allocated for them."""
    with pytest.raises(opentracing.SpanContextCorruptedException):
        BINARY.extract(data)


@pytest.mark.parametrize("carrier", [None, {}, "text", 5, [1]])
def test_a_wrong_carrier_is_invalid(carrier):
    """With the right one in the message."""
    with pytest.raises(opentracing.InvalidCarrierException, match="bytearray"):
        BINARY.extract(carrier)
    with pytest.raises(opentracing.InvalidCarrierException, match="bytearray"):
        BINARY.inject(SpanContext(1, 2), carrier)
    with pytest.raises(opentracing.InvalidCarrierException, match="bytearray"):
        BINARY.inject(SpanContext(1, 2), b"immutable")


@pytest.mark.parametrize("context", [SpanContext(1 << 128, 1), SpanContext(1, 1 << 64), SpanContext(1, 1, -1)])
def test_ids_that_are_too_wide_are_corrupted(context):
    """A context made by hand; the carrier stays as it was."""
    carrier = bytearray(b"x")
    with pytest.raises(opentracing.SpanContextCorruptedException):
        BINARY.inject(context, carrier)
    assert carrier == b"x"
