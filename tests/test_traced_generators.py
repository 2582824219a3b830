"""``@traced`` on generators: the span lasts from the first item to the end, and is active in the generator's own code alone."""

import asyncio
import contextlib
import gc
import inspect
import threading

import opentracing
import pytest
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers import ThreadLocalScopeManager

from sls_tracing import Tracer, current_span, traced
from sls_tracing.metrics import counters


@pytest.fixture(autouse=True)
def tracer(monkeypatch, reporter):
    """The global tracer of the test; nothing may be left active, and no guard may have stepped in."""
    tracer = Tracer("t", reporter=reporter)
    monkeypatch.setattr(opentracing, "tracer", tracer)
    before = counters.get("guard_failures_traced")
    yield tracer
    assert current_span() is None
    assert counters.get("guard_failures_traced") == before


@traced
def numbers(count):
    """Docs."""
    for number in range(count):
        yield number, current_span().operation_name
    return "returned"


@traced
async def later_numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number, current_span().operation_name


@traced
def echo():
    """Gives back what is sent or thrown in."""
    received = []
    while True:
        try:
            received.append((yield list(received)))
        except KeyError as error:
            received.append(error)


@traced
async def later_echo():
    received = []
    while True:
        try:
            received.append((yield list(received)))
        except KeyError as error:
            received.append(error)
            await asyncio.sleep(0)


def names(reporter):
    return [span.operation_name for span in reporter.spans]


def is_failed(span):
    return span.tags.get("error") is True


# -- life --------------------------------------------------------------------------------------------------------------


def test_they_stay_what_they_are():
    """Frameworks look: pytest for fixtures, FastAPI for dependencies."""
    assert inspect.isgeneratorfunction(numbers)
    assert inspect.isgenerator(numbers(1))
    assert inspect.isasyncgenfunction(later_numbers)
    assert (numbers.__name__, numbers.__doc__, list(inspect.signature(numbers).parameters)) == (
        "numbers",
        "Docs.",
        ["count"],
    )


def test_the_span_lasts_from_the_first_item_to_the_end(reporter, monkeypatch, clock):
    """Not from the call: a generator that nobody asks does nothing."""
    tracer = Tracer("t", reporter=reporter, clock=clock)
    monkeypatch.setattr(opentracing, "tracer", tracer)
    generator = numbers(2)
    start = clock()
    clock.advance(1)
    assert next(generator) == (0, "numbers")
    clock.advance(1)
    assert reporter.spans == []
    assert list(generator) == [(1, "numbers")]
    (span,) = reporter.spans
    assert (span.start_time - start, span.finish_time - start) == (1, 2)


def test_one_that_is_never_asked_makes_no_span(reporter):
    """Closed or dropped."""
    numbers(1).close()
    numbers(1)
    gc.collect()
    assert reporter.spans == []


def test_it_is_never_active_in_the_callers_code(tracer, reporter):
    """Between two items the caller's own span is active, or none; what the caller starts is no child of the generator's span."""
    with tracer.start_active_span("caller") as caller:
        for _ in numbers(2):
            assert current_span() is caller.span
            tracer.start_span("work").finish()
    first, second, span, caller_span = reporter.spans
    assert {first.context.parent_id, second.context.parent_id, span.context.parent_id} == {caller_span.context.span_id}


def test_asynchronous_ones_are_never_active_in_the_callers_code(tracer, reporter):
    """The same, with other tasks running while the generator waits."""

    async def bystander():
        for _ in range(6):
            assert current_span().operation_name == "caller"
            await asyncio.sleep(0)

    async def main():
        with tracer.start_active_span("caller") as caller:
            other = asyncio.create_task(bystander())
            async for number, name in later_numbers(3):
                assert name == "later_numbers"
                assert current_span() is caller.span
                tracer.start_span(f"work {number}").finish()
            await other

    asyncio.run(main())
    assert names(reporter) == ["work 0", "work 1", "work 2", "later_numbers", "caller"]
    *others, caller = reporter.spans
    assert {span.context.parent_id for span in others} == {caller.context.span_id}


