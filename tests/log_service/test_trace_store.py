"""Writing, getting and finding traces: Jaeger's semantics, in the query language."""

from __future__ import annotations

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX, to_log
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import LogGroup, LogServiceError, QueryResult
from sls_tracing.log_service.trace_store import Operation, TraceQuery, TraceStore
from sls_tracing.metrics import counters
from sls_tracing.model import LogRecord

NOW = 1_700_000_000


def ids(traces):
    return [trace[0].context.trace_id for trace in traces]


# --- a trace by its id ---


def test_a_trace_comes_back_as_it_was_written(store, make_span):
    spans = [
        make_span(1 << 100, 1, start=0, tags={"n": 1, "ok": True, "x": 0.5, "b": b"\x00"}, process_tags={"pid": 7}),
        make_span(1 << 100, 2, 1, start=0.01, service="b", logs=[LogRecord(NOW + 0.02, {"event": "x", "n": 2})]),
    ]
    store.write([*spans, make_span(5, 3)])
    assert store.get_trace(1 << 100) == spans
    assert store.get_trace(6) == []


def test_a_trace_is_found_under_every_spelling_of_its_id(make_span):
    """Old writers do not pad, others pad to 32 digits; one trace may hold all of them."""
    logstore = EmbeddedLogstore(index=INDEX)
    for n, spelling in enumerate(["ab", "00000000000000ab", "0" * 30 + "ab", "00000000000000AB"], start=1):
        log = to_log(make_span(0xAB, n))
        contents = [(key, spelling if key == "traceID" else value) for key, value in log.contents]
        logstore.put_logs(LogGroup([log._replace(contents=contents)]))
    store = TraceStore(logstore)
    assert [span.context.span_id for span in store.get_trace(0xAB)] == [1, 2, 3, 4]
    assert len(store.find_traces(TraceQuery("a"))[0]) == 4


def test_a_trace_of_2500_spans_comes_back_whole(store, make_span):
    """Jaeger's own plugin stops at 2,000."""
    store.write(make_span(7, n, 1 if n > 1 else None, start=n / 1000) for n in range(1, 2501))
    assert [span.context.span_id for span in store.get_trace(7)] == list(range(1, 2501))
    assert len(store.find_traces(TraceQuery("a"))[0]) == 2500


def test_repeated_deliveries_are_shown_once(store, make_span):
    """Writes are not idempotent."""
    span = make_span(1, 2)
    store.write([span])
    store.write([span, make_span(1, 3)])
    assert len(store.get_trace(1)) == 2


def test_spans_that_share_an_id_and_differ_both_stay(store, make_span):
    """Zipkin's shared spans: client and server side of one call."""
    client, server = (make_span(1, 2, service=kind, tags={"span.kind": kind}) for kind in ("client", "server"))
    store.write([client, server, client, server])
    assert store.get_trace(1) == [client, server]


def test_a_time_range_narrows_a_trace(store, make_span):
    store.write([make_span(1, 1, start=0), make_span(1, 2, start=100)])
    assert [span.context.span_id for span in store.get_trace(1, end=NOW + 50)] == [1]
    assert [span.context.span_id for span in store.get_trace(1, start=NOW + 50, end=NOW + 100)] == [2]


# --- finding ---

SPANS = {
    "service": {"service": "a b"},
    "operation": {"operation": "get x"},
    "tag": {"tags": {"http.status_code": 500, "error": True}},
    "process tag": {"process_tags": {"hostname": "pod-1"}},
    "log field": {"logs": [LogRecord(NOW, {"event": "boom", "retry": False, "count": 3, "load": 0.5})]},
    "odd tag": {"tags": {'it\'s "odd" \\ | *': "' or 1=1 --"}},
    "size": {"tags": {"request_size": 12}},
    "slow": {"duration": 2.0},
    "late": {"start": 50.0},
}
NUMBERS = {name: n for n, name in enumerate(SPANS, start=1)}


