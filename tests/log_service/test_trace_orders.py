"""Which traces are the first ``limit``: of all that match, not of the most recent."""

from __future__ import annotations

import pytest

from sls_tracing.log_service.trace_query import TraceQuery

NOW = 1_700_000_000


@pytest.fixture
def filled(store, make_span):
    """Trace n starts at second n. 1 is the longest as a whole, 2 has most spans, 3 most errors, 9 is the most recent and the shortest."""
    store.write([make_span(1, 1, start=1, duration=0.1), make_span(1, 2, 1, start=2.5, duration=28, service="b")])
    store.write([make_span(2, n, start=2, duration=1) for n in range(1, 8)])
    store.write([make_span(3, n, start=3, duration=2, tags={"error": True}) for n in range(1, 3)])
    store.write([make_span(n, 1, start=n, duration=0.5) for n in range(4, 9)])
    store.write([make_span(9, 1, start=9, duration=0.01)])
    return store


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("recent", [9, 8]),
        ("longest", [1, 3]),
        ("shortest", [9, 8]),
        ("most_spans", [2, 3]),
        ("most_errors", [3, 9]),
    ],
)
def test_the_first_of_all(filled, order, first):
    """A trace's length is from its first start to its last end, and spans count that do not meet the conditions."""
    for query in (TraceQuery(limit=2, order=order), TraceQuery("a", limit=2, order=order)):
        assert [trace[0].context.trace_id for trace in filled.find_traces(query)] == first


def test_conditions_hold_in_every_order(filled):
    """Service, operation, tags, durations and times narrow what is ordered."""
    queries = [
        (TraceQuery("b", order="longest"), [1]),
        (TraceQuery(tags={"error": "true"}, order="longest"), [3]),
        (TraceQuery(operation="none", order="most_spans"), []),
        (TraceQuery(min_duration=0.9, order="shortest"), [2, 3, 1]),
        (TraceQuery(start_min=NOW + 7, start_max=NOW + 8.5, order="longest"), [8, 7]),
    ]
    for query, found in queries:
        assert [trace[0].context.trace_id for trace in filled.find_traces(query)] == found
