"""active_span_replacement: a task works under a span that was started elsewhere, then replaces it by one of another trace."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-A12", "OT-S16", "OT-T11")


def work(tracer, span):
    with tracer.scope_manager.activate(span, True):
        with tracer.start_active_span("subtask"):
            pass
    with tracer.start_active_span("other trace", ignore_active_span=True):
        with tracer.start_active_span("below it"):
            pass


def check(spans):
    assert spans.names() == ["subtask", "initial", "below it", "other trace"]
    assert spans.is_child("subtask", "initial")
    assert spans.is_child("below it", "other trace")
    assert spans["other trace"].context.parent_id is None
    assert spans["other trace"].context.trace_id != spans["initial"].context.trace_id


def test_threads(threads, reported):
    with ThreadPoolExecutor(1) as pool:
        with threads.start_active_span("initial", finish_on_close=False) as scope:
            result = pool.submit(work, threads, scope.span)
        result.result()
    assert threads.active_span is None
    check(reported(threads))


def test_tasks(tasks, reported):
    async def task(span):
        await asyncio.sleep(0)
        work(tasks, span)

    async def main():
        span = tasks.start_span("initial")
        await asyncio.create_task(task(span))
        assert tasks.active_span is None

    asyncio.run(main())
    check(reported(tasks))


def test_greenlets(greenlets, reported):
    span = greenlets.start_span("initial")
    gevent.spawn(work, greenlets, span).get()
    assert greenlets.active_span is None
    check(reported(greenlets))
