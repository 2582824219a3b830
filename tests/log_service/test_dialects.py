"""Spans as each writer of Log Service leaves them, read and asked for in one logstore."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects import (
    DIALECTS,
    find_dialect,
    jaeger_legacy,
    jaeger_plugin,
    read_log,
    trace_service,
)
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.logstore import Log, LogGroup
from sls_tracing.log_service.trace_analysis import MetricsQuery
from sls_tracing.log_service.trace_store import Operation, TraceQuery, TraceStore
from sls_tracing.metrics import counters
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

NOW = 1_700_000_000
START = NOW * 1_000_000

MINIMAL = {"traceID": "ab", "spanID": "cd", "service": "svc", "name": "op", "start": str(START), "duration": "1000"}


def read(**more):
    return read_log({**MINIMAL, **more})


# -- what writers write ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["", "0", "0000000000000000", "null", None])
def test_every_way_to_say_root(root):
    for contents in (MINIMAL, {"traceID": "ab", "spanID": "cd", "startTime": str(START)}):
        extra = {} if root is None else {"parentSpanID": root}
        assert read_log({**contents, **extra}).context.parent_id is None


@pytest.mark.parametrize("unit", [1, 1000], ids=["microseconds", "nanoseconds"])
def test_both_units_of_time_are_told_by_their_size(unit):
    for start, more in (("start", {"service": "svc"}), ("startTime", {"process.serviceName": "svc"})):
        times = {start: str((START + 5) * unit), "duration": str(250_000 * unit)}
        span = read_log({"traceID": "ab", "spanID": "cd", **more, **times})
        assert (span.start_time, span.finish_time) == (NOW + 5e-6, NOW + 0.250005)


def test_a_missing_duration_is_end_minus_start():
    contents = {key: value for key, value in MINIMAL.items() if key != "duration"}
    assert read_log({**contents, "end": str(START + 2_000_000)}).finish_time == NOW + 2.0


@pytest.mark.parametrize("spelling", ["ab", "00000000000000ab", "0" * 30 + "ab", "AB"])
def test_ids_of_any_padding(spelling):
    span = read(traceID=spelling, parentSpanID=spelling[-16:])
    assert (span.context.trace_id, span.context.parent_id) == (0xAB, 0xAB)
    assert span.references == [Reference("child_of", 0xAB, 0xAB)]


def test_as_opentelemetrys_exporter_writes():
    span = read(
        host="pod-1",
        resource='{"k8s.cluster":"c","service.name":"other"}',
        kind="server",
        traceID="1" * 32,
        spanID="2" * 16,
        parentSpanID="3" * 16,
        links='[{"attribute":{},"spanID":"00000000000000ff","traceID":"000000000000000000000000000000ee"}]',
        logs='[{"attribute":{"n":1},"name":"boom","time":1700000000000001000}]',
        traceState="a=b",
        attribute='{"http.status_code":503,"ratio":0.5,"ok":true,"text":"x","list":[1],"nothing":null}',
        statusCode="ERROR",
        statusMessage="it broke",
        **{"otlp.name": "lib", "otlp.version": "1"},
    )
    assert span.tags == {
        "http.status_code": 503, "ratio": 0.5, "ok": True, "text": "x", "list": "[1]", "error": True, "span.kind": "server",
        "otel.status_description": "it broke", "w3c.tracestate": "a=b", "otel.scope.name": "lib", "otel.scope.version": "1",
    }  # fmt: skip
    assert span.process == Process("svc", {"k8s.cluster": "c", "service.name": "other", "hostname": "pod-1"})
    assert span.references == [
        Reference("child_of", int("1" * 32, 16), int("3" * 16, 16)),
        Reference("follows_from", 0xEE, 0xFF),
    ]
    assert span.logs == [LogRecord(NOW + 1e-6, {"event": "boom", "n": 1})]


def test_as_jaegers_trace_writer_writes():
    """SPAN_STORAGE_TYPE=aliyun-log-otel: links in the form of the first schema, warnings in the status message."""
    span = read(
        parentSpanID="ef",
        links='[{"refType":"child-of","traceID":"00000000000000ab","spanID":"ef"},'
        '{"refType":"follows-from","traceID":"00000000000000ab","spanID":"1"}]',
        logs='[{"attribute":{"event":"x","n":"1"},"time":1700000000000000000}]',
        statusCode="UNSET",
        statusMessage='["w1","w2"]',
    )
    assert span.references == [Reference("child_of", 0xAB, 0xEF), Reference("follows_from", 0xAB, 1)]
    assert span.logs == [LogRecord(NOW, {"event": "x", "n": "1"})]
    assert span.warnings == ["w1", "w2"]


def test_as_jaegers_plugin_writes():
    """The parent may be told by a link alone."""
    span = read(
        parentSpanID="0000000000000000",
        resource='{"ProcessID":"p1","ip":"1.2.3.4"}',
        attribute='{"span.kind":"client","http.status_code":"200"}',
        links='[{"TraceID":"00000000000000ab","SpanID":"00000000000000ef","RefType":"CHILD_OF"}]',
        logs="[]",
    )
    assert span.context.parent_id == 0xEF
    assert span.references == [Reference("child_of", 0xAB, 0xEF)]
    assert span.process == Process("svc", {"ip": "1.2.3.4"})
    assert span.tags == {"span.kind": "client", "http.status_code": "200"}


def test_as_the_documentation_shows_links():
    links = '[{"TraceID":"ee","SpanId":"ff","TraceState":"","Attributes":{}}]'
    assert read(links=links).references == [Reference("follows_from", 0xEE, 0xFF)]


@pytest.mark.parametrize("field", ["links", "logs", "attribute", "resource"])
@pytest.mark.parametrize("text", ['{"a', "[", "7", '"x"', "[7]", "[{}]", "[null]", "null", ""])
def test_unreadable_json_costs_itself(field, text):
    """It may be cut: values end at 16 KB in an analysis."""
    span = read(**{field: text})
    assert (span.context.span_id, span.operation_name) == (0xCD, "op")
    assert bool(span.warnings) == (text not in ("null", ""))


@pytest.mark.parametrize(
    "broken",
    [{"traceID": "xyz"}, {"traceID": ""}, {"traceID": "null"}, {"spanID": "0"}, {"spanID": "1" * 17}, {"start": "soon"}, {"start": "1.5"}],
    ids=str,
)  # fmt: skip
def test_what_is_no_span_is_refused(broken):
    with pytest.raises(ValueError):
        read(**broken)


# -- there and back --------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary(max_size=300)
plain = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(1, 2**64 - 1)
trace_ids = st.integers(3, 2**64 - 1) | st.integers(2**64 + 3, 2**128 - 1)
# Not tags that have a field of their own in one of the dialects: they have tests of their own.
keys = texts.filter(lambda key: key not in ("error", "span.kind", "hostname", "event"))
times = st.integers(0, 2**51).map(lambda micros: micros / 1e6)
log_times = st.integers(10**14, 2**51).map(
    lambda micros: micros / 1e6
)  # before 1973 nanoseconds look like microseconds


@st.composite
def spans(draw, log_values=plain):
    trace_id, span_id, parent_id = draw(trace_ids), draw(ids), draw(st.none() | ids)
    references = [Reference("child_of", trace_id, parent_id)] if parent_id else []
    references += draw(st.lists(st.builds(Reference, st.just("follows_from"), st.just(trace_id ^ 2), ids), max_size=2))
    start = draw(times)
    return SpanRecord(
        operation_name=draw(texts.filter(lambda text: text != "null")),
        context=SpanContext(trace_id, span_id, parent_id, wide=trace_id >> 64 > 0),
        references=references,
        start_time=start,
        finish_time=round(start * 1e6 + draw(st.integers(0, 10**9))) / 1e6,
        tags=draw(st.dictionaries(keys, values, max_size=4)),
        logs=draw(
            st.lists(
                st.builds(LogRecord, log_times, st.dictionaries(keys, log_values, min_size=1, max_size=3)), max_size=2
            )
        ),
        process=Process(
            draw(texts.filter(lambda text: text not in ("", "null"))), draw(st.dictionaries(keys, values, max_size=2))
        ),
        warnings=draw(st.lists(texts, max_size=2)),
    )


def shortened(record):
    """Bytes beyond 256 are not shown, and so not kept."""
    return all(
        not isinstance(each, bytes) or len(each) <= 256
        for each in (*record.tags.values(), *record.process.tags.values())
    )


@given(spans())
def test_the_trace_services_form_keeps_every_type_but_that_of_bytes_in_logs(record):
    log = trace_service.to_log(record)
    again = read_log(dict(log.contents))
    if shortened(record):
        assert again == record
    assert log.time == int(round(record.finish_time * 1e6) // 1_000_000)


@given(spans(log_values=texts))
def test_the_plugins_form_keeps_the_types_of_tags(record):
    again = read_log(dict(jaeger_plugin.to_log(record).contents))
    if shortened(record):
        assert again == record


@pytest.mark.parametrize("name", DIALECTS)
def test_tags_with_a_field_of_their_own_come_back(name, make_span):
    dialect = find_dialect(name)
    tags = {"span.kind": "client", "error": True, "otel.status_code": "ERROR", "otel.status_description": "bad"}
    record = make_span(1, 2, 3, tags=tags, process_tags={"hostname": "pod"}, logs=[LogRecord(NOW, {"event": "x"})])
    assert dialect.from_log(dict(dialect.to_log(record).contents)) == record
    odd = make_span(1, 2, tags={"span.kind": "odd", "error": "maybe", "otel.status_code": "OK"})
    assert dialect.from_log(dict(dialect.to_log(odd).contents)) == odd


def test_what_the_plugin_insists_on(make_span):
    """Its reader shows one number among the attributes as a single tag for all, and looks for the parent among the links only."""
    contents = dict(jaeger_plugin.to_log(make_span(0xAB, 2, 3, tags={"n": 1})).contents)
    assert json.loads(contents["attribute"]) == {"n": "1"}
    assert json.loads(contents["links"]) == [
        {"TraceID": "00000000000000ab", "SpanID": "0000000000000003", "RefType": "CHILD_OF"}
    ]
    assert (contents["logs"], contents["parentSpanID"]) == ("[]", "0000000000000003")


def test_what_the_trace_application_insists_on(make_span):
    record = make_span(0xAB, 2, tags={"error": True, "n": 1}, duration=2.0, process_tags={"hostname": "pod"})
    log = trace_service.to_log(record)
    contents = dict(log.contents)
    assert log.time == NOW + 2
    assert {key: contents[key] for key in ("traceID", "spanID", "parentSpanID", "start", "end", "duration", "statusCode", "host")} == {
        "traceID": "0" * 30 + "ab", "spanID": "0" * 15 + "2", "parentSpanID": "", "start": str(START), "end": str(START + 2_000_000),
        "duration": "2000000", "statusCode": "ERROR", "host": "pod",
    }  # fmt: skip
    assert json.loads(contents["attribute"]) == {"error": True, "n": 1}


# -- mixed in one logstore -------------------------------------------------------------------------------------------------


def nanoseconds(log):
    """The same log as writers of 2018 and the Chinese manual have it."""
    keys = ("start", "startTime", "end", "duration")
    return log._replace(contents=[(key, value + "000" if key in keys else value) for key, value in log.contents])


def renamed(log, **names):
    return log._replace(contents=[(key, names.get(key, value)) for key, value in log.contents])


WRITERS = {
    "jaeger": jaeger_legacy.to_log,
    "jaeger in nanoseconds": lambda span: nanoseconds(jaeger_legacy.to_log(span)),
    "jaeger unpadded": lambda span: renamed(jaeger_legacy.to_log(span), traceID=f"{span.context.trace_id:x}"),
    "trace service": trace_service.to_log,
    "trace service in nanoseconds": lambda span: nanoseconds(trace_service.to_log(span)),
    "plugin": jaeger_plugin.to_log,
}
INDEXES = {
    "any key": jaeger_legacy.INDEX._replace(any_key=True),
    "both": jaeger_legacy.INDEX.merged(trace_service.INDEX),
    "trace service": trace_service.INDEX,
}


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


@pytest.fixture
def mixed(make_span):
    """Trace n is n seconds long and of writer n; each has a server span under a client span of another service."""
    store = TraceStore(EmbeddedLogstore(index=INDEXES["both"]), clock=lambda: NOW)
    for n, to_log in enumerate(WRITERS.values(), start=1):
        root = make_span(
            n, 1, service="front", operation="get", start=n, duration=float(n), tags={"span.kind": "client"}
        )
        logs = [LogRecord(NOW, {"event": "boom", "retry": "2"})]
        tags = {"span.kind": "server", "error": n % 2 == 0, "http.status_code": 500 + n}
        child = make_span(
            n, 2, 1, service="back", operation=f"op{n}", start=n + 0.1, duration=n / 2, tags=tags, logs=logs
        )
        store.logstore.put_logs(LogGroup([to_log(root), to_log(child)]))
    yield store
    store.close()


EVERY = list(range(1, len(WRITERS) + 1))


def found(store, **query):
    traces = store.find_traces(TraceQuery(**query))
    assert all(len(trace) == 2 for trace in traces)
    return [trace[0].context.trace_id for trace in traces]


def test_a_trace_of_every_writer_comes_back_whole(mixed):
    for n in EVERY:
        root, child = mixed.get_trace(n)
        assert (root.process.service_name, child.process.service_name) == ("front", "back")
        assert child.context.parent_id == 1
        assert (child.start_time, child.finish_time) == (NOW + n + 0.1, round((NOW + n + 0.1 + n / 2) * 1e6) / 1e6)
        assert str(child.tags["http.status_code"]) == str(500 + n)


def test_services_and_operations_of_every_writer(mixed):
    assert mixed.services() == ["back", "front"]
    assert mixed.operations("front") == [Operation("get", "client")]
    assert mixed.operations("back") == [Operation(f"op{n}", "server") for n in EVERY]
    assert mixed.operations("back", "client") == []


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"service": "front"}, EVERY[::-1]),
        ({"service": "back", "operation": "op4"}, [4]),
        ({"min_duration": 3.0}, [6, 5, 4, 3]),
        ({"max_duration": 1.0, "service": "front"}, [1]),
        ({"min_duration": 2.0, "max_duration": 3.0, "service": "front"}, [3, 2]),
        ({"tags": {"error": "true"}}, [6, 4, 2]),
        ({"tags": {"http.status_code": "504"}}, [4]),
        ({"tags": {"http.status_code": "50*"}}, EVERY[::-1]),
        ({"tags": {"span.kind": "server"}, "service": "back"}, EVERY[::-1]),
        ({"tags": {"event": "boom", "retry": "2"}}, EVERY[::-1]),
        ({"tags": {"event": "bang"}}, []),
        ({"start_min": NOW + 4.05, "service": "back"}, [6, 5, 4]),
        ({"start_max": NOW + 2.0, "service": "front"}, [2, 1]),
        ({"limit": 2}, [6, 5]),
        ({"order": "longest", "limit": 2}, [6, 5]),
        ({"order": "shortest", "limit": 2}, [1, 2]),
    ],
    ids=str,
)
def test_traces_of_every_writer_are_found(mixed, query, numbers):
    assert found(mixed, **query) == numbers


def test_calls_are_counted_over_all_writers(mixed):
    (dependency,) = mixed.dependencies(NOW + 60.0, 3600.0)
    assert (dependency.parent, dependency.child, dependency.calls, dependency.errors) == ("front", "back", 6, 3)
    assert 1.0 <= dependency.p50 <= 2.0
    assert dependency.p99 <= 3.0


def test_nanoseconds_alone_are_told_too(make_span):
    """A store of Jaeger's spans only, some of 2018: each in its own unit."""
    store = TraceStore(EmbeddedLogstore(index=INDEXES["any key"]), clock=lambda: NOW)
    store.write([make_span(1, 1, start=1, duration=2.0)])
    assert found_ids(store, min_duration=1.5) == [1]
    store.logstore.put_logs(LogGroup([nanoseconds(jaeger_legacy.to_log(make_span(2, 1, start=2, duration=0.5)))]))
    assert found_ids(store, min_duration=1.5) == [1]
    assert found_ids(store, max_duration=1.5) == [2]
    store.close()


