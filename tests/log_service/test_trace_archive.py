"""Archived traces outlive the retention of the logstore that they came from."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import LogServiceError, TraceQuery, TraceStore, open_trace_store
from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.embedded_service import HOME_PROJECT, EmbeddedProjects
from sls_tracing.log_service.http_api import log_service_app
from sls_tracing.log_service.provision import provision, provision_archive
from sls_tracing.log_service.settings import LogServiceSettings
from sls_tracing.log_service.trace_archive import TraceArchive
from sls_tracing.model import LogRecord

NOW = 1_700_000_000


def test_an_archived_trace_is_found_by_its_id_when_the_rest_is_gone(tmp_path, make_span):
    """Whole, its own times and types with it, over a restart; not by a search, as in Jaeger."""
    spans = [
        make_span(7, 1, tags={"n": 1, "ok": True}, logs=[LogRecord(NOW, {"event": "x"})]),
        make_span(7, 2, 1, start=0.5, service="b"),
    ]
    path = str(tmp_path / "traces.duckdb")
    with closing(open_trace_store(path)) as store:
        store.write([*spans, make_span(8, 1)])
        assert store.has_archive
        assert store.archive(7) is True
        store.logstore.delete_before(NOW + 1000)
        assert store.get_trace(7) == spans
    with closing(open_trace_store(path)) as store:
        assert store.get_trace(7) == spans
        assert store.get_trace(8) == []
        assert store.find_traces(TraceQuery("a")) == []
        assert store.services() == []


def test_archiving_twice_shows_once(make_span):
    """As every repeated delivery; also with what is still stored."""
    with closing(open_trace_store("memory:")) as store:
        store.write([make_span(7, 1)])
        assert store.archive(7)
        assert store.archive(7)
        assert len(store.get_trace(7)) == 1
        store.logstore.delete_before(NOW + 1000)
        assert len(store.get_trace(7)) == 1


def test_an_unknown_trace_cannot_be_archived():
    with closing(open_trace_store("memory:")) as store:
        assert store.archive(7) is False


def test_a_store_without_archive_says_so(store, make_span):
    """With a code of its own; nothing else changes."""
    store.write([make_span(7, 1)])
    assert not store.has_archive
    with pytest.raises(LogServiceError, match="ArchiveNotConfigured"):
        store.archive(7)


def test_copies_bear_the_time_of_archiving(make_span):
    """Log Service refuses logs older than 7 days, and a trace worth keeping may be."""
    logstore = EmbeddedLogstore(index=INDEX)
    store = TraceStore(EmbeddedLogstore(index=INDEX), archive=TraceArchive(logstore, clock=lambda: NOW + 40 * 86400))
    store.write([make_span(7, n) for n in range(1, 1501)])
    store.archive(7)
    assert len(logstore.get_logs("*", NOW + 40 * 86400, NOW + 40 * 86400 + 1).logs) == 100
    store.logstore.delete_before(NOW + 1000)
    assert len(store.get_trace(7)) == 1500


def test_a_time_range_holds_for_archived_spans_too(make_span):
    with closing(open_trace_store("memory:")) as store:
        store.write([make_span(7, 1), make_span(7, 2, start=50)])
        store.archive(7)
        store.logstore.delete_before(NOW + 1000)
        assert [span.context.span_id for span in store.get_trace(7, end=NOW + 10)] == [1]


def test_in_log_service_the_archive_is_a_logstore_of_its_own(make_span, serve):
    """Provisioned to be kept for good; found by id over the same HTTP API when the spans themselves are gone."""
    projects, key = EmbeddedProjects(), AccessKey("id", "secret")
    settings = LogServiceSettings(
        "cn-hangzhou.log.aliyuncs.com", HOME_PROJECT, "spans", credentials=lambda: key,
        connect=serve(log_service_app(projects, key)), archive_logstore="kept",
    )  # fmt: skip
    with closing(AliyunLogService(settings)) as service:
        provision(service, "spans", with_dashboard=False)
        assert [step.outcome for step in provision_archive(service, "kept", dry_run=True)] == ["created", "created"]
        assert [step.what for step in provision_archive(service, "kept")] == ["logstore", "index"]
        assert service.get_logstore("kept").retention_days == 3650
        assert provision_archive(service, "") == []
    with closing(open_trace_store("log-service:", settings=settings)) as store:
        span = make_span(7, 1, start=time.time() - NOW)
        store.write([span])
        assert store.archive(7)
        projects.project()._open("spans").delete_before(int(time.time()) + 1000)
        assert [found.operation_name for found in store.get_trace(7)] == ["get"]
        assert store.services() == []
    projects.close()


def test_the_archive_is_not_the_logstore_itself():
    """It would be deleted with it."""
    with pytest.raises(ConfigurationError, match="a logstore of its own"):
        LogServiceSettings("e.com", "project", "spans", credentials=lambda: None, archive_logstore="spans")


def test_a_trace_longer_than_wanted_is_cut(store, make_span):
    """At its earliest spans; its neighbours in a search stay whole."""
    store.write(make_span(1, n, start=n / 1000) for n in range(1, 301))
    store.write([make_span(2, n) for n in range(1, 40)])
    assert [span.context.span_id for span in store.get_trace(1, max_spans=50)] == list(range(1, 51))
    assert sorted(len(trace) for trace in store.iter_traces(TraceQuery(), max_spans=50)) == [39, 50]
