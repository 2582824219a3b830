"""Starting spans: parents and references, tags and times, the active span, ids."""

import random
from types import MappingProxyType

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentracing import Reference, child_of, follows_from
from opentracing.mocktracer import MockTracer

from sls_tracing import ConstSampler, InMemoryReporter, NullReporter, SpanContext, Tracer
from sls_tracing.metrics import counters
from sls_tracing.model import Reference as Link

requirement = pytest.mark.requirement

REMOTE = SpanContext(trace_id=0xABC, span_id=0xDEF, sampled=True, wide=False)


def link(kind, context):
    return Link(kind, context.trace_id, context.span_id)


class Raises:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


# -- starting -----------------------------------------------------------------------------------------------------------


@requirement("OT-T01")
def test_a_span_has_an_operation_name(tracer, reporter):
    """The name given is the name reported; Python's default, None, is an empty one."""
    tracer.start_span("checkout").finish()
    tracer.start_span().finish()
    assert [span.operation_name for span in reporter.spans] == ["checkout", ""]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"GET", "GET"),
        (7, "7"),
        pytest.param(10**5000, "<unprintable int>", id="huge"),
        (Raises(), "<unprintable Raises>"),
    ],
)
def test_a_name_that_is_no_text_becomes_text(tracer, name, text):
    """A wrong type costs itself, not the request."""
    assert tracer.start_span(name).operation_name == text


@requirement("OT-T02", "OT-T03", "OT-R01", "OT-R05")
def test_child_of_takes_a_span_or_a_context(tracer, reporter):
    """Either way the child is in the parent's trace and names the parent."""
    parent = tracer.start_span("parent")
    for given_parent in (parent, parent.context):
        child = tracer.start_span("child", child_of=given_parent)
        assert child.context.trace_id == parent.context.trace_id
        assert child.context.parent_id == parent.context.span_id
        child.finish()
        assert reporter.spans[-1].references == (link("child_of", parent.context),)


@requirement("OT-T02", "OT-T04", "OT-R02", "OT-R06")
@pytest.mark.parametrize("shape", [list, tuple, iter])
def test_all_references_are_kept_with_their_types(tracer, reporter, shape):
    """Zero or more references, all part of the span's state; FollowsFrom stays FollowsFrom."""
    one, two, three = (tracer.start_span(name) for name in "abc")
    references = [follows_from(one.context), child_of(two.context), follows_from(three.context)]
    span = tracer.start_span("span", references=shape(references))
    span.finish()
    assert reporter.spans[0].references == (
        link("follows_from", one.context),
        link("child_of", two.context),
        link("follows_from", three.context),
    )
    assert span.context.parent_id == two.context.span_id, "the first CHILD_OF is the parent"


@requirement("OT-T04", "OT-R06", "OT-M02")
def test_a_bare_reference_is_accepted_and_follows_from_makes_a_parent(tracer, reporter):
    """A consumer references its producer with FollowsFrom: the producer is the parent, the type is kept and no CHILD_OF is added."""
    producer = tracer.start_span("send")
    consumer = tracer.start_span("receive", references=follows_from(producer.context))
    consumer.finish()
    assert consumer.context.trace_id == producer.context.trace_id
    assert consumer.context.parent_id == producer.context.span_id
    assert reporter.spans[0].references == (link("follows_from", producer.context),)


@requirement("OT-R03", "OT-R04")
def test_references_to_nothing_are_ignored(tracer, reporter):
    """A Reference whose context is None is no reference; References are OpenTracing's immutable pairs."""
    tracer.start_span("span", references=[child_of(None), follows_from(None)]).finish()
    assert reporter.spans[0].references == ()
    assert reporter.spans[0].context.parent_id is None
    with pytest.raises(AttributeError):
        child_of(None).type = "other"


def test_a_bad_reference_costs_itself(tracer, reporter):
    """Its neighbours stay; it is counted."""
    before = counters.get("guard_failures_tracer")
    parent = tracer.start_span("parent")
    references = [5, None, Reference("no such type", parent.context), child_of(MockTracer().start_span("x"))]
    tracer.start_span("span", references=references).finish()
    assert reporter.spans[0].references == (link("child_of", parent.context),)
    assert counters.get("guard_failures_tracer") == before + 1


@pytest.mark.parametrize("references", [5, "text", [5], {"a": 1}, [None], Raises()])
def test_references_of_any_kind_do_not_raise(tracer, references):
    """What is no sequence of references leaves a root."""
    assert tracer.start_span("span", references=references).context.parent_id is None


@requirement("OT-R05")
def test_the_first_reference_that_names_a_span_decides(tracer):
    """A context that holds a mere decision is the parent only if nothing better is referenced."""
    decision = SpanContext(sampled=True)
    real = tracer.start_span("real").context
    assert tracer.start_span("x", references=[child_of(decision), follows_from(real)]).context.trace_id == real.trace_id
    first, second = tracer.start_span("1").context, tracer.start_span("2").context
    assert tracer.start_span("x", references=[child_of(first), child_of(second)]).context.trace_id == first.trace_id


