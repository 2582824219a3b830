"""Scopes: which span is active in threads, tasks, callbacks, greenlets and copied contexts, and what closing changes."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import gevent
import opentracing
import pytest
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers import ThreadLocalScopeManager
from opentracing.scope_managers.asyncio import AsyncioScopeManager
from opentracing.scope_managers.contextvars import _SCOPE, no_parent_scope
from opentracing.scope_managers.contextvars import ContextVarsScopeManager as OpenTracings
from opentracing.scope_managers.gevent import GeventScopeManager

from sls_tracing import InMemoryReporter, Tracer, current_span
from sls_tracing.scope import ContextVarsScopeManager, active_span

requirement = pytest.mark.requirement


@pytest.fixture(autouse=True)
def _nothing_active():
    """Scopes closed in the wrong order stay active, by the specification; the next test must not see them."""
    yield
    _SCOPE.set(None)


@pytest.fixture
def manager():
    return ContextVarsScopeManager()


@requirement("OT-A01", "OT-A04", "OT-A05", "OT-A17")
def test_activate(tracer, manager):
    """Both parameters are required; the scope is the active one and holds the very span."""
    span = tracer.start_span("x")
    for missing in ((), (span,)):
        with pytest.raises(TypeError):
            manager.activate(*missing)
    scope = manager.activate(span, False)
    assert manager.active is scope
    assert scope.span is span
    assert scope.manager is manager
    assert current_span() is span
    scope.close()
    assert current_span() is None


@requirement("OT-A02", "OT-A03")
def test_nothing_is_active_anywhere_at_first(manager):
    """None, without raising: in a thread, outside and inside an event loop, in a greenlet."""

    async def task():
        return manager.active

    assert manager.active is None
    assert asyncio.run(task()) is None
    assert gevent.spawn(lambda: manager.active).get() is None
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: manager.active).result() is None


@requirement("OT-A06", "OT-A07")
@pytest.mark.parametrize("finish_on_close", [True, False])
def test_close_restores_and_finishes_if_asked_to(tracer, reporter, finish_on_close):
    """The scope before is active again."""
    with tracer.start_active_span("outer") as outer:
        with tracer.start_active_span("inner", finish_on_close=finish_on_close):
            assert tracer.scope_manager.active is not outer
        assert tracer.scope_manager.active is outer
        assert len(reporter.spans) == finish_on_close


@requirement("OT-A08")
def test_a_scope_that_is_not_active_closes_nothing(tracer, reporter):
    """Nothing is finished, the active scope stays."""
    outer = tracer.start_active_span("outer")
    inner = tracer.start_active_span("inner")
    outer.close()
    assert tracer.scope_manager.active is inner
    assert reporter.spans == []


@requirement("OT-A09")
def test_closing_twice_closes_once(tracer, reporter):
    """Even when another scope has become active since."""
    scope = tracer.start_active_span("x")
    scope.close()
    with tracer.start_active_span("y") as other:
        scope.close()
        assert tracer.scope_manager.active is other
    assert [span.operation_name for span in reporter.spans] == ["x", "y"]


@requirement("OT-A10")
@pytest.mark.parametrize("finish_on_close", [True, False])
def test_an_exception_marks_the_span_once(tracer, reporter, finish_on_close):
    """One log and the error tag, finished here or later; the exception goes on."""
    with pytest.raises(ValueError, match="broken"):
        with tracer.start_active_span("x", finish_on_close=finish_on_close) as scope:
            raise ValueError("broken")
    scope.span.finish()
    (record,) = reporter.spans
    assert record.tags["error"] is True
    assert [log.fields["event"] for log in record.logs] == ["error"]
    assert tracer.active_span is None


def test_a_foreign_span_that_raises_does_not_hide_the_exception(manager):
    """The application's exception must be the one that goes on."""

    class Broken(opentracing.Span):
        def set_tag(self, key, value):
            raise TypeError("mine")

    with pytest.raises(ValueError, match="the application's"):
        with manager.activate(Broken(None, None), False):
            raise ValueError("the application's")
    assert manager.active is None


@requirement("OT-A11")
def test_threads_do_not_see_each_others_scope(tracer):
    """Not at start, and not when both are active at once."""
    seen = {}
    both = threading.Barrier(2)

    def work(name):
        seen[name, "before"] = tracer.active_span
        with tracer.start_active_span(name) as scope:
            both.wait()
            seen[name] = tracer.active_span is scope.span
            both.wait()

    with tracer.start_active_span("main"):
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {("a", "before"): None, ("b", "before"): None, "a": True, "b": True}


@requirement("OT-A11")
def test_tasks_and_greenlets_do_not_disturb_each_other(tracer):
    """Interleaved at every await or switch, each sees its own."""

    async def task(name):
        with tracer.start_active_span(name) as scope:
            for _ in range(5):
                await asyncio.sleep(0)
                assert tracer.active_span is scope.span

    async def main():
        await asyncio.gather(*(task(str(number)) for number in range(5)))

    def greenlet(name):
        with tracer.start_active_span(name) as scope:
            for _ in range(5):
                gevent.sleep(0)
                assert tracer.active_span is scope.span

    asyncio.run(main())
    gevent.joinall([gevent.spawn(greenlet, str(number)) for number in range(5)], raise_error=True)


