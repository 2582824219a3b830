"""threading: an application's thread inherits the active span's identity; a library's inherits nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import types
import weakref
from pathlib import Path

import opentracing
import pytest
from opentracing.scope_managers.contextvars import no_parent_scope

from sls_tracing import current_span, instrumentation
from sls_tracing.instrumentation.threading import LIBRARIES

ROOT = Path(__file__).parents[2]


def spans_by_name(tracing):
    return {span.name: span for span in tracing.spans}


def child(name):
    opentracing.tracer.start_span(name).finish()


def test_every_kind_of_thread(recorded) -> None:
    """Target, subclass with a run of its own, Timer, daemon; arguments and names are untouched."""

    class Worker(threading.Thread):
        def run(self) -> None:
            child("subclass")

    class Calling(threading.Thread):
        def run(self) -> None:
            super().run()

    class Starting(threading.Thread):
        def start(self) -> None:
            super().start()

    with opentracing.tracer.start_active_span("request"):
        threads = [
            threading.Thread(target=child, args=("target",), name="named"),
            Worker(),
            Calling(target=child, kwargs={"name": "calls super"}),
            Starting(target=child, args=("overrides start",)),
            threading.Timer(0.001, child, ["timer"]),
            threading.Thread(target=child, args=("daemon",), daemon=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    spans = spans_by_name(recorded)
    request = spans.pop("request")
    assert set(spans) == {"target", "subclass", "calls super", "overrides start", "timer", "daemon"}
    assert {(span.trace_id, span.parent_id) for span in spans.values()} == {(request.trace_id, request.span_id)}
    assert (threads[0].name, threads[5].daemon) == ("named", True)


def test_a_thread_that_outlives_its_request(recorded) -> None:
    """Its spans are children all the same; what it says about its active span does not touch the finished one."""
    over = threading.Event()

    def work() -> None:
        over.wait(20)
        span = opentracing.tracer.active_span
        span.set_tag("late", True)
        span.log_kv({"event": "late"})
        span.finish()
        child("late child")

    with opentracing.tracer.start_active_span("request"):
        thread = threading.Thread(target=work)
        thread.start()
    over.set()
    thread.join()
    assert [span.name for span in recorded.spans] == ["request", "late child"]
    request, late = recorded.spans
    assert late.parent_id == request.span_id
    assert "late" not in request.tags
    assert request.logs == []


def test_the_thread_keeps_no_span_alive(ours) -> None:
    """It runs for ever, the request's span goes when the request is over."""
    running, over = threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        over.wait(20)

    scope = ours.tracer.start_active_span("request")
    gone = weakref.ref(scope.span)
    thread = threading.Thread(target=work)
    thread.start()
    running.wait(20)
    scope.close()
    ours.reporter.clear()
    del scope
    gc.collect()
    assert gone() is None
    over.set()
    thread.join()


def test_a_thread_leaves_no_circle_behind(ours) -> None:
    """With the garbage collector off, an ended thread is gone when its last name is."""
    with ours.tracer.start_active_span("request"):
        thread = threading.Thread(target=child, args=("work",))
        thread.start()
    thread.join()
    assert "run" not in vars(thread)
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(thread)
        del thread
        assert gone() is None
    finally:
        gc.enable()


def test_the_span_of_the_start_counts_not_that_of_the_making(ours) -> None:
    """A thread may be made long before."""
    with ours.tracer.start_active_span("making"):
        thread = threading.Thread(target=child, args=("work",))
    with ours.tracer.start_active_span("starting"):
        thread.start()
        thread.join()
    spans = spans_by_name(ours)
    assert spans["work"].parent_id == spans["starting"].span_id


def test_run_called_directly_runs_here(ours) -> None:
    """Under the caller's own span, as any call."""
    seen = []
    with ours.tracer.start_active_span("request") as scope:
        threading.Thread(target=lambda: seen.append(current_span())).run()
    assert seen == [scope.span]


def test_a_run_of_the_objects_own_is_called_and_stays(ours) -> None:
    """Put there by the application, or by another tool."""
    thread = threading.Thread()
    thread.run = own = lambda: child("own run")
    with ours.tracer.start_active_span("request"):
        thread.start()
    thread.join()
    assert thread.run is own
    spans = spans_by_name(ours)
    assert spans["own run"].parent_id == spans["request"].span_id


