"""SpanContext: an immutable tuple of what travels."""

import copy
import pickle

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import SpanContext
from sls_tracing.context import NO_BAGGAGE, NOTHING_CARRIED

requirement = pytest.mark.requirement


@requirement("OT-C01")
@pytest.mark.parametrize("field", SpanContext._fields)
def test_it_is_immutable(field):
    """Every field refuses."""
    with pytest.raises(AttributeError):
        setattr(SpanContext(1, 2), field, None)


@requirement("OT-C01", "OT-C10")
@given(st.dictionaries(st.text(), st.text(), max_size=3), st.text(), st.text())
def test_with_baggage_item_is_a_copy(baggage, key, value):
    """The old one keeps its dict, the defaults stay empty."""
    context = SpanContext(1, 2, baggage=dict(baggage))
    more = context.with_baggage_item(key, value)
    assert context.baggage == baggage
    assert more.baggage == {**baggage, key: value}
    assert more._replace(baggage=baggage) == context
    assert SpanContext(1, 2).with_baggage_item(key, value).baggage == {key: value}
    assert (NO_BAGGAGE, dict(NOTHING_CARRIED)) == ({}, {})


@requirement("OT-C08")
@given(trace_id=st.integers(1, 2**64 - 1), span_id=st.integers(1, 2**64 - 1), wide=st.booleans())
def test_ids_as_text(trace_id, span_id, wide):
    """Lower-case hex, padded to the width; empty where there is none."""
    context = SpanContext(trace_id, span_id, wide=wide)
    assert len(context.to_trace_id()) == (32 if wide else 16)
    assert len(context.to_span_id()) == 16
    assert (int(context.to_trace_id(), 16), int(context.to_span_id(), 16)) == (trace_id, span_id)
    assert context.to_trace_id() == context.to_trace_id().lower()
    nothing = SpanContext()
    assert (nothing.to_trace_id(), nothing.to_span_id(), nothing.has_ids, context.has_ids) == ("", "", False, True)


def test_equality_and_hash_go_by_value():
    """Contexts are keys of sets and dicts although they hold a dict."""
    one, same, other = SpanContext(1, 2, baggage={"a": "b"}), SpanContext(1, 2, baggage={"a": "b"}), SpanContext(1, 3)
    assert one == same
    assert len({one, same, other}) == 2


def test_it_is_opentracings():
    """So ``isinstance`` holds for callers that check."""
    assert isinstance(SpanContext(1, 2), opentracing.SpanContext)


def test_a_context_without_decision_differs_from_one_with():
    """True is the default; None defers."""
    assert SpanContext().sampled is True
    assert SpanContext(sampled=None).sampled is None


def test_it_is_pickled_and_copied():
    """To worker processes, whatever it holds."""
    for context in (SpanContext(1, 2), SpanContext(1, 2, baggage={"a": "b"}, carried={"x-request-id": "r"})):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(context, protocol)) == context
        assert copy.deepcopy(context) == copy.copy(context) == context


@pytest.mark.parametrize(
    ("fields", "flags"),
    [({"sampled": False}, 0), ({"sampled": None}, 0), ({}, 1), ({"debug": True}, 3), ({"firehose": True}, 9)],
)
def test_flags_are_jaegers(fields, flags):
    assert SpanContext(1, 2, **fields).flags == flags


def test_a_baggage_item_is_removed_by_none():
    context = SpanContext(1, 2, baggage={"a": "1", "b": "2"})
    assert context.with_baggage_item("a", None).baggage == {"b": "2"}
    assert context.with_baggage_item("c", None).baggage == context.baggage == {"a": "1", "b": "2"}
