"""late_span_finish: a span is the parent of tasks that it does not wait for, and is finished by someone else in the end."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-A12", "OT-R07", "OT-A07")


def work(tracer, span, name):
    with tracer.scope_manager.activate(span, False):
        with tracer.start_active_span(name):
            pass


def check(tracer, span, spans):
    assert span.finish_time is None, "no scope was to finish it"
    assert tracer.active_span is None
    span.finish()
    assert sorted(spans.names()[:2]) == ["task 1", "task 2"]
    assert spans.names()[2] == "parent"
    assert spans.is_child("task 1", "parent")
    assert spans.is_child("task 2", "parent")


def test_threads(threads, reported):
    span = threads.start_span("parent")
    with ThreadPoolExecutor(2) as pool:
        for name in ("task 1", "task 2"):
            pool.submit(work, threads, span, name)
    check(threads, span, reported(threads))


def test_tasks(tasks, reported):
    span = tasks.start_span("parent")

    async def task(name):
        await asyncio.sleep(0)
        work(tasks, span, name)

    async def main():
        await asyncio.gather(task("task 1"), task("task 2"))

    asyncio.run(main())
    check(tasks, span, reported(tasks))


def test_greenlets(greenlets, reported):
    span = greenlets.start_span("parent")
    gevent.joinall([gevent.spawn(work, greenlets, span, name) for name in ("task 1", "task 2")], raise_error=True)
    check(greenlets, span, reported(greenlets))


def test_a_child_may_finish_after_its_parent(threads, reported):
    """Neither waits for the other; both are reported."""
    parent = threads.start_span("parent")
    child = threads.start_span("child", child_of=parent)
    parent.finish()
    child.finish()
    assert reported(threads).is_child("child", "parent")
