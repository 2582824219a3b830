"""Executors and pools of threads: each task inherits the span of whoever handed it over, and the workers nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool

import flask
import opentracing
import pytest

from sls_tracing import current_span, instrumentation
from sls_tracing.suppression import suppress, suppressed


def child(name="work"):
    opentracing.tracer.start_span(name).finish()
    return name


def parent_names(tracing):
    by_id = {span.span_id: span.name for span in tracing.spans}
    return {span.name: by_id.get(span.parent_id) for span in tracing.spans}


def test_submit_and_map(recorded) -> None:
    """With arguments of both kinds; results and exceptions arrive."""

    def fails():
        raise KeyError("mine")

    with ThreadPoolExecutor(2) as pool, opentracing.tracer.start_active_span("request"):
        assert pool.submit(child, "submitted").result() == "submitted"
        assert pool.submit(child, name="by keyword").result() == "by keyword"
        assert list(pool.map(child, ["mapped 1", "mapped 2"])) == ["mapped 1", "mapped 2"]
        with pytest.raises(KeyError, match="mine"):
            pool.submit(fails).result()
        with pytest.raises(TypeError, match="fn"):
            pool.submit()
    names = parent_names(recorded)
    assert names.pop("request") is None
    assert names == dict.fromkeys(["submitted", "by keyword", "mapped 1", "mapped 2"], "request")


def test_run_in_executor_and_to_thread(recorded) -> None:
    """Of an event loop: the default executor and one's own."""

    async def main(pool):
        loop = asyncio.get_running_loop()
        with opentracing.tracer.start_active_span("request"):
            await loop.run_in_executor(None, child, "default")
            await loop.run_in_executor(pool, child, "own")
            await asyncio.to_thread(child, "to_thread")

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main(pool))
    names = parent_names(recorded)
    assert (names["default"], names["own"], names["to_thread"]) == ("request", "request", "request")


def test_multiprocessings_thread_pool(recorded) -> None:
    """Every way in."""
    with ThreadPool(2) as pool, opentracing.tracer.start_active_span("request"):
        pool.apply(child, ("apply",))
        pool.apply_async(func=child, args=("apply_async",)).get()
        pool.map(child, ["map"])
        pool.map_async(child, ["map_async"]).get()
        pool.starmap(child, [("starmap",)])
        list(pool.imap(child, ["imap"]))
        list(pool.imap_unordered(child, ["imap_unordered"], chunksize=2))
    names = parent_names(recorded)
    assert names.pop("request") is None
    assert len(names) == 7
    assert set(names.values()) == {"request"}


def test_the_workers_inherit_nothing(ours) -> None:
    """Though a request made the pool start them: the next task stands alone or with its own request, and the initializer alone."""
    seen = []
    with ours.tracer.start_active_span("first"):
        pool = ThreadPoolExecutor(1, initializer=lambda: seen.append(current_span()))
        pool.submit(child, "of first").result()
        threads = ThreadPool(1, initializer=lambda: seen.append(current_span()))
        threads.apply(child, ("of first too",))
    assert pool.submit(current_span).result() is None
    assert threads.apply(current_span) is None
    with ours.tracer.start_active_span("second"):
        pool.submit(child, "of second").result()
    pool.shutdown()
    threads.terminate()
    assert seen == [None, None]
    names = parent_names(ours)
    assert (names["of first"], names["of first too"], names["of second"]) == ("first", "first", "second")


def test_without_the_threading_part_the_workers_inherit_nothing_either(ours) -> None:
    """The parts stand alone."""
    instrumentation.uninstall("threading")
    with ThreadPoolExecutor(1) as pool:
        with ours.tracer.start_active_span("request"):
            assert pool.submit(current_span).result().context is current_span().context
        assert pool.submit(current_span).result() is None


def test_a_task_that_runs_after_its_request(recorded) -> None:
    """It waited in the queue: a child of the finished span, which stays as it was reported."""
    free = threading.Event()

    def late():
        opentracing.tracer.active_span.set_tag("late", True)
        child("late")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(free.wait, 20)
        with opentracing.tracer.start_active_span("request"):
            future = pool.submit(late)
        assert [span.name for span in recorded.spans] == ["request"]
        free.set()
        future.result()
    assert parent_names(recorded) == {"request": None, "late": "request"}
    assert "late" not in recorded.spans[0].tags


def test_a_queued_task_keeps_no_span_alive(ours) -> None:
    """A queue of a million tasks holds no request's tags and logs."""
    free = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(free.wait, 20)
        scope = ours.tracer.start_active_span("request")
        gone = weakref.ref(scope.span)
        pool.submit(int)
        scope.close()
        ours.reporter.clear()
        del scope
        gc.collect()
        assert gone() is None
        free.set()


