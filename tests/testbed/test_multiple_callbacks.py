"""multiple_callbacks: several callbacks share a parent that the last of them finishes; the count is kept on the span itself."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-S17", "OT-S16", "OT-A12")

LOCK = threading.Lock()


def callback(tracer, span, number):
    with tracer.scope_manager.activate(span, False):
        with tracer.start_active_span("callback", tags={"number": number}):
            pass
    with LOCK:
        span._ref_count -= 1
        last = span._ref_count == 0
    if last:
        span.finish()


def check(spans, number):
    assert spans.names() == ["callback"] * number + ["parent"]
    parent = spans["parent"].context
    assert {(span.context.trace_id, span.context.parent_id) for span in spans.named("callback")} == {
        (parent.trace_id, parent.span_id)
    }
    assert {span.tags["number"] for span in spans.named("callback")} == set(range(number))


def test_threads(threads, reported):
    span = threads.start_span("parent")
    span._ref_count = 5
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: callback(threads, span, number), range(5)))
    check(reported(threads), 5)


def test_tasks(tasks, reported):
    async def task(span, number):
        await asyncio.sleep(0)
        callback(tasks, span, number)

    async def main():
        with tasks.start_active_span("parent", finish_on_close=False) as scope:
            scope.span._ref_count = 5
            started = [asyncio.create_task(task(scope.span, number)) for number in range(5)]
        await asyncio.gather(*started)

    asyncio.run(main())
    check(reported(tasks), 5)


def test_greenlets(greenlets, reported):
    span = greenlets.start_span("parent")
    span._ref_count = 5
    gevent.joinall([gevent.spawn(callback, greenlets, span, number) for number in range(5)], raise_error=True)
    check(reported(greenlets), 5)