def found_ids(store, **query):
    return [trace[0].context.trace_id for trace in store.find_traces(TraceQuery(**query))]


def test_a_trace_of_two_writers_is_one_trace(make_span):
    """A service moved to another writer; ids are padded differently, and calls go from one to the other."""
    store = TraceStore(EmbeddedLogstore(index=INDEXES["both"]), clock=lambda: NOW)
    logs = [
        jaeger_legacy.to_log(make_span(0xAB, 1, service="old")),
        trace_service.to_log(make_span(0xAB, 2, 1, service="new")),
        jaeger_plugin.to_log(make_span(0xAB, 3, 2, service="newer")),
        jaeger_legacy.to_log(make_span(0xAB, 4, 3, service="old")),
    ]
    store.logstore.put_logs(LogGroup(logs))
    assert [span.context.span_id for span in store.find_traces(TraceQuery("new"))[0]] == [1, 2, 3, 4]
    calls = {(each.parent, each.child) for each in store.dependencies(NOW + 60.0, 3600.0)}
    assert calls == {("old", "new"), ("new", "newer"), ("newer", "old")}
    store.close()


@pytest.mark.parametrize("index", INDEXES)
def test_what_can_be_asked_does_not_depend_on_the_index(index, make_span):
    """Of a store for everything, of one that two schemas share, and of one of Log Service's own trace instances."""
    store = TraceStore(EmbeddedLogstore(index=INDEXES[index]), trace_service, clock=lambda: NOW)
    store.write([
        make_span(n, 1, service="s", operation=f"op{n}", start=n, duration=n * 1.0, tags={"k": n, "span.kind": "server", "error": n == 1})
        for n in (1, 2, 3)
    ])  # fmt: skip
    assert store.services() == ["s"]
    assert store.operations("s") == [Operation(f"op{n}", "server") for n in (1, 2, 3)]
    assert [trace[0].context.trace_id for trace in store.find_traces(TraceQuery("s", tags={"k": "2"}))] == [2]
    assert [trace[0].context.trace_id for trace in store.find_traces(TraceQuery("s", min_duration=2.0))] == [3, 2]
    assert [trace[0].context.trace_id for trace in store.find_traces(TraceQuery("s", tags={"error": "true"}))] == [1]
    store.close()


