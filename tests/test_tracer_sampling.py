"""Who decides that a trace is recorded: the caller, the sampler, ``sampling.priority``; and what a broken sampler costs."""

import pytest

from sls_tracing import ConstSampler, InMemoryReporter, NullReporter, Span, SpanContext, Tracer
from sls_tracing.metrics import counters
from sls_tracing.model import Reference as Link
from sls_tracing.samplers import Decision

requirement = pytest.mark.requirement

CONST = {"sampler.type": "const", "sampler.param": True}
REMOTE = SpanContext(trace_id=0xABC, span_id=0xDEF, sampled=True, wide=False)


def link(kind, context):
    return Link(kind, context.trace_id, context.span_id)


class Raises:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


# -- sampling -----------------------------------------------------------------------------------------------------------


class Asked:
    def __init__(self, answer=True):
        self.answer = answer
        self.questions = []

    def is_sampled(self, trace_id, operation_name=""):
        self.questions.append((trace_id, operation_name))
        return Decision(self.answer, {"sampler.type": "asked"})

    def close(self):
        pass


def test_the_sampler_is_asked_for_roots_only():
    """Every span below obeys."""
    sampler = Asked()
    tracer = Tracer("t", sampler=sampler, reporter=NullReporter())
    root = tracer.start_span("root")
    tracer.start_span("child", child_of=root)
    tracer.start_span("remote child", child_of=REMOTE)
    tracer.start_span("unsampled child", child_of=REMOTE._replace(sampled=False))
    assert sampler.questions == [(root.context.trace_id, "root")]


@pytest.mark.parametrize("answer", [True, False])
def test_a_deferred_decision_is_taken_here_and_passed_on(answer):
    """The ids stay the caller's; the sampler's tags tell who decided."""
    sampler = Asked(answer)
    reporter = InMemoryReporter()
    tracer = Tracer("t", sampler=sampler, reporter=reporter)
    span = tracer.start_span("server", child_of=REMOTE._replace(sampled=None))
    assert sampler.questions == [(REMOTE.trace_id, "server")]
    assert (span.context.trace_id, span.context.parent_id) == (REMOTE.trace_id, REMOTE.span_id)
    assert span.context.sampled is answer
    tracer.start_span("child", child_of=span).finish()
    span.finish()
    assert len(sampler.questions) == 1
    assert [each.tags for each in reporter.spans] == ([{}, {"sampler.type": "asked"}] if answer else [])


@pytest.mark.parametrize("sampled", [True, False])
def test_a_decision_without_ids_is_obeyed_by_a_root(sampled):
    """B3 can say "do not sample" before there is a trace; baggage and carried headers go on with it."""
    sampler = Asked(not sampled)
    tracer = Tracer("t", sampler=sampler, reporter=NullReporter())
    parent = SpanContext(sampled=sampled, baggage={"a": "b"}, carried={"x-request-id": "r"})
    context = tracer.start_span("root", child_of=parent).context
    assert sampler.questions == []
    assert context.trace_id
    assert (context.parent_id, context.sampled) == (None, sampled)
    assert (context.baggage, context.carried) == ({"a": "b"}, {"x-request-id": "r"})


def test_baggage_alone_does_not_decide():
    """A context of nothing but baggage leaves the decision to the sampler."""
    tracer = Tracer("t", sampler=ConstSampler(True), reporter=NullReporter())
    context = tracer.start_span("root", child_of=SpanContext(sampled=None, baggage={"a": "b"})).context
    assert (context.sampled, context.baggage) == (True, {"a": "b"})


def test_debug_goes_down_the_trace(tracer):
    """In every span below, whatever the sampler thinks."""
    tracer = Tracer("t", sampler=ConstSampler(False), reporter=NullReporter())
    child = tracer.start_span("child", child_of=REMOTE._replace(debug=True))
    grandchild = tracer.start_span("grandchild", child_of=child)
    assert grandchild.context.debug
    assert grandchild.context.sampled


@pytest.mark.parametrize(
    "answer", [None, 5, (True,), (True, 5), (True, {}, 1), "no", ValueError("asked"), (Raises(), [("a",)])]
)
def test_a_sampler_that_raises_or_answers_nonsense_harms_nobody(answer):
    """The trace is not sampled; the failure is counted."""

    class Broken(Asked):
        def is_sampled(self, trace_id, operation_name=""):
            if isinstance(answer, Exception):
                raise answer
            return answer

    before = counters.get("guard_failures_sampler")
    span = Tracer("t", sampler=Broken(), reporter=NullReporter()).start_span("span")
    assert span.context.sampled is False
    assert counters.get("guard_failures_sampler") == before + 1


