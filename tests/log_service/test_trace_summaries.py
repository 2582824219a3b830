"""A trace in a line: counted by the store, the same as if its spans had been fetched and counted."""

from __future__ import annotations

import random

from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.trace_query import TraceQuery
from sls_tracing.log_service.trace_store import TraceStore
from sls_tracing.log_service.trace_summaries import find_summaries, summarise

NOW = 1_700_000_000


def rounded(summary):
    return summary._replace(start=round(summary.start, 4), duration=round(summary.duration, 4))


def test_the_store_counts_what_the_spans_hold(store, make_span):
    """Over any traces: services, errors, orphans, times, titles; what was delivered twice counts once."""
    rng = random.Random(3)
    spans = []
    for trace_id in range(1, 40):
        for span_id in range(1, rng.randrange(2, 9)):
            parent = rng.choice([None, 1, 2, 99]) if span_id > 1 else rng.choice([None, 77])
            tags = {"error": rng.choice([True, False])} if rng.random() < 0.5 else {}
            place = {"service": rng.choice("abc"), "operation": f"op{rng.randrange(5)}", "tags": tags}
            start = trace_id + span_id / 100  # no two of a trace begin at once, or any of them may be the first
            spans.append(
                make_span(
                    trace_id << 64 | 5, span_id, parent, start=start, duration=rng.randrange(1000) / 1000, **place
                )
            )
    store.write(spans)
    store.write(spans[:50])
    for query in (TraceQuery(limit=100), TraceQuery("a", limit=7), TraceQuery(order="longest", limit=5)):
        counted = [summarise(trace) for trace in store.find_traces(query)]
        assert [rounded(each) for each in find_summaries(store, query)] == [rounded(each) for each in counted]


def test_a_tag_without_an_index_is_still_exact(make_span):
    """The spans themselves decide there."""
    store = TraceStore(EmbeddedLogstore(index=INDEX), clock=lambda: NOW)
    store.write([make_span(1, 1, tags={"peer": "x y"}), make_span(2, 1, tags={"other": "x y"})])
    assert [each.trace_id for each in find_summaries(store, TraceQuery("a", tags={"peer": "x y"}))] == [1]


def test_nothing_found_is_nothing(store):
    assert find_summaries(store, TraceQuery("nobody")) == []
