"""Jaeger's API v3: what its newer UIs ask, and OTLP for API clients."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone

import pytest
import requests

from sls_tracing.backend.otlp_requests import decode_json
from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.query_settings import QuerySettings
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import LogRecord, Reference

NOW = int(time.time())


@pytest.fixture
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


@pytest.fixture
def url(store, serve):
    return serve(query_app(store))


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


WINDOW = {"query.startTimeMin": rfc3339(NOW - 3600), "query.startTimeMax": rfc3339(NOW)}


def get(url, path, status=200, **parameters):
    response = requests.get(f"{url}/api/v3/{path}", params=parameters, timeout=30)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    if status != 200:
        assert set(response.json()) == {"error"}
        assert response.json()["error"]["httpCode"] == status
        assert response.json()["error"]["message"]
    return response.json()


def summaries(url, **parameters):
    return get(url, "trace-summaries", **{**WINDOW, **parameters})["summaries"]


def ids(found):
    return [int(each["traceId"], 16) for each in found]


@pytest.fixture
def shop(store, make_span):
    """Trace 1: front and back, an error and an orphan. Trace 2: back alone. Trace 3, wide: two hours old."""
    store.write([
        make_span("GET /", trace_id=1, service="front", start=NOW - 30, duration=2, tags={"span.kind": "SERVER"}),
        make_span("get", trace_id=1, span_id=2, parent_id=1, service="back", start=NOW - 29, tags={"error": True}),
        make_span("lost", trace_id=1, span_id=3, parent_id=99, service="back", start=NOW - 29, duration=5),
        make_span("get", trace_id=2, service="back", start=NOW - 10, tags={"url": "/a/b"}),
        make_span("old", trace_id=1 << 100, service="back", start=NOW - 7200),
    ])  # fmt: skip


def test_an_empty_store(url):
    """Every key that the UI's schemas require is there."""
    assert get(url, "services") == {"services": []}
    assert get(url, "operations", service="none") == {"operations": []}
    assert get(url, "trace-summaries", **WINDOW) == {"summaries": []}
    get(url, "traces", 404, **WINDOW)
    get(url, "traces/1", 404)


def test_services_and_operations(url, shop):
    """No kind is empty, all are lower case; without a service those of all."""
    assert get(url, "services") == {"services": ["back", "front"]}
    assert get(url, "operations", service="front") == {"operations": [{"name": "GET /", "spanKind": "server"}]}
    assert get(url, "operations", service="back", spanKind="internal")["operations"] == [
        {"name": name, "spanKind": "internal"} for name in ("get", "lost", "old")
    ]
    assert get(url, "operations", service="back", spanKind="server") == {"operations": []}
    assert [each["name"] for each in get(url, "operations")["operations"]] == ["GET /", "get", "lost", "old"]


def test_a_summary(url, shop):
    """32 digits of an id, decimal text of nanoseconds, services by name; errors and orphans are counted."""
    [summary] = summaries(url, **{"query.serviceName": "front"})
    assert summary == {
        "traceId": "0" * 31 + "1",
        "rootServiceName": "front",
        "rootOperationName": "GET /",
        "minStartTimeUnixNano": str((NOW - 30) * 10**9),
        "maxEndTimeUnixNano": str((NOW - 24) * 10**9),
        "spanCount": 3,
        "errorSpanCount": 1,
        "orphanSpanCount": 1,
        "services": [
            {"name": "back", "spanCount": 2, "errorSpanCount": 1},
            {"name": "front", "spanCount": 1, "errorSpanCount": 0},
        ],
    }


def test_a_trace_without_a_root_is_named_by_what_hangs_in_the_air(url, store, make_span):
    """Not left without a name."""
    store.write([make_span("in", trace_id=5, span_id=2, parent_id=1, service="s", start=NOW - 5)])
    [summary] = summaries(url, **{"query.serviceName": "s"})
    assert (summary["rootServiceName"], summary["rootOperationName"], summary["orphanSpanCount"]) == ("s", "in", 1)


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, [2, 1]),
        ({"query.serviceName": ""}, [2, 1]),
        ({"query.service_name": "front"}, [1]),
        ({"query.serviceName": "nobody"}, []),
        ({"query.operationName": "lost"}, [1]),
        ({"query.operation_name": "get", "query.serviceName": "back"}, [2, 1]),
        ({"query.durationMin": "1s"}, [1]),
        ({"query.duration_min": "3s", "query.duration_max": "6s"}, [1]),
        ({"query.durationMin": "6s"}, []),
        ({"query.attributes": '{"error":"true"}'}, [1]),
        ({"query.attributes": '{"url":"/a/*"}'}, [2]),
        ({"query.searchDepth": "1"}, [2]),
        ({"query.search_depth": "1"}, [2]),
        ({"query.num_traces": "1"}, [2]),
        ({"query.searchDepth": "1", "query.sort": "longest"}, [1]),
        ({"query.startTimeMin": rfc3339(NOW - 9000)}, [2, 1, 1 << 100]),
        ({"query.startTimeMin": "", "query.start_time_min": rfc3339(NOW - 15)}, [2]),
        ({"query.startTimeMax": rfc3339(NOW - 15)}, [1]),
        ({"query.startTimeMax": datetime.fromtimestamp(NOW - 15, timezone.utc).isoformat()}, [1]),
    ],
    ids=range(19),
)
def test_searching(url, shop, parameters, found):
    """Every parameter under both spellings; without a service all are searched. /traces finds the same as /trace-summaries."""
    assert ids(summaries(url, **parameters)) == found
    if not found:
        get(url, "traces", 404, **{**WINDOW, **parameters})
        return
    result = get(url, "traces", **{**WINDOW, **parameters})["result"]["resourceSpans"]
    spans = [span for each in result for scope in each["scopeSpans"] for span in scope["spans"]]
    assert set(ids(spans)) == set(found)


