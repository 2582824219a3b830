from __future__ import annotations

import json
import time
from contextlib import closing

import pytest
import requests

from sls_tracing.backend.query_api import query_app
from sls_tracing.log_service import open_trace_store

NOW = time.time()


@pytest.fixture
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


@pytest.fixture
def url(store, serve):
    return serve(query_app(store))


@pytest.fixture
def bookinfo(store, make_span):
    """Three traces: a wide one of two services, one whose service has a slash in its name, an old one."""
    wide = {"trace_id": 0xA << 64 | 1, "start": NOW - 30}
    store.write(
        [
            make_span("GET /productpage", service="productpage", tags={"span.kind": "server", "b": 1, "a": 2}, **wide),
            make_span(
                "GET /reviews",
                service="reviews",
                span_id=2,
                parent_id=1,
                tags={"span.kind": "server"},
                duration=2,
                **wide,
            ),
            make_span("get", service="a/b%2Fc d+é", trace_id=2, start=NOW - 20, tags={"error": True, "big": 2**60}),
            make_span(
                "GET /productpage", service="productpage", trace_id=3, start=NOW - 40, tags={"http.status_code": 500}
            ),
            make_span("GET /old", service="productpage", trace_id=4, start=NOW - 3 * 86400),
        ]
    )


def get(url, status=200, **options):
    response = requests.get(url, timeout=30, **options)
    assert response.status_code == status, response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    return response


def ids(response):
    return sorted(int(trace["traceID"], 16) for trace in response.json()["data"])


def test_an_empty_store(url):
    """Lists are empty, never null; the envelope has Jaeger's five members."""
    response = get(url + "/api/services")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"data": [], "total": 0, "limit": 0, "offset": 0, "errors": None}
    assert get(url + "/api/services/none/operations").json()["data"] == []
    assert get(url + "/api/operations?service=none").json()["data"] == []
    assert get(url + "/api/traces?service=none").json()["data"] == []


def test_services(url, bookinfo):
    """All services ever seen, with their number."""
    answer = get(url + "/api/services").json()
    assert sorted(answer["data"]) == ["a/b%2Fc d+é", "productpage", "reviews"]
    assert answer["total"] == 3


def test_operations(url, bookinfo):
    """The old form gives unique names, the new one name and kind; the kind filters."""
    answer = get(url + "/api/services/productpage/operations").json()
    assert (sorted(answer["data"]), answer["total"]) == (["GET /old", "GET /productpage"], 2)
    answer = get(url + "/api/operations?service=productpage&spanKind=server").json()
    assert answer["data"] == [{"name": "GET /productpage", "spanKind": "server"}]
    assert get(url + "/api/operations?service=productpage&spanKind=client").json()["data"] == []
    kinds = get(url + "/api/operations?service=productpage").json()["data"]
    assert {"name": "GET /old", "spanKind": ""} in kinds


def test_a_service_is_found_by_its_encoded_name(url, bookinfo, store, make_span):
    """Slashes, percent signs, blanks, line ends and letters of any alphabet in a service's name reach the store as they are."""
    encoded = requests.utils.quote("a/b%2Fc d+é", safe="")
    assert get(f"{url}/api/services/{encoded}/operations").json()["data"] == ["get"]
    store.write([make_span("op", service="two\nlines\n")])
    assert get(f"{url}/api/services/two%0Alines%0A/operations").json()["data"] == ["op"]


def test_a_trace_by_id(url, bookinfo):
    """Any case, with or without leading zeros; the answer is a list of one trace."""
    for text in ("a0000000000000001", "A0000000000000001", "000000000000000a0000000000000001"):
        [trace] = get(f"{url}/api/traces/{text}").json()["data"]
        assert trace["traceID"] == "000000000000000a0000000000000001"
        assert len(trace["spans"]) == len(trace["processes"]) == 2
    child = next(span for span in trace["spans"] if span["spanID"].endswith("2"))
    assert child["references"][0]["spanID"] == "0000000000000001"
    assert child["duration"] == 2_000_000
    assert child["startTime"] == pytest.approx((NOW - 30) * 1e6, abs=1)


def test_big_integers_arrive_as_text(url, bookinfo):
    """A number that JavaScript would round is sent as text of type int64."""
    [trace] = get(url + "/api/traces/2").json()["data"]
    assert {"key": "big", "type": "int64", "value": str(2**60)} in trace["spans"][0]["tags"]
    assert {"key": "error", "type": "bool", "value": True} in trace["spans"][0]["tags"]


def test_raw_and_pretty_print(url, bookinfo, store, make_span):
    """raw=true leaves out the adjusters; prettyPrint indents by four."""
    store.write([make_span(trace_id=9, span_id=2, parent_id=1, start=NOW)])
    [adjusted] = get(url + "/api/traces/9").json()["data"]
    [raw] = get(url + "/api/traces/9?raw=true").json()["data"]
    assert "invalid parent span IDs" in adjusted["spans"][0]["warnings"][0]
    assert raw["spans"][0]["warnings"] is None
    pretty = get(url + "/api/traces/9?prettyPrint=true").text
    assert '\n    "data": [\n        {\n' in pretty
    assert json.loads(pretty) == get(url + "/api/traces/9?prettyPrint=false").json()


