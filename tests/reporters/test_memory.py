"""InMemoryReporter: every finished span, in order, for tests."""

from sls_tracing import InMemoryReporter
from sls_tracing.testing import InMemoryReporter as FromTesting


def test_it_keeps_the_spans_in_the_order_of_finishing(tracer, reporter):
    """Under both names."""
    outer, inner = tracer.start_span("outer"), tracer.start_span("inner")
    inner.finish()
    outer.finish()
    assert [span.operation_name for span in reporter.spans] == ["inner", "outer"]
    assert reporter.get_spans() is reporter.spans


def test_clear_forgets_and_close_does_not(tracer, reporter):
    """The spans stay readable after the tracer is closed."""
    tracer.start_span("x").finish()
    assert reporter.flush()
    assert reporter.close()
    assert len(reporter.spans) == 1
    reporter.clear()
    assert reporter.spans == []


def test_it_is_public_twice():
    """``sls_tracing.testing`` is where users' tests look."""
    assert FromTesting is InMemoryReporter
