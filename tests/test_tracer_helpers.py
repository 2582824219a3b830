"""What a tracer is given to help it: throttler, baggage restrictions, observer; and what it says of its process."""

import os

import opentracing
import pytest

from sls_tracing import ConstSampler, InMemoryReporter, Tracer
from sls_tracing.baggage_restrictions import FixedBaggageRestrictions


class Allowing:
    """A throttler that allows so many, and keeps what it was asked."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.asked = []
        self.closed = False

    def is_allowed(self, operation_name):
        self.asked.append(operation_name)
        self.allowed -= 1
        return self.allowed >= 0

    def close(self):
        self.closed = True


def make_tracer(sampled=False, **arguments):
    return Tracer("svc", InMemoryReporter(), ConstSampler(sampled), propagation="jaeger", **arguments)


def debug_context(tracer):
    return tracer.extract(opentracing.Format.HTTP_HEADERS, {"jaeger-debug-id": "order-17"})


def test_a_debug_id_forces_the_trace_and_is_a_tag_of_its_root_alone():
    tracer = make_tracer()
    root = tracer.start_span("root", child_of=debug_context(tracer))
    child = tracer.start_span("child", child_of=root)
    assert (root.context.sampled, root.context.debug, root.context.parent_id) == (True, True, None)
    assert root.tags == {"jaeger-debug-id": "order-17"}
    assert child.tags == {}
    assert child.context.debug


def test_a_throttled_debug_id_leaves_the_decision_to_the_sampler():
    throttler = Allowing(1)
    for sampled in (False, True):
        tracer = make_tracer(sampled, throttler=Allowing(0))
        span = tracer.start_span("op", child_of=debug_context(tracer))
        assert (span.context.sampled, span.context.debug) == (sampled, False)
    tracer = make_tracer(throttler=throttler)
    assert [tracer.start_span("op", child_of=debug_context(tracer)).context.debug for _ in range(3)] == [
        True,
        False,
        False,
    ]
    assert throttler.asked == ["op"] * 3


def test_a_throttler_bounds_sampling_priority_too_but_not_its_zero():
    tracer = make_tracer(throttler=Allowing(1))
    assert tracer.start_span("a", tags={"sampling.priority": 1}).context.sampled is True
    assert tracer.start_span("b", tags={"sampling.priority": 1}).context.sampled is False
    assert tracer.start_span("c").set_tag("sampling.priority", 1).context.sampled is False
    assert tracer._roots._throttler.asked == ["a", "b", "c"]
    sampled = make_tracer(True, throttler=Allowing(0))
    assert sampled.start_span("d", tags={"sampling.priority": 0}).context.sampled is False


def test_a_debug_flag_that_came_with_a_trace_is_not_throttled():
    """Who decided it asked for it there."""
    tracer = make_tracer(throttler=Allowing(0))
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, {"uber-trace-id": "1:2:0:3"})
    assert tracer.start_span("op", child_of=parent).context.debug is True


def test_a_throttler_that_raises_forces_nothing():
    class Broken(Allowing):
        def is_allowed(self, operation_name):
            raise RuntimeError("no answer")

    tracer = make_tracer(throttler=Broken(1))
    assert tracer.start_span("op", tags={"sampling.priority": 1}).context.sampled is False


def test_closing_the_tracer_closes_its_helpers():
    throttler = Allowing(1)
    tracer = make_tracer(throttler=throttler)
    tracer.close()
    assert throttler.closed


def test_baggage_restrictions_rule_what_is_set_and_the_span_tells():
    tracer = make_tracer(True, baggage_restrictions=FixedBaggageRestrictions({"tenant": 4}))
    span = tracer.start_span("op")
    span.set_baggage_item("tenant", "acme")
    span.set_baggage_item("tenant", "acme-corp")
    span.set_baggage_item("secret", "x")
    assert span.context.baggage == {"tenant": "acme"}
    assert [log.fields for log in span.logs] == [
        {"event": "baggage", "key": "tenant", "value": "acme"},
        {"event": "baggage", "key": "tenant", "value": "acme", "override": "true", "truncated": "true"},
        {"event": "baggage", "key": "secret", "value": "x", "invalid": "true"},
    ]


def test_baggage_that_came_in_is_passed_on_whatever_the_restrictions():
    tracer = make_tracer(True, baggage_restrictions=FixedBaggageRestrictions({}))
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, {"uber-trace-id": "1:2:0:1", "uberctx-user": "bob"})
    out = {}
    tracer.inject(tracer.start_span("op", child_of=parent).context, opentracing.Format.HTTP_HEADERS, out)
    assert out["uberctx-user"] == "bob"


def test_by_default_values_are_cut_at_2048_bytes():
    span = make_tracer(True).start_span("op").set_baggage_item("key", "x" * 3000)
    assert span.get_baggage_item("key") == "x" * 2048


class Watching:
    def __init__(self):
        self.seen = []

    def started(self, span, parent):
        self.seen.append(("started", span.operation_name, parent and parent.span_id))

    def finished(self, span, record):
        self.seen.append(("finished", span.operation_name, record is not None))


@pytest.mark.parametrize("sampled", [True, False])
def test_an_observer_is_told_of_every_start_and_finish_once(sampled):
    observer = Watching()
    tracer = make_tracer(sampled, observer=observer)
    root = tracer.start_span("root")
    child = tracer.start_span("child", child_of=root)
    for span in (child, child, root):
        span.finish()
    assert observer.seen == [
        ("started", "root", None),
        ("started", "child", root.context.span_id),
        ("finished", "child", sampled),
        ("finished", "root", sampled),
    ]


def test_an_observer_that_raises_harms_no_span():
    class Broken:
        def started(self, span, parent):
            raise RuntimeError("at start")

        def finished(self, span, record):
            raise RuntimeError("at finish")

    tracer = make_tracer(True, observer=Broken())
    tracer.start_span("op").finish()
    assert len(tracer.reporter.spans) == 1


def test_the_client_uuid_is_text_and_new_in_every_process():
    """An agent reads losses by it, and jaeger-client's number is ignored there (agent's client_metrics.go)."""
    tracer = make_tracer(True)
    here = tracer._process.tags["client-uuid"]
    assert isinstance(here, str)
    assert len(here) == 16
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, tracer._process.tags["client-uuid"].encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() not in ("", here)
    os.close(read)
    os.close(write)
    assert tracer._process.tags["client-uuid"] == here
