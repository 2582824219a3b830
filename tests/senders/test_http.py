"""Thrift over HTTP, to collectors that work and to those that do not. All of them are real servers on loopback."""

from __future__ import annotations

import base64
import email.utils
import logging
import os
import ssl
import threading
import time

import pytest

from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.model import LogRecord, Process
from sls_tracing.reporters import BatchingReporter
from sls_tracing.senders import HTTPSender
from sls_tracing.senders.http_poster import _seconds
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
    sender = make(HTTPSender, "http://collector.invalid:14268/adapt_a@b_c@d/api/traces", timeout=0.3, retry_for=0)
    assert sender.send([make_span()]) == 1
    assert collector.requests[0].path == (
        "http://collector.invalid:14268/adapt_a@b_c@d/api/traces?format=jaeger.thrift"
    )
    collector.answers = [collector.dripping(b"HTTP/1.1 202 Accepted\r\nA: ")]
    assert sender.send([make_span()]) == 0


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


# -- servers that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_and_sent_once(collector, make, make_span, counts, no_pauses, status):
    collector.answers = [status, status]
    assert make(HTTPSender, collector.url).send([make_span()]) == 1
    assert len(collector.requests) == 3
    assert len({request.body for request in collector.requests}) == 1, "the same batch with the same number"
    assert counts.snapshot() == {"sender_http_retries": 2}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_what_will_not_pass_is_not_tried_again(collector, make, make_span, counts, caplog, status):
    """The log says what the server said, once."""
    collector.answers = [collector.saying(status, b"no\nway\x00")] * 2
    sender = make(HTTPSender, collector.url)
    with caplog.at_level(logging.INFO):
        assert sender.send([make_span(1), make_span(2)]) == 0
        assert sender.send([make_span(3)]) == 0
        assert sender.send([make_span(4)]) == 1
    assert len(collector.requests) == 3
    assert counts.snapshot() == {"sender_spans_failed": 3}
    failed, recovered = (record.getMessage() for record in caplog.records)
    assert f"lost 2 span(s), failed: {collector.url}/api/traces: status {status}: no way" in failed
    assert recovered == f"spans go out to {collector.url}/api/traces again"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(collector, start_collector, make, make_span, caplog, status):
    """It would carry spans and credentials elsewhere."""
    elsewhere = start_collector()
    collector.answers = [collector.saying(status, b"x" * 100_000, Location=elsewhere.url)]
    assert make(HTTPSender, collector.url, token="secret-token").send([make_span()]) == 0
    assert elsewhere.requests == []
    assert "set the URL that it leads to" in caplog.text


def test_a_refused_connection_is_tried_until_somebody_listens(start_collector, free_port_later, make, make_span, counts):
    """Spans of a service that starts before its collector are not lost."""
    port = free_port_later
    sender = make(HTTPSender, f"http://127.0.0.1:{port}")
    sent = []
    thread = threading.Thread(target=lambda: sent.append(sender.send([make_span()])))
    thread.start()
    time.sleep(0.05)
    collector = start_collector(port=port)
    thread.join(20)
    assert sent == [1]
    assert spans_of(collector) == [make_span()]
    assert counts.get("sender_spans_failed") == 0


@pytest.fixture
def free_port_later():
    import socket

    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    return port


def test_a_connection_that_is_cut_before_the_answer_is_tried_again(collector, make, make_span, counts, no_pauses):
    """The server may have taken the batch, so this is the one case in which spans can arrive twice."""
    collector.answers = [collector.cutting]
    assert make(HTTPSender, collector.url).send([make_span()]) == 1
    assert len(collector.requests) == 2
    assert counts.snapshot() == {"sender_http_retries": 1}


def test_a_kept_connection_that_the_server_closed_meanwhile_costs_nothing(collector, make, make_span, counts, wait_until):
    closed = threading.Event()

    def answer_and_close(handler):
        collector.answer(handler, 202)
        handler.close_connection = True
        handler.connection.shutdown(2)
        closed.set()

    collector.answers = [answer_and_close]
    sender = make(HTTPSender, collector.url)
    assert sender.send([make_span(1)]) == 1
    assert closed.wait(20)
    assert sender.send([make_span(2)]) == 1
    assert len(collector.requests) == 2
    assert counts.snapshot() == {}