def test_an_exception_goes_where_it_always_went(ours, monkeypatch) -> None:
    """To the excepthook, with the thread; the span of the request is not marked."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append((args.exc_type, args.thread)))

    def fails() -> None:
        raise KeyError("mine")

    with ours.tracer.start_active_span("request"):
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    assert seen == [(KeyError, thread)]
    assert "error" not in ours.spans[0].tags


def test_a_thread_that_cannot_start_is_left_as_it_was(ours) -> None:
    """Started twice, or never initialised: Python's own error, nothing on the object."""

    class Uninitialised(threading.Thread):
        def __init__(self) -> None:
            pass

    with ours.tracer.start_active_span("request"):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="started once"):
            thread.start()
        with pytest.raises(RuntimeError, match="not called"):
            Uninitialised().start()
    assert "run" not in vars(thread)


@pytest.mark.parametrize("library", ["pymongo.monitor", "multiprocessing.queues", "sls_tracing.reporters.batching"])
def test_a_librarys_thread_inherits_nothing(ours, library) -> None:
    """Whoever needs it first starts it, and it serves all: by target or by class."""
    module = types.ModuleType(library)
    seen: list[object] = []
    exec(
        textwrap.dedent("""
            import threading
            def target(seen, current_span):
                seen.append(current_span())
            class Worker(threading.Thread):
                def run(self):
                    target(*self._args)
            """),
        vars(module),
    )
    assert library.partition(".")[0] in LIBRARIES
    with ours.tracer.start_active_span("request"):
        for make in (threading.Thread, module.Worker):
            thread = make(target=module.target, args=(seen, current_span))
            thread.start()
            thread.join()
        assert current_span() is not None
    assert seen == [None, None]


def test_a_thread_may_be_left_out(ours) -> None:
    """An application's own long-lived thread that a request starts: OpenTracing's helper says that it stands alone."""
    seen = []
    with ours.tracer.start_active_span("request"), no_parent_scope():
        thread = threading.Thread(target=lambda: seen.append(current_span()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_uninstalled_nothing_is_inherited(ours) -> None:
    """And Thread is as it was; a thread that was started before goes on."""
    instrumentation.uninstall("threading")
    seen = []
    with ours.tracer.start_active_span("request"):
        thread = threading.Thread(target=lambda: seen.append(current_span()))
        thread.start()
        thread.join()
    assert seen == [None]
    assert threading.Thread.start.__module__ == "threading"
    assert not hasattr(threading.Thread.start, "__wrapped__")


def test_under_another_tools_wrapper(ours) -> None:
    """A tool that wraps Thread.start afterwards: removed under it, ours only passes calls on."""
    mine = threading.Thread.start

    def theirs(self) -> None:
        mine(self)

    threading.Thread.start = theirs
    seen = []

    def run_one() -> None:
        with ours.tracer.start_active_span("request"):
            thread = threading.Thread(target=lambda: seen.append(current_span() is not None))
            thread.start()
            thread.join()

    try:
        run_one()
        instrumentation.uninstall("threading")
        run_one()
        assert threading.Thread.start is theirs
    finally:
        threading.Thread.start = mine.__wrapped__
    assert seen == [True, False]


def test_two_hundred_requests_at_once(ours) -> None:
    """Each starts threads that start threads: no span in another's trace."""
    count = 200
    barrier = threading.Barrier(count)

    def leaf(number: int) -> None:
        with opentracing.tracer.start_active_span("leaf", tags={"number": number}):
            pass

    def middle(number: int) -> None:
        with opentracing.tracer.start_active_span("middle", tags={"number": number}):
            thread = threading.Thread(target=leaf, args=(number,))
            thread.start()
            thread.join()

    def request(number: int) -> None:
        with opentracing.tracer.start_active_span("request", tags={"number": number}):
            barrier.wait(60)
            threads = [threading.Thread(target=middle, args=(number,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    threads = [threading.Thread(target=request, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ours.spans) == count * 5
    trace_of = {span.tags["number"]: span.trace_id for span in ours.spans if span.name == "request"}
    assert len(set(trace_of.values())) == count
    by_id = {span.span_id: span for span in ours.spans}
    for span in ours.spans:
        assert span.trace_id == trace_of[span.tags["number"]]
        if span.name != "request":
            assert by_id[span.parent_id].name == {"leaf": "middle", "middle": "request"}[span.name]


def test_installing_loads_nothing_that_programs_must_patch_first() -> None:
    """Threads and executors are there from the start, and wrapt would bring asyncio and ssl."""
    code = """
        from sls_tracing import instrumentation
        import sys, threading, concurrent.futures.thread
        before = set(sys.modules)
        instrumentation.install()
        threading.Thread(target=int).start()
        print([name for name in ("ssl", "asyncio", "wrapt", "multiprocessing.pool", "gevent") if name in sys.modules])
        print(threading.Thread.start.__wrapped__.__module__, concurrent.futures.ThreadPoolExecutor.submit.__wrapped__.__module__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:2] == ["[]", "threading concurrent.futures.thread"]
