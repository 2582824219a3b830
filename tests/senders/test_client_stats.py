"""What batches tell of the client's losses: seqNo and ClientStats, as Jaeger's agents read them."""

from __future__ import annotations

import itertools
import os
import socket
import threading

import pytest

from sls_tracing.reporters import BatchingReporter
from sls_tracing.senders import HTTPSender, UDPSender
from sls_tracing.thrift.decoding import decode_batch, decode_emit_batch
from sls_tracing.thrift.schema import ClientStats


@pytest.fixture
def agent():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        yield agent


@pytest.fixture(params=["compact", "binary", "http"])
def way(request, agent, collector, make):
    """A sender and a function that returns the batches that have arrived since the last call."""
    if request.param == "http":

        def take():
            batches = [decode_batch(each.body) for each in collector.requests]
            collector.requests.clear()
            return batches

        return make(HTTPSender, collector.url, max_batch_bytes=16_384, retry_for=0), take

    def take():
        batches = []
        agent.setblocking(False)
        try:
            while True:
                batches.append(decode_emit_batch(agent.recv(65_536), request.param))
        except BlockingIOError:
            return batches

    port = agent.getsockname()[1]
    return make(UDPSender, "127.0.0.1", port, protocol=request.param, max_packet_size=16_384), take


def test_batches_are_numbered_from_1_and_tell_that_nothing_was_lost(way, make_span):
    """Every batch carries both, as Go's and Java's."""
    sender, take = way
    for _ in range(3):
        sender.send([make_span()])
    assert [(batch.seq_no, batch.stats) for batch in take()] == [(number, ClientStats(0, 0, 0)) for number in (1, 2, 3)]


def test_a_span_too_large_and_one_that_cannot_be_encoded_are_told_in_the_next_batch(way, make_span):
    """Cumulative, by cause; a trimmed span is no loss."""
    sender, take = way
    huge = make_span(2, tags={f"tag-{number}": "x" * 40 for number in range(1000)})
    sender.send([make_span(), huge, huge, make_span(start_time=float("nan")), make_span(tags={"x": "y" * 60_000})])
    take()
    sender.send([make_span()])
    sender.send([huge])
    sender.send([make_span()])
    assert [batch.stats for batch in take()] == [ClientStats(0, 2, 1), ClientStats(0, 3, 1)]


def test_what_the_queue_had_no_room_for_is_told(way, make_span, counts):
    """The reporter tells the sender of its own losses; from any number of threads."""
    sender, take = way
    gate = threading.Event()
    send = sender.send
    sender.send = lambda spans: gate.wait(20) and send(spans)
    reporter = BatchingReporter(sender, max_queue_size=10, max_batch_size=1, counters=counts)
    threads = [
        threading.Thread(target=lambda: [reporter.report(make_span(each)) for each in range(1, 101)])
        for _ in range(4)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.set()
    assert reporter.close(20)
    dropped = counts.get("reporter_spans_dropped")
    assert dropped + counts.get("reporter_spans_sent") == 400
    assert dropped >= 300
    assert take()[-1].stats == ClientStats(dropped, 0, 0)


def test_spans_after_close_are_no_loss_of_the_queue(way, make_span):
    """Nobody could hear of them anyway."""
    sender, _ = way
    reporter = BatchingReporter(sender)
    reporter.close()
    reporter.report(make_span())
    assert sender.statistics.snapshot() == ClientStats(0, 0, 0)


def test_a_failed_batch_takes_a_number_and_its_spans_are_told(collector, make, make_span):
    """An agent reads lost batches from the gap, and lost spans from the count."""
    sender = make(HTTPSender, collector.url)
    collector.answers = [202, 400]
    for number in (1, 2, 3):
        sender.send([make_span()] * number)
    first, _, third = (decode_batch(request.body) for request in collector.requests)
    assert (first.seq_no, first.stats) == (1, ClientStats(0, 0, 0))
    assert (third.seq_no, third.stats) == (3, ClientStats(0, 0, 2))


def test_a_datagram_that_the_network_refuses_is_told(agent, make, make_span):
    sender = make(UDPSender, "127.0.0.1", agent.getsockname()[1])
    sender.max_packet_size = 70_000  # more than the constructor allows, to meet the kernel's limit
    sender.send([make_span(tags={"x": "y" * 66_000})])
    sender.send([make_span()])
    batch = decode_emit_batch(agent.recv(65_536), "compact")
    assert (batch.seq_no, batch.stats) == (2, ClientStats(0, 0, 1))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on threads and fork
def test_a_forked_child_is_another_client(way, make_span):
    """It counts from zero (its client-uuid is new, too), its parent goes on."""
    sender, take = way
    sender.statistics.queue_was_full(3)
    sender.send([make_span()])
    pid = os.fork()
    if pid == 0:
        sender.after_fork()
        sent = sender.send([make_span()])
        os._exit(0 if sent == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    sender.send([make_span()])
    parent, child, again = take()
    assert (parent.seq_no, parent.stats) == (1, ClientStats(3, 0, 0))
    assert (child.seq_no, child.stats) == (1, ClientStats(0, 0, 0))
    assert (again.seq_no, again.stats) == (2, ClientStats(3, 0, 0))


@pytest.mark.parametrize("protocol", ["compact", "binary"])
@pytest.mark.parametrize("lost", [0, 63, 64, 1 << 40])
def test_statistics_do_not_overfill_a_datagram(agent, make, make_span, protocol, lost):
    """They grow with the losses, and are measured with the rest."""
    sender = make(UDPSender, "127.0.0.1", agent.getsockname()[1], protocol=protocol, max_packet_size=1000)
    sender.statistics.queue_was_full(lost)
    sender.statistics.failed(lost)
    assert sender.send([make_span(number, tags={"x": "y" * (number % 300)}) for number in range(1, 300)]) == 299
    agent.setblocking(False)
    sizes, arrived = [], 0
    try:
        while True:
            datagram = agent.recv(65_536)
            sizes.append(len(datagram))
            batch = decode_emit_batch(datagram, protocol)
            arrived += len(batch.spans)
            assert batch.stats == ClientStats(lost, 0, lost)
    except BlockingIOError:
        pass
    assert arrived == 299
    assert max(sizes) <= 1000


def test_what_an_agent_makes_of_it(agent, make, make_span):
    """The bookkeeping of `client_metrics.go`: the first batch is the base, gaps are batches lost, counts are spans lost."""
    sender = make(UDPSender, "127.0.0.1", agent.getsockname()[1])
    huge = make_span(2, tags={f"tag-{number}": "x" * 40 for number in range(3000)})
    for number in range(1, 21):
        if number % 5 == 0:
            sender.send([huge])
        sender.send([make_span(number)])
    batches = [decode_emit_batch(agent.recv(65_536), "compact") for _ in range(20)]
    arrived = [batch for number, batch in enumerate(batches) if number % 4 != 1]  # the network loses a quarter
    sent = lost = 0
    for before, batch in itertools.pairwise(arrived):
        sent += batch.seq_no - before.seq_no
        lost += batch.stats.too_large_dropped_spans - before.stats.too_large_dropped_spans
    assert (sent, len(arrived) - 1) == (19, 14)
    assert lost == 4
