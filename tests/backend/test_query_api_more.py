"""The query API beyond searching: dependencies, archive, uploads, the Monitor tab, and what Jaeger's search has not."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import requests

from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.query_settings import QuerySettings
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import TraceStore, open_trace_store

NOW = int(time.time())


@pytest.fixture
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


@pytest.fixture
def url(store, serve):
    return serve(query_app(store))


def get(url, status=200, **options):
    response = requests.get(url, timeout=30, **options)
    assert response.status_code == status, response.text
    return response.json()


def ids(answer):
    return [int(trace["traceID"], 16) for trace in answer["data"]]


@pytest.fixture
def calls(store, make_span):
    """Trace 1: front calls back twice, 30 seconds ago. Trace 2: back calls store, two days ago."""
    for n in (2, 3):
        store.write([make_span("get", trace_id=1, span_id=n, parent_id=1, service="back", start=NOW - 30)])
    store.write([make_span("page", trace_id=1, service="front", start=NOW - 30, duration=2)])
    store.write([make_span("get", trace_id=2, service="back", start=NOW - 2 * 86400)])
    store.write([make_span("read", trace_id=2, span_id=2, parent_id=1, service="store", start=NOW - 2 * 86400)])


# -- dependencies --------------------------------------------------------------------------------------------------------


def test_dependencies(url, calls):
    """A day back unless told otherwise, as the UI asks (milliseconds), and of one service only if it is named."""
    path = url + "/api/dependencies"
    recent = {"parent": "front", "child": "back", "callCount": 2}
    older = {"parent": "back", "child": "store", "callCount": 1}
    assert get(path) == {"data": [recent], "total": 0, "limit": 0, "offset": 0, "errors": None}
    assert get(f"{path}?endTs={NOW * 1000}&lookback=604800000")["data"] == [recent, older]
    assert get(f"{path}?endTs={(NOW - 86400) * 1000}&lookback=604800000")["data"] == [older]
    assert get(f"{path}?lookback=604800000&service=store")["data"] == [older]
    assert get(f"{path}?service=nobody")["data"] == []


@pytest.mark.parametrize("query", ["endTs=x", "lookback=1h", "lookback=-1"])
def test_bad_times_of_dependencies_are_400(url, query):
    assert get(f"{url}/api/dependencies?{query}", 400)["errors"][0]["code"] == 400


# -- archive -------------------------------------------------------------------------------------------------------------


def test_an_archived_trace_survives_retention(url, calls, store):
    """POST keeps a copy; found by its id when the rest is deleted, and not by a search."""
    answer = requests.post(url + "/api/archive/1", timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"data": [], "total": 0, "limit": 0, "offset": 0, "errors": []})
    before = get(url + "/api/traces/1")
    store.logstore.delete_before(NOW + 1000)
    assert get(url + "/api/traces/1") == before
    assert get(url + "/api/traces?service=front")["data"] == []
    get(url + "/api/traces/2", 404)


def test_what_cannot_be_archived(url, calls, serve, store):
    """404 for an unknown trace, 400 for no id, 405 for GET, 500 where there is no place for it: Jaeger's words."""
    assert requests.post(url + "/api/archive/ffff", timeout=30).status_code == 404
    assert requests.post(url + "/api/archive/xyz", timeout=30).status_code == 400
    assert get(url + "/api/archive/1", 405)["errors"][0]["code"] == 405
    without = serve(query_app(TraceStore(store.logstore)))
    answer = requests.post(without + "/api/archive/1", timeout=30)
    assert answer.status_code == 500
    assert answer.json()["errors"] == [{"code": 500, "msg": "archive span storage was not configured"}]


# -- uploads -------------------------------------------------------------------------------------------------------------


