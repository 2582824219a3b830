"""Spans after their finish, and spans in the hands of several threads."""

import sys
import threading

import pytest

from sls_tracing import ConstSampler, Tracer
from sls_tracing.span import UnsampledSpan

requirement = pytest.mark.requirement


# -- after finish, and from several threads -----------------------------------------------------------------------------


@requirement("OT-S06")
def test_after_finish_nothing_changes(tracer, reporter):
    """No call raises, reports again or changes what was reported."""
    span = tracer.start_span("x", tags={"a": 1})
    span.finish(5)
    context = span.context
    before = repr(reporter.spans)
    span.set_tag("a", 2).set_tag("sampling.priority", 0).log_kv({"b": 1}).set_operation_name("y").set_baggage_item(
        "c", "d"
    )
    span.log(event="e")
    span.log_event("f")
    span.finish()
    span.finish(7)
    with span:
        pass
    with pytest.raises(ValueError, match="late"):
        with span:
            raise ValueError("late")
    assert repr(reporter.spans) == before
    assert span.context is context
    assert span.finish_time == 5


@requirement("OT-S06")
def test_an_unsampled_span_after_finish(reporter):
    """It cannot be brought back to be reported."""
    span = Tracer("t", sampler=ConstSampler(False), reporter=reporter).start_span("x")
    span.finish()
    assert span.finish_time is not None
    span.set_tag("sampling.priority", 1).set_baggage_item("a", "b")
    span.finish()
    assert type(span) is UnsampledSpan
    assert reporter.spans == []


def in_threads(number, work):
    """Run ``work(index)`` in threads that start at one moment; raise what any of them raised."""
    barrier = threading.Barrier(number)
    failures = []

    def run(index):
        barrier.wait()
        try:
            work(index)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.fixture
def many_switches():
    """Threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@requirement("OT-S06", "OT-S16")
@pytest.mark.usefixtures("many_switches")
def test_finished_by_many_threads_at_once_it_is_reported_once(reporter):
    """Of all who finish, one gets past."""
    tracer = Tracer("t", reporter=reporter)
    spans = [tracer.start_span("x") for _ in range(200)]
    in_threads(8, lambda _: [span.finish() for span in spans])
    assert len(reporter.spans) == 200


@requirement("OT-S06", "OT-S16")
@pytest.mark.usefixtures("many_switches")
def test_a_span_is_used_while_others_finish_it(reporter):
    """Nothing raises in any thread."""
    tracer = Tracer("t", reporter=reporter)
    spans = [tracer.start_span("x") for _ in range(100)]

    def work(index):
        for span in spans:
            span.set_tag(f"tag {index}", index).log_kv({"event": index}).set_baggage_item(str(index), "x")
            tracer.start_span("child", child_of=span)
            span.finish()

    in_threads(6, work)
    assert len(reporter.spans) == 100


@requirement("OT-S16")
@pytest.mark.usefixtures("many_switches")
def test_threads_lose_nothing_of_each_other(tracer, reporter):
    """Tags, logs and baggage set at one time are all there; the span is finished by a thread that did not start it."""
    span = tracer.start_span("x")

    def work(index):
        for number in range(30):
            span.set_tag(f"{index}.{number}", 1).set_baggage_item(f"{index}.{number}", "x")

    in_threads(6, work)
    in_threads(1, lambda _: span.finish())
    (record,) = reporter.spans
    assert len(record.context.baggage) == 180
    assert len(record.tags) == 180 + len(("sampler.type", "sampler.param"))
    assert len(record.logs) == 180
