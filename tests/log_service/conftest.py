"""Logstores to test, each empty, and spans to put into them."""

from __future__ import annotations

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.trace_store import TraceStore
from sls_tracing.model import Process, Reference, SpanRecord

NOW = 1_700_000_000


@pytest.fixture(params=["memory", "file"])
def make_logstore(request, tmp_path):
    """A factory of logstores of every implementation: ``make_logstore(index)``."""
    made = []

    def make(index=INDEX):
        path = ":memory:" if request.param == "memory" else str(tmp_path / f"store{len(made)}.duckdb")
        made.append(EmbeddedLogstore(path, index=index))
        return made[-1]

    yield make
    for logstore in made:
        logstore.close()


@pytest.fixture
def store():
    """Traces in memory, any tag searchable, as ``open_trace_store`` opens them; the clock stands at NOW."""
    store = TraceStore(EmbeddedLogstore(index=INDEX._replace(any_key=True)), clock=lambda: NOW)
    yield store
    store.close()


@pytest.fixture
def make_span():
    def make(
        trace_id,
        span_id,
        parent_id=None,
        *,
        service="a",
        operation="get",
        start=0.0,
        duration=0.1,
        tags=None,
        logs=(),
        process_tags=None,
    ):
        return SpanRecord(
            operation_name=operation,
            context=SpanContext(trace_id, span_id, parent_id, wide=trace_id >> 64 > 0),
            references=[Reference("child_of", trace_id, parent_id)] if parent_id else [],
            start_time=NOW + start,
            finish_time=NOW + start + duration,
            tags=tags or {},
            logs=list(logs),
            process=Process(service, process_tags or {}),
            warnings=[],
        )

    return make