def test_every_writer_through_http(make_logstore, writer, make_span):
    store = TraceStore(make_logstore(INDEXES["both"]), clock=lambda: NOW)
    store.logstore.put_logs(LogGroup([writer(make_span(0xAB, 1, service="s", tags={"error": True}))]))
    (trace,) = store.find_traces(TraceQuery("s", tags={"error": "true"}, min_duration=0.1))
    assert [span.context.span_id for span in trace] == [1]


def test_more_services_than_a_search_may_name(mixed):
    """Each counts twice, under both schemas' names; the limit is 30."""
    names = ["back", *(f"other-{n}" for n in range(19))]
    query = MetricsQuery("calls", names, NOW - 60, NOW + 60, step=60, window=60, span_kinds=("server",))
    (series,) = mixed.metrics(query)
    assert series.service == "back"


def test_a_remote_index_is_not_asked_for_with_each_query(make_span):
    class Remote:
        def __init__(self):
            self.logstore = EmbeddedLogstore(index=INDEXES["both"])
            self.asked = 0

        def get_index(self):
            self.asked += 1
            return self.logstore.get_index()

        def get_logs(self, *args, **kwargs):
            return self.logstore.get_logs(*args, **kwargs)

        def close(self):
            self.logstore.close()

    remote = Remote()
    store = TraceStore(remote, clock=lambda: NOW)
    store.services()
    store.operations("a")
    store.find_traces(TraceQuery("a"))
    store.close()
    assert remote.asked == 1


