"""common_request_handler: one handler object serves all requests, so it may keep no span of its own between before and after."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-A11", "OT-A16", "OT-T11")


class Handler:
    """Starts a span before each request, unless told otherwise a root; keeps it in the request's own dict."""

    def __init__(self, tracer, *, ignore_active_span=True):
        self.tracer = tracer
        self.ignore_active_span = ignore_active_span

    def before(self, request):
        request["span"] = self.tracer.start_span("send", ignore_active_span=self.ignore_active_span)

    def after(self, request):
        request["span"].set_tag("request", request["number"]).finish()


def check_roots(spans, number):
    roots = [span for span in spans.named("send") if span.context.parent_id is None]
    assert len(roots) == number
    assert len({span.context.trace_id for span in roots}) == number
    assert {span.tags["request"] for span in roots} == set(range(number))


def test_threads(threads, reported):
    handler = Handler(threads)

    def send(number):
        request = {"number": number}
        handler.before(request)
        with ThreadPoolExecutor(1) as other:
            other.submit(handler.after, request).result()

    with threads.start_active_span("parent"), ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(3)))
    check_roots(reported(threads), 3)


def test_tasks(tasks, reported):
    handler = Handler(tasks)

    async def send(number):
        request = {"number": number}
        handler.before(request)
        await asyncio.sleep(0)
        handler.after(request)

    async def main():
        with tasks.start_active_span("parent"):
            await asyncio.gather(*(asyncio.create_task(send(number)) for number in range(3)))

    asyncio.run(main())
    check_roots(reported(tasks), 3)


def test_whether_a_task_inherits_the_parent(tasks, reported):
    """With contextvars a handler that does not ignore the active span gets the creator's; with the asyncio manager it gets none."""
    handler = Handler(tasks, ignore_active_span=False)

    async def send():
        request = {"number": 0}
        handler.before(request)
        await asyncio.sleep(0)
        handler.after(request)

    async def main():
        with tasks.start_active_span("parent"):
            await asyncio.create_task(send())

    asyncio.run(main())
    spans = reported(tasks)
    assert spans.is_child("send", "parent") is tasks.propagates


def test_greenlets(greenlets, reported):
    handler = Handler(greenlets, ignore_active_span=False)

    def send(number):
        request = {"number": number}
        handler.before(request)
        gevent.sleep(0)
        handler.after(request)

    with greenlets.start_active_span("parent"):
        gevent.joinall([gevent.spawn(send, number) for number in range(3)], raise_error=True)
    check_roots(reported(greenlets), 3)
