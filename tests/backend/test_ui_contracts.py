"""What each generation of Jaeger's UI and Grafana's Jaeger data source ask, asked over HTTP, the answers held against what these clients take.

The shapes are those of jaegertracing/jaeger's model/json/model.go (v1), of jaeger-ui's zod schemas (api/v3/schemas.ts) and of what the UI's own
transformations stumble over, written down here once more and apart from the description that the service publishes.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from urllib.parse import quote

import pytest
import requests
from jsonschema import Draft202012Validator

from sls_tracing.backend.query_api import query_app
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import LogRecord, Reference

NOW = time.time()
SERVICE = "shop/front end"
TRACES = ("000000000000abcd", "000000000000000a0000000000000001")

# -- what v1 clients take ------------------------------------------------------------------------------------------------

TEXT = {"type": "string"}
TRACE_ID = {"type": "string", "pattern": "^(?:[0-9a-f]{16}){1,2}$"}
SPAN_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
WARNINGS = {"type": ["array", "null"], "items": TEXT}


def of(**properties):
    return {"type": "object", "required": list(properties), "properties": properties}


def many(items, least=0):
    return {"type": "array", "items": items, "minItems": least}


KEY_VALUE = {
    **of(key=TEXT, type={"enum": ["string", "bool", "int64", "float64", "binary"]}, value={}),
    "allOf": [
        {"if": of(type={"const": kind}), "then": of(value=value)}
        for kind, value in {
            "string": TEXT,
            "bool": {"type": "boolean"},
            # JavaScript would round what is beyond: it must come as text.
            "int64": {"anyOf": [{"type": "integer", "minimum": 1 - 2**53, "maximum": 2**53 - 1}, {"type": "string"}]},
            "float64": {"type": ["number", "string"]},
            "binary": TEXT,
        }.items()
    ],
}
SPAN = of(
    traceID=TRACE_ID, spanID=SPAN_ID, operationName=TEXT, processID=TEXT, warnings=WARNINGS, tags=many(KEY_VALUE),
    startTime={"type": "integer", "exclusiveMinimum": 0},  # the UI throws spans without one away
    duration={"type": "integer", "minimum": 0},
    references=many(of(refType={"enum": ["CHILD_OF", "FOLLOWS_FROM"]}, traceID=TRACE_ID, spanID=SPAN_ID)),
    logs=many(of(timestamp={"type": "integer"}, fields=many(KEY_VALUE))),
)  # fmt: skip
PROCESS = of(serviceName=TEXT, tags=many(KEY_VALUE))
TRACE = of(
    traceID=TRACE_ID, spans=many(SPAN, 1), warnings=WARNINGS,
    processes={"type": "object", "additionalProperties": PROCESS, "minProperties": 1},
)  # fmt: skip
ERRORS = {"type": ["array", "null"], "items": of(msg=TEXT)}


def envelope(data):
    count = {"type": "integer", "minimum": 0}
    return of(data=data, total=count, limit=count, offset=count, errors=ERRORS)


NAMES = envelope(many(TEXT))
OPERATIONS = envelope(many(of(name=TEXT, spanKind=TEXT)))
FOUND = envelope(many(TRACE))
ONE = envelope({**many(TRACE, 1), "maxItems": 1})  # an empty list for an id is an error page: 404 it has to be
DEPENDENCIES = envelope(many(of(parent=TEXT, child=TEXT, callCount={"type": "integer", "minimum": 1})))
METRIC = of(
    name=TEXT, type={"const": "GAUGE"}, help=TEXT,
    metrics=many(of(
        labels=many(of(name=TEXT, value=TEXT), 1),
        metricPoints=many(of(gaugeValue=of(doubleValue={"type": ["number", "string"]}), timestamp=TEXT)),
    )),
)  # fmt: skip

# -- what the zod schemas of newer UIs take ------------------------------------------------------------------------------

V3_SERVICES = of(services=many(TEXT))
V3_OPERATIONS = of(operations=many(of(name=TEXT, spanKind={"type": "string", "minLength": 1})))
NANOS = {"type": "string", "pattern": "^[0-9]+$"}
NUMBER = {"type": "number"}
V3_SUMMARIES = of(
    summaries=many(of(
        traceId={"type": "string", "pattern": "^[0-9a-f]{32}$"},  # 16 digits make the whole page an error
        rootServiceName=TEXT, rootOperationName=TEXT, minStartTimeUnixNano=NANOS, maxEndTimeUnixNano=NANOS,
        spanCount=NUMBER, errorSpanCount=NUMBER, orphanSpanCount=NUMBER,
        services=many(of(name=TEXT, spanCount=NUMBER, errorSpanCount=NUMBER)),
    )),
)  # fmt: skip

# -- what they ask -------------------------------------------------------------------------------------------------------

S = quote(SERVICE, safe="")
END, START = int(NOW * 1e6), int((NOW - 3600) * 1e6)
TAGS = quote(json.dumps({"error": "true", "http.status_code": "500"}))
LATENCY = f"service={S}&endTs={END // 1000}&lookback=3600000&quantile=Q&ratePer=600000&spanKind=server&step=60000"
RATE = f"service={S}&endTs={END // 1000}&lookback=3600000&ratePer=600000&spanKind=server&step=60000"
MIN, MAX = (time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(each)) for each in (NOW - 3600, NOW + 1))
SUMMARIES = f"/api/v3/trace-summaries?query.startTimeMin={MIN}&query.startTimeMax={MAX}&query.searchDepth=20"

V1_SEARCH = [
    (f"/api/traces?end={END}&limit=20&lookback=1h&maxDuration&minDuration&service={S}&start={START}", FOUND),
    (f"/api/traces?end={END}&limit=20&lookback=custom&maxDuration=10s&minDuration=1.2ms&operation=GET%20%2F&service={S}&start={START}&tags={TAGS}", FOUND),
    (f"/api/traces?end={END}&limit=1500&lookback=2d&service={S}&start={START}&tag=error%3Atrue", FOUND),
]  # fmt: skip
TRACE_PAGE = [
    (f"/api/traces/{TRACES[0]}", ONE),
    (f"/api/traces/{TRACES[1].upper()}", ONE),
    (f"/api/traces/{TRACES[0]}?prettyPrint=true", ONE),
    (f"/api/traces/{TRACES[0]}?raw=true&prettyPrint=true", ONE),
]
COMMON = [
    (f"/api/dependencies?endTs={END // 1000}&lookback=604800000", DEPENDENCIES),
    *((f"/api/metrics/latencies?{LATENCY.replace('Q', str(quantile))}", METRIC) for quantile in (0.5, 0.75, 0.95)),
    *((f"/api/metrics/{name}?{RATE}", METRIC) for name in ("calls", "errors")),
    (f"/api/metrics/latencies?groupByOperation=true&{LATENCY.replace('Q', '0.95')}", METRIC),
    *((f"/api/metrics/{name}?groupByOperation=true&{RATE}", METRIC) for name in ("calls", "errors")),
]
V1_FORM = [
    ("/api/services", NAMES),
    (f"/api/services/{S}/operations", NAMES),
    (f"/api/operations?service={S}&spanKind=server", OPERATIONS),
]
V3_FORM = [
    ("/api/v3/services", V3_SERVICES),
    (f"/api/v3/operations?service={S}", V3_OPERATIONS),
    (f"/api/v3/operations?service={S}&spanKind=server", V3_OPERATIONS),
]
COMPARE = [(f"/api/traces?traceID={TRACES[0]}&traceID={TRACES[1]}", FOUND)]
CLIENTS = {
    "ui up to 2.14": [*V1_FORM, *V1_SEARCH, *TRACE_PAGE, *COMPARE, *COMMON, ("/api/metrics/minstep", envelope({"type": "integer"}))],
    "ui 2.15 to 2.18": [*V3_FORM, *V1_SEARCH, *TRACE_PAGE, *COMPARE, *COMMON],
    "ui from 2.19": [
        *V3_FORM, *TRACE_PAGE, *COMMON,
        (f"{SUMMARIES}&query.serviceName={S}", V3_SUMMARIES),
        (f"{SUMMARIES}&query.serviceName={S}&query.operationName=GET%20%2F&query.durationMin=1ms&query.durationMax=10s&query.attributes={TAGS}", V3_SUMMARIES),
    ],
    "ui that searches all services": [(SUMMARIES, V3_SUMMARIES), ("/api/v3/operations", V3_OPERATIONS)],
    "grafana": [
        ("/api/services", NAMES),
        (f"/api/services/{S}/operations", NAMES),
        (f"/api/traces?service={S}&operation=GET%20%2F&tags={TAGS}&start={START}&end={END}&lookback=custom&limit=20&minDuration=1ms&maxDuration=10s", FOUND),
        (f"/api/traces/{TRACES[0]}", ONE),
        (f"/api/traces/{TRACES[0]}?start={START}&end={END}", ONE),
        (f"/api/dependencies?endTs={END // 1000}&lookback=3600000", DEPENDENCIES),
    ],
}  # fmt: skip
REQUESTS = [
    pytest.param(path, shape, id=f"{client} {number}")
    for client, requests_ in CLIENTS.items()
    for number, (path, shape) in enumerate(requests_)
]


@pytest.fixture
def url(serve, make_span):
    """A server with two traces that have everything: wide and narrow ids, errors, links, logs, shared spans, big numbers, other services."""
    tags = {
        "span.kind": "server",
        "error": True,
        "http.status_code": 500,
        "big": 2**60,
        "x": 0.5,
        "b": b"\x00\xff",
        "inf": float("inf"),
    }
    narrow, wide = (int(each, 16) for each in TRACES)
    common = {"service": SERVICE, "process_tags": {"ip": 0x0A000001, "pid": 7}}
    spans = []
    for trace_id in (narrow, wide):
        links = [Reference("follows_from", 0xFFFF, 9), Reference("child_of", trace_id, 1)]
        logs = [LogRecord(NOW - 9, {"message": "x", "event": "error", "n": 2**60})]
        spans += [
            make_span("GET /", trace_id=trace_id, start=NOW - 10, duration=2, tags=tags, **common),
            make_span(
                "call",
                trace_id=trace_id,
                span_id=2,
                parent_id=1,
                start=NOW - 9.5,
                duration=1,
                references=links,
                logs=logs,
                tags={"span.kind": "client"},
                **common,
            ),
            make_span(
                "serve",
                trace_id=trace_id,
                span_id=2,
                parent_id=1,
                start=NOW - 9.4,
                service="back",
                tags={"span.kind": "server"},
            ),
            make_span("lost", trace_id=trace_id, span_id=3, parent_id=77, start=NOW - 9.4, service="back"),
        ]
    with closing(open_trace_store("memory:")) as store:
        store.write(spans)
        yield serve(query_app(store))


def checked(response, shape):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    Draft202012Validator(shape).validate(body)
    return body


@pytest.mark.parametrize(("path", "shape"), REQUESTS)
def test_a_client_gets_what_it_takes(url, path, shape):
    """The request as the client sends it, the answer as the client reads it; and there is something in it."""
    body = checked(requests.get(url + path, timeout=30), shape)
    found = body.get("data", body)
    assert found
    if isinstance(found, dict):
        assert all(found.values())
    if shape in (FOUND, ONE):
        for trace in found:
            fits_the_ui(trace, raw="raw=true" in path)


def fits_the_ui(trace, *, raw):
    """What the UI's transformation of a trace relies on."""
    ids = [span["spanID"] for span in trace["spans"]]
    assert {span["processID"] for span in trace["spans"]} <= set(trace["processes"])
    assert {span["traceID"] for span in trace["spans"]} == {trace["traceID"]}
    if raw:
        return
    assert len(set(ids)) == len(ids)  # it would number them
    for span in trace["spans"]:
        parents = [link["spanID"] for link in span["references"] if link["traceID"] == trace["traceID"]]
        if parents:
            assert span["references"][0]["spanID"] == parents[0]  # what up to 1.74 takes for the parent
        keys = [tag["key"] for tag in span["tags"]]
        assert keys == sorted(keys)


