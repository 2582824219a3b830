"""What users' tests are given."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from unittest.mock import ANY

import opentracing
import pytest

import sls_tracing
from sls_tracing import Config, Tracer, init_tracer, instrumentation, traced
from sls_tracing.testing import FakeClock, InMemoryReporter, recording


def test_the_example_of_the_module():
    """Spans in memory, at a time that moves when told."""
    clock = FakeClock()
    tracer = Tracer("orders", reporter=InMemoryReporter(), clock=clock)
    with tracer.start_active_span("order"):
        clock.advance(1.5)
    (span,) = tracer.reporter.spans
    assert (span.start_time, span.finish_time) == (1_700_000_000.0, 1_700_000_001.5)


def test_the_clock_stands_still():
    """Until it is moved, from any time on."""
    clock = FakeClock(5.0)
    assert clock() == clock() == 5.0
    clock.advance(0.25)
    assert clock() == clock.now == 5.25


# -- recording ---------------------------------------------------------------------------------------------------------


@traced("charge card", tags={"component": "payments"})
def charge(amount: int) -> None:
    opentracing.tracer.active_span.log_kv({"event": "charged", "amount": amount})
    if amount < 0:
        raise ValueError("negative")


@traced
def checkout(*amounts: int) -> None:
    for amount in amounts:
        charge(amount)


def test_it_records_and_leaves_everything_as_it_was() -> None:
    """The global tracer, the active span, and what init_tracer returns."""
    before = opentracing.tracer, opentracing.is_tracer_registered
    with recording() as spans:
        checkout(5)
        assert opentracing.global_tracer().service_name == "tested"
    assert (opentracing.tracer, opentracing.is_tracer_registered) == before
    checkout(6)
    assert spans.names == ["charge card", "checkout"]
    assert not Config.initialized()


def test_init_tracer_of_the_code_under_test_returns_the_recording_one() -> None:
    """A factory that sets tracing up would otherwise send the test's spans to an agent."""
    with recording("shop") as spans:
        tracer = init_tracer("shop", environ={"JAEGER_AGENT_HOST": "nowhere.invalid"})
        tracer.start_span("mine").finish()
        assert Config({}, service_name="shop").initialize_tracer() is tracer
    assert spans.names == ["mine"]


def test_it_begins_without_an_active_span_and_gives_it_back() -> None:
    with recording() as outer, opentracing.global_tracer().start_active_span("outer"):
        active = sls_tracing.current_span()
        with recording() as inner:
            assert sls_tracing.current_span() is None
            checkout()
        assert sls_tracing.current_span() is active
    inner.one("checkout", parent=None)
    assert outer.names == ["outer"]


def test_it_instruments_for_the_block(scripted_server) -> None:
    """What was instrumented before stays."""
    import requests

    instrumentation.install("threading")
    try:
        with recording(instrument=["requests"]) as spans:
            requests.get(scripted_server.url, timeout=5)
            assert set(instrumentation.installed()) == {"requests", "threading"}
        assert instrumentation.installed() == ("threading",)
    finally:
        instrumentation.uninstall()
    spans.one("GET", tags={"http.status_code": 200})


def test_a_block_that_raises_leaves_everything_as_it_was() -> None:
    before = opentracing.tracer
    with pytest.raises(ZeroDivisionError), recording(instrument=True):
        1 / 0  # noqa: B018
    assert opentracing.tracer is before
    assert instrumentation.installed() == ()


def test_options_go_to_the_tracer() -> None:
    clock = FakeClock()
    with recording(clock=clock, trace_id_bits=64) as spans:
        checkout()
    assert spans[0].start_time == clock.now
    assert spans[0].context.trace_id < 1 << 64


# -- questions and assertions ------------------------------------------------------------------------------------------


@pytest.fixture
def spans():
    with recording(clock=FakeClock()) as spans:
        checkout(5, 7)
        with pytest.raises(ValueError, match="negative"):
            charge(-1)
    return spans