def test_a_sampler_in_jaeger_clients_manner():
    """A mere pair is an answer; its tags become plain values."""

    class Pair(Asked):
        def is_sampled(self, trace_id, operation_name=""):
            return 1, {"sampler.type": "pair", "why": None}

    span = Tracer("t", sampler=Pair(), reporter=NullReporter()).start_span("span")
    assert span.context.sampled is True
    assert span.tags == {"sampler.type": "pair", "why": "None"}


# -- sampling.priority --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["at start", "by set_tag"])
def prioritised(request, reporter):
    """A span of a tracer that samples all or nothing, given a priority in either way."""

    def make(sampled, priority, **arguments):
        tracer = Tracer("t", sampler=ConstSampler(sampled), reporter=reporter)
        if request.param == "at start":
            return tracer.start_span("span", tags={"sampling.priority": priority, "a": 1}, **arguments)
        return tracer.start_span("span", **arguments).set_tag("sampling.priority", priority).set_tag("a", 1)

    return make


@requirement("OT-G17")
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("priority", [1, 2, True, "1", 7.0])
def test_a_priority_above_zero_keeps_the_trace(prioritised, reporter, sampled, priority):
    """Here and, by debug, in every service below; what is set afterwards is recorded."""
    span = prioritised(sampled, priority)
    assert (span.context.sampled, span.context.debug) == (True, True)
    child = span.tracer.start_span("child", child_of=span)
    child.finish()
    span.finish()
    assert [each.operation_name for each in reporter.spans] == ["child", "span"]
    assert reporter.spans[1].tags["a"] == 1
    assert reporter.spans[1].tags["sampling.priority"] == priority


@requirement("OT-G17")
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("priority", [0, False, "0", -1])
def test_a_priority_of_zero_drops_the_rest(prioritised, reporter, sampled, priority):
    """The span and all below it."""
    span = prioritised(sampled, priority)
    assert (span.context.sampled, span.context.debug) == (False, False)
    span.tracer.start_span("child", child_of=span).finish()
    span.finish()
    assert reporter.spans == []


@requirement("OT-G17")
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("priority", [None, "high", float("nan"), float("inf"), Raises(), b"\xff", [1]])
def test_a_priority_that_is_no_number_changes_nothing(prioritised, reporter, sampled, priority):
    """Sampled stays sampled, unsampled is not reported."""
    span = prioritised(sampled, priority)
    assert (span.context.sampled, span.context.debug) == (sampled, False)
    span.finish()
    assert len(reporter.spans) == sampled


def test_a_priority_keeps_the_link_to_the_parent(prioritised, reporter):
    """Also where the span was unsampled until then."""
    parent = REMOTE._replace(sampled=False)
    prioritised(False, 1, child_of=parent).finish()
    assert reporter.spans[0].references == (link("child_of", parent),)


def test_a_priority_can_be_changed_again(tracer, reporter):
    """The last one counts, for those who hold the span as well."""
    span = tracer.start_span("span")
    span.set_tag("sampling.priority", 0).set_tag("lost", 1).set_tag("sampling.priority", 1).set_tag("kept", 1)
    assert type(span) is Span
    span.finish()
    assert "kept" in reporter.spans[0].tags
    assert "lost" not in reporter.spans[0].tags


def test_a_span_may_be_dropped_while_a_tag_is_being_set(reporter):
    """By another thread, or as here by a value's own ``__str__``; and kept again later, with all its tags."""

    class Dropping:
        def __str__(self):
            span.set_tag("sampling.priority", 0)
            return "text"

    tracer = Tracer("t", reporter=reporter)
    span = tracer.start_span("span", tags={"a": 1})
    span.set_tag("b", Dropping()).set_tag("unseen", 1).log_kv({"unseen": 1})
    assert not span.is_sampled()
    assert dict(span.tags) == {"a": 1, "sampling.priority": 0, "b": "text", **CONST}
    span.set_tag("sampling.priority", 1).set_tag("c", 3).finish()
    assert dict(reporter.spans[0].tags) == {"a": 1, "b": "text", "c": 3, "sampling.priority": 1, **CONST}
    assert reporter.spans[0].logs == []


def test_unsampled_spans_share_no_tags(reporter):
    """They have none, and what one of them is given when it is kept after all is its own."""
    tracer = Tracer("t", sampler=ConstSampler(False), reporter=reporter)
    first, second = (tracer.start_span(name, tags={"lost": 1}) for name in ("first", "second"))
    assert dict(first.tags) == {}
    assert list(first.logs) == []
    first.set_tag("sampling.priority", 1).log_kv({"event": "x"}).finish()
    second.set_tag("sampling.priority", 1).finish()
    assert [dict(span.tags) for span in reporter.spans] == [{"sampling.priority": 1}] * 2
    assert [len(span.logs) for span in reporter.spans] == [1, 0]
