"""What users' tests are given."""

from sls_tracing import Tracer
from sls_tracing.testing import FakeClock, InMemoryReporter


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