def test_a_span_is_found_by_what_is_demanded(spans) -> None:
    """Name, tags, logs, parent, error, each alone and together."""
    assert len(spans.find("charge card")) == 3
    assert len(spans.find(tags={"component": "payments"})) == 3
    assert len(spans.find(logged={"event": "charged", "amount": lambda amount: amount > 0})) == 2
    assert len(spans.find(parent="checkout")) == 2
    assert spans.find("charge card", parent=None) == spans.find(error=True)
    assert spans.one("charge card", error=True, tags={"component": ANY}).tags["error"] is True
    checkout = spans.one("checkout")
    assert spans.find(parent=checkout) == spans.children_of(checkout)
    assert [spans.parent_of(span) for span in spans.children_of(checkout)] == [checkout] * 2
    spans.none("refund")
    assert len(spans) == 4
    assert spans[-1:] == [spans[-1]]


def test_the_tree_is_text_to_be_compared(spans) -> None:
    assert spans.tree("component").splitlines() == [
        "checkout",
        "  charge card  component=payments",
        "  charge card  component=payments",
        "charge card !  component=payments",
    ]


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (
            lambda spans: spans.one("refund"),
            "no span(s) with 'refund', one was demanded; recorded:\ncheckout\n  charge",
        ),
        (lambda spans: spans.one("charge card"), "3 span(s) with 'charge card', one was demanded"),
        (lambda spans: spans.none(error=True), "1 span(s) with error=True, none was demanded"),
        (lambda spans: spans.one("checkout", tags={"a": 1}), "checkout: tags {"),
        (lambda spans: spans.wait_for("late", timeout=0), "no span with 'late', one was awaited for 0 s"),
    ],
    ids=["missing", "several", "unwanted", "nearly", "late"],
)
def test_what_is_not_met_is_told_with_all_that_was_recorded(spans, demand, message) -> None:
    with pytest.raises(AssertionError) as error:
        demand(spans)
    assert message in str(error.value)


def test_a_misspelt_demand_is_an_error(spans) -> None:
    """Not a demand that is always met."""
    with pytest.raises(TypeError, match="tag"):
        spans.none("checkout", tag={"a": 1})


def test_spans_of_other_threads_are_waited_for() -> None:
    with recording() as spans:
        thread = threading.Timer(0.05, charge, [5])
        thread.start()
        assert spans.wait_for("charge card", logged={"event": "charged"}).context.parent_id is None
        thread.join()


def test_unfinished_spans_show() -> None:
    with recording() as spans:
        span = opentracing.global_tracer().start_span("leaking")
        checkout()
        assert spans.unfinished == ["leaking"]
        span.finish()
        assert spans.unfinished == []
        spans.clear()
        assert (len(spans), spans.tree()) == (0, "")


# -- the fixture -------------------------------------------------------------------------------------------------------


def pytest_run(folder, **files: str) -> tuple[int, str]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_fixture_of_pytest(tmp_path) -> None:
    """Loaded by name; each test has spans of its own, coroutines too; a failing test shows what was recorded."""
    status, output = pytest_run(
        tmp_path,
        conftest='pytest_plugins = ["sls_tracing.testing.pytest_plugin"]',
        test_shop="""
            import asyncio, opentracing
            from sls_tracing import traced

            @traced
            def sell(): pass

            @traced
            async def ship(): pass

            def test_first(recorded_spans):
                sell()
                recorded_spans.one("sell")

            def test_second(recorded_spans):
                asyncio.run(ship())
                assert recorded_spans.names == ["ship"]

            def test_third(recorded_spans):
                sell()
                assert "refund" in recorded_spans.names

            def test_fourth():
                assert not opentracing.is_global_tracer_registered()
        """,
    )
    assert status == 1, output
    assert "3 passed" in output
    assert "recorded spans" in output
    assert "\nsell\n" in output


def test_it_costs_nothing_where_nobody_asks_for_it(tmp_path) -> None:
    """A run of pytest in an environment that merely has this library does not load it."""
    status, output = pytest_run(
        tmp_path,
        test_other="""
            import sys

            def test_nothing_is_loaded():
                assert not [name for name in sys.modules if name.startswith(("sls_tracing", "opentracing"))]
        """,
    )
    assert status == 0, output


def test_coroutines_in_a_block() -> None:
    """Entered and left around an event loop, or inside one."""

    async def inside():
        with recording() as spans:
            await asyncio.gather(*(asyncio.to_thread(charge, 1) for _ in range(3)))
            return spans

    assert len(asyncio.run(inside()).find("charge card")) == 3
