"""``@traced``: a span around each call, and never more than that."""

import asyncio
import functools
import inspect

import opentracing
import pytest
from opentracing.mocktracer import MockTracer

from sls_tracing import InMemoryReporter, Tracer, current_span, traced
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters


@pytest.fixture(autouse=True)
def tracer(monkeypatch, reporter):
    """The global tracer of the test."""
    tracer = Tracer("t", reporter=reporter)
    monkeypatch.setattr(opentracing, "tracer", tracer)
    return tracer


@traced
def bare(one, *, two=2):
    """Docs."""
    return one, two, current_span().operation_name


@traced("named", tags={"component": "tests"})
def named(one):
    return one


@traced()
def with_parentheses():
    return current_span().operation_name


@traced
async def coroutine(one):
    await asyncio.sleep(0)
    return one, current_span().operation_name


def names(reporter):
    return [span.operation_name for span in reporter.spans]


def test_a_bare_decorator(reporter):
    """The span has the function's name and is active while it runs; arguments and result pass."""
    assert bare(1) == (1, 2, "bare")
    assert bare(one=1, two=3) == (1, 3, "bare")
    assert names(reporter) == ["bare", "bare"]
    assert current_span() is None


def test_with_arguments(reporter):
    """A name and tags of its own; the decorator's tags are not shared between the spans."""
    assert named(1) == 1
    named(2)
    assert names(reporter) == ["named", "named"]
    one, two = reporter.spans
    assert one.tags["component"] == two.tags["component"] == "tests"
    assert one.tags is not two.tags
    assert with_parentheses() == "with_parentheses"


def test_the_function_keeps_its_face():
    """Name, docstring, signature, and being a coroutine function."""
    assert (bare.__name__, bare.__doc__) == ("bare", "Docs.")
    assert list(inspect.signature(bare).parameters) == ["one", "two"]
    assert inspect.iscoroutinefunction(coroutine)
    assert not inspect.iscoroutinefunction(bare)


def test_coroutines(reporter):
    """The span lasts until the result; concurrent calls are siblings, each with its own span active."""

    async def main():
        with opentracing.global_tracer().start_active_span("parent"):
            return await asyncio.gather(*(coroutine(number) for number in range(3)))

    assert asyncio.run(main()) == [(number, "coroutine") for number in range(3)]
    *children, parent = reporter.spans
    assert [child.context.parent_id for child in children] == [parent.context.span_id] * 3


def test_a_coroutine_that_is_not_awaited_makes_no_span(reporter):
    """It begins when it runs."""
    coroutine(1).close()
    assert reporter.spans == []


def test_calls_nest(tracer, reporter):
    """A traced function called by another is its child."""

    @traced
    def outer():
        return bare(1)

    outer()
    inner, outer_span = reporter.spans
    assert inner.context.parent_id == outer_span.context.span_id
    assert outer_span.operation_name.endswith("outer")


def test_an_exception_marks_the_span_and_goes_on(reporter):
    """In functions and coroutines; StopIteration and cancellation included."""

    @traced
    def fails(error):
        raise error

    @traced
    async def fails_later(error):
        await asyncio.sleep(0)
        raise error

    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        fails(error)
    assert caught.value is error
    with pytest.raises(StopIteration):
        fails(StopIteration())
    with pytest.raises(ValueError, match="mine"):
        asyncio.run(fails_later(error))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(fails_later(asyncio.CancelledError()))
    assert [span.tags["error"] for span in reporter.spans] == [True] * 4
    assert [span.logs[0].fields["error.kind"] for span in reporter.spans][:2] == ["ValueError", "StopIteration"]


class Service:
    def __init__(self):
        self.me = "instance"

    @traced
    def method(self):
        return self.me

    @staticmethod
    @traced
    def static_below(one):
        return one

    @traced
    @staticmethod
    def static_above(one):
        return one

    @classmethod
    @traced
    def class_below(cls):
        return cls

    @traced("class_above")
    @classmethod
    def class_above(cls):
        return cls

    @traced
    async def async_method(self):
        return self.me

    @property
    @traced
    def computed(self):
        return self.me

    @traced
    def __call__(self):
        return self.me


class Derived(Service):
    pass


def test_methods_of_every_kind(reporter):
    """Above and below ``@staticmethod`` and ``@classmethod``, through class and instance; named with their class."""
    service = Derived()
    assert service.method() == service.computed == service() == asyncio.run(service.async_method()) == "instance"
    assert service.static_below(1) == service.static_above(1) == Service.static_below(1) == Service.static_above(1) == 1
    assert service.class_below() is service.class_above() is Derived
    assert Service.class_below() is Service.class_above() is Service
    assert set(names(reporter)) == {
        "Service.method",
        "Service.computed",
        "Service.__call__",
        "Service.async_method",
        "Service.static_below",
        "Service.static_above",
        "Service.class_below",
        "class_above",
    }


def test_callables_without_a_name(reporter):
    """Partials and instances; a partial of a coroutine function is one."""
    assert traced(functools.partial(bare.__wrapped__, 1))() == (1, 2, "partial")
    traced(Service())()
    assert asyncio.run(traced(functools.partial(coroutine.__wrapped__, 5))()) == (5, "partial")
    assert names(reporter)[1] == "Service.__call__"


def test_the_tracer_is_chosen_at_the_call(monkeypatch):
    """What is decorated at import time uses the tracer that is global later."""
    later = Tracer("later", reporter=InMemoryReporter())
    monkeypatch.setattr(opentracing, "tracer", later)
    bare(1)
    assert len(later.reporter.spans) == 1


def test_a_tracer_of_its_own(reporter):
    """It beats the global one; any OpenTracing tracer serves."""
    mock = MockTracer()
    traced(tracer=mock)(lambda: None)()
    assert len(mock.finished_spans()) == 1
    traced(tracer=opentracing.Tracer())(lambda: None)()
    assert reporter.spans == []


class Broken(opentracing.Tracer):
    """Raises in one place of a span's life."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def start_active_span(self, *args, **kwargs):
        if self.place == "start":
            raise TypeError("start")
        return BrokenScope(None, None)


class BrokenScope(opentracing.Scope):
    def __enter__(self):
        raise TypeError("enter")

    def __exit__(self, *error):
        raise TypeError("exit")


@pytest.mark.parametrize("place", ["start", "exit"])
def test_a_tracer_that_raises_costs_the_span_only(place):
    """Result and exception of the function arrive; the failures are counted."""
    before = counters.get("guard_failures_traced")

    @traced(tracer=Broken(place))
    def work(error=None):
        if error:
            raise error
        return "result"

    @traced(tracer=Broken(place))
    async def work_later():
        return "result"

    assert work() == "result"
    assert asyncio.run(work_later()) == "result"
    with pytest.raises(KeyError, match="mine"):
        work(KeyError("mine"))
    assert counters.get("guard_failures_traced") == before + 3


@pytest.mark.parametrize("wrong", [5, b"name", ["name"], {"operation_name": "x"}])
def test_a_name_that_is_no_text_is_refused(wrong):
    """Where it is applied, not at every call."""
    with pytest.raises(ConfigurationError, match="takes a function, or the operation's name"):
        traced(wrong)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"tags": "a=b"}, "not a mapping of tag names"),
        ({"tags": [("a", 1)]}, "not a mapping of tag names"),
        ({"tracer": "jaeger"}, "not a tracer"),
        ({"tracer": opentracing.Tracer}, r"pass Tracer\(…\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, what):
    """So are these."""
    with pytest.raises(ConfigurationError, match=what):
        traced("name", **arguments)
