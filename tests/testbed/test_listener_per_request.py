"""listener_per_request: each request has a listener that finishes its span, wherever the answer arrives."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-S16")


class Listener:
    def __init__(self, span):
        self.span = span

    def on_response(self, response):
        self.span.set_tag("response", response)
        self.span.finish()


def check(spans, number):
    assert sorted(span.tags["response"] for span in spans.named("send")) == [f"{each}: done" for each in range(number)]
    assert len({span.context.trace_id for span in spans.all}) == number


def test_threads(threads, reported):
    def answer(listener, number):
        listener.on_response(f"{number}: done")

    with ThreadPoolExecutor(2) as pool:
        for number in range(4):
            pool.submit(answer, Listener(threads.start_span("send")), number)
    check(reported(threads), 4)


def test_tasks(tasks, reported):
    async def answer(listener, number):
        await asyncio.sleep(0)
        listener.on_response(f"{number}: done")

    async def main():
        await asyncio.gather(*(answer(Listener(tasks.start_span("send")), number) for number in range(4)))

    asyncio.run(main())
    check(reported(tasks), 4)


def test_greenlets(greenlets, reported):
    def answer(listener, number):
        gevent.sleep(0)
        listener.on_response(f"{number}: done")

    started = [gevent.spawn(answer, Listener(greenlets.start_span("send")), number) for number in range(4)]
    gevent.joinall(started, raise_error=True)
    check(reported(greenlets), 4)
