"""Thrift over HTTP to collectors that refuse, hang, drip, flood or are not there; and how senders end."""

from __future__ import annotations

import email.utils
import logging
import os
import socket
import threading
import time

import pytest

from sls_tracing.exceptions import SenderError
from sls_tracing.reporters import BatchingReporter
from sls_tracing.senders import HTTPSender
from sls_tracing.senders.http_poster import _seconds
from sls_tracing.thrift.decoding import decode_batch


def spans_of(collector):
    return [span for request in collector.requests for span in decode_batch(request.body).spans]


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


def test_a_refused_connection_is_tried_until_somebody_listens(
    start_collector, free_port_later, make, make_span, counts
):
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
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]


def test_a_connection_that_is_cut_before_the_answer_is_tried_again(collector, make, make_span, counts, no_pauses):
    """The server may have taken the batch, so this is the one case in which spans can arrive twice."""
    collector.answers = [collector.cutting]
    assert make(HTTPSender, collector.url).send([make_span()]) == 1
    assert len(collector.requests) == 2
    assert counts.snapshot() == {"sender_http_retries": 1}


def test_a_kept_connection_that_the_server_closed_meanwhile_costs_nothing(
    collector, make, make_span, counts, wait_until
):
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


@pytest.mark.parametrize(
    "garbage", [b"\x00\xff" * 300 + b"\r\n\r\n", b"HTTP/1.1 99999 no\r\n\r\n", b"A" * 100_000, b"\r\n"]
)
def test_garbage_for_an_answer_is_a_failure(collector, make, make_span, counts, garbage):
    def script(handler):
        handler.close_connection = True
        handler.wfile.write(garbage)

    collector.answers = [script]
    assert make(HTTPSender, collector.url, retry_for=0).send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_a_server_that_never_reads_is_given_up(make, make_span, counts):
    """Sending is bounded as well: 8 MB do not fit into the buffers between us and a server that takes nothing."""
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