def test_an_unknown_trace_is_404(url, bookinfo):
    """With the error envelope, as text/plain with a line's end: what Go's http.Error sends."""
    for text in ("ffff", "0"):
        response = get(f"{url}/api/traces/{text}", 404)
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.text.endswith("}\n")
        assert response.json() == {
            "data": None,
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": [{"code": 404, "msg": "trace not found"}],
        }


@pytest.mark.parametrize(
    "path",
    [
        "/api/traces/xyz",
        "/api/traces/" + "0" * 33,
        "/api/traces/1?start=x",
        "/api/traces",
        "/api/traces?service=",
        "/api/traces?service=a&limit=x",
        "/api/traces?service=a&minDuration=5",
        "/api/traces?service=a&tag=x",
        "/api/traces?traceID=xyz",
        "/api/operations",
    ],
)
def test_a_bad_parameter_is_400(url, path):
    """The envelope says which parameter, and what was expected."""
    answer = get(url + path, 400).json()
    assert answer["data"] is None
    assert answer["errors"][0]["code"] == 400
    assert answer["errors"][0]["msg"]


def search(url, **parameters):
    return ids(get(url + "/api/traces", params={"service": "productpage", **parameters}))


def test_search(url, bookinfo):
    """Every condition narrows; times are microseconds; the default looks back 48 hours; lookback is ignored."""
    wide = 0xA << 64 | 1
    assert search(url) == [3, wide]
    assert search(url, lookback="1h") == [3, wide]
    assert search(url, start=0) == [3, 4, wide]
    assert search(url, start=int((NOW - 35) * 1e6)) == [wide]
    assert search(url, end=int((NOW - 35) * 1e6)) == [3]
    assert search(url, operation="GET /nothing") == []
    assert search(url, operation="GET /old", start=0) == [4]
    assert search(url, limit=1) == [wide]
    assert search(url, service="reviews", minDuration="1.5s") == [wide]
    assert search(url, service="reviews", maxDuration="1500ms") == []
    assert search(url, tag="http.status_code:500") == [3]
    assert search(url, tags='{"http.status_code":"500"}') == [3]
    assert search(url, tags='{"http.status_code":"404"}') == []
    assert search(url, service="a/b%2Fc d+é", tags='{"error":"true"}') == [2]


def test_all_conditions_hold_on_one_span(url, bookinfo):
    """The reviews span lasts two seconds, but productpage was asked for."""
    assert search(url, minDuration="1.5s") == []


def test_search_answers_whole_traces(url, bookinfo):
    """A search finds spans and answers with the traces that they are in."""
    [trace] = get(url + "/api/traces?service=reviews").json()["data"]
    assert len(trace["spans"]) == 2


def test_search_by_trace_ids(url, bookinfo):
    """No service is needed; missing traces are errors beside the found ones, with status 200."""
    answer = get(url + "/api/traces?traceID=2&traceID=ffff&traceID=3").json()
    assert [trace["traceID"] for trace in answer["data"]] == ["0000000000000002", "0000000000000003"]
    assert answer["errors"] == [{"msg": "trace not found", "traceID": "000000000000ffff"}]


def test_unknown_paths(url):
    """Under /api/ the envelope with 404 or 405, elsewhere words: a UI must never take a page for data."""
    assert get(url + "/api/nothing", 404).json()["errors"][0]["code"] == 404
    assert get(url + "/api/v3/nothing", 404).json()["error"]["httpCode"] == 404
    response = requests.post(url + "/api/traces", timeout=30)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert response.json()["errors"][0]["code"] == 405
    assert get(url + "/nothing", 404).text == "Not Found\n"


def test_health(url):
    """200 while it serves."""
    assert requests.get(url + "/healthz", timeout=30).json() == {"status": "ok"}


def test_the_ui_address_of_a_trace(url, store, make_span):
    """/trace/{id}, which Jaeger's UI and links in logs use, leads to the trace's page; a service named like a script shows as text."""
    store.write([make_span(service="<script>alert(1)</script>&\"'", trace_id=2, start=NOW)])
    response = get(url + "/trace/2")
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert(1)" in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


class Broken:
    """A store whose every question fails."""

    def __getattr__(self, name):
        def fail(*args):
            raise OSError("secret://user:password@host")

        return fail


def test_a_failing_store_is_500(serve):
    """The envelope with 500 and no word of what the store said; the server goes on."""
    url = serve(query_app(Broken()))
    for path in ("/api/services", "/api/traces?service=a", "/api/traces/1"):
        response = get(url + path, 500)
        assert response.json()["errors"][0]["code"] == 500
        assert "password" not in response.text
    assert requests.get(url + "/", timeout=30).status_code == 500
    assert requests.get(url + "/healthz", timeout=30).status_code == 200
