"""What a task inherits: the span's identity, never the span."""

import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentracing.scope_managers.contextvars import no_parent_scope

from sls_tracing import ConstSampler, Tracer, current_span
from sls_tracing.inheritance import InheritedSpan, inheritance, inheriting, without_inheritance
from sls_tracing.suppression import suppress, suppressed


def elsewhere(function, *args):
    """Run it in a plain thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]


def test_with_nothing_active_there_is_nothing_to_inherit():
    """The function itself comes back: no cost."""
    assert inheritance() is None
    assert inheriting(len) is len
    assert elsewhere(inheriting(current_span)) is None


def test_the_identity_is_inherited_and_not_the_object(tracer):
    """Same context, another object; in the tracer's eyes it is the active span."""
    with tracer.start_active_span("request") as scope:
        span = elsewhere(inheriting(lambda: tracer.active_span))
        again = elsewhere(inheriting(lambda: tracer.scope_manager.active.span))
    assert type(span) is type(again) is InheritedSpan
    assert span is not scope.span
    assert (span.context, span.tracer, span.operation_name) == (scope.span.context, tracer, "request")


def test_children_of_a_finished_parent(tracer, reporter):
    """They are legal, and tags and logs of the task's active span are dropped: what was reported stays as it was."""
    with tracer.start_active_span("request"):

        def work():
            current_span().set_tag("late", True).log_kv({"event": "late"}).set_operation_name("late")
            current_span().set_baggage_item("late", "1")
            current_span().finish()
            tracer.start_span("work").finish()

        task = inheriting(work)
    elsewhere(task)
    request, child = reporter.spans
    assert (request.operation_name, request.logs, "late" in request.tags) == ("request", [], False)
    assert (child.context.trace_id, child.context.parent_id) == (request.context.trace_id, request.context.span_id)
    assert child.context.baggage == {}


def test_what_the_task_says_of_an_unfinished_span_reaches_it(tracer, reporter):
    """A request that waits for its workers: their tags, logs and baggage are its own. Only finishing it is not theirs."""

    def work():
        with tracer.scope_manager.active as scope:
            span = scope.span
            span.set_tag("rows", 5)
            span.log_kv({"event": "read"})
            span.set_baggage_item("user", "ada")
            span.set_operation_name("renamed")
            assert span.get_baggage_item("user") == "ada"
            span.finish()
            tracer.start_span("work").finish()
        assert current_span() is None

    with tracer.start_active_span("request"):
        elsewhere(inheriting(work))
        assert len(reporter.spans) == 1
    child, request = reporter.spans
    assert (request.operation_name, request.tags["rows"]) == ("renamed", 5)
    assert [log.fields["event"] for log in request.logs] == ["read", "baggage"]
    assert child.context.baggage == request.context.baggage == {"user": "ada"}


def test_priority_set_in_the_task_holds_there_too(reporter):
    """`sampling.priority` replaces the span's context; what the task starts afterwards obeys it."""
    tracer = Tracer("t", reporter=reporter, sampler=ConstSampler(False))

    def work():
        current_span().set_tag("sampling.priority", 1)
        tracer.start_span("work").finish()

    with tracer.start_active_span("request"):
        elsewhere(inheriting(work))
    assert [span.operation_name for span in reporter.spans] == ["work", "request"]


def test_no_memory_is_kept(tracer):
    """The span goes when its request is over, though the task is still waiting to run."""
    scope = tracer.start_active_span("request")
    gone = weakref.ref(scope.span)
    task = inheriting(current_span)
    scope.close()
    tracer.reporter.clear()
    del scope
    gc.collect()
    assert gone() is None
    span = elsewhere(task)
    assert span.set_tag("a", 1).context.span_id is not None


def test_a_tasks_own_task_inherits_the_same_identity(tracer):
    """No chain of references, however deep."""
    with tracer.start_active_span("request") as scope:

        def deep(depth):
            return current_span() if depth == 0 else elsewhere(inheriting(deep), depth - 1)

        first = elsewhere(inheriting(deep), 0)
        assert elsewhere(inheriting(deep), 5).context is first.context is scope.span.context


def test_afterwards_the_thread_is_as_before(tracer):
    """Though the task failed or left a scope open; and one task may run many times, at once too."""

    def leave_open():
        tracer.start_active_span("left open")
        raise KeyError("mine")

    with tracer.start_active_span("request"):
        task = inheriting(leave_open)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            with pytest.raises(KeyError, match="mine"):
                pool.submit(task).result()
            assert pool.submit(current_span).result() is None
    with ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)
        for future in [pool.submit(task) for _ in range(8)]:
            assert isinstance(future.exception(), KeyError)
        with tracer.start_active_span("request") as scope:
            task = inheriting(lambda: (barrier.wait(), current_span())[1])
        futures = [pool.submit(task) for _ in range(8)]
        assert {future.result().context for future in futures} == {scope.span.context}


def test_suppression_is_inherited(tracer):
    """The exporters' own threads make no spans either."""
    with suppress():
        task = inheriting(suppressed)
    assert elsewhere(task) is True
    assert suppressed() is False
    with tracer.start_active_span("request"):
        assert elsewhere(inheriting(suppressed)) is False


def test_without_inheritance(tracer):
    """Nothing is active inside; so is it with OpenTracing's own helper."""
    with tracer.start_active_span("request") as scope, suppress():
        assert without_inheritance(lambda: (current_span(), suppressed())) == (None, False)
        assert (current_span(), suppressed()) == (scope.span, True)
    with tracer.start_active_span("request"), no_parent_scope():
        assert inheritance() is None


def test_it_pickles_as_the_bare_function(tracer):
    """For executors that send tasks to other interpreters; and it looks like the function in logs."""
    with tracer.start_active_span("request"):
        task = inheriting(len)
    assert task is not len
    assert pickle.loads(pickle.dumps(task)) is len
    assert repr(task) == repr(len)