def test_what_starts_inside_is_its_child(tracer, reporter):
    """In every step, and whatever the generator delegates to."""

    @traced("outer")
    def outer():
        yield from numbers(1)
        tracer.start_span("inside").finish()

    list(outer())
    inner, inside, outer_span = reporter.spans
    assert inner.context.parent_id == inside.context.parent_id == outer_span.context.span_id


def test_a_scope_held_open_over_an_item_is_the_generators_own(tracer, reporter):
    """It is active again in the next step, and not in the caller's code between them."""

    @traced("rows")
    def rows():
        with tracer.start_active_span("query"):
            yield current_span().operation_name
            yield current_span().operation_name
        yield current_span().operation_name

    seen = []
    for name in rows():
        assert current_span() is None
        seen.append(name)
    assert seen == ["query", "query", "rows"]
    query, rows_span = reporter.spans
    assert query.context.parent_id == rows_span.context.span_id


def test_interleaved_generators_keep_apart(tracer, reporter):
    """Two of them, stepped in turn."""

    @traced
    def parts(name):
        current_span().set_operation_name(name)
        for _ in range(3):
            yield tracer.start_active_span(f"part of {name}").close()

    for _ in zip(parts("a"), parts("b"), strict=True):
        assert current_span() is None
    ids = {span.operation_name: span.context.span_id for span in reporter.spans}
    for span in reporter.spans:
        if span.operation_name.startswith("part of"):
            assert span.context.parent_id == ids[span.operation_name[-1]]


def test_steps_in_other_threads(tracer, reporter):
    """A server may take one item here and the next there."""
    generator = numbers(3)
    seen = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: seen.extend([next(generator, None), current_span()]))
        thread.start()
        thread.join()
    assert seen == [(0, "numbers"), None, (1, "numbers"), None, (2, "numbers"), None, None, None]
    assert names(reporter) == ["numbers"]


# -- forwarding --------------------------------------------------------------------------------------------------------


def test_send_throw_close_and_the_return_value(reporter):
    """As if the generator stood there bare."""
    generator = echo()
    assert next(generator) == []
    assert generator.send("a") == ["a"]
    error = KeyError("mine")
    assert generator.throw(error)[1] is error
    generator.close()
    generator.close()
    assert next(generator, "over") == "over"
    (span,) = reporter.spans
    assert not is_failed(span)

    def delegating():
        return (yield from numbers(1))

    delegated = delegating()
    next(delegated)
    with pytest.raises(StopIteration) as stop:
        next(delegated)
    assert stop.value.value == "returned"


def test_asend_athrow_and_aclose(reporter):
    """The same."""

    async def main():
        generator = later_echo()
        assert await generator.__anext__() == []
        assert await generator.asend("a") == ["a"]
        error = KeyError("mine")
        assert (await generator.athrow(error))[1] is error
        assert await generator.asend("b") == ["a", error, "b"]
        await generator.aclose()
        await generator.aclose()
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()

    asyncio.run(main())
    (span,) = reporter.spans
    assert not is_failed(span)


def test_wrong_arguments_raise_what_they_always_raise(reporter):
    """When the generator is first asked; without a span."""
    with pytest.raises(TypeError, match="unexpected keyword"):
        next(numbers(wrong=1))
    assert reporter.spans == []


# -- ends --------------------------------------------------------------------------------------------------------------


def test_an_exception_marks_the_span_and_goes_on(reporter):
    """Raised by the generator, or thrown in and not caught."""

    @traced
    def fails():
        yield 1
        raise ValueError("mine")

    @traced
    async def fails_later():
        yield 1
        raise ValueError("mine")

    async def consume():
        async for _ in fails_later():
            pass

    with pytest.raises(ValueError, match="mine"):
        list(fails())
    with pytest.raises(ValueError, match="mine"):
        asyncio.run(consume())
    thrown = numbers(2)
    next(thrown)
    with pytest.raises(RuntimeError, match="from outside"):
        thrown.throw(RuntimeError("from outside"))
    assert [is_failed(span) for span in reporter.spans] == [True] * 3
    assert [span.logs[0].fields["error.kind"] for span in reporter.spans] == [
        "ValueError",
        "ValueError",
        "RuntimeError",
    ]


