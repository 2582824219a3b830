"""flush and close: bounded whatever is dead, callable from many threads at once, and leaving nothing behind."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
import tracemalloc

import pytest

from sls_tracing import BatchingReporter, Tracer, UDPSender
from sls_tracing.metrics import Counters
from sls_tracing.senders.http import HTTPSender
from sls_tracing.senders.otlp import OTLPSender
from sls_tracing.senders.trimming import TRIMMED_TAG


@pytest.fixture
def counters():
    return Counters()


def tracer_to(sender, counters, **options) -> Tracer:
    return Tracer("tested", reporter=BatchingReporter(sender, counters=counters), **options)


@pytest.fixture
def silent_port():
    """A TCP port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port():
    """A port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


DEAD = {
    "agent": lambda silent, closed, counters: UDPSender("127.0.0.1", closed, counters=counters),
    "unresolvable agent": lambda silent, closed, counters: UDPSender("host.invalid", 6831, counters=counters),
    "silent collector": lambda silent, closed, counters: HTTPSender(f"http://127.0.0.1:{silent}", counters=counters),
    "refusing collector": lambda silent, closed, counters: HTTPSender(f"http://127.0.0.1:{closed}", counters=counters),
    "unresolvable collector": lambda silent, closed, counters: HTTPSender("http://host.invalid:1", counters=counters),
    "silent OTLP server": lambda silent, closed, counters: OTLPSender(f"http://127.0.0.1:{silent}", counters=counters),
}


@pytest.mark.parametrize("dead", DEAD)
def test_close_with_a_dead_receiver(dead, silent_port, closed_port, counters, wait_until) -> None:
    """Returns at its timeout, not at the transport's; every span is in a counter, and thread and descriptors are gone soon after."""
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    tracer = tracer_to(DEAD[dead](silent_port, closed_port, counters), counters)
    for _ in range(1000):
        tracer.start_span("span").finish()
    started = time.monotonic()
    answer = tracer.close(0.5)
    assert time.monotonic() - started < 20, "the transports' own timeouts and retries take longer"
    assert dead == "agent" or answer is False  # UDP hears of a refusal late or never
    wait_until(lambda: threading.active_count() == threads)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    counts = counters.snapshot()
    assert sum(counts.get(f"reporter_spans_{fate}", 0) for fate in ("sent", "failed", "dropped")) == 1000


def in_threads(number: int, work) -> list[object]:
    """Call ``work`` in so many threads, which begin together; return the results."""
    results: list[object] = []
    barrier = threading.Barrier(number)

    def run() -> None:
        barrier.wait(20)
        results.append(work())

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_flush_by_many_threads_that_report(receiver, counters) -> None:
    """Each one's own spans have left when its flush returns True."""
    tracer = tracer_to(UDPSender("127.0.0.1", receiver.port), counters)
    sent_before_return = []

    def work() -> bool:
        done = True
        for _ in range(10):
            for _ in range(50):
                tracer.start_span("span").finish()
            done = done and tracer.flush(20)
            sent_before_return.append(counters.get("reporter_spans_sent") >= 50)
        return done

    assert in_threads(8, work) == [True] * 8
    assert all(sent_before_return)
    assert tracer.close(20)
    assert len(receiver.wait_for(4000)) == 4000


def test_close_by_many_threads_while_others_report(receiver, counters) -> None:
    """All get the same answer, after everything was sent; each span was sent or is counted as dropped."""
    tracer = tracer_to(UDPSender("127.0.0.1", receiver.port), counters)
    stop = threading.Event()
    reported = []

    def report() -> None:
        number = 0
        while not stop.is_set():
            tracer.start_span("span").finish()
            number += 1
        reported.append(number)

    reporting = [threading.Thread(target=report) for _ in range(3)]
    for thread in reporting:
        thread.start()
    tracer.flush(20)
    assert in_threads(8, lambda: tracer.close(20)) == [True] * 8
    assert tracer.flush(20) is True
    stop.set()
    for thread in reporting:
        thread.join()
    counts = counters.snapshot()
    assert counts["reporter_spans_sent"] + counts.get("reporter_spans_dropped", 0) == sum(reported)
    assert len(receiver.wait_for(counts["reporter_spans_sent"])) == counts["reporter_spans_sent"]


def test_a_failed_close_is_everybodys(silent_port, counters) -> None:
    """Neither a flush nor a second close claims that all was sent."""
    tracer = tracer_to(HTTPSender(f"http://127.0.0.1:{silent_port}", counters=counters), counters)
    tracer.start_span("span").finish()
    assert in_threads(4, lambda: tracer.close(0.3)) == [False] * 4
    assert tracer.close(0.1) is False
    assert tracer.flush(0.1) is False


def test_a_span_of_1_mb(receiver, counters) -> None:
    """Arrives trimmed and marked; its neighbours arrive whole."""
    tracer = tracer_to(UDPSender("127.0.0.1", receiver.port, counters=counters), counters)
    for number in range(20):
        tracer.start_span("before", tags={"number": number, "text": "x" * 500}).finish()
    large = tracer.start_span("large", tags={"body": "ü" * (1 << 19), "kept": True})
    large.log_kv({"event": "dump", "body": "y" * (1 << 16)})
    large.finish()
    for number in range(20):
        tracer.start_span("after", tags={"number": number, "text": "x" * 500}).finish()
    assert tracer.close(20)
    spans = receiver.wait_for(41)
    assert receiver.names() == {"before": 20, "large": 1, "after": 20}
    [span] = [span for span in spans if span.operation_name == "large"]
    assert (span.context.span_id, span.tags[TRIMMED_TAG], span.tags["kept"]) == (large.context.span_id, True, True)
    assert set(span.tags["body"]) == {"ü"}
    for name in ("before", "after"):
        of_name = [span.tags for span in spans if span.operation_name == name]
        assert sorted(tags["number"] for tags in of_name) == list(range(20))
        assert all(tags["text"] == "x" * 500 and TRIMMED_TAG not in tags for tags in of_name)
    assert counters.get("sender_spans_trimmed") == 1


def test_1000_cycles_of_whole_tracers_leave_nothing_behind(receiver) -> None:
    """No thread, no descriptor, no memory: what is kept for forks and for the exit is forgotten."""

    def cycle() -> None:
        tracer = Tracer("tested", reporter=BatchingReporter(UDPSender("127.0.0.1", receiver.port)))
        tracer.start_span("span", tags={"a": 1}).finish()
        assert tracer.close(20)

    tracemalloc.start()
    try:
        for _ in range(200):  # what is kept once is there then
            cycle()
        gc.collect()
        threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
        before = tracemalloc.take_snapshot()
        for _ in range(1000):
            cycle()
        gc.collect()
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    not_ours = [tracemalloc.Filter(False, __file__), tracemalloc.Filter(False, "*/conftest.py")]
    growth = after.filter_traces(not_ours).compare_to(before.filter_traces(not_ours), "lineno")
    # Not zero: interpreters keep something for each function that is called often (3.10 from the 1,024th call on).
    assert sum(each.size_diff for each in growth) < 100_000, "10 tracers' worth: " + "\n".join(map(str, growth[:10]))
