"""CompositeReporter: each span to all."""

import pytest

from sls_tracing import CompositeReporter, InMemoryReporter, NullReporter, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters


class Broken:
    def report(self, span):
        raise ValueError("report")

    def flush(self, timeout=5.0):
        raise ValueError("flush")

    def close(self, timeout=5.0):
        raise ValueError("close")


class Timed(NullReporter):
    """Answers False and notes the time it was given."""

    def __init__(self):
        self.timeouts = []

    def flush(self, timeout=5.0):
        self.timeouts.append(timeout)
        return False

    close = flush


def test_every_reporter_gets_every_span():
    """In the order given; the very same record."""
    one, two = InMemoryReporter(), InMemoryReporter()
    reporter = CompositeReporter(one, two)
    Tracer("t", reporter=reporter).start_span("x").finish()
    assert one.spans == two.spans
    assert one.spans[0] is two.spans[0]
    assert reporter.flush()
    assert reporter.close()


def test_one_that_raises_harms_none_of_the_others():
    """It is counted, and flush and close are then False."""
    before = counters.get("guard_failures_composite_reporter")
    last = InMemoryReporter()
    reporter = CompositeReporter(Broken(), last)
    Tracer("t", reporter=reporter).start_span("x").finish()
    assert len(last.spans) == 1
    assert reporter.flush() is False
    assert reporter.close() is False
    assert counters.get("guard_failures_composite_reporter") == before + 3


def test_the_timeout_bounds_all_together():
    """Nobody is given more than the whole; all are asked even when one answers False."""
    reporters = Timed(), Timed(), Timed()
    assert CompositeReporter(*reporters).flush(1.0) is False
    assert CompositeReporter(*reporters).close(0) is False
    for reporter in reporters:
        assert 0.0 <= reporter.timeouts[0] <= 1.0
        assert reporter.timeouts[1] == 0.0


def test_none_at_all():
    """It is a null reporter then."""
    reporter = CompositeReporter()
    reporter.report(None)
    assert reporter.flush()


@pytest.mark.parametrize("wrong", ["log", None, [InMemoryReporter()], InMemoryReporter])
def test_what_is_no_reporter_is_refused(wrong):
    """A list in place of arguments, for one."""
    with pytest.raises(ConfigurationError, match="not a reporter"):
        CompositeReporter(InMemoryReporter(), wrong)
