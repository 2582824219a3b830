"""The tracer's rules: limits of tags, stacks and logs, one span per RPC, debug on forced sampling."""

import opentracing
import pytest

from sls_tracing import ConstSampler, InMemoryReporter, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters
from sls_tracing.rules import TracingRules

HEADERS = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-parentspanid": "c" * 16, "x-b3-sampled": "1"}


def make_tracer(**rules):
    return Tracer("svc", InMemoryReporter(), ConstSampler(True), rules=TracingRules(**rules))


def one_record(tracer):
    (record,) = tracer.reporter.spans
    return record


def test_long_values_are_cut_in_what_is_reported():
    tracer = make_tracer(max_tag_value_length=5)
    span = tracer.start_span(
        "op", tags={"text": "0123456789", "bytes": b"0123456789", "number": 10**9, "short": "01234"}
    )
    span.log_kv({"event": "0123456789"}).finish()
    record = one_record(tracer)
    kept = {key: record.tags[key] for key in ("text", "bytes", "number", "short")}
    assert kept == {"text": "01234", "bytes": b"01234", "number": 10**9, "short": "01234"}
    assert record.logs[0].fields == {"event": "01234"}


def test_a_stack_keeps_its_end_where_the_error_was_raised():
    """jaeger-client kept the beginning (python#163)."""
    tracer = make_tracer(max_traceback_length=60)
    with pytest.raises(ValueError), tracer.start_span("op"):
        raise ValueError("the reason")
    fields = one_record(tracer).logs[0].fields
    assert len(fields["stack"]) == 60
    assert fields["stack"].endswith("ValueError: the reason\n")
    assert fields["message"] == "the reason"


@pytest.mark.parametrize(
    ("limit", "kept"), [(1, [9]), (2, [0, 9]), (5, [0, 1, 7, 8, 9]), (10, list(range(10))), (11, list(range(10)))]
)
def test_of_many_logs_the_first_and_the_last_stay(limit, kept):
    tracer = make_tracer(max_logs=limit)
    before = counters.get("span_logs_dropped")
    span = tracer.start_span("op")
    for number in range(10):
        span.log_kv({"n": number})
    span.finish()
    assert [log.fields["n"] for log in one_record(tracer).logs] == kept
    assert counters.get("span_logs_dropped") - before == 10 - len(kept)


def test_one_span_per_rpc_takes_over_the_ids_of_the_caller():
    tracer = make_tracer(one_span_per_rpc=True)
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, HEADERS)
    server = tracer.start_span("server", child_of=parent, tags={"span.kind": "server"})
    assert (server.context.span_id, server.context.parent_id) == (parent.span_id, parent.parent_id)
    inner = tracer.start_span("inner", child_of=server)
    assert inner.context.parent_id == server.context.span_id != inner.context.span_id


@pytest.mark.parametrize(
    ("one", "tags"), [(False, {"span.kind": "server"}), (True, {"span.kind": "client"}), (True, {})]
)
def test_without_the_rule_or_the_kind_a_server_span_is_a_child(one, tags):
    tracer = make_tracer(one_span_per_rpc=one)
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, HEADERS)
    assert tracer.start_span("server", child_of=parent, tags=tags).context.parent_id == parent.span_id


@pytest.mark.parametrize("debug", [True, False])
def test_forced_sampling_sets_the_debug_flag_unless_told_otherwise(debug):
    tracer = Tracer("svc", InMemoryReporter(), ConstSampler(False), rules=TracingRules(debug_on_forced_sampling=debug))
    span = tracer.start_span("op").set_tag("sampling.priority", 1)
    assert (span.context.sampled, span.context.debug) == (True, debug)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "9"])
@pytest.mark.parametrize("name", ["max_tag_value_length", "max_traceback_length", "max_logs"])
def test_a_wrong_limit_is_refused_by_name(name, limit):
    with pytest.raises(ConfigurationError, match=name):
        make_tracer(**{name: limit})