@requirement("OT-T15")
def test_child_of_beats_references_which_stay_as_links(tracer, reporter):
    """The parent comes first among the links."""
    parent, other = tracer.start_span("parent"), tracer.start_span("other")
    tracer.start_span("span", child_of=parent, references=[child_of(other.context)]).finish()
    record = reporter.spans[0]
    assert record.context.parent_id == parent.context.span_id
    assert record.references == (link("child_of", parent.context), link("child_of", other.context))


def test_a_parent_that_is_referenced_too_is_one_link(tracer, reporter):
    """No reference is doubled."""
    parent = tracer.start_span("parent")
    tracer.start_span("span", child_of=parent, references=[follows_from(parent.context)]).finish()
    assert reporter.spans[0].references == (link("follows_from", parent.context),)


@requirement("OT-T05")
@pytest.mark.parametrize("given_time", [0, 0.0, 12.5, -3.0, 1_700_000_000])
def test_an_explicit_start_time_is_kept(tracer, given_time):
    """Seconds; zero is the epoch, not "now"."""
    assert tracer.start_span("span", start_time=given_time).start_time == given_time


@requirement("OT-T05", "OT-S05", "OT-S10")
def test_times_default_to_the_clock(tracer, clock, reporter):
    """Start, log and finish are taken when they happen."""
    span = tracer.start_span("span")
    clock.advance(1)
    span.log_kv({"event": "x"})
    clock.advance(1)
    span.finish()
    record = reporter.spans[0]
    assert (record.start_time, record.logs[0].timestamp, record.finish_time) == (
        clock.now - 2,
        clock.now - 1,
        clock.now,
    )


@pytest.mark.parametrize("bad", ["12", b"12", float("nan"), float("inf"), 1e300, 10**400, object(), Raises(), [], {}])
def test_a_time_that_is_none_is_replaced_by_now(tracer, clock, reporter, bad):
    """A wrong time costs itself, wherever it is given, and is counted."""
    before = counters.get("guard_failures_values")
    span = tracer.start_span("span", start_time=bad)
    span.log_kv({"event": "x"}, timestamp=bad)
    span.finish(bad)
    record = reporter.spans[0]
    assert (record.start_time, record.logs[0].timestamp, record.finish_time) == (clock.now, clock.now, clock.now)
    assert counters.get("guard_failures_values") == before + 3


@requirement("OT-T06", "OT-T07")
def test_tags_at_start(tracer, reporter):
    """They are on the span, which is started and not finished; the caller's dict is left alone."""
    tags = {"a": 1, "b": "text", "c": True, "d": 1.5}
    span = tracer.start_span("span", tags=tags)
    assert span.finish_time is None
    assert reporter.spans == []
    span.set_tag("e", 5)
    span.finish()
    assert tags == {"a": 1, "b": "text", "c": True, "d": 1.5}
    assert {key: reporter.spans[0].tags[key] for key in "abcde"} == {**tags, "e": 5}


def test_the_users_tags_beat_the_samplers(tracer):
    """A tag given at start is never overwritten."""
    assert tracer.start_span("span", tags={"sampler.type": "mine"}).tags["sampler.type"] == "mine"


def test_the_samplers_tags_are_on_the_root_only(tracer):
    """Jaeger's adaptive sampling counts roots by them."""
    root = tracer.start_span("root")
    assert root.tags == {"sampler.type": "const", "sampler.param": True}
    assert tracer.start_span("child", child_of=root).tags == {}


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize(
    "tags", [5, 0, "text", b"x", [1], [("a", 1)], object(), Raises(), {1, 2}, MappingProxyType({"a": 1})]
)
def test_tags_that_are_no_mapping_do_not_raise(sampled, tags):
    """They are dropped; any kind of mapping is taken."""
    span = Tracer("t", sampler=ConstSampler(sampled), reporter=InMemoryReporter()).start_span("span", tags=tags)
    assert ("a" in span.tags) is (sampled and isinstance(tags, MappingProxyType))


def test_tag_values_of_any_kind(tracer, reporter):
    """None, bytes, huge ints, NaN and objects whose ``__str__`` raises are stored as what can be said of them."""
    nan = float("nan")
    tracer.start_span(
        "span",
        tags={"none": None, "bytes": b"\xff", "huge": 10**5000, "nan": nan, "raises": Raises(), None: 1, b"k": 2, 3: 3},
    ).finish()
    tags = reporter.spans[0].tags
    assert tags["none"] == "None"
    assert tags["bytes"] == b"\xff"
    assert tags["huge"] == 10**5000
    assert tags["nan"] is nan
    assert tags["raises"] == "<unprintable Raises>"
    assert (tags["None"], tags["k"], tags["3"]) == (1, 2, 3)


# -- the active span ----------------------------------------------------------------------------------------------------


