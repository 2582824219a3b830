"""The guard: what it swallows, what passes, what is told of it."""

import asyncio
import logging

import gevent
import pytest

from sls_tracing.guard import Guard, LimitedLog, is_ours
from sls_tracing.metrics import Counters
from sls_tracing.reporters import InMemoryReporter, LoggingReporter


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def guard(counters, clock):
    return Guard("here", counters=counters, log=LimitedLog(60, clock))


def fail(error=ValueError):
    raise error("broken")


def test_exceptions_are_swallowed_counted_and_logged(guard, counters, caplog):
    """In a block, in a call and in a method's, be it there or not; the log names the place and shows the traceback."""
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        with guard:
            fail()
        assert guard.call("default", fail) == "default"
        assert guard.call_method("default", "text", "index", "not in there") == "default"
        assert guard.call_method("default", "text", "no such method") == "default"
    assert counters.snapshot() == {"guard_failures_here": 4}
    assert len(caplog.records) == 1, "the second one is within the interval"
    assert "tracing failed in here" in caplog.text
    assert "ValueError: broken" in caplog.text


def test_what_works_is_left_alone(guard, counters):
    """Results and arguments pass through."""
    assert guard.call(None, lambda one, *, two: (one, two), 1, two=2) == (1, 2)
    with guard as nothing:
        assert nothing is None
    assert counters.snapshot() == {}


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, gevent.GreenletExit],
    ids=lambda e: e.__name__,
)
def test_what_belongs_to_the_host_passes(guard, counters, error):
    """Interrupts, exits and cancellations are not ours to swallow."""
    with pytest.raises(error):
        guard.call(None, fail, error)
    with pytest.raises(error), guard:
        fail(error)
    assert counters.snapshot() == {}


def test_guards_nest(guard, counters):
    """The inner one takes it."""
    with guard:
        with guard:
            fail()
    assert counters.get("guard_failures_here") == 1


class Mine(InMemoryReporter):
    def report(self, span):
        fail()


def test_our_own_functions_are_not_wrapped(guard):
    """They are proven not to raise; what a subclass overrides is the user's, what it inherits is ours."""
    ours, mine = InMemoryReporter(), Mine()
    assert is_ours(LoggingReporter().report)
    assert guard.wrap(ours.report, None) == ours.report
    assert guard.wrap(mine.flush, None) == mine.flush
    assert guard.wrap(mine.report, "default")(None) == "default"
    assert not is_ours(print)
    assert not is_ours(object())


def test_a_log_handler_that_raises_is_survived(guard, counters):
    """The counter tells."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise TypeError("handler")

    logger, handler = logging.getLogger("sls_tracing"), Broken()
    logger.addHandler(handler)
    try:
        with guard:
            fail()
    finally:
        logger.removeHandler(handler)
    assert counters.snapshot() == {"guard_failures_here": 1, "guard_failures_logging": 1}


def test_an_exception_that_cannot_be_shown_is_survived(guard, counters, caplog):
    """Neither its text nor its representation."""

    class Unspeakable(Exception):
        def __str__(self):
            raise ValueError("no text")

        __repr__ = __str__

    with guard:
        raise Unspeakable
    assert counters.get("guard_failures_here") == 1


# -- the limited log ----------------------------------------------------------------------------------------------------


def test_one_message_an_interval_with_the_number_left_out(clock, caplog):
    """The first at once; kinds do not disturb each other."""
    limited = LimitedLog(60, clock)
    for _ in range(5):
        limited.warning("a", "failed %d", 1)
    limited.warning("b", "other")
    clock.advance(60)
    limited.warning("a", "failed %d", 2)
    assert caplog.messages == ["failed 1", "other", "failed 2 (and 4 more of this kind since the last message)"]


def test_recovery_is_told_once_and_rearms(clock, caplog):
    """Only where there was a failure; the next failure is logged at once."""
    limited = LimitedLog(60, clock)
    with caplog.at_level(logging.INFO, "sls_tracing"):
        limited.recovered("a", "fine")
        limited.warning("a", "failed")
        limited.warning("a", "failed")
        limited.recovered("a", "fine again")
        limited.recovered("a", "fine again")
        limited.warning("a", "failed anew")
    assert caplog.messages == ["failed", "fine again", "failed anew"]
