"""``with traced("name") as span:``, the same with ``async``, and classes."""

import asyncio
import inspect
import threading
from dataclasses import dataclass

import opentracing
import pytest
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers.contextvars import ContextVarsScopeManager

from sls_tracing import Tracer, current_span, traced
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters


@pytest.fixture(autouse=True)
def tracer(monkeypatch, reporter):
    """The global tracer of the test; nothing may be left active."""
    tracer = Tracer("t", reporter=reporter)
    monkeypatch.setattr(opentracing, "tracer", tracer)
    yield tracer
    assert current_span() is None


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_is_a_span(tracer, reporter):
    """Active inside, with its tags, under the active span."""
    with tracer.start_active_span("outer") as outer:
        with traced("checkout {as it is}", tags={"items": 3}) as span:
            assert current_span() is span
            span.set_tag("paid", True)
        assert current_span() is outer.span
    block, outer_span = reporter.spans
    assert block.operation_name == "checkout {as it is}"
    assert block.context.parent_id == outer_span.context.span_id
    assert (block.tags["items"], block.tags["paid"]) == (3, True)


def test_an_exception_marks_the_block_and_goes_on(reporter):
    """Once, with its log; GeneratorExit is no error."""
    with pytest.raises(KeyError, match="mine"), traced("fails"):
        raise KeyError("mine")

    def generator():
        with traced("left early"):
            yield

    left = generator()
    next(left)
    left.close()
    failed, left_early = reporter.spans
    assert failed.tags["error"] is True
    assert [log.fields["error.kind"] for log in failed.logs] == ["KeyError"]
    assert "error" not in left_early.tags


def test_asynchronous_blocks(reporter):
    """Concurrent ones are siblings."""

    async def work(number):
        async with traced(f"work {number}") as span:
            await asyncio.sleep(0)
            assert current_span() is span

    async def main():
        with traced("all"):
            await asyncio.gather(*(work(number) for number in range(5)))

    asyncio.run(main())
    *children, parent = reporter.spans
    assert {child.context.parent_id for child in children} == {parent.context.span_id}
    assert len(children) == 5


def test_one_object_for_many_blocks(reporter):
    """Nested, in threads that overlap, in tasks: each exit ends the span of its own entry."""
    block = traced("block")
    with block as outer, block as inner:
        assert outer is not inner
        assert current_span() is inner
    inner_span, outer_span = reporter.spans
    assert inner_span.context.parent_id == outer_span.context.span_id
    reporter.clear()
    barrier = threading.Barrier(8)
    failures = []

    def work(number):
        for _ in range(20):
            with block as span:
                span.set_tag("number", number)
                barrier.wait()
                if current_span() is not span:
                    failures.append("another's span is active")
                barrier.wait()
            if span.finish_time is None:
                failures.append("another's span was finished")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(reporter.spans) == 160
    assert all(span.context.parent_id is None for span in reporter.spans)


def test_a_block_that_leaves_a_scope_open_ends_all_the_same(tracer, reporter):
    """Its own span is finished."""
    with traced("block"):
        scope = tracer.start_active_span("left open")
    assert [span.operation_name for span in reporter.spans] == ["block"]
    scope.close()
    tracer.scope_manager.active.close()


def test_a_block_left_in_another_context(reporter):
    """As in a fixture whose ends run in different tasks."""
    block = traced("block")

    async def enter():
        block.__enter__()

    async def leave():
        block.__exit__(None, None, None)

    asyncio.run(enter())
    asyncio.run(leave())
    assert [span.operation_name for span in reporter.spans] == ["block"]


def test_a_block_without_name_is_refused():
    """With the remedy."""
    with pytest.raises(ConfigurationError, match=r'with traced\("checkout"\)'), traced():
        pass


def test_the_name_of_a_block_serves_as_decorator_too(reporter):
    """One object, both uses."""
    named = traced("both")

    @named
    def function():
        return current_span().operation_name

    with named:
        assert function() == "both"
    assert len(reporter.spans) == 2


