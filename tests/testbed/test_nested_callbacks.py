"""nested_callbacks: each callback schedules the next, and the last finishes the span that the first one got."""

import asyncio
import threading

import gevent
import gevent.event
import pytest
from opentracing.scope_managers.contextvars import no_parent_scope

pytestmark = pytest.mark.requirement("OT-A12", "OT-A13")


def check(tracer, spans):
    assert spans.names() == ["one"]
    assert {key: spans["one"].tags[key] for key in ("key1", "key2", "key3")} == {"key1": "1", "key2": "2", "key3": "3"}
    assert tracer.active_span is None


def run_nested(tracer, spawn, done):
    """Activate the span anew in each callback: it works with every manager."""
    span = tracer.start_span("one")

    def step(number):
        with tracer.scope_manager.activate(span, finish_on_close=number == 3):
            assert tracer.active_span is span
            tracer.active_span.set_tag(f"key{number}", str(number))
            if number < 3:
                spawn(lambda: step(number + 1))
        if number == 3:
            done()

    spawn(lambda: step(1))


def test_threads(threads, reported):
    done = threading.Event()
    run_nested(threads, lambda call: threading.Thread(target=call).start(), done.set)
    assert done.wait(10)
    check(threads, reported(threads))


def test_callbacks_of_the_loop(tasks, reported):
    """AsyncioScopeManager has no task to keep a scope on there; it falls back to the thread."""

    async def main():
        done = asyncio.Event()
        run_nested(tasks, asyncio.get_running_loop().call_soon, done.set)
        await done.wait()

    asyncio.run(main())
    check(tasks, reported(tasks))


def test_tasks(tasks, reported):
    async def main():
        done = asyncio.Event()
        kept = []

        def spawn(call):
            async def task():
                call()

            kept.append(asyncio.create_task(task()))

        run_nested(tasks, spawn, done.set)
        await done.wait()
        await asyncio.gather(*kept)

    asyncio.run(main())
    check(tasks, reported(tasks))


def test_greenlets(greenlets, reported):
    done = gevent.event.Event()
    run_nested(greenlets, gevent.spawn, done.set)
    assert done.wait(10)
    check(greenlets, reported(greenlets))


@pytest.mark.requirement("OT-A13", "OT-A14", "OT-A15")
@pytest.mark.parametrize("breaks", [False, True])
def test_a_periodic_callback_inherits_or_breaks(tasks, reported, breaks):
    """With contextvars each round is a child of the round that scheduled it, unless ``no_parent_scope`` breaks the chain."""

    async def main():
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def schedule(call):
            if breaks:
                with no_parent_scope():
                    loop.call_soon(call)
            else:
                loop.call_soon(call)

        def periodic(number):
            with tasks.start_active_span(f"round {number}"):
                if number < 3:
                    schedule(lambda: periodic(number + 1))
                else:
                    done.set()

        with tasks.start_active_span("root"):
            loop.call_soon(lambda: periodic(1))
        await done.wait()

    asyncio.run(main())
    spans = reported(tasks)
    assert spans.is_child("round 1", "root") is tasks.propagates
    inherits = tasks.propagates and not breaks
    assert spans.is_child("round 2", "round 1") is inherits
    assert spans.is_child("round 3", "round 2") is inherits