SLOW = {
    "silent": (b"", b""),
    "slow status line": (b"HTTP/1.1 202 ", b"x"),
    "slow header": (b"HTTP/1.1 202 Accepted\r\nA: ", b"x"),
    "endless header lines": (b"HTTP/1.1 202 Accepted\r\n", b"A: b\r\n"),
    "slow 100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_slow_answer_is_given_up_when_the_time_is_over(collector, make, make_span, counts, caplog, kind):
    """A byte every 50 ms never meets a timeout between reads; the limit holds for the whole exchange."""
    collector.answers = [collector.dripping(*SLOW[kind])]
    assert make(HTTPSender, collector.url, timeout=0.3, retry_for=0).send([make_span()]) == 0
    assert counts.get("sender_spans_failed") == 1
    assert "no complete answer within 0.3 seconds" in caplog.text


@pytest.mark.parametrize("length", [b"", b"Content-Length: 10000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_endless_body_after_a_success_is_a_success(collector, make, make_span, counts, length):
    """The batch was taken; sending it again would double it. The next batch gets a new connection."""
    collector.answers = [collector.dripping(b"HTTP/1.1 202 Accepted\r\n" + length + b"\r\n")]
    sender = make(HTTPSender, collector.url, timeout=0.3)
    assert sender.send([make_span(1)]) == 1
    assert sender.send([make_span(2)]) == 1
    assert len(collector.requests) == 2
    assert counts.snapshot() == {}


def test_a_flood_after_a_success_is_not_read(collector, make, make_span):
    def flood(handler):
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 202 Accepted\r\n\r\n")
        while not collector.released.is_set():
            handler.wfile.write(b"x" * 65_536)

    collector.answers = [flood]
    assert make(HTTPSender, collector.url, timeout=60).send([make_span()]) == 1


@pytest.mark.parametrize("garbage", [b"\x00\xff" * 300 + b"\r\n\r\n", b"HTTP/1.1 99999 no\r\n\r\n", b"A" * 100_000, b"\r\n"])
def test_garbage_for_an_answer_is_a_failure(collector, make, make_span, counts, garbage):
    def script(handler):
        handler.close_connection = True
        handler.wfile.write(garbage)

    collector.answers = [script]
    assert make(HTTPSender, collector.url, retry_for=0).send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_a_server_that_never_reads_is_given_up(make, make_span, counts):
    """Sending is bounded as well: 8 MB do not fit into the buffers between us and a server that takes nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sender = make(HTTPSender, url, timeout=0.3, retry_for=0, max_batch_bytes=16 << 20)
        records = [make_span(number, tags={"x": "y" * 80_000}) for number in range(1, 101)]
        assert sender.send(records) == 0
    assert counts.snapshot() == {"sender_spans_failed": 100}


def test_an_unknown_host_costs_the_spans_and_nothing_else(make, make_span, counts, caplog):
    """Not the construction, and no exception."""
    sender = make(HTTPSender, "http://collector.invalid:14268", retry_for=0)
    assert sender.send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}
    assert "http://collector.invalid:14268/api/traces: " in caplog.text


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_the_time_for_retries_is_bounded(collector, make, make_span, counts, monkeypatch):
    """Pauses grow until the next would end too late; then the batch is given up."""
    monkeypatch.setattr("sls_tracing.senders.http_poster.FIRST_PAUSE", 0.02)
    collector.always = 503
    assert make(HTTPSender, collector.url, retry_for=0.2).send([make_span()]) == 0
    assert 2 <= len(collector.requests) <= 5
    assert counts.get("sender_spans_failed") == 1


def test_retry_after_is_obeyed(collector, make, make_span, no_pauses):
    """The second attempt comes no earlier than asked."""
    times = []

    def later(handler):
        times.append(time.monotonic())
        collector.answer(handler, 429, Retry_After="1")

    def now(handler):
        times.append(time.monotonic())
        collector.answer(handler, 202)

    collector.answers = [later, now]
    assert make(HTTPSender, collector.url).send([make_span()]) == 1
    assert times[1] - times[0] >= 1


def test_a_retry_after_beyond_the_bound_gives_up_at_once_and_holds_for_the_next_batch(
    collector, make, make_span, counts, caplog
):
    """The server asked for a pause; neither this batch nor the next one bothers it before."""
    collector.answers = [collector.saying(503, b"", Retry_After="3600")]
    sender = make(HTTPSender, collector.url)
    assert sender.send([make_span(1)]) == 0
    assert sender.send([make_span(2)]) == 0
    assert len(collector.requests) == 1
    assert counts.snapshot() == {"sender_spans_failed": 2}


def test_a_server_that_is_down_gets_no_burst(collector, make, make_span):
    """The pause belongs to the server: a batch that comes within it, and cannot wait, is lost without a request."""
    collector.always = 503
    sender = make(HTTPSender, collector.url, retry_for=0)
    for number in range(1, 11):
        sender.send([make_span(number)])
    assert len(collector.requests) == 1


def test_what_retry_after_may_say():
    """Seconds, or a date; anything else says nothing."""
    assert _seconds("120") == 120
    assert _seconds(" 0 ") == 0
    assert _seconds("9" * 1000) >= 300
    soon = _seconds(email.utils.formatdate(time.time() + 100, usegmt=True))
    assert 50 < soon <= 100
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for nothing in (None, "", "-1", "soon", "1e3", "٣", "1.5", "Wed, 99 Oct 2015 07:28:00 GMT"):
        assert _seconds(nothing) is None


# -- the end -----------------------------------------------------------------------------------------------------------


def test_after_close_nothing_can_be_sent(collector, make, make_span, counts):
    """send raises SenderError and counts nothing, so that the reporter counts."""
    sender = make(HTTPSender, collector.url)
    sender.send([make_span()])
    sender.close()
    sender.close()
    with pytest.raises(SenderError):
        sender.send([make_span()])
    assert counts.snapshot() == {}


@pytest.mark.parametrize("fault", ["refused", "silent", "dripping", "503", "retry-after"])
def test_close_with_a_dead_collector_returns_within_its_timeout(collector, free_port, make_span, counts, fault):
    """Whatever the reporter's thread is in, and even if many batches wait. What was lost is counted."""
    url = collector.url
    if fault == "refused":
        url = f"http://127.0.0.1:{free_port}"
    elif fault in ("silent", "dripping"):
        collector.always = collector.dripping(b"", b"" if fault == "silent" else b"HTTP")
    elif fault == "retry-after":
        collector.always = collector.saying(503, b"", Retry_After="20")
    else:
        collector.always = 503
    sender = HTTPSender(url, timeout=60, retry_for=60, counters=counts)
    reporter = BatchingReporter(sender, max_batch_size=10, counters=counts)
    before = threading.active_count()
    for number in range(1, 101):
        reporter.report(make_span(number))
    started = time.monotonic()
    assert reporter.close(1.0) is False
    assert time.monotonic() - started < 10, "not the 60 seconds that it may take without a close"
    assert counts.get("reporter_spans_dropped") + counts.get("reporter_spans_failed") == 100
    assert counts.get("reporter_spans_sent") == 0
    assert threading.active_count() <= before + 1 + len(collector.requests)


def test_close_without_a_thread_is_bounded_too(collector, make_span, counts):
    """At exit no thread can be started, and the spans are sent by the closing one."""
    collector.always = collector.dripping(b"HTTP/1.1 202 ")
    reporter = BatchingReporter(HTTPSender(collector.url, timeout=60, counters=counts), counters=counts)
    reporter._queue.append(make_span())
    started = time.monotonic()
    assert reporter.close(0.5) is False
    assert time.monotonic() - started < 10
    assert counts.get("reporter_spans_failed") == 1


def test_closing_tries_what_waits_once_more_at_once(collector, make_span, counts, wait_until):
    """A pause of many seconds is cut short: the collector may be back."""
    collector.answers = [503]
    sender = HTTPSender(collector.url, retry_for=600, counters=counts)
    sender._poster._failures = 9  # the pause after the next failure is 16 seconds
    reporter = BatchingReporter(sender, flush_interval=0.01, counters=counts)
    reporter.report(make_span())
    wait_until(lambda: sender._poster._next_turn)
    started = time.monotonic()
    assert reporter.close(12) is True
    assert time.monotonic() - started < 10
    assert spans_of(collector)[-1] == make_span()


def test_close_cuts_a_send_of_another_thread(collector, make, make_span, counts, wait_until):
    collector.always = collector.dripping(b"HTTP/1.1 202 ")
    sender = make(HTTPSender, collector.url, timeout=60)
    sent = []
    thread = threading.Thread(target=lambda: sent.append(sender.send([make_span()])))
    thread.start()
    wait_until(lambda: collector.requests)
    sender.close()
    thread.join(20)
    assert sent == [0]
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_1000_senders_leave_no_thread_and_no_descriptor(collector, make_span):
    """200 of them used."""
    HTTPSender(collector.url).close()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        sender = HTTPSender(collector.url)
        if number % 5 == 0:
            assert sender.send([make_span()]) == 1
        sender.close()
    collector.close()
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on threads and fork
def test_a_forked_child_has_connections_of_its_own(collector, make, make_span):
    """The child numbers its batches from 1, and the parent's connection stays whole."""
    sender = make(HTTPSender, collector.url)
    assert sender.send([make_span(1)]) == 1
    pid = os.fork()
    if pid == 0:
        sender.after_fork()
        sent = sender.send([make_span(2)])
        sender.close()
        os._exit(0 if sent == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert sender.send([make_span(3)]) == 1
    parent, child, again = collector.requests
    assert child.port != parent.port == again.port
    assert [decode_batch(each.body).seq_no for each in (parent, child, again)] == [1, 1, 2]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_a_thread_that_is_sending_is_not_stuck(collector, make, make_span, wait_until):
    """The parent holds every lock of its exchange at the moment of the fork."""
    done = threading.Event()

    def wait(handler):
        done.wait(20)
        collector.answer(handler, 202)

    collector.answers = [wait]
    sender = make(HTTPSender, collector.url, timeout=30)
    sent = []
    thread = threading.Thread(target=lambda: sent.append(sender.send([make_span(1)])))
    thread.start()
    wait_until(lambda: collector.requests)
    pid = os.fork()
    if pid == 0:
        sender.after_fork()
        result = sender.send([make_span(2)])
        sender.close()
        os._exit(0 if result == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    done.set()
    thread.join(20)
    assert sent == [1]


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(certificate, start_collector):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return start_collector(tls=context)


def test_tls_with_a_certificate_to_trust(secure, certificate, make, make_span, counts):
    """Over one connection, with large bodies too."""
    sender = make(HTTPSender, secure.url, ca=str(certificate))
    records = [make_span(number, tags={"x": "y" * 9_000}) for number in range(1, 101)]
    assert sender.send(records) == 100
    assert sender.send([make_span()]) == 1
    assert spans_of(secure) == [*records, make_span()]
    assert len({request.port for request in secure.requests}) == 1
    assert counts.snapshot() == {}


def test_tls_with_a_bundle_from_the_environment(secure, certificate, make, make_span, monkeypatch):
    """REQUESTS_CA_BUNDLE counts, on loopback as elsewhere."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert make(HTTPSender, secure.url).send([make_span()]) == 1


def test_a_stranger_is_not_trusted_and_not_asked_again(secure, make, make_span, counts, caplog):
    assert make(HTTPSender, secure.url).send([make_span()]) == 0
    assert secure.requests == []
    assert counts.snapshot() == {"sender_spans_failed": 1}
    assert "self-signed certificate" in caplog.text


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_can_be_switched_off(secure, make, make_span, monkeypatch, tmp_path):
    """Even where the environment names a bundle."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert make(HTTPSender, secure.url, verify=False).send([make_span()]) == 1


@pytest.mark.parametrize("as_pair", [False, True])
def test_our_own_certificate_is_shown(certificate, start_collector, make, make_span, as_pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    collector = start_collector(tls=context)
    pair = (str(certificate.with_suffix(".crt")), str(certificate.with_suffix(".key")))
    cert = pair if as_pair else str(certificate)
    assert make(HTTPSender, collector.url, ca=str(certificate), retry_for=0).send([make_span()]) == 0 + 1
    assert make(HTTPSender, collector.url, ca=str(certificate), cert=cert).send([make_span()]) == 1


def test_a_slow_answer_over_tls_is_given_up_too(secure, certificate, make, make_span, counts):
    secure.answers = [secure.dripping(b"HTTP/1.1 202 ")]
    assert make(HTTPSender, secure.url, ca=str(certificate), timeout=0.4, retry_for=0).send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_a_server_that_never_ends_the_handshake_is_given_up(make, make_span, counts):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = make(HTTPSender, f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3, retry_for=0)
        assert sender.send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


# -- configuration -----------------------------------------------------------------------------------------------------

WRONG = [
    ("", {}, "http://collector:14268"),
    (None, {}, "http://collector:14268"),
    (b"http://a", {}, "http://collector:14268"),
    ("collector:14268", {}, "http:// or https://"),
    ("http://", {}, "and a host"),
    ("http://a:99999", {}, "not valid"),
    ("http://[::1", {}, "not valid"),
    ("http://a b/", {}, "space"),
    ("http://a/\n", {}, "invisible"),
    ("http://.a/", {}, "no request can be made"),
    ("http://a", {"token": "t", "user": "u"}, "both a token and a user"),
    ("http://a", {"password": "p"}, "set user= too"),
    ("http://a", {"user": "a:b"}, "colon"),
    ("http://u@a", {"user": "u"}, "keep one"),
    ("http://a", {"token": " "}, "token is empty"),
    ("http://a", {"token": "a\nb"}, "on one line"),
    ("http://a", {"token": "ü"}, "ASCII"),
    ("http://a", {"token": "t", "headers": {"authorization": "x"}}, "keep one"),
    ("http://a", {"headers": {"a": 1}}, "'a' does not"),
    ("http://a", {"headers": [("a", "b")]}, "headers must map"),
    ("http://a", {"headers": {"a": "b\r\nc: d"}}, "on one line"),
    ("http://a", {"headers": {"Content-Type": "x"}}, "'Content-Type' is the sender's own"),
    ("http://a", {"headers": {"B3": "x"}}, "the sender's own"),
    ("http://a", {"timeout": 0}, "timeout must be a number of seconds"),
    ("http://a", {"timeout": True}, "timeout"),
    ("http://a", {"timeout": "5"}, "timeout"),
    ("http://a", {"timeout": float("nan")}, "timeout"),
    ("http://a", {"retry_for": -1}, "retry_for"),
    ("http://a", {"retry_for": float("inf")}, "retry_for"),
    ("http://a", {"max_batch_bytes": 100}, "max_batch_bytes must be a whole number from 4096"),
    ("http://a", {"max_batch_bytes": 1e6}, "max_batch_bytes"),
    ("http://a", {"verify": "/ca.pem"}, "ca="),
    ("http://a", {"verify": False, "ca": "/ca.pem"}, "remove one"),
    ("http://a", {"ca": "/nowhere/ca.pem"}, "cannot be read"),
    ("http://a", {"ca": __file__}, "cannot be read"),
    ("http://a", {"cert": "/nowhere/me.pem"}, "cannot be read"),
    ("http://a", {"cert": ("a", "b", "c")}, "cannot be read"),
    ("http://a", {"compress": "gzip"}, "compress"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "options", "words"), WRONG)
def test_a_wrong_setting_says_what_would_be_right(url, options, words):
    """Wrong configuration fails at construction, with the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        HTTPSender(url, **options)


SECRETS = ("abc123@hash", "s3cret", "t0ken", "passw0rd", "k3y")


def test_secrets_are_never_shown(collector, make, make_span, caplog):
    """Not in repr, errors, log lines of ours or of urllib3 at level DEBUG, even if the server repeats them."""
    path = "/adapt_abc123@hash_abc123@hash/api/traces?key=s3cret"
    sender = make(HTTPSender, collector.url + path, user="me", password="passw0rd", headers={"X-Key": "k3y-k3y"})
    collector.answers = [
        lambda handler: collector.answer(
            handler, 400, f"{handler.path} {handler.headers['Authorization']} {handler.headers['X-Key']}".encode()
        ),
        collector.saying(202, b"", Bad_Header="x"),
    ]
    with caplog.at_level(logging.DEBUG):
        assert sender.send([make_span()]) == 0
        assert sender.send([make_span()]) == 1
    shown = caplog.text + repr(sender) + repr(vars(sender)) + repr(vars(sender._poster)) + sender.url
    assert sender.url == collector.url + "/adapt_***/api/traces"
    assert "status 400: " in shown
    basic = base64.b64encode(b"me:passw0rd").decode()
    for secret in (*SECRETS, basic):
        assert secret not in shown.replace(str(sender._headers), ""), secret


def test_errors_of_configuration_show_no_secrets_either():
    for url, options in [
        ("http://u:s3cret@.a/adapt_abc123@hash/x", {}),
        ("ftp://u:s3cret@a", {}),
        ("http://u:s3cret@a:x/", {}),
        ("http://[s3cret/", {}),
        ("http://a", {"token": "t0ken\n"[::-1]}),
        ("http://a", {"token": "t0ken", "user": "u", "password": "passw0rd"}),
        ("http://a", {"headers": {"x": "k3y\n"[::-1] + "k3y"}}),
    ]:
        try:
            HTTPSender(url, **options)
        except ConfigurationError as error:
            shown = str(error) + repr(error.__context__)
            assert not any(secret in str(error) for secret in SECRETS), shown
