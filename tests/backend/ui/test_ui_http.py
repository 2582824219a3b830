"""The pages over HTTP, without a browser: addresses, statuses, files, what they make of odd requests."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest
import requests

from sls_tracing.backend.all_in_one import AllInOne, all_in_one_in_background


@pytest.fixture(scope="module")
def backend():
    with all_in_one_in_background() as backend:
        spans = [
            {
                "traceId": "00000000000000ab", "id": "0000000000000001", "name": "a<b", "timestamp": 1_700_000_000_000_000, "duration": 5000,
                "localEndpoint": {"serviceName": "svc"}, "tags": {"q": "=1+1", "error": "true"},
            },
            {
                "traceId": "00000000000000ab", "id": "0000000000000002", "parentId": "0000000000000001", "name": "child",
                "timestamp": 1_700_000_000_001_000, "duration": 1000, "localEndpoint": {"serviceName": "other"},
            },
        ]  # fmt: skip
        assert requests.post(backend.zipkin_url, json=spans, timeout=10).ok
        assert backend.flush()
        yield backend


def get(backend, path, **options):
    return requests.get(backend.query_url + path, timeout=30, **options)


def test_pages_work_below_a_base_path():
    """Behind a proxy that passes /jaeger on, every link and file lies below it."""

    async def texts(*paths):
        async with AllInOne(
            base_path="/jaeger", agent_compact_port=0, agent_binary_port=0, query_port=0, collector_port=0, zipkin_port=0,
            otlp_port=0, sampling_port=0, admin_port=0,
        ) as backend:  # fmt: skip
            return [
                (await asyncio.to_thread(requests.get, backend.query_url + path, timeout=30)).text for path in paths
            ]

    with ThreadPoolExecutor(1) as executor:
        found = executor.submit(
            asyncio.run, texts("/search?lookback=all", "/dependencies", "/analyse", "/upload")
        ).result()
    for text in found:
        links = [
            value
            for _, attributes in elements(text)
            for name, value in attributes.items()
            if name in ("href", "src", "action", "data-operations") and value.startswith("/")
        ]
        assert len(links) > 10
        assert all(link.startswith("/jaeger/") for link in links)
        assert 'aria-current="page"' in text


def elements(text):
    """Every element of a page and its attributes, as a browser reads them."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(text)
    return found


def test_the_first_page_is_the_search(backend):
    answer = get(backend, "/")
    assert answer.url.endswith("/search?lookback=1h")
    assert answer.ok


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/trace?id=%20AB%20", 200),
        ("/trace?id=nonsense", 400),
        ("/trace/ab?view=nonsense", 200),
        ("/trace/ab?from=-1", 400),
        ("/trace/ab?from=99999", 200),
        ("/trace/ab?span=nonsense", 200),
        ("/trace/ac", 404),
        ("/trace/ab/spans/0000000000000001", 200),
        ("/trace/ab/spans/0000000000000003", 404),
        ("/trace/ac/spans/0000000000000001", 404),
        ("/trace/ab/json", 200),
        ("/trace/ac/json", 404),
        ("/trace/file-0123", 404),
        ("/search?service=svc&lookback=nonsense", 400),
        ("/search?service=svc&start=nonsense", 400),
        ("/search?service=svc&lookback=all&limit=0", 400),
        ("/search?service=svc&lookback=all&minDuration=2s&maxDuration=1s", 400),
        ("/search?service=svc&lookback=all&tags=a%3D%22", 400),
        ("/search?service=svc&lookback=all&tags=%7B1", 400),
        ("/compare?id=ab&id=nonsense", 200),
        ("/dependencies?lookback=nonsense", 200),
        ("/analyse?query=*&from=9&to=1", 200),
        ("/analyse?analysis=nonsense", 200),
        ("/analyse?query=*&chart=nonsense&time=nonsense", 200),
        ("/dashboard?time=nonsense", 200),
        ("/static/ui/0/../pages.py", 404),
        ("/static/ui/0/%2e%2e%2fpages.py", 404),
        ("/favicon.ico", 200),
    ],
)
def test_odd_requests_have_a_status_and_a_page(backend, path, status):
    """Nothing that an address says ends in a 500; what cannot be read is said or left out."""
    assert get(backend, path).status_code == status


def test_jaegers_address_of_two_traces_compares_them(backend):
    answer = get(backend, "/trace/ab...ac")
    assert answer.url.endswith("/compare?id=ab&id=ac")
    assert "There is no trace ac" in answer.text


def test_files_may_be_kept_for_ever_and_pages_may_not(backend):
    """The path of a file has the hash of all files: a new version has new paths."""
    page = get(backend, "/search")
    assert page.headers["Cache-Control"] == "no-store"
    path = re.search(r'href="(/static/ui/[0-9a-f]+/base.css)"', page.text)[1]
    assert "immutable" in get(backend, path).headers["Cache-Control"]
    assert "immutable" not in get(backend, "/static/ui/000000000000/base.css").headers["Cache-Control"]


def test_large_answers_are_compressed_if_that_is_wanted(backend):
    path = "/dashboard?time=all"
    assert get(backend, path).headers.get("Content-Encoding") == "gzip"
    assert "Content-Encoding" not in get(backend, path, headers={"Accept-Encoding": "identity"}).headers


def test_a_spreadsheet_takes_no_value_for_a_formula(backend):
    """What services write into tags may begin with an equals sign."""
    text = get(backend, "/analyse?query=*&time=all&format=csv").text
    assert "'=1+1" in text
    assert ",=1+1" not in text


def test_data_in_a_page_cannot_end_its_element(backend):
    """The timeline's data holds names as JSON without the characters that mean something in HTML."""
    text = get(backend, "/trace/ab").text
    data = re.search(r'<script type="application/json" data-spans>(.*?)</script>', text)[1]
    assert "<" not in data
    assert json.loads(data)["operations"] == ["a<b", "child"]
    assert json.loads(data) == get(backend, "/trace/ab/timeline").json()


def test_files_with_traces(backend):
    """Jaeger's JSON and OTLP's open; each trace has an address; a file that is none says why."""

    def post(body, **headers):
        return requests.post(f"{backend.query_url}/upload", data=body, headers=headers, timeout=30)

    opened = post(get(backend, "/api/traces/ab").content)
    (trace,) = opened.json()["traces"]
    assert trace["spans"] == "2 spans"
    shown = get(backend, trace["path"])
    assert "a&lt;b" in shown.text
    assert get(backend, trace["path"] + "/json").json()["data"][0]["traceID"] == "00000000000000ab"
    span = {
        "traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "name": "n",
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000",
    }  # fmt: skip
    assert post(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})).status_code == 200
    bad = b'{"data": [{"spans": [1]}]}', b'{"data": [{"spans": []}]}', b'{"resourceSpans": 1}'
    for body in (b"", b"no", b"{}", b"[1]", *bad):
        refused = post(body)
        assert refused.status_code == 400, body
        assert refused.json()["problem"]
    form = post({"json": get(backend, "/api/traces/ab").text})
    assert form.url.startswith(f"{backend.query_url}/trace/file-")
