"""Spans: what they record, what they return, how errors are told."""

import sys
import traceback
from unittest import mock

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentracing.ext import tags as standard

from sls_tracing import ConstSampler, InMemoryReporter, NullReporter, Span, Tracer
from sls_tracing.metrics import counters

requirement = pytest.mark.requirement


@pytest.fixture(params=[True, False], ids=["sampled", "unsampled"])
def any_span(request, reporter):
    """The rules that hold for both kinds of span."""
    return Tracer("t", sampler=ConstSampler(request.param), reporter=reporter).start_span("span")


class Raises:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


# -- what is recorded ---------------------------------------------------------------------------------------------------


@requirement("OT-S01")
def test_the_whole_state_is_reported(tracer, reporter, clock):
    """Name, times, tags, logs, context and references."""
    parent = tracer.start_span("parent")
    span = tracer.start_span("span", child_of=parent, tags={"a": 1})
    start = clock.now
    span.log_kv({"event": "x"})
    clock.advance(0.5)
    span.finish()
    (record,) = reporter.spans
    assert record.operation_name == "span"
    assert (record.start_time, record.finish_time) == (start, start + 0.5)
    assert record.tags == {"a": 1}
    assert [(log.timestamp, log.fields) for log in record.logs] == [(start, {"event": "x"})]
    assert record.context is span.context
    assert [(each.type, each.span_id) for each in record.references] == [("child_of", parent.context.span_id)]
    assert record.process.service_name == "tested"


@requirement("OT-S02", "OT-T07")
def test_the_context_stays_after_finish(any_span):
    """It takes no argument and is the same object."""
    context = any_span.context
    any_span.finish()
    assert any_span.context is context


@requirement("OT-S03")
def test_set_operation_name_replaces_the_name(tracer, reporter):
    """The last one is reported, as text."""
    span = tracer.start_span("first").set_operation_name("second")
    span.finish()
    tracer.start_span("first").set_operation_name(b"third").finish()
    assert [each.operation_name for each in reporter.spans] == ["second", "third"]


@requirement("OT-S04", "OT-N03")
def test_every_setter_returns_the_span(any_span):
    """Calls can be chained, on an unsampled span too."""
    assert any_span.set_operation_name("x") is any_span
    assert any_span.set_tag("a", 1) is any_span
    assert any_span.log_kv({"event": "x"}) is any_span
    assert any_span.log(event="x") is any_span
    assert any_span.log_event("x") is any_span
    assert any_span.set_baggage_item("a", "b") is any_span
    assert any_span.finish() is None
    assert any_span.set_tag("a", 1).log_kv({"a": 1}).set_operation_name("y").set_baggage_item("c", "d") is any_span


@requirement("OT-S05")
@pytest.mark.parametrize("time", [0, 0.0, 5.5, 1_800_000_000])
def test_an_explicit_finish_time_is_kept(tracer, reporter, time):
    """Seconds; zero is the epoch, not "now"."""
    tracer.start_span("x").finish(time)
    tracer.start_span("x").finish(finish_time=time)
    assert [each.finish_time for each in reporter.spans] == [time, time]


@requirement("OT-S07", "OT-S08")
def test_tags_are_text_bools_and_numbers_and_the_last_one_wins(tracer, reporter):
    """Each keeps its type."""
    span = tracer.start_span("x", tags={"replaced": 1})
    values = {"text": "t", "bool": True, "int": -5, "float": 0.5, "replaced": "yes"}
    for key, value in values.items():
        span.set_tag(key, value)
    span.finish()
    found = {key: reporter.spans[0].tags[key] for key in values}
    assert found == values
    assert [type(value) for value in found.values()] == [str, bool, int, float, str]


@requirement("OT-S09")
@given(
    key=st.text() | st.none() | st.integers() | st.binary() | st.floats() | st.lists(st.integers()),
    value=st.none()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.none()),
)
def test_any_key_and_value_is_taken(key, value):
    """Nothing raises; keys become text, values text, bool, int, float or bytes."""
    span = Tracer("t", sampler=ConstSampler(True), reporter=NullReporter()).start_span("x")
    span.set_tag(key, value).log_kv({"a": value})
    assert all(type(each) is str for each in span.tags)
    assert all(type(each) in (str, bool, int, float, bytes) for each in span.tags.values())


class NoEquality:
    def __eq__(self, other):
        raise ValueError("not comparable")

    __hash__ = None

    def __str__(self):
        return "key"


@requirement("OT-S09")
@pytest.mark.parametrize(
    ("key", "text"),
    [(NoEquality(), "key"), (Raises(), "<unprintable Raises>"), pytest.param(10**5000, "<unprintable int>", id="huge")],
)
def test_hostile_keys(tracer, key, text):
    """A key that cannot be compared, shown or hashed costs itself."""
    assert tracer.start_span("x").set_tag(key, 1).tags[text] == 1
    unsampled = Tracer("t", sampler=ConstSampler(False), reporter=NullReporter()).start_span("x")
    unsampled.set_tag(key, 1)


