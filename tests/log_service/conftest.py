"""Logstores to test, each empty, and spans to put into them."""

from __future__ import annotations

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.embedded_service import HOME_PROJECT, EmbeddedProjects
from sls_tracing.log_service.http_api import log_service_app
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import LogServiceSettings
from sls_tracing.log_service.trace_store import TraceStore
from sls_tracing.model import Process, Reference, SpanRecord

NOW = 1_700_000_000


@pytest.fixture(params=["memory", "file", "http"])
def make_logstore(request, tmp_path, serve):
    """A factory of logstores of every implementation: ``make_logstore(index)``. Over HTTP it is the client of the real Log Service."""
    made = []

    def make_over_http(index):
        made.append(EmbeddedProjects())
        key = AccessKey("id", "secret")
        url = serve(log_service_app(made[-1], key))
        settings = LogServiceSettings(
            "cn-hangzhou.log.aliyuncs.com", HOME_PROJECT, credentials=lambda: key, connect=url
        )
        service = AliyunLogService(settings)
        service.create_logstore(LogstoreInfo("jaeger-span", retention_days=3650))
        made[-1].project().logstore("jaeger-span").set_index(index)
        made.insert(0, service.logstore("jaeger-span"))
        return made[0]

    def make(index=INDEX):
        if request.param == "http":
            return make_over_http(index)
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