@pytest.fixture
def filled(store, make_span):
    """One trace for each of SPANS: a plain root, and one span that differs in one thing."""
    for name, n in NUMBERS.items():
        store.write([make_span(n, 1), make_span(n, 2, 1, **SPANS[name])])
    return store


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (TraceQuery(service="a b"), ["service"]),
        (TraceQuery(service="b"), []),  # the index finds the word; the answer is exact all the same
        (TraceQuery(service="A B"), []),
        (TraceQuery(operation="get x"), ["operation"]),
        (TraceQuery(service="a", operation="get x"), ["operation"]),
        (TraceQuery(tags={"http.status_code": "500"}), ["tag"]),
        (TraceQuery(tags={"http.status_code": 500}), ["tag"]),
        (TraceQuery(tags={"http.status_code": "50"}), []),
        (TraceQuery(tags={"error": "true", "http.status_code": "500"}), ["tag"]),
        (TraceQuery(tags={"error": "true", "http.status_code": "404"}), []),
        (TraceQuery(tags={"error": "false"}), []),
        (TraceQuery(tags={"hostname": "pod-1"}), ["process tag"]),
        (TraceQuery(tags={"hostname": "pod-1", "error": "true"}), []),  # both hold, but on different spans
        (TraceQuery(tags={"event": "boom"}), ["log field"]),
        (TraceQuery(tags={"event": "boom", "retry": "false", "count": "3", "load": "0.5"}), ["log field"]),
        (TraceQuery(tags={"event": "boo"}), []),
        (TraceQuery(tags={"count": "0.5"}), []),
        (TraceQuery(tags={'it\'s "odd" \\ | *': "' or 1=1 --"}), ["odd tag"]),
        (TraceQuery(tags={"request_size": "12"}), ["size"]),
        (TraceQuery(tags={"request_size": "big"}), []),
        (TraceQuery(min_duration=2.0), ["slow"]),
        (TraceQuery(min_duration=0.100001, max_duration=1.999999), []),
        (TraceQuery(start_min=NOW + 50), ["late"]),
        (TraceQuery(start_min=NOW + 50.000001), []),
        (TraceQuery(start_max=NOW + 49, operation="get x"), ["operation"]),
        (TraceQuery(start_max=NOW - 0.000001), []),
        (TraceQuery(service="unknown"), []),
        (TraceQuery(limit=0), []),
    ],
)
def test_every_condition_holds_on_one_span_and_whole_traces_come_back(filled, query, found):
    traces = filled.find_traces(query)
    assert sorted(ids(traces)) == sorted(NUMBERS[name] for name in found)
    assert all(len(trace) == 2 for trace in traces)


def test_newest_first_and_no_more_than_the_limit(store, make_span):
    store.write([make_span(n, 1, start=n) for n in range(1, 60)])
    assert ids(store.find_traces(TraceQuery("a"))) == list(range(59, 39, -1))
    assert ids(store.find_traces(TraceQuery("a", limit=2, start_max=NOW + 10))) == [10, 9]
    assert len(store.find_traces(TraceQuery("a", limit=1500))) == 59


def test_spans_outside_the_time_range_still_belong_to_their_trace(store, make_span):
    store.write([make_span(1, 1, start=0), make_span(1, 2, 1, start=30, operation="late")])
    assert len(store.find_traces(TraceQuery("a", start_min=NOW + 20))[0]) == 2


def test_a_tag_that_no_index_knows_is_found_by_its_value(make_span):
    """As on the real service, where only indexed fields can be named: full text finds candidates, the spans themselves decide."""
    store = TraceStore(EmbeddedLogstore(index=INDEX))
    store.write([make_span(1, 1, tags={"peer": "x y"}), make_span(2, 1, tags={"other": "x y"}), make_span(3, 1)])
    assert ids(store.find_traces(TraceQuery("a", tags={"peer": "x y"}))) == [1]
    assert ids(store.find_traces(TraceQuery("a", tags={"peer": "x"}))) == []


class SearchOnly:
    """A logstore as the real service is: what it finds comes in pages. It counts what it is asked."""

    def __init__(self, logstore):
        self._logstore = logstore
        self.asked = []

    def get_logs(self, query, *args, **kwargs):
        self.asked.append(query)
        return self._logstore.get_logs(query, *args, **kwargs)

    def get_index(self):
        return self._logstore.get_index()


def test_finding_asks_a_few_questions_however_many_traces(filled):
    """One analysis, and one search for each 30 spellings of ids; what is found is the same as where ids can be looked up at once."""
    logstore = SearchOnly(filled.logstore)
    assert TraceStore(logstore).find_traces(TraceQuery()) == filled.find_traces(TraceQuery())
    assert len(logstore.asked) == 2


def test_a_time_range_without_time_in_it_is_not_asked_for(store, make_span):
    """Log Service refuses one; nothing is what it holds."""
    store.write([make_span(1, 1)])
    logstore = SearchOnly(store.logstore)
    asking = TraceStore(logstore)
    assert asking.find_traces(TraceQuery(start_min=NOW, start_max=NOW - 100)) == []
    assert asking.find_traces(TraceQuery(start_min=2.0**40)) == []
    assert asking.get_trace(1, NOW, NOW - 10_000) == []
    assert logstore.asked == []


def test_recent_traces_are_looked_for_in_the_last_part_first(store, make_span):
    """If that holds enough of them, the rest of the time need not be looked at; the answer is the same either way."""
    store.write([make_span(n, 1, start=-n * 100) for n in range(1, 30)])
    store.write([make_span(5, 2, 1, start=-3000)])
    logstore = SearchOnly(store.logstore)
    for limit, analyses in ((1, 1), (2, 2), (29, 2), (100, 2)):
        logstore.asked.clear()
        query = TraceQuery("a", limit=limit, start_min=NOW - 3000, start_max=NOW)
        assert ids(TraceStore(logstore).find_traces(query)) == list(range(1, min(limit, 29) + 1))
        assert sum("|" in query for query in logstore.asked) == analyses