@pytest.mark.parametrize("way", ["close", "drop", "break"])
def test_one_that_is_left_early_ends_without_error(reporter, way):
    """By ``close``, by the garbage collector, by ``break``; the generator's own clean-up belongs to the span."""
    cleaned = []

    @traced
    def source():
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(current_span().operation_name)

    if way == "break":
        for _ in source():
            break
    else:
        generator = source()
        next(generator)
        if way == "close":
            generator.close()
        del generator
    gc.collect()
    assert len(cleaned) == 1
    (span,) = reporter.spans
    assert not is_failed(span)


@pytest.mark.parametrize("way", ["aclose", "break", "shutdown", "cancel"])
def test_an_asynchronous_one_that_is_left_early(reporter, way):
    """By ``aclose``, by ``break`` and the event loop's hook, by the loop's end; a cancelled task is an error, as for coroutines."""
    cleaned = []

    @traced("source")
    async def source():
        try:
            yield 1
            await asyncio.sleep(60)
            yield 2
        finally:
            cleaned.append(current_span().operation_name)
            await asyncio.sleep(0)

    kept = []

    async def main():
        generator = source()
        assert await generator.__anext__() == 1
        if way == "aclose":
            await generator.aclose()
        elif way == "shutdown":
            kept.append(generator)
        elif way == "cancel":
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(generator.__anext__(), 0.01)
        else:
            del generator
            gc.collect()
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert cleaned == ["source"]
    (span,) = reporter.spans
    assert is_failed(span) is (way == "cancel")


def test_an_asynchronous_one_whose_frame_is_just_dropped_still_ends(reporter):
    """No event loop, no hook: driven by hand and forgotten."""
    generator = later_numbers(1)
    step = generator.__anext__()
    step.send(None)
    del step, generator
    gc.collect()
    assert names(reporter) == ["later_numbers"]


def test_one_that_ignores_its_end_is_told_so(reporter):
    """Python's own error, and the span has it."""

    @traced
    def stubborn():
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()
    assert [is_failed(span) for span in reporter.spans] == [True]


# -- use ---------------------------------------------------------------------------------------------------------------


def test_under_contextmanager(tracer, reporter):
    """The block runs while the generator waits, so it is not active there."""

    @contextlib.contextmanager
    @traced("transaction")
    def transaction():
        yield current_span().operation_name

    with transaction() as name:
        assert name == "transaction"
        assert current_span() is None
    with pytest.raises(KeyError), transaction():
        raise KeyError("mine")
    assert [is_failed(span) for span in reporter.spans] == [False, True]


def test_methods(reporter):
    """Through the instance, above and below ``@staticmethod``."""

    class Store:
        @traced
        def rows(self):
            yield self

        @traced
        @staticmethod
        def keys():
            yield 1

        @classmethod
        @traced
        async def later(cls):
            yield cls

    async def consume():
        return [each async for each in Store.later()]

    store = Store()
    assert (list(store.rows()), list(Store.keys()), asyncio.run(consume())) == ([store], [1], [Store])
    assert [name.rpartition(">.")[2] for name in names(reporter)] == ["Store.rows", "Store.keys", "Store.later"]


@pytest.mark.parametrize("manager", [None, ThreadLocalScopeManager])
def test_other_tracers_and_scope_managers(manager):
    """Active in the steps, not between them, even where scopes are kept in a thread's variable."""
    mock = MockTracer() if manager is None else MockTracer(manager())

    @traced(tracer=mock)
    def source():
        for _ in range(2):
            mock.start_span("inside").finish()
            yield mock.active_span.operation_name

    for name in source():
        assert name.endswith("source")
        assert mock.active_span is None
    one, two, span = mock.finished_spans()
    assert one.parent_id == two.parent_id == span.context.span_id


def test_a_tracer_that_fails_costs_the_span_only():
    """Items and end arrive."""

    class Broken(opentracing.Tracer):
        def start_span(self, *args, **kwargs):
            raise TypeError("start")

    @traced(tracer=Broken())
    def source():
        return (yield 1)

    @traced(tracer=Broken())
    async def later():
        yield 1

    async def consume():
        return [each async for each in later()]

    assert list(source()) == [1] == asyncio.run(consume())
    assert counters.get("guard_failures_traced") >= 2
    counters._values["guard_failures_traced"] -= 2
