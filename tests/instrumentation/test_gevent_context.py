"""gevent, patched and not: greenlets and native pools inherit the active span. Each case runs in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMON = """
import opentracing
from sls_tracing import InMemoryReporter, Tracer, current_span, instrumentation
from sls_tracing.metrics import counters

reporter = InMemoryReporter()
opentracing.set_global_tracer(Tracer("t", reporter=reporter))
tracer = opentracing.tracer

def child(name, number=None):
    tracer.start_span(name, tags={} if number is None else {"number": number}).finish()
    return name

def check(*expected):
    names = {span.context.span_id: span.operation_name for span in reporter.spans}
    parents = {span.operation_name: names.get(span.context.parent_id) for span in reporter.spans}
    assert parents.pop("request") is None
    assert parents == dict.fromkeys(expected, "request"), parents
    assert not [name for name in counters.snapshot() if name.startswith("guard_failures")], counters.snapshot()
    assert current_span() is None
"""
PATCHED = "from gevent import monkey; monkey.patch_all()\n" + COMMON + "instrumentation.install()\nimport gevent\n"
PATCHED_AFTERWARDS = (
    COMMON + "instrumentation.install()\nfrom gevent import monkey; monkey.patch_all()\nimport gevent\n"
)
UNPATCHED = COMMON + "instrumentation.install()\nimport gevent\n"
ALL = pytest.mark.parametrize(
    "start", [PATCHED, PATCHED_AFTERWARDS, UNPATCHED], ids=["patched", "patched afterwards", "unpatched"]
)


def run(start: str, code: str) -> None:
    """Run it in a fresh interpreter; warnings on stderr are failures (gevent warns of an ssl that was imported too early)."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", start + textwrap.dedent(code) + "\nprint('done')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n")


@ALL
def test_every_way_to_start_a_greenlet(start) -> None:
    """spawn, spawn_later, start, start_later, subclasses, pools and groups with all that they offer."""
    run(
        start,
        """
        from gevent import Greenlet
        from gevent.pool import Group, Pool

        class Own(Greenlet):
            def _run(self):
                child("subclass")

        with tracer.start_active_span("request"):
            started, later, pool, group = Greenlet(child, "start"), Greenlet(child, "start_later"), Pool(2), Group()
            started.start()
            later.start_later(0.001)
            own = Own()
            own.start()
            gevent.joinall([started, later, own, gevent.spawn(child, "spawn"), gevent.spawn_later(0.001, child, "spawn_later"),
                            pool.spawn(child, "pool.spawn"), group.spawn(child, "group.spawn")], raise_error=True)
            pool.apply(child, ("pool.apply",))
            pool.apply_async(child, ("pool.apply_async",)).get()
            pool.map(child, ["pool.map 1", "pool.map 2"])
            list(pool.imap(child, ["pool.imap"]))
            list(group.imap_unordered(child, ["group.imap_unordered"]))
        check("start", "start_later", "subclass", "spawn", "spawn_later", "pool.spawn", "group.spawn", "pool.apply", "pool.apply_async",
              "pool.map 1", "pool.map 2", "pool.imap", "group.imap_unordered")
        """,
    )


