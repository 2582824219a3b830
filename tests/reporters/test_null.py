"""NullReporter: spans end there."""

from sls_tracing import NullReporter, Tracer


def test_it_takes_everything_and_holds_nothing():
    """flush and close have nothing to do, any number of times."""
    reporter = NullReporter()
    tracer = Tracer("t", reporter=reporter)
    span = tracer.start_span("x")
    span.finish()
    assert span.finish_time is not None
    assert (reporter.flush(), reporter.close(), reporter.close(0)) == (True, True, True)
    assert not vars(reporter)