def test_a_broken_span_costs_itself_only(mixed):
    broken = [
        {**MINIMAL, "traceID": "1", "spanID": "xyz"},
        {**MINIMAL, "traceID": "1", "spanID": "5", "start": "soon"},
        {**MINIMAL, "traceID": "1", "spanID": "6", "attribute": '{"cut'},
        {**MINIMAL, "traceID": "1", "spanID": "null"},
    ]
    mixed.logstore.put_logs(LogGroup([Log(NOW, list(each.items())) for each in broken]))
    before = counters.get("log_service_logs_unreadable")
    assert [span.context.span_id for span in mixed.get_trace(1)] == [6, 1, 2]
    assert counters.get("log_service_logs_unreadable") == before + 3
    assert [trace[0].context.trace_id for trace in mixed.find_traces(TraceQuery(tags={"http.status_code": "502"}))] == [
        2
    ]


def test_the_same_span_from_two_writers_is_shown_once(make_span):
    """While writers are exchanged, both may write."""
    store = TraceStore(EmbeddedLogstore(index=INDEXES["both"]), clock=lambda: NOW)
    span = make_span(1, 2, tags={"n": 1})
    store.logstore.put_logs(LogGroup([to_log(span) for to_log in WRITERS.values()]))
    (only,) = store.get_trace(1)
    assert str(only.tags["n"]) == "1"
    store.close()
