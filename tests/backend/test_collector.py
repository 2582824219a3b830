from __future__ import annotations

import threading
from contextlib import closing

import pytest

from sls_tracing.backend.collector import BATCH_BYTES, Collector
from sls_tracing.log_service import LogServiceError, open_trace_store
from sls_tracing.metrics import Counters


@pytest.fixture
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


class Spoiled:
    """A real store that refuses every batch in which a span named "bad" is."""

    def __init__(self, store):
        self.store = store

    def write(self, spans):
        if any(span.operation_name == "bad" for span in spans):
            raise ValueError("bad span")
        self.store.write(spans)


class Slow:
    """A store that waits for permission before it writes."""

    def __init__(self):
        self.entered = threading.Event()
        self.permitted = threading.Event()
        self.written = []

    def write(self, spans):
        self.entered.set()
        self.permitted.wait()
        self.written += spans


def test_spans_are_stored(store, make_span):
    """What was submitted before a flush can be read after it, and is counted."""
    counters = Counters()
    collector = Collector(store, counters=counters)
    assert collector.submit([make_span(span_id=1), make_span(span_id=2, parent_id=1)])
    assert collector.flush()
    assert {span.context.span_id for span in store.get_trace(0xABC)} == {1, 2}
    assert collector.close()
    assert counters.snapshot() == {"collector_spans_received": 2, "collector_spans_stored": 2}


def test_close_drains(store, make_span):
    """Nothing that was accepted is lost by closing; what comes later is refused and counted."""
    counters = Counters()
    collector = Collector(store, counters=counters)
    for number in range(1, 3001):
        assert collector.submit([make_span(trace_id=number, start=1_600_000_000.0 + number)])
    assert collector.close()
    assert counters.get("collector_spans_stored") == 3000
    assert all(store.get_trace(number) for number in (1, 1500, 3000))
    assert not collector.submit([make_span()])
    assert counters.get("collector_spans_dropped") == 1
    assert collector.close()


def test_spans_are_written_in_batches(make_span):
    """While one write goes on, spans gather for the next; none exceeds the batch size."""
    slow = Slow()
    sizes = []
    original = slow.write
    slow.write = lambda spans: (sizes.append(len(spans)), original(spans))
    collector = Collector(slow)
    collector.submit([make_span()])
    assert slow.entered.wait(10)
    for _ in range(8):
        collector.submit([make_span()], BATCH_BYTES // 4)
    slow.permitted.set()
    assert collector.close()
    assert sizes == [1, 4, 4]


def test_a_full_queue_drops_the_new_spans(make_span):
    """The caller never waits; it is told, and the loss is counted."""
    slow, counters = Slow(), Counters()
    collector = Collector(slow, capacity=1000, counters=counters)
    collector.submit([make_span()])
    assert slow.entered.wait(10)
    assert collector.submit([make_span()] * 10, 900)
    assert collector.queued_bytes == 900
    assert not collector.submit([make_span()], 101)
    assert not collector.flush(timeout=0)
    slow.permitted.set()
    assert collector.close()
    assert len(slow.written) == 11
    assert counters.get("collector_spans_dropped") == 1


def test_a_bad_span_costs_itself_only(store, make_span):
    """A span that the store refuses is isolated; its batch and the ones after it are stored."""
    counters = Counters()
    collector = Collector(Spoiled(store), counters=counters)
    spans = [make_span("bad" if number == 700 else "op", span_id=number) for number in range(1, 1001)]
    collector.submit(spans)
    collector.submit([make_span(trace_id=0xDEF)])
    assert collector.close()
    assert len(store.get_trace(0xABC)) == 999
    assert len(store.get_trace(0xDEF)) == 1
    assert counters.get("collector_spans_failed") == 1
    assert counters.get("collector_spans_stored") == 1000


def test_a_store_that_is_down_does_not_end_the_writer(store, make_span):
    """Spans that cannot be stored are counted after a limited number of tries; when the store is back, storing goes on."""
    counters = Counters()
    collector = Collector(Spoiled(store), counters=counters)
    collector.submit([make_span("bad", span_id=number) for number in range(1, 1001)])
    assert collector.flush()
    assert counters.get("collector_spans_failed") == 1000
    assert counters.get("guard_failures_collector") < 100
    collector.submit([make_span()])
    assert collector.close()
    assert counters.get("collector_spans_stored") == 1


def test_nameless_spans_get_a_name(store, make_span):
    """Jaeger's stand-ins: a span without service or operation could never be found."""
    collector = Collector(store)
    collector.submit([make_span("", service="")])
    assert collector.close()
    assert store.services() == ["empty-service-name"]
    assert [operation.name for operation in store.operations("empty-service-name")] == ["empty-span-name"]


def test_close_is_bounded(make_span):
    """A store that hangs does not keep the process from ending."""
    slow = Slow()
    collector = Collector(slow)
    collector.submit([make_span()])
    assert not collector.close(timeout=0.01)
    slow.permitted.set()
    assert collector.close()


def test_who_waits_is_told_when_spans_are_safe(make_span):
    """Not before the write is done; "refused" if one of them could not be stored; None when there is no room."""
    slow = Slow()
    collector = Collector(slow, capacity=1000, counters=Counters())
    first = collector.submit_and_tell([make_span()])
    assert slow.entered.wait(10)
    second = collector.submit_and_tell([make_span()], 1000)
    assert collector.submit_and_tell([make_span()]) is None
    assert not first.done()
    assert not second.done()
    slow.permitted.set()
    assert (first.result(10), second.result(10)) == ("stored", "stored")
    assert collector.submit_and_tell([]).result(0) == "stored"
    assert collector.close()


def test_of_several_that_wait_only_those_whose_spans_were_lost_are_told_so(store, make_span):
    """Batches that were written together are told apart."""
    gate = threading.Event()
    spoiled = Spoiled(store)

    class Gated:
        def write(self, spans):
            assert gate.wait(10)
            spoiled.write(spans)

    collector = Collector(Gated(), counters=Counters())
    waiting = [
        collector.submit_and_tell([make_span(name, span_id=n)]) for n, name in enumerate(("a", "b", "bad", "c"), 1)
    ]
    gate.set()
    assert [each.result(10) for each in waiting] == ["stored", "stored", "refused", "stored"]
    assert collector.close()


def test_a_store_that_is_away_is_asked_once(make_span):
    """An error that may pass: nothing is halved, and who waits may send again."""
    counters = Counters()
    asked = []

    class Away:
        def write(self, spans):
            asked.append(len(spans))
            raise LogServiceError("WriteQuotaExceed", "too much")

    collector = Collector(Away(), counters=counters)
    assert collector.submit_and_tell([make_span()] * 100).result(10) == "later"
    assert collector.close()
    assert asked == [100]
    assert counters.get("collector_spans_failed") == 100