def test_the_buttons_of_a_trace(url):
    """Archive, and an upload of the very file that another backend's UI downloads as OTLP."""
    assert checked(
        requests.post(f"{url}/api/archive/{TRACES[0]}", timeout=30), envelope({"type": "array", "maxItems": 0})
    )
    otlp = requests.get(f"{url}/api/v3/traces/{TRACES[0]}", timeout=30).json()["result"]
    body = checked(requests.post(f"{url}/api/transform", data=json.dumps(otlp), timeout=30), ONE)
    assert len(body["data"][0]["spans"]) == 4


def test_what_a_client_shows_as_an_error(url):
    """The UI joins the messages of v1's envelope; a trace that is not there is 404, of which Grafana makes "not found"."""
    missing = requests.get(f"{url}/api/traces/ffffffffffffffff", timeout=30)
    assert missing.status_code == 404
    body = missing.json()
    Draft202012Validator(
        of(data={"type": "null"}, errors=many(of(code={"const": 404}, msg={"const": "trace not found"}), 1))
    ).validate(body)
    partly = checked(requests.get(f"{url}/api/traces?traceID={TRACES[0]}&traceID=ffff", timeout=30), FOUND)
    assert [error["msg"] for error in partly["errors"]] == ["trace not found"]
    without = requests.get(f"{url}/api/v3/trace-summaries?query.serviceName={S}", timeout=30)
    assert without.status_code == 400
    assert re.search("query.startTimeMin", without.json()["error"]["message"])