def test_a_tracer_that_fails_costs_the_span_only(reporter):
    """The block runs, and finds a span that it can tag."""

    class Broken(opentracing.Tracer):
        def start_span(self, *args, **kwargs):
            raise TypeError("start")

    before = counters.get("guard_failures_traced")
    with traced("block", tracer=Broken()) as span:
        span.set_tag("a", 1).log_kv({"event": "b"})
    assert counters.get("guard_failures_traced") == before + 1
    mock = MockTracer(ContextVarsScopeManager())
    with traced("block", tracer=mock) as span:
        assert mock.active_span is span
    assert len(mock.finished_spans()) == 1


# -- classes -----------------------------------------------------------------------------------------------------------


class Base:
    def inherited(self):
        return current_span()


@traced
class Service(Base):
    """Docs."""

    limit = 5

    def method(self):
        return current_span().operation_name

    @staticmethod
    def static(one):
        return one, current_span().operation_name

    @classmethod
    def made(cls):
        return cls, current_span().operation_name

    async def later(self):
        return current_span().operation_name

    def rows(self):
        yield current_span().operation_name

    @traced("named before")
    def named(self):
        return current_span().operation_name

    @property
    def computed(self):
        return current_span()

    def _private(self):
        return current_span()

    def __len__(self):
        assert current_span() is None
        return 1

    class Inner:
        def method(self):
            return current_span()


def test_the_public_methods_of_a_class(reporter):
    """Of every kind; named with the class. The class itself is the same object."""
    service = Service()
    assert inspect.isclass(Service)
    assert (Service.__doc__, Service.limit, isinstance(service, Service)) == ("Docs.", 5, True)
    assert service.method() == "Service.method"
    assert service.static(1) == Service.static(1) == (1, "Service.static")
    assert Service.made() == (Service, "Service.made")
    assert asyncio.run(service.later()) == "Service.later"
    assert list(service.rows()) == ["Service.rows"]
    assert service.named() == "named before"
    assert len(reporter.spans) == 7  # `named` once, not twice


def test_what_is_not_traced_of_a_class(reporter):
    """Private and special methods, properties, inner classes, and what a base class defines."""
    service = Service()
    assert service.computed is service._private() is service.inherited() is Service.Inner().method() is None
    assert len(service) == 1
    assert reporter.spans == []


def test_a_class_with_name_tags_and_arguments(reporter):
    """The name goes before the methods' names, and each method gives the arguments that it has."""

    @traced("orders", tags={"component": "shop"}, arguments=["order_id", "limit"])
    @dataclass
    class Orders:
        shop: str

        def load(self, order_id):
            return order_id

        def find(self, limit=10):
            return limit

    orders = Orders("a")
    assert (orders.load(5), orders.find()) == (5, 10)
    load, find = reporter.spans
    assert (load.operation_name, find.operation_name) == ("orders.load", "orders.find")
    assert (load.tags["arg.order_id"], find.tags["arg.limit"], find.tags["component"]) == (5, 10, "shop")
    assert "arg.limit" not in load.tags


def test_arguments_that_no_method_has_are_refused():
    """Where the class is decorated."""
    with pytest.raises(ConfigurationError, match=r"no traced method of .*Orders has a parameter called order"):

        @traced(arguments=["order"])
        class Orders:
            def load(self, order_id):
                pass


def test_a_decorated_subclass_does_not_trace_twice(reporter):
    """A method that calls its base's is a parent; one that is inherited is one span."""

    @traced
    class Derived(Service):
        def method(self):
            return super().method()

    derived = Derived()
    derived.method()
    derived.static(1)
    assert [span.operation_name.rpartition(">.")[2] for span in reporter.spans] == [
        "Service.method",
        "Derived.method",
        "Service.static",
    ]