@requirement("OT-T08", "OT-T09", "OT-T10", "OT-T14")
def test_start_active_span(tracer, reporter):
    """The scope is registered, its span is the parent of what starts in it, and closing it finishes the span by default."""
    assert tracer.active_span is None
    with tracer.start_active_span("outer") as outer:
        assert tracer.scope_manager.active is outer
        assert tracer.active_span is outer.span
        with tracer.start_active_span("inner") as inner:
            assert inner.span.context.parent_id == outer.span.context.span_id
        plain = tracer.start_span("plain")
        assert plain.context.parent_id == outer.span.context.span_id
    assert [span.operation_name for span in reporter.spans] == ["inner", "outer"]
    assert tracer.active_span is None


@requirement("OT-T11")
def test_ignore_active_span(tracer):
    """The active span is no parent then; an explicit one still is."""
    other = tracer.start_span("other")
    with tracer.start_active_span("active") as scope:
        root = tracer.start_span("root", ignore_active_span=True)
        assert root.context.parent_id is None
        assert root.context.trace_id != scope.span.context.trace_id
        assert (
            tracer.start_span("x", child_of=other, ignore_active_span=True).context.parent_id == other.context.span_id
        )


@requirement("OT-T12")
def test_an_explicit_parent_beats_the_active_span(tracer):
    """child_of and references alike."""
    other = tracer.start_span("other")
    with tracer.start_active_span("active"):
        for arguments in ({"child_of": other}, {"references": [follows_from(other.context)]}):
            span = tracer.start_span("span", **arguments)
            assert span.context.parent_id == other.context.span_id
            assert span.context.trace_id == other.context.trace_id


@requirement("OT-T13")
def test_start_span_leaves_the_active_span(tracer):
    """Only start_active_span and activate change it."""
    tracer.start_span("span")
    assert tracer.active_span is None
    with tracer.start_active_span("active") as scope:
        tracer.start_span("other")
        assert tracer.active_span is scope.span


@requirement("OT-T16", "OT-T19")
def test_a_span_knows_its_tracer(tracer):
    """``start_child_span`` works through it."""
    parent = tracer.start_span("parent")
    assert parent.tracer is tracer
    child = opentracing.start_child_span(parent, "child", tags={"a": 1})
    assert (child.tracer, child.context.parent_id, child.tags) == (tracer, parent.context.span_id, {"a": 1})


@requirement("OT-T17")
def test_names_do_not_carry_data(tracer, reporter):
    """The general name is the operation, what distinguishes the calls is a tag: nothing of the tags gets into the name."""
    for number in (1, 2):
        tracer.start_span("get_user", tags={"user": number}).finish()
    assert {span.operation_name for span in reporter.spans} == {"get_user"}


@pytest.mark.parametrize("foreign", [MockTracer(), opentracing.Tracer()])
def test_parents_of_another_tracer_are_ignored(tracer, foreign):
    """Neither its spans nor its contexts raise, wherever they stand."""
    span = foreign.start_span("foreign")
    assert tracer.start_span("a", child_of=span).context.parent_id is None
    assert tracer.start_span("b", child_of=span.context).context.parent_id is None
    assert tracer.start_span("c", references=[child_of(span.context)]).context.parent_id is None
    with tracer.scope_manager.activate(span, False):
        assert tracer.start_span("d").context.parent_id is None


@pytest.mark.parametrize("parent", ["text", 5, object(), {}, (1, 2)])
def test_a_parent_that_is_none_is_ignored(tracer, parent):
    """Wrong types make roots."""
    assert tracer.start_span("span", child_of=parent).context.parent_id is None


# -- ids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [64, 128])
@given(drawn=st.lists(st.integers(0, 2**128 - 1), max_size=6))
def test_ids_are_never_zero_and_fit(bits, drawn):
    """Whatever the source draws, zeros included."""
    answers = iter(drawn)
    source = random.Random(1)

    def ids(width):
        return next(answers, source.getrandbits(128)) % (1 << width)

    tracer = Tracer("t", reporter=NullReporter(), trace_id_bits=bits, ids=ids)
    root = tracer.start_span("root")
    child = tracer.start_span("child", child_of=root)
    for context in (root.context, child.context):
        assert 0 < context.trace_id < 1 << bits
        assert 0 < context.span_id < 1 << 64
        assert context.wide is (bits == 128)
    assert child.context.parent_id == root.context.span_id


def test_a_root_has_the_low_half_of_its_trace_id(tracer):
    """As Envoy's and Jaeger's Go and Java clients do."""
    context = tracer.start_span("root").context
    assert context.span_id == context.trace_id & (1 << 64) - 1


def test_the_width_of_an_incoming_id_is_kept():
    """A 64-bit trace stays one through a tracer of 128 bits, and the other way round."""
    wide, narrow = (Tracer("t", reporter=NullReporter(), trace_id_bits=bits) for bits in (128, 64))
    assert wide.start_span("x", child_of=REMOTE).context.to_trace_id() == "0000000000000abc"
    assert narrow.start_span("x", child_of=REMOTE._replace(wide=True)).context.to_trace_id() == "0" * 29 + "abc"
