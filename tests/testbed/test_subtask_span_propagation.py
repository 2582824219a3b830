"""subtask_span_propagation: a subtask continues the trace of the task that started it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

pytestmark = pytest.mark.requirement("OT-A12", "OT-A16")


def check(spans):
    assert sorted(spans.names()) == ["child", "parent"]
    assert spans.is_child("child", "parent")


def test_threads(threads, reported):
    """The parent is handed over by hand: no manager carries it into a thread."""

    def subtask(parent):
        assert threads.active_span is None
        with threads.scope_manager.activate(parent, False), threads.start_active_span("child"):
            pass

    with ThreadPoolExecutor(1) as pool, threads.start_active_span("parent") as scope:
        pool.submit(subtask, scope.span).result()
    check(reported(threads))


def test_tasks(tasks, reported):
    """By itself with contextvars, by hand with the asyncio manager."""

    async def subtask(parent):
        if tasks.propagates:
            assert tasks.active_span is parent
        else:
            assert tasks.active_span is None
            tasks.scope_manager.activate(parent, False)
        with tasks.start_active_span("child"):
            await asyncio.sleep(0)

    async def main():
        with tasks.start_active_span("parent") as scope:
            await asyncio.create_task(subtask(scope.span))

    asyncio.run(main())
    check(reported(tasks))


def test_a_coroutine_that_is_awaited_runs_in_its_callers_scope(tasks, reported):
    """It is no task of its own: every manager sees the scope."""

    async def subtask():
        with tasks.start_active_span("child"):
            await asyncio.sleep(0)

    async def main():
        with tasks.start_active_span("parent"):
            await subtask()

    asyncio.run(main())
    check(reported(tasks))


def test_greenlets(greenlets, reported):
    """By hand."""

    def subtask(parent):
        assert greenlets.active_span is None
        with greenlets.scope_manager.activate(parent, False), greenlets.start_active_span("child"):
            gevent.sleep(0)

    with greenlets.start_active_span("parent") as scope:
        gevent.spawn(subtask, scope.span).get()
    check(reported(greenlets))