def test_a_task_that_leaves_a_scope_open_leaves_it_to_nobody(ours) -> None:
    """The worker's next task finds nothing."""

    def careless():
        opentracing.tracer.start_active_span("left open")

    with ThreadPoolExecutor(1) as pool:
        with ours.tracer.start_active_span("request"):
            pool.submit(careless).result()
        assert pool.submit(current_span).result() is None


def test_suppression_goes_along(ours) -> None:
    """A client library that works in threads is silent there too when it shall be; afterwards the worker is not."""
    with ThreadPoolExecutor(1) as pool:
        with suppress():
            assert pool.submit(suppressed).result() is True
        assert pool.submit(suppressed).result() is False


def test_the_callers_own_context_variables_stay_where_they_are(ours) -> None:
    """Flask's request is not suddenly there in a thread that never had one."""
    app = flask.Flask(__name__)
    with ThreadPoolExecutor(1) as pool:

        @app.get("/")
        def view():
            return {
                "request": pool.submit(flask.has_request_context).result(),
                "span": pool.submit(child, "in").result(),
            }

        assert app.test_client().get("/").json == {"request": False, "span": "in"}
    assert parent_names(ours) == {"GET /": None, "in": "GET /"}


def test_an_executor_of_the_applications_own(ours) -> None:
    """A subclass that overrides submit and calls the base's sees the bare function."""
    seen = []

    class Own(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            seen.append(fn)
            return super().submit(fn, *args, **kwargs)

    with Own(1) as pool, ours.tracer.start_active_span("request"):
        pool.submit(child).result()
    assert seen == [child]
    assert parent_names(ours)["work"] == "request"


def test_process_pools_work_as_ever(ours) -> None:
    """Their tasks are pickled, so they carry nothing; their helper threads inherit nothing."""
    with ours.tracer.start_active_span("request"):
        with ProcessPoolExecutor(1) as executor:
            assert executor.submit(abs, -1).result(60) == 1
        with Pool(1) as pool:
            assert pool.apply(abs, (-2,)) == 2
            assert pool.map(abs, [-3]) == [3]


def test_uninstalled_nothing_is_inherited(ours) -> None:
    """The classes are as they were; ThreadPool inherits its methods again."""
    instrumentation.uninstall(["futures", "threading"])
    with ThreadPoolExecutor(1) as pool, ThreadPool(1) as threads, ours.tracer.start_active_span("request"):
        assert pool.submit(current_span).result() is None
        assert threads.apply(current_span) is None
    assert not hasattr(ThreadPoolExecutor.submit, "__wrapped__")
    assert "apply_async" not in vars(ThreadPool)
    assert "imap" not in vars(ThreadPool)


def test_two_hundred_requests_over_one_pool(ours) -> None:
    """Eight workers serve them all, in whatever order: no span in another's trace."""
    count = 200
    barrier = threading.Barrier(count)

    def work(number, depth):
        with opentracing.tracer.start_active_span("work", tags={"number": number}):
            return inner.submit(work, number, depth - 1).result() if depth else None

    def request(number):
        with opentracing.tracer.start_active_span("request", tags={"number": number}, ignore_active_span=True):
            barrier.wait(60)
            futures = [pool.submit(work, number, 1) for _ in range(3)]
            for future in futures:
                future.result()

    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(3) as inner, ThreadPoolExecutor(count) as requests:
        list(requests.map(request, range(count)))
    assert len(ours.spans) == count * 7
    trace_of = {span.tags["number"]: span.trace_id for span in ours.spans if span.name == "request"}
    assert len(set(trace_of.values())) == count
    for span in ours.spans:
        assert span.trace_id == trace_of[span.tags["number"]]


def test_two_hundred_flask_requests_through_a_pool(ours) -> None:
    """The same with a real application: every span below its own request's."""
    app = flask.Flask(__name__)
    barrier = threading.Barrier(20)
    pool = ThreadPoolExecutor(4)

    @app.get("/<int:number>")
    def view(number):
        barrier.wait(60)
        list(pool.map(lambda part: child(f"{number}"), range(3)))
        return ""

    def client(first):
        for number in range(first, 200, 20):
            app.test_client().get(f"/{number}")

    clients = [threading.Thread(target=client, args=(first,)) for first in range(20)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    pool.shutdown()
    roots = {span.trace_id: span for span in ours.spans if span.parent_id is None}
    assert len(roots) == 200
    assert len(ours.spans) == 800
    for span in ours.spans:
        if span.parent_id is not None:
            assert roots[span.trace_id].tags["http.url"].endswith(f"/{span.name}")