@requirement("OT-A12")
def test_a_span_is_activated_again_elsewhere(tracer, reporter):
    """Many times, in other threads, without finishing it."""
    span = tracer.start_span("request")

    def work(number):
        with tracer.scope_manager.activate(span, False):
            with tracer.start_active_span(f"part {number}"):
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(4)))
    assert span.finish_time is None
    span.finish()
    assert [each.context.parent_id for each in reporter.spans[:4]] == [span.context.span_id] * 4
    assert len(reporter.spans) == 5


@requirement("OT-A13")
def test_what_is_scheduled_inherits_the_scope(tracer, reporter):
    """create_task, call_soon, call_later, call_soon_threadsafe, to_thread and a plain await."""

    async def child(name):
        with tracer.start_active_span(name):
            await asyncio.sleep(0)

    async def main():
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        with tracer.start_active_span("root") as root:
            task = asyncio.create_task(child("create_task"))
            loop.call_soon(lambda: tracer.start_span("call_soon").finish())
            loop.call_soon_threadsafe(lambda: tracer.start_span("call_soon_threadsafe").finish())
            loop.call_later(0.001, lambda: (tracer.start_span("call_later").finish(), done.set()))
            await child("await")
            await asyncio.to_thread(lambda: tracer.start_span("to_thread").finish())
        await asyncio.gather(task, done.wait())
        return root.span.context.span_id

    root_id = asyncio.run(main())
    parents = {span.operation_name: span.context.parent_id for span in reporter.spans}
    assert parents.pop("root") is None
    assert len(parents) == 6
    assert set(parents.values()) == {root_id}


@requirement("OT-A14")
def test_closing_in_the_parent_leaves_the_inherited_scope(tracer, reporter):
    """A task that outlives its creator's scope still has that parent."""

    async def task(closed):
        await closed.wait()
        tracer.start_span("task").finish()

    async def main():
        closed = asyncio.Event()
        with tracer.start_active_span("root") as root:
            running = asyncio.create_task(task(closed))
            await asyncio.sleep(0)
        closed.set()
        await running
        return root.span.context.span_id

    root_id = asyncio.run(main())
    assert [(span.operation_name, span.context.parent_id) for span in reporter.spans] == [
        ("root", None),
        ("task", root_id),
    ]


def test_a_scope_closed_in_a_task_that_inherited_it(tracer, reporter):
    """It is allowed (no "Token was created in a different Context"), finishes the span, and leaves the creator's variable."""

    async def main():
        scope = tracer.start_active_span("x")

        async def close():
            scope.close()
            assert tracer.active_span is None

        await asyncio.create_task(close())
        assert tracer.scope_manager.active is scope
        scope.close()
        assert tracer.active_span is None

    asyncio.run(main())
    assert len(reporter.spans) == 1


@requirement("OT-A15")
@pytest.mark.parametrize("way", ["task", "call_soon", "call_later"])
def test_no_parent_scope(tracer, reporter, way):
    """OpenTracing's own helper works with our manager: what is scheduled inside has no parent, what follows has."""

    async def main():
        done = asyncio.Event()

        def call():
            tracer.start_span("scheduled").finish()
            done.set()

        async def task():
            call()

        loop = asyncio.get_running_loop()
        with tracer.start_active_span("root") as root:
            with no_parent_scope():
                kept = {
                    "task": lambda: asyncio.create_task(task()),
                    "call_soon": lambda: loop.call_soon(call),
                    "call_later": lambda: loop.call_later(0.001, call),
                }[way]()
            assert tracer.scope_manager.active is root
            await done.wait()
        return kept

    asyncio.run(main())
    parents = {span.operation_name: span.context.parent_id for span in reporter.spans}
    assert parents == {"scheduled": None, "root": None}


def test_a_copied_context_is_a_world_of_its_own(tracer):
    """It starts with what was active at the copy, and what happens in it stays in it."""
    with tracer.start_active_span("root") as root:
        copied = contextvars.copy_context()
    assert copied.run(lambda: tracer.active_span) is root.span

    def leave_open():
        return tracer.start_active_span("inner")

    inner = copied.run(leave_open)
    assert tracer.active_span is None
    assert copied.run(lambda: tracer.scope_manager.active) is inner


def test_the_active_span_is_seen_whoever_made_it(manager):
    """A span of another tracer, activated through OpenTracing's contextvars manager, is active in ours as well."""
    span = MockTracer().start_span("foreign")
    with OpenTracings().activate(span, False):
        assert active_span() is span
        assert manager.active.span is span
    assert active_span() is None


@requirement("OT-A16")
def test_managers_without_propagation_start_child_tasks_with_nothing_active():
    """OpenTracing's asyncio, gevent and thread-local managers work with our tracer, by their own rules."""
    tracers = [
        Tracer("t", reporter=InMemoryReporter(), scope_manager=manager())
        for manager in (AsyncioScopeManager, GeventScopeManager, ThreadLocalScopeManager)
    ]
    of_asyncio, of_gevent, of_threads = tracers

    async def task():
        return of_asyncio.active_span

    async def main():
        with of_asyncio.start_active_span("root"):
            return await asyncio.create_task(task())

    assert asyncio.run(main()) is None
    with of_gevent.start_active_span("root") as scope:
        assert of_gevent.active_span is scope.span
        assert gevent.spawn(lambda: of_gevent.active_span).get() is None
    with of_threads.start_active_span("root"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: of_threads.active_span).result() is None
    assert [len(tracer.reporter.spans) for tracer in tracers] == [1, 1, 1]
