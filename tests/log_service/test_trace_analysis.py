"""Who calls whom, and rate, errors and latency over time."""

from __future__ import annotations

import math

import pytest

from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.trace_analysis import MetricsQuery
from sls_tracing.log_service.trace_store import TraceStore

NOW = 1_700_000_000


def calls(store, end=NOW + 100, lookback=200):
    return {(each.parent, each.child): each.calls for each in store.dependencies(end, lookback)}


def test_a_span_under_another_service_is_a_call(store, make_span):
    """Calls within a service are none; each other pair is counted, with its errors and how long it took."""
    store.write([
        make_span(1, 1, service="a"),
        make_span(1, 2, 1, service="a"),
        make_span(1, 3, 2, service="b", duration=1.0, tags={"error": True}),
        make_span(1, 4, 2, service="b", duration=3.0),
        make_span(1, 5, 3, service="c"),
        make_span(2, 6, 99, service="c"),
    ])  # fmt: skip
    [first, second] = store.dependencies(NOW + 100, 200)
    assert first[:4] == ("a", "b", 2, 1)
    assert 1 <= first.p50 <= 2 <= first.p99 <= 3
    assert second[:4] == ("b", "c", 1, 0)


def test_a_call_that_was_delivered_twice_counts_once(store, make_span):
    """Writes are not idempotent."""
    spans = [make_span(1, 1, service="a"), make_span(1, 2, 1, service="b")]
    store.write(spans)
    store.write(spans)
    assert calls(store) == {("a", "b"): 1}


def test_both_sides_of_a_call_under_one_id_are_one_call(store, make_span):
    """Zipkin's shared spans, of a root call and of an inner one; children of either side are calls within their own service."""
    client, server = {"span.kind": "client"}, {"span.kind": "server"}
    store.write([
        make_span(1, 1, service="a", tags=client),
        make_span(1, 1, service="b", tags=server),
        make_span(1, 2, 1, service="b", tags=client),
        make_span(1, 2, 1, service="c", tags=server),
        make_span(1, 3, 2, service="c"),
        make_span(1, 4, 2, service="b"),
    ])  # fmt: skip
    assert calls(store) == {("a", "b"): 1, ("b", "c"): 1}


def test_time_limits_dependencies(store, make_span):
    """Calls of before the lookback, or after the end, do not count."""
    store.write([make_span(1, 1, service="a"), make_span(1, 2, 1, service="b")])
    store.write([make_span(2, 1, service="a", start=-500), make_span(2, 2, 1, service="c", start=-500)])
    assert calls(store) == {("a", "b"): 1}
    assert calls(store, lookback=1000) == {("a", "b"): 1, ("a", "c"): 1}
    assert calls(store, end=NOW - 400) == {("a", "c"): 1}


def points(store, measure, **changes):
    query = MetricsQuery(measure, ["a"], NOW - 120, NOW, step=60, window=60, span_kinds=())._replace(**changes)
    return {(each.service, each.operation): dict(each.points) for each in store.metrics(query)}


@pytest.fixture
def metered(store, make_span):
    """Service a: two spans in the minute before NOW - 60, four in the last one, one of them an error of kind client."""
    for n, (start, duration) in enumerate([(-70, 1), (-61, 3), (-50, 1), (-40, 1), (-30, 1), (0, 9)], 1):
        tags = {"error": True, "span.kind": "client"} if n == 3 else {"span.kind": "server"}
        store.write([make_span(n, n, start=start, duration=duration, tags=tags, operation=f"op{n % 2}")])
    store.write([make_span(9, 9, service="b", start=-50), make_span(10, 10, service="a/b", start=-50)])
    return store


def test_a_figure_is_over_the_window_before_its_time(metered):
    """Calls a second; a span at the very time of a figure is in it, one a window before is not."""
    assert points(metered, "calls") == {("a", ""): {NOW - 120: 0.0, NOW - 60: 2 / 60, NOW: 4 / 60}}
    assert points(metered, "calls", window=120)[("a", "")] == {NOW - 120: 0.0, NOW - 60: 2 / 120, NOW: 6 / 120}
    assert points(metered, "calls", window=61)[("a", "")][NOW] == 6 / 120  # whole steps
    assert len(points(metered, "calls", step=1)[("a", "")]) == 121


def test_errors_are_a_share_and_no_number_without_spans(metered):
    """Of the spans in the window."""
    found = points(metered, "errors")[("a", "")]
    assert math.isnan(found[NOW - 120])
    assert (found[NOW - 60], found[NOW]) == (0.0, 0.25)


def test_latencies_are_quantiles(metered):
    """Exact where all durations of a bin are the same, within 4 % elsewhere."""
    found = points(metered, "latencies", quantile=0.5)[("a", "")]
    assert math.isnan(found[NOW - 120])
    assert found[NOW - 60] == pytest.approx(1, rel=0.001)
    assert found[NOW] == pytest.approx(1, rel=0.001)
    assert points(metered, "latencies", quantile=1.0)[("a", "")][NOW] == pytest.approx(9, rel=0.001)
    assert points(metered, "latencies", quantile=0.0)[("a", "")][NOW] == pytest.approx(1, rel=0.001)


def test_quantiles_of_many_durations(store, make_span):
    """1 to 1000 ms evenly: the quantile is off by 4 % at most."""
    store.write(make_span(n, n, start=-10, duration=n / 1000) for n in range(1, 1001))
    for quantile in (0.05, 0.5, 0.75, 0.95, 0.99):
        assert points(store, "latencies", quantile=quantile)[("a", "")][NOW] == pytest.approx(quantile, rel=0.04)


def test_kinds_and_operations(metered):
    """Of some kinds only, an empty one for spans that do not say; by operation each is a series."""
    assert points(metered, "calls", span_kinds=("client",))[("a", "")][NOW] == 1 / 60
    assert points(metered, "calls", services=["b"], span_kinds=("server",)) == {}
    assert points(metered, "calls", services=["b"], span_kinds=("", "server"))[("b", "")][NOW] == 1 / 60
    assert set(points(metered, "calls", by_operation=True)) == {("a", "op0"), ("a", "op1")}
    assert set(points(metered, "calls", services=[])) == {("a", ""), ("b", ""), ("a/b", "")}


def test_an_index_without_our_fields_still_answers(make_span):
    """Jaeger's own collector indexes no tags.error; Log Service refuses a statement that names a field without an index."""
    keys = {name: key for name, key in INDEX.keys.items() if name not in ("tags.error", "tags.span.kind")}
    store = TraceStore(EmbeddedLogstore(index=Index(keys)), clock=lambda: NOW)
    store.write([make_span(1, 1, service="a"), make_span(1, 2, 1, service="b", tags={"error": True})])
    assert calls(store) == {("a", "b"): 1}
    assert points(store, "errors")[("a", "")][NOW] == 0.0