# --- services and operations ---


def test_services_and_operations_are_sorted_and_distinct(store, make_span):
    store.write([
        make_span(1, 1, service="b", operation="y", tags={"span.kind": "client"}),
        make_span(1, 2, service="b", operation="y", tags={"span.kind": "server"}),
        make_span(1, 3, service="b", operation="x"),
        make_span(1, 4, service="b", operation="x"),
        make_span(1, 5, service="b c", operation="z"),
        make_span(1, 6, service="a'\"", operation="'"),
    ])  # fmt: skip
    assert store.services() == ["a'\"", "b", "b c"]
    assert store.operations("b") == [Operation("x"), Operation("y", "client"), Operation("y", "server")]
    assert store.operations("b", "server") == [Operation("y", "server")]
    assert store.operations("a'\"") == [Operation("'")]
    assert store.operations("c") == []
    assert [operation.name for operation in store.operations(None)] == ["'", "x", "y", "y", "z"]


def test_an_empty_store_has_nothing(store):
    assert store.services() == []
    assert store.operations("a") == []
    assert store.find_traces(TraceQuery("a", tags={"x": "y"})) == []
    assert store.get_trace(1) == []


def test_look_back_leaves_old_names_out(make_span):
    store = TraceStore(EmbeddedLogstore(index=INDEX), look_back=3600, clock=lambda: NOW)
    store.write([make_span(1, 1, service="old", start=-7200), make_span(1, 2, service="new", start=-60)])
    assert store.services() == ["new"]


# --- writing ---


class Recording:
    """A logstore that keeps what is put, and refuses nothing."""

    def __init__(self):
        self.groups = []

    def put_logs(self, group):
        self.groups.append(group)

    def get_index(self):
        return Index({})


def test_untimely_spans_go_in_a_request_of_their_own(make_span):
    """Log Service refuses a whole request for one log older than 7 days or more than 15 minutes ahead."""
    logstore = Recording()
    week, quarter = 7 * 86400, 15 * 60
    starts = [0, -week, -week - 1, quarter, quarter + 1]
    TraceStore(logstore, clock=lambda: NOW).write(
        make_span(1, n, start=start) for n, start in enumerate(starts, start=1)
    )
    assert [[log.time - NOW for log in group.logs] for group in logstore.groups] == [
        [0, -week, quarter],
        [-week - 1, quarter + 1],
    ]
    assert {(group.topic, group.source) for group in logstore.groups} == {("", "0.0.0.0")}


def test_one_call_writes_one_request(make_span):
    logstore = Recording()
    TraceStore(logstore, clock=lambda: NOW).write([make_span(1, n) for n in range(1, 500)])
    assert [len(group.logs) for group in logstore.groups] == [499]


def test_a_span_that_cannot_be_stored_costs_itself_only(store, make_span):
    before = counters.get("log_service_spans_unwritable")
    good = make_span(1, 1)
    broken = [
        good._replace(context=SpanContext()),
        good._replace(start_time=float("nan")),
        good._replace(start_time=float("inf")),
        good._replace(start_time=1e300),
        good._replace(tags=None),
    ]
    store.write([*broken, good])
    assert store.get_trace(1) == [good]
    assert counters.get("log_service_spans_unwritable") == before + len(broken)


def test_text_that_utf8_cannot_hold_is_stored_as_well_as_it_can_be(store, make_span):
    store.write([make_span(1, 1, service="s\ud800", operation="\udfff", tags={"k\ud800": "v\ud800"})])
    (span,) = store.get_trace(1)
    assert (span.process.service_name, span.operation_name, span.tags) == ("s?", "?", {"k?": "v?"})


def test_a_log_that_is_no_span_is_skipped_and_counted(store, make_span):
    store.write([make_span(0xAB, 1)])
    broken = to_log(make_span(0xAB, 2))
    contents = [(key, "zz" if key == "spanID" else value) for key, value in broken.contents]
    store._logstore.put_logs(LogGroup([broken._replace(contents=contents)]))
    before = counters.get("log_service_logs_unreadable")
    assert [span.context.span_id for span in store.get_trace(0xAB)] == [1]
    assert counters.get("log_service_logs_unreadable") == before + 1


def test_what_the_logstore_refuses_is_raised(make_span):
    class Refusing(Recording):
        def put_logs(self, group):
            raise LogServiceError("WriteQuotaExceed", "slow down")

        def get_logs(self, *args, **kwargs):
            return QueryResult([], complete=False)

    store = TraceStore(Refusing())
    with pytest.raises(LogServiceError, match="slow down"):
        store.write([make_span(1, 1)])
    with pytest.raises(LogServiceError, match="incomplete"):
        store.get_trace(1)
