"""LoggingReporter: a line a span."""

import logging

import pytest

from sls_tracing import ConstSampler, LoggingReporter, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters
from sls_tracing.testing import FakeClock


def tracer_logging_to(logger=None):
    return Tracer("shop", reporter=LoggingReporter(logger), clock=FakeClock(), trace_id_bits=64)


def test_one_line_with_service_name_ids_and_duration(caplog):
    """At INFO, under ``sls_tracing.spans``; a root has no parent."""
    tracer = tracer_logging_to()
    with caplog.at_level(logging.INFO, "sls_tracing.spans"):
        root = tracer.start_span("root")
        child = tracer.start_span("child", child_of=root)
        child.finish(child.start_time + 0.0125)
        root.finish()
    ids = [root.context.to_trace_id(), root.context.to_span_id(), child.context.to_span_id()]
    assert caplog.messages == [
        f"span shop child trace={ids[0]} span={ids[2]} parent={ids[1]} 12.500 ms",
        f"span shop root trace={ids[0]} span={ids[1]} parent=- 0.000 ms",
    ]


def test_unsampled_spans_are_not_logged(caplog):
    """Like any reporter it gets sampled ones only."""
    with caplog.at_level(logging.INFO, "sls_tracing.spans"):
        Tracer("t", sampler=ConstSampler(False), reporter=LoggingReporter()).start_span("x").finish()
    assert caplog.messages == []


def test_a_logger_of_the_users_own():
    """Anything with ``info``, a LoggerAdapter too; a percent sign in a name is no format."""
    lines = []

    class Mine:
        def info(self, message, *args):
            lines.append(message % args)

    tracer_logging_to(Mine()).start_span("100 %s").finish()
    assert "100 %s" in lines[0]


def test_a_handler_that_raises_harms_nobody():
    """The failure is counted; flush and close are true."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise ValueError("broken handler")

    logger = logging.getLogger("tests.broken_handler")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Broken())
    before = counters.get("guard_failures_logging_reporter")
    tracer = tracer_logging_to(logger)
    tracer.start_span("x").finish()
    assert counters.get("guard_failures_logging_reporter") == before + 1
    assert tracer.flush()
    assert tracer.close()


@pytest.mark.parametrize("wrong", ["app", 5, logging.Logger])
def test_what_is_no_logger_is_refused(wrong):
    """At once."""
    with pytest.raises(ConfigurationError, match="not a logger"):
        LoggingReporter(wrong)
