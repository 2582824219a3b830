"""Baggage: immutable contexts, inherited by what starts later."""

import opentracing
import pytest

from sls_tracing import ConstSampler, Tracer

requirement = pytest.mark.requirement


@pytest.fixture(params=[True, False], ids=["sampled", "unsampled"])
def any_span(request, reporter):
    """The rules that hold for both kinds of span."""
    return Tracer("t", sampler=ConstSampler(request.param), reporter=reporter).start_span("span")


class Raises:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


# -- baggage ------------------------------------------------------------------------------------------------------------


@requirement("OT-C01", "OT-C10")
def test_baggage_makes_a_new_context(any_span):
    """One that is held from before does not change, nor does OpenTracing's shared empty baggage, nor a sibling."""
    sibling = any_span.tracer.start_span("sibling")
    before = any_span.context
    any_span.set_baggage_item("a", "b")
    assert before.baggage == {}
    assert any_span.context is not before
    assert any_span.context.baggage == {"a": "b"}
    assert sibling.context.baggage == {}
    assert opentracing.SpanContext.EMPTY_BAGGAGE == {}
    assert any_span.tracer.start_span("root").context.baggage == {}


@requirement("OT-C02", "OT-C07")
def test_baggage_goes_to_future_descendants_only(any_span):
    """A child that has started keeps what it had."""
    tracer = any_span.tracer
    early = tracer.start_span("early", child_of=any_span)
    any_span.set_baggage_item("a", "b")
    late = tracer.start_span("late", child_of=any_span)
    grandchild = tracer.start_span("grandchild", references=[opentracing.follows_from(late.context)])
    assert early.get_baggage_item("a") is None
    assert late.get_baggage_item("a") == grandchild.get_baggage_item("a") == "b"
    grandchild.set_baggage_item("a", "c")
    assert any_span.get_baggage_item("a") == "b"


@requirement("OT-C04", "OT-C05", "OT-C06")
def test_baggage_is_read_from_span_and_context(any_span):
    """None for a missing item; all items in one pass over a dict."""
    assert any_span.context.baggage == {}
    assert isinstance(any_span.context.baggage, dict)
    any_span.set_baggage_item("a", "1").set_baggage_item("b", "2").set_baggage_item("a", "3")
    assert any_span.get_baggage_item("missing") is None
    assert sorted(any_span.context.baggage.items()) == [("a", "3"), ("b", "2")]


@pytest.mark.parametrize("key", [None, 5, b"k", ["unhashable"], Raises()])
def test_baggage_of_any_type_becomes_text(any_span, key):
    """Set and get agree on the key."""
    assert any_span.set_baggage_item(key, 7).get_baggage_item(key) == "7"
    assert all(type(part) is str for item in any_span.context.baggage.items() for part in item)


def test_baggage_is_logged(tracer, reporter):
    """As Jaeger's clients do: event, key, value."""
    tracer.start_span("x").set_baggage_item("k", "v").finish()
    assert reporter.spans[0].logs[0].fields == {"event": "baggage", "key": "k", "value": "v"}