@requirement("OT-S10", "OT-L06")
def test_logs_take_values_of_any_type(tracer, reporter, clock):
    """They become plain when they are set: what the object says later does not matter."""
    changing = ["before"]
    tracer.start_span("x").log_kv({"event": "e", "list": changing, "none": None, 5: b"x", "raises": Raises()}).finish()
    changing[0] = "after"
    (log,) = reporter.spans[0].logs
    assert log.fields == {
        "event": "e",
        "list": "['before']",
        "none": "None",
        "5": b"x",
        "raises": "<unprintable Raises>",
    }
    assert log.timestamp == clock.now


@requirement("OT-S11")
@pytest.mark.parametrize("time", [0, 1.5, 9e9, -5.0])
def test_an_explicit_log_time_is_stored_as_it_is(tracer, reporter, time):
    """Before the start or after the end: it is the caller's word."""
    tracer.start_span("x").log_kv({"event": "e"}, timestamp=time).finish()
    assert reporter.spans[0].logs[0].timestamp == time


@requirement("OT-L06")
@pytest.mark.parametrize("fields", [{}, None, 5, "text", b"x", ["event"], [("event", "x")], object(), Raises()])
def test_a_log_without_fields_is_dropped(tracer, reporter, fields):
    """Every log has at least one field; what is no mapping has none."""
    tracer.start_span("x").log_kv(fields).finish()
    assert reporter.spans[0].logs == []


@requirement("OT-S12")
def test_deprecated_ways_to_log(tracer, reporter):
    """``log(event=, payload=, timestamp=)`` and ``log_event(event, payload)``."""
    span = tracer.start_span("x")
    span.log(event="a", payload=1, timestamp=5)
    span.log_event("b", {"c": 2})
    span.log_event("d")
    span.finish()
    logs = reporter.spans[0].logs
    assert [log.fields for log in logs] == [
        {"event": "a", "payload": 1},
        {"event": "b", "payload": "{'c': 2}"},
        {"event": "d"},
    ]
    assert logs[0].timestamp == 5


@requirement("OT-S15")
@given(text=st.text())
def test_unicode_everywhere(text):
    """In names, tags, logs and baggage, keys and values."""
    reporter = InMemoryReporter()
    span = Tracer("t", reporter=reporter).start_span(text, tags={text: text})
    span.set_tag(text + "2", text).log_kv({text: text}).set_baggage_item(text, text)
    span.finish()
    record = reporter.spans[0]
    assert record.operation_name == text
    assert (record.tags[text], record.tags[text + "2"]) == (text, text)
    assert record.logs[0].fields == {text: text}
    assert span.get_baggage_item(text) == text


@requirement("OT-S17")
def test_a_span_takes_attributes_and_replaced_methods(any_span):
    """Applications count references on it, tests patch it."""
    any_span._ref_count = 2
    assert any_span._ref_count == 2
    with mock.patch.object(any_span, "finish") as finish:
        with any_span:
            pass
    finish.assert_called_once_with()


# -- with span: ---------------------------------------------------------------------------------------------------------


@requirement("OT-S13")
def test_a_span_as_context_manager_finishes(tracer, reporter):
    """``with`` yields the span and finishes it, without an error mark."""
    with tracer.start_span("x") as span:
        assert span.finish_time is None
    assert reporter.spans[0].operation_name == "x"
    assert "error" not in reporter.spans[0].tags


def fail_with(error):
    raise error


@requirement("OT-S14", "OT-L01", "OT-L02", "OT-L03", "OT-L04", "OT-L05", "OT-G06", "OT-M04", "OT-M05")
def test_an_exception_is_an_error_with_its_log(tracer, reporter):
    """The tag error=True, one log with the five standard fields as readable text; the exception goes on."""
    with pytest.raises(ValueError, match="broken"):
        with tracer.start_span("x"):
            fail_with(ValueError("broken ☃"))
    (record,) = reporter.spans
    assert record.tags["error"] is True
    (log,) = record.logs
    assert list(log.fields) == ["event", "message", "error.kind", "error.object", "stack"]
    assert log.fields["event"] == "error"
    assert log.fields["message"] == log.fields["error.object"] == "broken ☃"
    assert log.fields["error.kind"] == "ValueError"
    assert "fail_with" in log.fields["stack"]
    assert log.fields["stack"].endswith("ValueError: broken ☃\n")


@requirement("OT-L02")
def test_opentracings_own_helper_is_rendered(tracer, reporter):
    """It passes the exception, its class and the traceback object: text comes out, with the chain of causes."""
    try:
        try:
            fail_with(KeyError("cause"))
        except KeyError as cause:
            raise LookupError("effect") from cause
    except LookupError:
        span = tracer.start_span("x")
        opentracing.Span._on_error(span, *sys.exc_info())
        span.finish()
    fields = reporter.spans[0].logs[0].fields
    assert fields["error.kind"] == "LookupError"
    assert fields["error.object"] == "effect"
    assert "KeyError: 'cause'" in fields["stack"]
    assert "direct cause" in fields["stack"]


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def test_an_exception_that_cannot_be_shown_goes_on(tracer, reporter):
    """The application's exception arrives, not one of ours."""
    with pytest.raises(Unspeakable):
        with tracer.start_span("x"):
            raise Unspeakable
    fields = reporter.spans[0].logs[0].fields
    assert fields["message"] == "<unprintable Unspeakable>"
    assert "fail_with" not in fields["stack"]