def otlp(trace_id, name, service="uploaded"):
    span = {
        "traceId": f"{trace_id:032x}", "spanId": "00000000000000aa", "name": name, "kind": 2,
        "startTimeUnixNano": str(NOW * 10**9), "endTimeUnixNano": str(NOW * 10**9 + 5000),
        "attributes": [{"key": "n", "value": {"intValue": "7"}}],
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def upload(url, body, status=200):
    response = requests.post(url + "/api/transform", data=body, timeout=30)
    assert response.status_code == status, response.text
    return response.json()


def test_an_uploaded_file_becomes_traces(url):
    """One request of OTLP, written anyhow, or one a line; spans of one trace belong together. Nothing is stored."""
    for body in (json.dumps(otlp(1, "a")), json.dumps(otlp(1, "a"), indent=2)):
        [trace] = upload(url, body)["data"]
        assert trace["traceID"] == "0000000000000001"
        assert trace["processes"]["p1"]["serviceName"] == "uploaded"
        [span] = trace["spans"]
        assert (span["operationName"], span["duration"]) == ("a", 5)
        assert {"key": "n", "type": "int64", "value": 7} in span["tags"]
    lines = "\n".join(json.dumps(otlp(n, f"op{n}")) for n in (2, 1, 2)) + "\n"
    answer = upload(url, lines)
    assert ids(answer) == [2, 1]
    assert answer["errors"] is None
    get(url + "/api/traces/1", 404)


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"data":[]}', b"{}\n{}", b"\xff\xfe", b'{"resourceSpans":1}', b"[" * 10_000]
)
def test_a_file_that_is_no_otlp_is_400(url, body):
    """With a message; an empty file too."""
    assert upload(url, body, 400)["errors"][0]["msg"]


def test_a_bad_span_of_a_file_costs_itself_only(url):
    """The others are shown, and an error tells of it."""
    request = otlp(1, "good")
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append({**spans[0], "traceId": "zz"})
    answer = upload(url, json.dumps(request))
    assert ids(answer) == [1]
    assert "1 spans could not be read" in answer["errors"][0]["msg"]


def test_an_upload_without_end_is_refused(url):
    """413 beyond 16 MiB."""
    assert upload(url, b"[" + b" " * (16 << 20) + b"]", 413)["errors"][0]["code"] == 413


# -- Monitor -------------------------------------------------------------------------------------------------------------


def metric(url, name, status=200, **parameters):
    defaults = {"service": "m", "endTs": NOW * 1000, "lookback": 120_000, "step": 60_000, "ratePer": 60_000}
    return get(f"{url}/api/metrics/{name}", status, params={**defaults, **parameters})


@pytest.fixture
def metered(store, make_span):
    """Service m: four server spans of 200 ms in the last minute, one of them failed, and a client one."""
    for n in range(1, 5):
        tags = {"span.kind": "server", **({"error": True} if n == 1 else {})}
        store.write([make_span(f"op{n % 2}", trace_id=n, service="m", start=NOW - 10 - n, duration=0.2, tags=tags)])
    store.write([make_span("out", trace_id=9, service="m", start=NOW - 10, tags={"span.kind": "client"})])


def values(family):
    return [[point["gaugeValue"]["doubleValue"] for point in each["metricPoints"]] for each in family["metrics"]]


def test_metrics_of_a_service(url, metered):
    """A MetricFamily without envelope: milliseconds, calls a second, a share of errors; no number where nothing happened."""
    latencies = metric(url, "latencies", quantile=0.95)
    assert {**latencies, "metrics": [], "help": ""} == {
        "name": "service_latencies", "type": "GAUGE", "help": "", "metrics": [],
    }  # fmt: skip
    assert latencies["help"]
    [series] = latencies["metrics"]
    assert series["labels"] == [{"name": "service_name", "value": "m"}]
    moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago)) for ago in (120, 60, 0)]
    assert [point["timestamp"] for point in series["metricPoints"]] == moments
    assert values(latencies) == [["NaN", "NaN", pytest.approx(200, rel=0.001)]]
    assert metric(url, "calls")["name"] == "service_call_rate"
    assert values(metric(url, "calls")) == [[0.0, 0.0, pytest.approx(4 / 60, abs=1e-6)]]
    assert metric(url, "errors")["name"] == "service_error_rate"
    assert values(metric(url, "errors")) == [["NaN", "NaN", 0.25]]


