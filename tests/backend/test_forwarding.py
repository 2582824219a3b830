"""From an agent to a collector: batches by process, patience with collectors that are away, and an end to it."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sls_tracing.backend.forwarding import Forwarder, collector_posters
from sls_tracing.backend.spool import DiskSpool, MemorySpool
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.thrift.decoding import decode_batch

MIB = 1 << 20


class ScriptedCollector:
    """Answers posts with ``statuses`` in turn, the last one for ever; ``batches`` are those it took."""

    def __init__(self, statuses):
        outer = self
        self.statuses = list(statuses)
        self.batches = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.statuses.pop(0) if len(outer.statuses) > 1 else outer.statuses[0]
                if status == 202:
                    outer.batches.append(decode_batch(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector():
    """A function that starts a collector of that kind."""
    started = []

    def start(*statuses):
        started.append(ScriptedCollector(statuses))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def forward(counters):
    """A function that makes a forwarder to URLs, closed at the end."""
    made = []

    def make(*urls, spool=None, **options):
        forwarder = Forwarder(collector_posters(urls), spool or MemorySpool(MIB), counters=counters, **options)
        made.append(forwarder)
        return forwarder

    yield make
    for forwarder in made:
        forwarder.close(0.1)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_batches_by_process(forward, collector, make_span, eventually, counters):
    """Spans of equal processes go in one batch, those of others in theirs; every span with all it has."""
    answers = collector(202)
    forwarder = forward(answers.url)
    spans = [make_span(f"op{n}", span_id=n + 1, service=f"svc{n % 2}", tags={"n": n}) for n in range(10)]
    for span in spans:
        assert forwarder.submit([span], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 10)
    assert {batch.process.service_name for batch in answers.batches} == {"svc0", "svc1"}
    arrived = [span for batch in answers.batches for span in batch.spans]
    assert sorted((span.context.span_id, span.tags["n"]) for span in arrived) == [(n + 1, n) for n in range(10)]
    assert forwarder.is_connected
    assert forwarder.waiting_bytes == 0


def test_a_busy_collector_gets_it_later(forward, collector, make_span, eventually, counters):
    """503 and 500 mean later; nothing is lost and nothing comes twice."""
    answers = collector(503, 500, 202)
    forwarder = forward(answers.url)
    forwarder.submit([make_span()], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 1)
    assert counters.get("agent_posts_failed") == 2
    assert len(answers.batches) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_collector_that_is_set_up_wrongly_gets_it_later(forward, collector, make_span, eventually, counters, status):
    """A token or a path that is wrong is nothing against the batch: it waits until that is mended."""
    answers = collector(status, 202)
    forwarder = forward(answers.url)
    forwarder.submit([make_span()], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 1)
    assert (counters.get("agent_posts_failed"), counters.get("agent_spans_refused")) == (1, 0)


def test_a_batch_that_collectors_fail_on_does_not_stand_in_the_way_for_ever(
    forward, collector, make_span, eventually, counters, monkeypatch
):
    """500 again and again, for one batch: refused and counted; the next one gets through."""
    monkeypatch.setattr("sls_tracing.backend.forwarding.MOST_ERRORS", 2)
    answers = collector(500, 503, 500, 202)
    forwarder = forward(answers.url)
    forwarder.submit([make_span("bad")], 100)
    eventually(lambda: counters.get("agent_spans_refused") == 1)
    assert counters.get("agent_posts_failed") == 2
    forwarder.submit([make_span("good")], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 1)
    assert answers.batches[0].spans[0].operation_name == "good"


def test_a_refused_batch_does_not_stand_in_the_way(forward, collector, make_span, eventually, counters):
    """400 is for good: dropped, counted; the next one gets through."""
    answers = collector(400, 202)
    forwarder = forward(answers.url)
    forwarder.submit([make_span("bad")], 100)
    eventually(lambda: counters.get("agent_spans_refused") == 1)
    forwarder.submit([make_span("good")], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 1)
    assert answers.batches[0].spans[0].operation_name == "good"


def test_several_collectors_take_turns(forward, collector, make_span, eventually, counters):
    """Each gets its share, so that four of them carry four times as much."""
    several = [collector(202) for _ in range(4)]
    forwarder = forward(*(each.url for each in several))
    for number in range(8):
        forwarder.submit([make_span(span_id=number + 1)], 100)
        eventually(lambda number=number: counters.get("agent_spans_forwarded") == number + 1)
    assert [len(each.batches) for each in several] == [2, 2, 2, 2]


def test_of_several_collectors_the_next_one_is_asked(forward, collector, make_span, eventually, counters):
    """One that is not there costs an attempt, no span."""
    answers = collector(202)
    forwarder = forward(f"http://127.0.0.1:{closed_port()}", answers.url)
    for number in range(3):
        forwarder.submit([make_span(span_id=number + 1)], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 3)
    assert sum(len(batch.spans) for batch in answers.batches) == 3
    assert counters.get("agent_posts_failed") >= 1


def test_without_a_collector_memory_is_bounded(forward, make_span, counters, eventually):
    """What finds no room is dropped and counted; every span is in one of the two."""
    forwarder = forward(f"http://127.0.0.1:{closed_port()}", spool=MemorySpool(2000))
    for number in range(200):
        forwarder.submit([make_span(span_id=number + 1, tags={"text": "x" * 500})], 700)
        if number % 10 == 0:
            eventually(lambda: not len(forwarder._queue))
    eventually(lambda: counters.get("agent_spans_dropped") > 100)
    assert not forwarder.is_connected
    assert forwarder.waiting_bytes < 20_000


def test_close_gives_up_in_time_and_leaves_the_disk_as_it_is(
    forward, make_span, tmp_path, counters, collector, eventually
):
    """A collector that is away does not hold the agent up; the next agent delivers."""
    forwarder = forward(f"http://127.0.0.1:{closed_port()}", spool=DiskSpool(str(tmp_path), MIB))
    forwarder.submit([make_span("kept")], 100)
    assert not forwarder.close(0.5)
    answers = collector(202)
    forward(answers.url, spool=DiskSpool(str(tmp_path), MIB))
    eventually(lambda: answers.batches)
    assert answers.batches[0].spans[0].operation_name == "kept"


def test_close_delivers_what_waits(forward, collector, make_span, counters):
    """A stop is no loss as long as a collector answers."""
    answers = collector(202)
    forwarder = forward(answers.url)
    for number in range(500):
        forwarder.submit([make_span(span_id=number + 1)], 100)
    assert forwarder.close(20)
    assert counters.get("agent_spans_forwarded") == 500
    assert not forwarder.submit([make_span()], 100)


def test_a_span_that_cannot_be_encoded_costs_itself(forward, collector, make_span, eventually, counters):
    """Counted; the others go out."""
    answers = collector(202)
    forwarder = forward(answers.url)
    forwarder.submit([make_span("bad", start=float("nan")), make_span("good")], 100)
    eventually(lambda: counters.get("agent_spans_forwarded") == 1)
    assert counters.get("agent_spans_unencodable") == 1
    assert [span.operation_name for span in answers.batches[0].spans] == ["good"]


def test_large_batches_are_parted(forward, collector, make_span, eventually, counters):
    """A collector takes a megabyte or so at once, whatever came together."""
    answers = collector(202)
    forwarder = forward(answers.url, spool=MemorySpool(64 * MIB))
    forwarder.submit([make_span(span_id=n + 1, tags={"t": "x" * 60_000}) for n in range(60)], 60 * 60_000)
    eventually(lambda: counters.get("agent_spans_forwarded") == 60)
    assert len(answers.batches) >= 3


@pytest.mark.parametrize("url", ["collector:14268", "ftp://collector", "http://"])
def test_a_url_that_is_none(url):
    """Told at the start."""
    with pytest.raises(ConfigurationError):
        collector_posters([url])


def test_tags_of_the_agent(forward, collector, make_span, eventually):
    """Added to every process; what a process says itself stays."""
    answers = collector(202)
    forwarder = forward(answers.url, tags={"zone": "a", "ip": "10.9.9.9"})
    forwarder.submit([make_span(process_tags={"ip": "10.0.0.1"})], 100)
    eventually(lambda: answers.batches)
    assert answers.batches[0].process.tags == {"zone": "a", "ip": "10.0.0.1"}