def test_a_stack_that_cannot_be_formatted(tracer, reporter, monkeypatch):
    """Whatever the traceback module chokes on."""
    monkeypatch.setattr(traceback, "format_exception", lambda *_: fail_with(TypeError("choked")))
    with pytest.raises(ValueError, match="mine"):
        with tracer.start_span("x"):
            raise ValueError("mine")
    assert reporter.spans[0].logs[0].fields["stack"] == "<no stack: unprintable ValueError>"


@requirement("OT-M04", "OT-M06", "OT-G06")
def test_error_tag_and_error_log_are_independent(tracer, reporter):
    """A logged error does not fail the span; a failed span needs no log."""
    tracer.start_span("log").log_kv({"event": "error", "error.object": ValueError("x")}).finish()
    tracer.start_span("tag").set_tag("error", True).finish()
    log, tag = reporter.spans
    assert "error" not in log.tags
    assert (tag.tags["error"], tag.logs) == (True, [])


# -- the standard tags --------------------------------------------------------------------------------------------------

STANDARD_TAGS = {
    standard.COMPONENT: "flask",
    standard.DATABASE_INSTANCE: "customers",
    standard.DATABASE_STATEMENT: "SELECT 1",
    standard.DATABASE_TYPE: "sql",
    standard.DATABASE_USER: "reader",
    standard.ERROR: True,
    standard.HTTP_METHOD: "GET",
    standard.HTTP_STATUS_CODE: 200,
    standard.HTTP_URL: "http://productpage:9080/productpage?u=test",
    standard.MESSAGE_BUS_DESTINATION: "orders",
    standard.PEER_ADDRESS: "mysql://db:3306/customers",
    standard.PEER_HOSTNAME: "db",
    standard.PEER_HOST_IPV4: "10.0.0.7",
    standard.PEER_HOST_IPV6: "2001:db8::7",
    standard.PEER_PORT: 3306,
    standard.PEER_SERVICE: "ratings",
    standard.SPAN_KIND: standard.SPAN_KIND_RPC_CLIENT,
    standard.SERVICE: "productpage",
}


@requirement(
    "OT-G01",
    "OT-G02",
    "OT-G03",
    "OT-G04",
    "OT-G05",
    "OT-G06",
    "OT-G07",
    "OT-G08",
    "OT-G09",
    "OT-G10",
    "OT-G11",
    "OT-G12",
    "OT-G13",
    "OT-G14",
    "OT-G15",
    "OT-G16",
    "OT-G18",
    "OT-G19",
)
@requirement("OT-M01", "OT-M03", "OT-M07")
@pytest.mark.parametrize("at_start", [True, False])
def test_standard_tags_are_stored_unchanged(tracer, reporter, at_start):
    """With the types of the conventions; given at start they are there at start."""
    span = tracer.start_span("x", tags=dict(STANDARD_TAGS) if at_start else None)
    if at_start:
        assert span.tags.items() >= STANDARD_TAGS.items()
    else:
        for key, value in STANDARD_TAGS.items():
            span.set_tag(key, value)
    span.finish()
    found = {key: value for key, value in reporter.spans[0].tags.items() if not key.startswith("sampler.")}
    assert found == STANDARD_TAGS
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in STANDARD_TAGS.items()
    }


def test_a_span_shows_its_name_and_ids(any_span):
    """For logs and debuggers."""
    assert any_span.context.to_trace_id() in repr(any_span)
    assert "'span'" in repr(any_span)


def test_an_unsampled_span_is_a_span(reporter):
    """``isinstance`` holds for both; a priority turns the one into the other in place."""
    span = Tracer("t", sampler=ConstSampler(False), reporter=reporter).start_span("x")
    assert isinstance(span, Span)
    assert isinstance(span, opentracing.Span)
    before = counters.get("guard_failures_tracer")
    span.set_tag(standard.SAMPLING_PRIORITY, 1)
    assert type(span) is Span
    assert counters.get("guard_failures_tracer") == before


def test_a_span_tells_its_ids_as_jaeger_clients_do(tracer):
    root = tracer.start_span("root")
    child = tracer.start_span("child", child_of=root)
    assert (child.trace_id, child.parent_id) == (root.trace_id, root.span_id)
    assert (child.span_id, child.flags) == (child.context.span_id, 1)
    assert root.parent_id is None
    assert child.is_sampled()
    assert not child.is_debug()


def test_baggage_is_removed_by_none_and_the_span_tells(tracer):
    span = tracer.start_span("op").set_baggage_item("a", "1").set_baggage_item("a", None)
    assert span.get_baggage_item("a") is None
    assert span.logs[-1].fields == {"event": "baggage", "key": "a", "removed": "true"}