def test_metrics_by_operation_and_kind(url, metered):
    """As the tab's table asks; the kind is server unless told otherwise, and may repeat."""
    family = metric(url, "calls", groupByOperation="true")
    assert family["name"] == "service_operation_call_rate"
    labels = [{label["name"]: label["value"] for label in each["labels"]} for each in family["metrics"]]
    assert labels == [{"service_name": "m", "operation": "op0"}, {"service_name": "m", "operation": "op1"}]
    assert values(metric(url, "calls", spanKind=["server", "client"])) == [[0.0, 0.0, pytest.approx(5 / 60, abs=1e-6)]]
    assert metric(url, "calls", spanKind="consumer")["metrics"] == []
    assert metric(url, "latencies", quantile=0.5, groupByOperation="true")["name"] == "service_operation_latencies"


def test_metrics_of_nobody_are_empty(url, metered):
    assert metric(url, "calls", service="nobody")["metrics"] == []


def test_defaults_of_metrics(url, store, make_span):
    """An hour back, every 5 seconds, over 10 minutes."""
    recently = time.time() - 10  # not NOW, which may be more than 10 minutes ago by the turn of this test
    store.write([
        make_span(trace_id=n, service="m", start=recently, tags={"span.kind": "server"}) for n in range(1, 5)
    ])  # fmt: skip
    [series] = get(url + "/api/metrics/calls?service=m")["metrics"]
    assert len(series["metricPoints"]) == 721
    assert series["metricPoints"][-1]["gaugeValue"]["doubleValue"] == pytest.approx(4 / 600, abs=1e-6)
    assert get(url + "/api/metrics/minstep")["data"] == 1000


@pytest.mark.parametrize(
    "query",
    [
        "", "service=", "service=m&endTs=x", "service=m&step=0", "service=m&step=-1", "service=m&lookback=x",
        "service=m&ratePer=x", "service=m&spanKind=none", "service=m&groupByOperation=maybe",
        "service=m&lookback=31000000000&step=1000", "service=m&endTs=-5", "service=m&endTs=9000000000000000000",
    ],
)  # fmt: skip
def test_bad_metrics_parameters_are_400(url, query):
    """The message names the parameter."""
    answer = get(f"{url}/api/metrics/calls?{query}", 400)
    assert answer["errors"][0]["code"] == 400


@pytest.mark.parametrize("quantile", ["", "x", "2", "-0.1", "nan"])
def test_a_quantile_is_required_and_from_0_to_1(url, quantile):
    assert "quantile" in metric(url, "latencies", 400, quantile=quantile)["errors"][0]["msg"]


# -- beyond Jaeger -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ranked(store, make_span):
    """Trace n of service s<n>: trace 1 is the longest, 2 has most spans, 3 most errors, 4 is the most recent."""
    store.write([make_span(trace_id=1, service="s1", start=NOW - 50, duration=9, tags={"url": "/cart/7"})])
    store.write([make_span(trace_id=2, span_id=n, service="s2", start=NOW - 40) for n in range(1, 6)])
    store.write([make_span(trace_id=3, service="s3", start=NOW - 30, tags={"error": True, "url": "/cart/8?x=1"})])
    store.write([make_span(trace_id=4, service="s4", start=NOW - 20, duration=0.01)])


@pytest.mark.parametrize(
    ("sort", "first"), [("", 4), ("recent", 4), ("longest", 1), ("shortest", 4), ("spans", 2), ("errors", 3)]
)
def test_sort_takes_the_first_of_all(url, ranked, sort, first):
    """`limit` cuts after sorting, not before, over every service if it is `*`."""
    assert ids(get(f"{url}/api/traces?service=*&limit=1&sort={sort}")) == [first]


def test_all_services_and_wildcards(url, ranked):
    """service=* is every one; `*` and `?` in a tag's value are wildcards."""
    search = url + "/api/traces"
    assert sorted(ids(get(search, params={"service": "*"}))) == [1, 2, 3, 4]
    assert sorted(ids(get(search, params={"service": "*", "tags": '{"url":"/cart/*"}'}))) == [1, 3]
    assert ids(get(search, params={"service": "*", "tag": "url:/cart/?"})) == [1]
    assert ids(get(search, params={"service": "*", "tag": "url:/cart/8?x=1"})) == [3]
    assert ids(get(search, params={"service": "*", "tag": "url:/cart/8\\?x=1"})) == [3]
    assert get(search + "?service=*&sort=size", 400)["errors"][0]["msg"].startswith("parameter 'sort' is one of")


