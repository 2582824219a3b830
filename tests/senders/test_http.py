"""Thrift over HTTP to a collector that works: requests, credentials, connections, sizes. It is a real server on loopback."""

from __future__ import annotations

import base64

import pytest

from sls_tracing.model import LogRecord, Process
from sls_tracing.senders import HTTPSender
from sls_tracing.suppression import suppressed
from sls_tracing.thrift.decoding import decode_batch


def spans_of(collector):
    return [span for request in collector.requests for span in decode_batch(request.body).spans]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_spans_arrive_as_they_are(collector, make, make_span, counts):
    """A bare Batch in the binary protocol, as application/x-thrift; 202 is success."""
    records = [make_span(number) for number in range(1, 31)]
    assert make(HTTPSender, collector.url).send(records) == 30
    (request,) = collector.requests
    assert request.headers["content-type"] == "application/x-thrift"
    assert decode_batch(request.body).spans == records
    assert decode_batch(request.body).process == records[0].process
    assert counts.snapshot() == {}


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_success(collector, make, make_span, status):
    collector.always = status
    assert make(HTTPSender, collector.url).send([make_span()]) == 1


URLS = {
    "": "/api/traces?format=jaeger.thrift",
    "/": "/api/traces?format=jaeger.thrift",
    "/api/traces": "/api/traces?format=jaeger.thrift",
    "/jaeger/in": "/jaeger/in?format=jaeger.thrift",
    "/api/traces?tenant=7": "/api/traces?tenant=7",
    "/api/traces#part": "/api/traces?format=jaeger.thrift",
    "/adapt_abc123@hash_abc123@hash/api/traces": "/adapt_abc123@hash_abc123@hash/api/traces?format=jaeger.thrift",
    "/adapt_abc123@hash_abc123@hash": "/adapt_abc123@hash_abc123@hash/api/traces?format=jaeger.thrift",
}


@pytest.mark.parametrize("given", URLS)
def test_what_a_url_lacks_is_added(collector, make, make_span, given):
    """And what it has goes out as it is written, a token with @ and _ too."""
    make(HTTPSender, collector.url + given).send([make_span()])
    assert collector.requests[0].path == URLS[given]


