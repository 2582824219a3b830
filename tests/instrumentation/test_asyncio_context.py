"""asyncio carries the active span by itself; what leaves the loop and comes back is instrumented. Together: no span in a wrong trace."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import opentracing

from sls_tracing import current_span


def child(name):
    opentracing.tracer.start_span(name).finish()


async def child_later(name):
    await asyncio.sleep(0)
    child(name)


def parent_names(tracing):
    by_id = {span.span_id: span.name for span in tracing.spans}
    return {span.name: by_id.get(span.parent_id) for span in tracing.spans}


def test_everything_that_a_loop_can_schedule(recorded) -> None:
    """Tasks, gather, callbacks now, soon and later, and what comes from other threads."""

    async def main():
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        with opentracing.tracer.start_active_span("request"):
            task = asyncio.create_task(child_later("create_task"))
            await asyncio.gather(child_later("gather"), task)
            loop.call_soon(child, "call_soon")
            loop.call_later(0.001, lambda: (child("call_later"), done.set()))
            await asyncio.to_thread(child, "to_thread")
            await loop.run_in_executor(None, child, "run_in_executor")

            def from_a_thread():
                loop.call_soon_threadsafe(child, "call_soon_threadsafe")
                asyncio.run_coroutine_threadsafe(child_later("run_coroutine_threadsafe"), loop).result(20)

            thread = threading.Thread(target=from_a_thread)
            thread.start()
            await loop.run_in_executor(None, thread.join)
            await asyncio.wait_for(child_later("wait_for"), 20)
        await done.wait()

    asyncio.run(main())
    names = parent_names(recorded)
    assert names.pop("request") is None
    assert len(names) == 9
    assert set(names.values()) == {"request"}


def test_a_loop_in_a_thread_of_the_request(recorded) -> None:
    """`asyncio.run` in a worker begins with what the worker inherited."""
    with ThreadPoolExecutor(1) as pool, opentracing.tracer.start_active_span("request"):
        pool.submit(lambda: asyncio.run(child_later("in the loop"))).result()
    assert parent_names(recorded) == {"request": None, "in the loop": "request"}


def test_a_task_that_outlives_its_request(recorded) -> None:
    """Its spans are children of the finished one."""

    async def main():
        over = asyncio.Event()

        async def late():
            await over.wait()
            await asyncio.to_thread(child, "late")

        with opentracing.tracer.start_active_span("request"):
            task = asyncio.create_task(late())
        over.set()
        await task

    asyncio.run(main())
    assert [span.name for span in recorded.spans] == ["request", "late"]
    assert parent_names(recorded)["late"] == "request"


def test_two_hundred_requests_at_once(ours) -> None:
    """All in flight together, over tasks, the executor and threads."""
    count = 200

    def in_thread(number):
        with opentracing.tracer.start_active_span("thread", tags={"number": number}):
            pass

    async def work(number):
        with opentracing.tracer.start_active_span("work", tags={"number": number}):
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(pool, in_thread, number)
            assert current_span().tags["number"] == number

    async def request(number, arrived, all_here):
        with opentracing.tracer.start_active_span("request", tags={"number": number}):
            arrived.append(number)
            if len(arrived) == count:
                all_here.set()
            await all_here.wait()
            await asyncio.gather(work(number), work(number), asyncio.to_thread(in_thread, number))

    async def main():
        arrived, all_here = [], asyncio.Event()
        await asyncio.gather(*(request(number, arrived, all_here) for number in range(count)))

    with ThreadPoolExecutor(8) as pool:
        asyncio.run(main())
    assert len(ours.spans) == count * 6
    trace_of = {span.tags["number"]: span.trace_id for span in ours.spans if span.name == "request"}
    assert len(set(trace_of.values())) == count
    for span in ours.spans:
        assert span.trace_id == trace_of[span.tags["number"]]