# -- bounds --------------------------------------------------------------------------------------------------------------


def test_a_search_answers_with_no_more_traces_than_the_server_gives(serve, store, ranked):
    """max_limit caps what a client asks for."""
    url = serve(query_app(store, settings=QuerySettings(max_limit=2)))
    assert ids(get(url + "/api/traces?service=*&limit=1000")) == [4, 3]


def test_an_answer_that_grows_too_large_ends_and_says_so(serve, store, ranked):
    """At max_answer_bytes, with an error beside the traces that fit; one trace always fits."""
    url = serve(query_app(store, settings=QuerySettings(max_answer_bytes=500)))
    answer = get(url + "/api/traces?service=*")
    assert ids(answer) == [4]
    assert answer["errors"][0]["code"] == 413
    assert ids(get(url + "/api/traces?traceID=3&traceID=99&traceID=2")) == [3]


def test_a_trace_that_is_too_long_is_cut_and_says_so(serve, store, ranked):
    """At max_trace_spans, with a warning of the trace."""
    url = serve(query_app(store, settings=QuerySettings(max_trace_spans=3)))
    for path in ("/api/traces/2", "/api/traces?service=s2"):
        [trace] = get(url + path)["data"]
        assert len(trace["spans"]) == 3
        assert trace["warnings"] == ["this trace has more than 3 spans; the later ones are not shown"]
    assert get(url + "/api/traces/1")["data"][0]["warnings"] is None


@pytest.mark.parametrize(
    "settings", [{"max_limit": 0}, {"max_trace_spans": 0}, {"max_clock_skew": -1}, {"ui_config": "x.json"}]
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigurationError):
        QuerySettings(**settings)


def test_clock_skew_is_made_up_for_within_the_bound_that_is_set(serve, store, make_span):
    """Not unless asked for: the default warns only; raw leaves all as it is."""
    store.write([make_span(trace_id=1, start=NOW - 30, duration=1)])
    store.write([make_span(trace_id=1, span_id=2, parent_id=1, service="other", start=NOW - 40, duration=0.5)])
    for most, begins in ((0, NOW - 40), (60, NOW - 29.75)):
        url = serve(query_app(store, settings=QuerySettings(max_clock_skew=most)))
        [trace] = get(url + "/api/traces/1")["data"]
        child = next(span for span in trace["spans"] if span["spanID"].endswith("2"))
        assert child["startTime"] == begins * 1e6
        assert len(child["warnings"]) == 1
        [raw] = get(url + "/api/traces/1?raw=true")["data"]
        assert all(span["warnings"] is None for span in raw["spans"])


# -- on the wire ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br, gzip;q=0.5", "gzip"), ("identity", None), ("gzip;q=0", None), ("", None)],
)
def test_large_answers_are_compressed_for_those_who_take_it(url, store, make_span, accepted, coding):
    """Small ones never; every answer says that it depends on what is accepted."""
    store.write(make_span(trace_id=7, span_id=n, start=NOW - 10) for n in range(1, 200))
    response = requests.get(url + "/api/traces/7", headers={"Accept-Encoding": accepted}, timeout=30)
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert len(response.json()["data"][0]["spans"]) == 199
    small = requests.get(url + "/api/services", headers={"Accept-Encoding": "gzip"}, timeout=30)
    assert "content-encoding" not in small.headers


def test_many_traces_by_id(url, store, make_span):
    """Stored, archived and missing ones in one request, in the order asked for, each once."""
    store.write([make_span(trace_id=n, start=NOW - 100) for n in range(1, 40)])
    store.archive(5)
    store.logstore.delete_before(NOW)
    store.write([make_span(trace_id=n, start=NOW + 5) for n in range(100, 110)])
    wanted = [109, 5, 999, 100, 6, 5, 105]
    answer = get(url + "/api/traces?" + "&".join(f"traceID={n:x}" for n in wanted))
    assert ids(answer) == [109, 5, 100, 105]
    assert [int(error["traceID"], 16) for error in answer["errors"]] == [999, 6]


def test_questions_at_once_all_get_their_answers(url, calls):
    """More of them than there are workers."""
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: ids(get(url + "/api/traces?service=front")), range(48)))
    assert answers == [[1]] * 48