@ALL
def test_threads_and_executors(start) -> None:
    """Greenlets in disguise where threading is patched; gevent's own native threads everywhere."""
    run(
        start,
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from gevent.threadpool import ThreadPool, ThreadPoolExecutor as NativeExecutor

        seen = []
        with tracer.start_active_span("request") as scope:
            threads = [threading.Thread(target=child, args=("thread",)), threading.Timer(0.001, child, ("timer",))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pool, native, executor = ThreadPoolExecutor(1), ThreadPool(1), NativeExecutor(1)
            pool.submit(child, "submit").result()
            native.spawn(child, "native.spawn").get()
            native.apply(child, ("native.apply",))
            native.map(child, ["native.map"])
            executor.submit(child, "native executor").result()
            gevent.get_hub().threadpool.spawn(child, "hub's").get()
        check("thread", "timer", "submit", "native.spawn", "native.apply", "native.map", "native executor", "hub's")
        # The workers, started by that request, belong to nobody.
        assert pool.submit(current_span).result() is None
        assert native.spawn(current_span).get() is None
        assert executor.submit(current_span).result() is None
        executor.shutdown()
        """,
    )


@ALL
def test_identity_and_not_the_object(start) -> None:
    """A greenlet that outlives its request: children are its children, the finished span stays as it was, and is not kept alive."""
    run(
        start,
        """
        import gc, weakref
        from gevent.event import Event

        over = Event()

        def late():
            over.wait()
            span = current_span()
            span.set_tag("late", True)
            span.log_kv({"event": "late"})
            span.finish()
            child("late")

        with tracer.start_active_span("request") as scope:
            gone = weakref.ref(scope.span)
            greenlet = gevent.spawn(late)
            waiting = gevent.spawn_later(1000, late)
        del scope
        gc.collect()
        assert gone() is None
        over.set()
        greenlet.get()
        waiting.kill()
        request, _ = reporter.spans
        assert "late" not in request.tags and request.logs == []
        check("late")
        """,
    )


def test_the_greenlets_context_is_otherwise_what_it_was() -> None:
    """Empty but for ours; one that the application gave stays; what the greenlet activates stays in it."""
    run(
        UNPATCHED,
        """
        import contextvars
        var = contextvars.ContextVar("var", default="nothing")
        var.set("the caller's")
        with tracer.start_active_span("request") as request:
            assert gevent.spawn(var.get).get() == "nothing"
            given = gevent.Greenlet(lambda: (var.get(), current_span()))
            given.gr_context = contextvars.copy_context()
            given.start()
            assert given.get() == ("the caller's", request.span)

            def leave_open():
                tracer.start_active_span("left open")

            gevent.spawn(leave_open).get()
            assert current_span() is request.span
        check()
        """,
    )


def test_uninstalled_nothing_is_inherited() -> None:
    """gevent's list of callbacks is as before."""
    run(
        PATCHED,
        """
        import threading
        instrumentation.install()
        instrumentation.uninstall()
        seen = []
        with tracer.start_active_span("request"):
            assert gevent.spawn(current_span).get() is None
            thread = threading.Thread(target=lambda: seen.append(current_span()))
            thread.start()
            thread.join()
            assert gevent.get_hub().threadpool.spawn(current_span).get() is None
        assert seen == [None]
        check()
        """,
    )


@ALL
def test_two_hundred_requests_at_once(start) -> None:
    """All in flight together, over greenlets, a pool, executors and native threads: no span in another's trace."""
    run(
        start,
        """
        from concurrent.futures import ThreadPoolExecutor
        from gevent.event import Event
        from gevent.pool import Pool
        from gevent.threadpool import ThreadPool

        COUNT = 200
        arrived, all_here, pool, native = [], Event(), Pool(20), ThreadPool(4)
        patched = gevent.monkey.is_module_patched("threading") if hasattr(gevent, "monkey") else False
        executor = ThreadPoolExecutor(8)

        def part(number):
            with tracer.start_active_span("part", tags={"number": number}):
                gevent.sleep(0)
                if patched:
                    executor.submit(child, "submitted", number).result()
                native.spawn(child, "native", number).get()

        def request(number):
            with tracer.start_active_span("request", tags={"number": number}):
                arrived.append(number)
                if len(arrived) == COUNT:
                    all_here.set()
                all_here.wait()
                gevent.joinall([gevent.spawn(part, number), pool.spawn(part, number)], raise_error=True)
                assert current_span().tags["number"] == number

        gevent.joinall([gevent.spawn(request, number) for number in range(COUNT)], raise_error=True)
        spans = reporter.spans
        assert len(spans) == COUNT * (7 if patched else 5), len(spans)
        trace_of = {span.tags["number"]: span.context.trace_id for span in spans if span.operation_name == "request"}
        assert len(set(trace_of.values())) == COUNT
        assert all(span.context.trace_id == trace_of[span.tags["number"]] for span in spans)
        """,
    )