CREDENTIALS = {
    "none": ({}, None),
    "token": ({"token": "t0ken"}, "Bearer t0ken"),
    "user": ({"user": "u", "password": "p:ü"}, "Basic " + base64.b64encode("u:p:ü".encode()).decode()),
    "no password": ({"user": "u"}, "Basic " + base64.b64encode(b"u:").decode()),
    "header": ({"headers": {"Authorization": "ApiKey 1"}}, "ApiKey 1"),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_credentials_go_out_as_set_and_none_from_netrc(collector, make, make_span, kind, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login stranger password stranger\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    options, expected = CREDENTIALS[kind]
    make(HTTPSender, collector.url, **options).send([make_span()])
    assert collector.requests[0].headers.get("authorization") == expected


def test_a_user_in_the_url_is_basic_authentication(collector, make, make_span):
    make(HTTPSender, collector.url.replace("//", "//us%40er:pa%2Fss@")).send([make_span()])
    assert collector.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"us@er:pa/ss").decode()


def test_headers_are_added_and_nothing_traces_the_request(collector, make, make_span, monkeypatch):
    """A sidecar finds `b3: 0`; instrumentation of requests finds the mark of suppression."""
    import requests

    seen = []
    post = requests.Session.post
    monkeypatch.setattr(
        requests.Session, "post", lambda *args, **options: seen.append(suppressed()) or post(*args, **options)
    )
    make(HTTPSender, collector.url, headers={"X-Tenant": "seven"}).send([make_span()])
    headers = collector.requests[0].headers
    assert (headers["x-tenant"], headers["b3"]) == ("seven", "0")
    assert seen == [True]
    assert not suppressed()
    assert not {"accept", "cookie", "traceparent", "content-encoding"} & set(headers)


def test_compression_is_offered(collector, make, make_span):
    make(HTTPSender, collector.url, compress=True).send([make_span()])
    (request,) = collector.requests
    assert request.headers["content-encoding"] == "gzip"
    assert request.sent[:2] == b"\x1f\x8b"
    assert spans_of(collector) == [make_span()]


def test_connections_are_kept(collector, make, make_span):
    """All batches come over one connection, whatever is answered."""
    sender = make(HTTPSender, collector.url)
    collector.answers = [202, 200, 400, collector.saying(400, b"why" * 10_000), collector.saying(202, b"taken")]
    for _ in range(7):
        sender.send([make_span()])
    assert len(collector.requests) == 7
    assert len({request.port for request in collector.requests}) == 1


def test_cookies_and_proxies_do_not_come_between(collector, make, make_span, monkeypatch):
    """No proxy of the process is asked for a loopback address."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for host in ("127.0.0.1", "localhost"):
        assert make(HTTPSender, f"http://{host}:{collector.port}").send([make_span()]) == 1


def test_any_other_host_is_reached_through_the_proxy_within_the_same_bounds(collector, make, make_span, monkeypatch):
    monkeypatch.setenv("http_proxy", collector.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = "http://collector.invalid:14268/adapt_a@b_c@d/api/traces"
    assert make(HTTPSender, url, retry_for=0).send([make_span()]) == 1
    assert collector.requests[0].path == (
        "http://collector.invalid:14268/adapt_a@b_c@d/api/traces?format=jaeger.thrift"
    )
    collector.answers = [collector.dripping(b"HTTP/1.1 202 Accepted\r\nA: ")]
    assert make(HTTPSender, url, timeout=0.3, retry_for=0).send([make_span()]) == 0


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_batches_are_full_and_never_larger(collector, make, make_span):
    """10,000 bytes at most, each as full as it can be, and every span once, in order."""
    records = [make_span(number, tags={"x": "y" * (number * 37 % 900)}) for number in range(1, 200)]
    assert make(HTTPSender, collector.url, max_batch_bytes=10_000).send(records) == 199
    sizes = [len(request.body) for request in collector.requests]
    assert max(sizes) <= 10_000
    assert min(sizes[:-1]) > 8_800
    assert spans_of(collector) == records


def test_a_span_of_1_mb_arrives_trimmed_and_marked_and_its_neighbours_whole(collector, make, make_span, counts):
    logs = [LogRecord(1_600_000_000.3, {"event": "x" * 100})]
    large = make_span(2, tags={"body": "y" * 1_100_000}, logs=logs)
    assert make(HTTPSender, collector.url).send([make_span(1), large, make_span(3)]) == 3
    first, trimmed, last = spans_of(collector)
    assert (first, last) == (make_span(1), make_span(3))
    assert trimmed.tags == {"body": "y" * 8192, "sls.trimmed": True}
    assert trimmed.logs in ((), [])
    assert counts.snapshot() == {"sender_spans_trimmed": 1}


def test_what_cannot_be_trimmed_or_encoded_costs_itself_only(collector, make, make_span, counts):
    huge = make_span(2, tags={f"tag-{number}": "x" * 40 for number in range(1000)})
    broken = make_span(3, start_time=float("nan"))
    sender = make(HTTPSender, collector.url, max_batch_bytes=16_384)
    assert sender.send([make_span(1), huge, broken, make_span(4)]) == 2
    assert [span.context.span_id for span in spans_of(collector)] == [1, 4]
    assert counts.snapshot() == {"sender_spans_too_large": 1, "sender_spans_unencodable": 1}


def test_a_process_too_large_for_half_a_batch_is_cut(collector, make, make_span):
    process = Process("productpage", {"env": "x" * 20_000})
    assert make(HTTPSender, collector.url, max_batch_bytes=16_384).send([make_span(process=process)]) == 1
    assert decode_batch(collector.requests[0].body).process.tags == {"env": "x" * 2048}


def test_a_batch_that_the_server_finds_too_large_goes_in_halves_and_later_ones_are_smaller(
    collector, make, make_span, counts
):
    """413 for everything above 30,000 bytes: nothing is lost, nothing comes twice, and the next call meets no 413."""
    refused = []

    def limit(handler):
        size = int(handler.headers["Content-Length"])
        if size > 30_000:
            refused.append(collector.requests.pop())
        collector.answer(handler, 413 if size > 30_000 else 202)

    collector.always = limit
    records = [make_span(number, tags={"x": "y" * 800}) for number in range(1, 101)]
    sender = make(HTTPSender, collector.url)
    assert sender.send(records) == 100
    assert spans_of(collector) == records
    assert refused
    before = len(refused)
    assert sender.send(records) == 100
    assert len(refused) == before
    numbers = [decode_batch(request.body).seq_no for request in collector.requests]
    assert numbers == list(range(1, len(numbers) + 1)), "an agent must not take refused batches for lost ones"
    assert counts.snapshot() == {}


def test_a_lone_span_that_the_server_finds_too_large_is_trimmed(collector, make, make_span, counts):
    collector.answers = [413]
    assert make(HTTPSender, collector.url).send([make_span(tags={"x": "y" * 50_000})]) == 1
    assert decode_batch(collector.requests[1].body).spans[0].tags == {"x": "y" * 8192, "sls.trimmed": True}
    assert counts.snapshot() == {"sender_spans_trimmed": 1}


def test_a_server_that_finds_everything_too_large_is_not_asked_for_ever(collector, make, make_span, counts):
    collector.always = 413
    records = [make_span(number, tags={"x": "y" * 800}) for number in range(1, 101)]
    assert make(HTTPSender, collector.url).send(records) == 0
    assert len(collector.requests) < 20
    assert counts.get("sender_spans_too_large") == 100
