"""logging: every record tells its trace and span, in the layouts that people paste, and no application's logging breaks of it."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import pickle
import threading

import opentracing
import pytest

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.instrumentation.logging import FORMAT


@pytest.fixture
def log():
    """A logger, and what its handler has written."""
    logger = logging.Logger("shop")  # noqa: LOG001 - one of its own for each test
    logger.output = io.StringIO()
    handler = logging.StreamHandler(logger.output)
    handler.setFormatter(logging.Formatter("%(trace_id)s/%(span_id)s/%(sampled)s/%(service)s %(message)s"))
    logger.addHandler(handler)
    return logger


def lines(log):
    return log.output.getvalue().splitlines()


def test_a_record_knows_the_active_span(ours, log):
    with ours.tracer.start_active_span("request") as scope:
        log.info("hello %s", "world")
    context = scope.span.context
    assert lines(log) == [f"{context.trace_id:032x}/{context.span_id:016x}/1/tested hello world"]


def test_any_tracer_will_do(recorded, log):
    with recorded.tracer.start_active_span("request") as scope:
        log.info("hello")
    trace_id, span_id, *_ = lines(log)[0].split("/")
    assert int(trace_id, 16) == scope.span.context.trace_id
    assert int(span_id, 16) == scope.span.context.span_id


def test_outside_of_spans_the_values_are_empty(ours, log):
    log.info("hello")
    assert lines(log) == ["///tested hello"]


def test_without_a_tracer_all_values_are_empty(ours, log):
    opentracing.set_global_tracer(opentracing.Tracer())
    log.info("hello")
    assert lines(log) == ["/// hello"]


def test_an_unsampled_span_says_so(log):
    tracer = Tracer("tested", InMemoryReporter(), ConstSampler(False))
    instrumentation.install("logging", tracer=tracer)
    try:
        with tracer.start_active_span("request"):
            log.info("hello")
    finally:
        instrumentation.uninstall("logging")
    assert lines(log)[0].split("/")[2] == "0"


def test_the_format_for_pasting(ours, log):
    log.handlers[0].setFormatter(logging.Formatter(FORMAT))
    with ours.tracer.start_active_span("request") as scope:
        log.warning("hello")
    context = scope.span.context
    assert lines(log)[0].endswith(f"WARNING [tested,{context.trace_id:032x},{context.span_id:016x},1] shop: hello")


def test_json_formatters_write_the_values_like_any_extra(ours, log):
    from pythonjsonlogger.json import JsonFormatter

    log.handlers[0].setFormatter(JsonFormatter())
    with ours.tracer.start_active_span("request") as scope:
        log.warning("hello", extra={"order": 7})
    assert json.loads(lines(log)[0]) == {
        "message": "hello",
        "order": 7,
        "trace_id": scope.span.context.to_trace_id(),
        "span_id": scope.span.context.to_span_id(),
        "sampled": "1",
        "service": "tested",
    }


def test_an_applications_own_extra_of_that_name_wins(ours, log):
    """logging raises KeyError for an extra that a record has already; telemetry must not be the reason."""
    log.info("hello", extra={"service": "mine", "trace_id": "abc"})
    record = log.makeRecord("shop", logging.INFO, "file", 1, "hello", (), None, None, {"service": "positional"})
    assert lines(log) == ["abc///mine hello"]
    assert record.service == "positional"
    with pytest.raises(KeyError, match="message"):
        log.info("hello", extra={"message": "refused by logging itself"})  # noqa: G101


def test_an_earlier_factory_is_called_and_comes_back(log):
    class Record(logging.LogRecord):
        pass

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Record)
    try:
        instrumentation.install("logging")
        instrumentation.install("logging")
        assert isinstance(log.makeRecord("shop", logging.INFO, "file", 1, "hello", (), None), Record)
        instrumentation.uninstall("logging")
        assert logging.getLogRecordFactory() is Record
        assert not hasattr(log.makeRecord("shop", logging.INFO, "file", 1, "hello", (), None), "trace_id")
        assert type(vars(logging.Logger)["makeRecord"]).__name__ == "function"
        assert vars(logging.Logger)["makeRecord"].__module__ == "logging"
    finally:
        logging.setLogRecordFactory(before)


def test_a_later_factory_that_calls_no_other_is_completed(ours, log):
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    try:
        log.info("hello")
    finally:
        logging.setLogRecordFactory(before)
    assert lines(log) == ["///tested hello"]


def test_uninstall_under_a_later_factory_leaves_that_one(log):
    before = logging.getLogRecordFactory()
    instrumentation.install("logging")
    ours = logging.getLogRecordFactory()

    def later(*args, **kwargs):
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(later)
    try:
        instrumentation.uninstall("logging")
        assert logging.getLogRecordFactory() is later
        assert not hasattr(log.makeRecord("shop", logging.INFO, "file", 1, "hello", (), None), "trace_id")
    finally:
        logging.setLogRecordFactory(before)


def test_records_keep_their_values_on_the_way_to_other_threads_and_processes(ours, log):
    queue_handler = logging.handlers.QueueHandler(queue := __import__("queue").Queue())
    log.addHandler(queue_handler)
    with ours.tracer.start_active_span("request") as scope:
        log.info("hello")
    record = pickle.loads(pickle.dumps(queue.get(timeout=5)))
    done = []
    thread = threading.Thread(target=lambda: done.append(logging.makeLogRecord(vars(record)).span_id))
    thread.start()
    thread.join()
    assert done == [scope.span.context.to_span_id()]


def test_records_that_no_logger_made_can_be_formatted(ours):
    """A socket receiver's, from a service that traces nothing."""
    record = logging.makeLogRecord({"msg": "hello"})
    assert logging.Formatter("[%(trace_id)s] %(message)s").format(record) == "[] hello"


def test_a_raising_tracer_harms_nothing(ours, log, monkeypatch):
    ours.expects_failures = True
    monkeypatch.setattr(type(ours.tracer), "active_span", property(lambda tracer: 1 / 0))
    log.info("hello")
    monkeypatch.undo()
    assert lines(log) == ["/// hello"]