@pytest.mark.parametrize(
    "parameters",
    [
        {"query.startTimeMin": ""},
        {"query.startTimeMax": ""},
        {"query.startTimeMin": "yesterday"},
        {"query.startTimeMin": str(NOW)},
        {"query.startTimeMax": rfc3339(NOW - 3600)},
        {"query.durationMin": "1"},
        {"query.durationMin": "2s", "query.durationMax": "1s"},
        {"query.searchDepth": "many"},
        {"query.searchDepth": "-1"},
        {"query.attributes": "error=true"},
        {"query.attributes": '{"n":1}'},
        {"query.sort": "size"},
    ],
    ids=range(12),
)
@pytest.mark.parametrize("path", ["trace-summaries", "traces"])
def test_a_bad_parameter_is_400(url, path, parameters):
    """In v3's words: both times are required and in order, and what cannot be read is named."""
    message = get(url, path, 400, **{**WINDOW, **parameters})["error"]["message"]
    assert next(iter(parameters)) in message or "query." in message


def test_a_trace_as_otlp(url, store, make_span):
    """What OTLP has fields for is in them: reading the answer as a collector would gives the same span back."""
    span = make_span(
        "op", trace_id=0xA << 64 | 7, span_id=2, parent_id=1, service="s", process_tags={"pid": 7, "zone": "z"},
        references=[Reference("child_of", 0xA << 64 | 7, 1), Reference("follows_from", 0xB, 3)],
        start=float(NOW), duration=0.25,
        tags={
            "span.kind": "client", "error": True, "otel.status_code": "ERROR", "otel.status_description": "no", "big": 2**60,
            "x": 0.5, "nan": float("inf"), "b": b"\x00\xff", "ok": False, "otel.scope.name": "lib", "w3c.tracestate": "a=1",
        },
        logs=[LogRecord(NOW + 0.1, {"event": "hit", "n": 1}), LogRecord(NOW + 0.2, {"message": "m"})],
    )  # fmt: skip
    store.write([span])
    result = get(url, f"traces/{0xA << 64 | 7:x}")["result"]
    [resource] = result["resourceSpans"]
    [rendered] = resource["scopeSpans"][0]["spans"]
    assert rendered["traceId"] == "000000000000000a0000000000000007"
    assert (rendered["kind"], rendered["status"]) == (3, {"code": 2, "message": "no"})
    assert rendered["startTimeUnixNano"] == str(NOW * 10**9)
    assert {"key": "big", "value": {"intValue": str(2**60)}} in rendered["attributes"]
    assert resource["scopeSpans"][0]["scope"] == {"name": "lib"}
    [back] = decode_json(
        requests.get(f"{url}/api/v3/traces/a{7:016x}", timeout=30).content.replace(b'{"result":', b"", 1)[:-1], NOW
    ).spans
    assert back._replace(context=None, references=None) == span._replace(
        context=None, references=None, logs=tuple(span.logs), warnings=()
    )
    assert set(back.references) == set(span.references)
    assert (back.context.trace_id, back.context.span_id, back.context.parent_id) == (0xA << 64 | 7, 2, 1)


def test_a_trace_by_id_within_a_time(url, shop):
    """startTime and endTime narrow it, under both spellings; ids may be short; what is no id is 400."""

    def spans(**parameters):
        found = get(url, "traces/1", **parameters)["result"]["resourceSpans"]
        return sum(len(scope["spans"]) for each in found for scope in each["scopeSpans"])

    assert spans() == 3
    assert spans(startTime=rfc3339(NOW - 29.5)) == 2
    assert spans(end_time=rfc3339(NOW - 29.5)) == 1
    get(url, "traces/1", 404, start_time=rfc3339(NOW))
    get(url, "traces/1", 400, startTime="x")
    get(url, "traces/xyz", 400)
    get(url, "traces/" + "0" * 33, 400)


def test_unknown_paths_and_methods(url):
    """v3's own errors, never a page."""
    get(url, "nothing", 404)
    assert requests.post(url + "/api/v3/services", timeout=30).json()["error"]["httpCode"] == 405


def test_bounds_hold_here_too(serve, store, shop):
    """Of traces, spans and bytes."""
    few = serve(query_app(store, settings=QuerySettings(max_limit=1, max_trace_spans=2)))
    assert [(each["traceId"][-1], each["spanCount"]) for each in summaries(few)] == [("2", 1)]
    [resource, *_] = get(few, "traces/1")["result"]["resourceSpans"]
    assert len(resource["scopeSpans"][0]["spans"]) <= 2
    small = serve(query_app(store, settings=QuerySettings(max_answer_bytes=100)))
    result = get(small, "traces", **WINDOW)["result"]["resourceSpans"]
    assert len(result) == 1


def test_a_failing_store_is_500(serve):
    """In v3's words, with no word of what the store said."""

    class Broken:
        def __getattr__(self, name):
            raise OSError("secret")

    url = serve(query_app(Broken()))
    for path in ("services", "operations", "traces/1"):
        assert "secret" not in get(url, path, 500)["error"]["message"]
