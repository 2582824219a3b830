"""The batching reporter: bounded, never blocking, delivering; restarted after fork; closed at exit."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.model import Process, SpanRecord
from sls_tracing.reporters import BatchingReporter

PROCESS = Process("svc")


def span(number):
    return SpanRecord(str(number), SpanContext(1, number + 1), (), 1.0, 2.0, {}, [], PROCESS)


class RecordingSender:
    """A sender that keeps what it is given; `gate` holds it back, `error` makes it fail."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.error = None
        self.closed = 0
        self.forked = 0

    def send(self, spans):
        assert self.gate.wait(30)
        if self.error:
            raise self.error
        self.batches.append(list(spans))
        return len(spans)

    def close(self):
        self.closed += 1

    def after_fork(self):
        self.forked += 1

    @property
    def names(self):
        return [each.operation_name for batch in self.batches for each in batch]


@pytest.fixture
def sender():
    return RecordingSender()


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def reporter(sender, counters):
    reporter = BatchingReporter(sender, counters=counters)
    yield reporter
    sender.gate.set()
    reporter.close()


def eventually(condition, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_no_thread_before_the_first_span_and_none_after_close(sender):
    before = threading.active_count()
    reporter = BatchingReporter(sender)
    assert threading.active_count() == before
    reporter.report(span(0))
    eventually(lambda: sender.names == ["0"])
    assert reporter.close()
    assert threading.active_count() == before
    assert sender.closed == 1


def test_flush_delivers_all_in_order(reporter, sender, counters):
    for number in range(10_000):
        reporter.report(span(number))
    assert reporter.flush(10)
    assert sender.names == [str(number) for number in range(10_000)]
    assert max(len(batch) for batch in sender.batches) <= 500
    assert counters.snapshot() == {"reporter_spans_sent": 10_000}


def test_a_burst_of_10000_spans_with_default_settings_loses_none(reporter, sender, counters):
    """Even if the sender takes none of them until the last has come."""
    sender.gate.clear()
    for number in range(10_000):
        reporter.report(span(number))
    sender.gate.set()
    assert reporter.flush(10)
    assert len(sender.names) == 10_000
    assert counters.get("reporter_spans_dropped") == 0


def test_under_a_steady_load_the_thread_wakes_by_itself(sender):
    """Neither a batch comes together nor the flush interval ends, and no span has to wake it."""
    sender.preferred_batch_size = 20
    reporter = BatchingReporter(sender, max_batch_size=10_000, flush_interval=600)
    for number in range(300):
        reporter.report(span(number))
        time.sleep(0.001)
    eventually(lambda: len(sender.names) >= 300, 30)
    assert sender.names == [str(number) for number in range(300)]
    assert 1 < len(sender.batches) < 100
    reporter.close()


def test_pauses_end_at_the_flush_interval(sender):
    """However long nothing came, a span does not wait longer than that."""
    reporter = BatchingReporter(sender, flush_interval=0.05)
    reporter.report(span(1))
    assert reporter.flush()
    time.sleep(1)
    reporter.report(span(2))
    eventually(lambda: len(sender.names) >= 2, 30)
    assert sender.names == ["1", "2"]
    reporter.close()


def test_few_spans_leave_within_the_flush_interval(sender):
    reporter = BatchingReporter(sender, flush_interval=0.05)
    for number in range(3):
        reporter.report(span(number))
        eventually(lambda number=number: len(sender.names) == number + 1)
    reporter.close()


def test_a_full_queue_drops_the_newest_and_counts_them(sender, counters):
    sender.gate.clear()
    reporter = BatchingReporter(sender, max_queue_size=100, max_batch_size=10, counters=counters)
    reporter.report(span(0))
    eventually(lambda: not reporter._queue)  # the thread holds that one, and is held back
    for number in range(1, 1000):
        reporter.report(span(number))
    sender.gate.set()
    assert reporter.close()
    assert counters.get("reporter_spans_dropped") == 899
    assert sender.names == [str(number) for number in range(101)]


def test_spans_after_close_are_dropped_and_counted(reporter, sender, counters):
    reporter.report(span(0))
    assert reporter.close()
    reporter.report(span(1))
    assert reporter.close()
    assert reporter.flush()
    assert sender.names == ["0"]
    assert counters.get("reporter_spans_dropped") == 1


def test_close_is_bounded_and_counts_what_it_left_behind(sender, counters):
    sender.gate.clear()
    reporter = BatchingReporter(sender, max_batch_size=1, counters=counters)
    for number in range(5):
        reporter.report(span(number))
    started = time.monotonic()
    assert reporter.close(0.1) is False
    assert time.monotonic() - started < 30
    sender.gate.set()
    assert counters.get("reporter_spans_dropped") >= 4


def test_flush_is_bounded(reporter, sender):
    sender.gate.clear()
    reporter.report(span(0))
    assert reporter.flush(0.05) is False
    sender.gate.set()
    assert reporter.flush(10) is True


def test_a_sender_that_raises_costs_its_batch_and_is_asked_again(reporter, sender, counters):
    sender.error = ValueError("no route")
    reporter.report(span(0))
    assert reporter.flush(10)
    sender.error = None
    reporter.report(span(1))
    assert reporter.flush(10)
    assert sender.names == ["1"]
    assert counters.get("reporter_spans_failed") == 1
    assert counters.get("reporter_spans_sent") == 1


def test_many_threads_lose_nothing(reporter, sender):
    def work(start):
        for number in range(start, start + 2000):
            reporter.report(span(number))

    threads = [threading.Thread(target=work, args=(start * 2000,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reporter.flush(10)
    assert sorted(map(int, sender.names)) == list(range(8000))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_queue_size", 0), ("max_queue_size", "9"), ("max_batch_size", True), ("flush_interval", 0), ("flush_interval", None)],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(sender, setting, value):
    with pytest.raises(ConfigurationError, match=setting):
        BatchingReporter(sender, **{setting: value})


def test_1000_create_and_close_cycles_leave_no_thread_and_no_descriptor():
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        reporter = BatchingReporter()
        reporter.report(span(number))
        assert reporter.close(10)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def run(code):
    """Run a program that has a socket standing for the agent, and return what it prints."""
    prelude = """
        import os, socket, sys, time
        from sls_tracing import ConstSampler, Tracer, BatchingReporter, UDPSender
        from sls_tracing.thrift.decoding import decode_emit_batch
        agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        def tracer():
            return Tracer("svc", reporter=BatchingReporter(UDPSender("127.0.0.1", agent.getsockname()[1])))
        def received(count):
            names = []
            while len(names) < count:
                names += [each.operation_name for each in decode_emit_batch(agent.recv(65536), "compact").spans]
            return sorted(names)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_forked_child_has_its_own_thread_and_sends_only_its_own_spans():
    """Spans that wait in the parent at the fork are sent by the parent, once."""
    out = run("""
        tracer = tracer()
        tracer.reporter._next_pause = lambda came, seconds: 60
        tracer.start_span("first").finish()
        assert received(1) == ["first"]
        while not tracer.reporter._wake._cond._waiters:  # the thread has looked for more, and waits
            time.sleep(0.01)
        tracer.start_span("waiting").finish()
        child = os.fork()
        if child == 0:
            tracer.start_span("child").finish()
            assert tracer.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert received(1) == ["child"]
        tracer.close()
        print(received(1))
    """)
    assert out == "['waiting']"


def test_exit_of_the_interpreter_delivers():
    """jaeger-client delivered none of these in five runs of five."""
    out = run("""
        import atexit
        atexit.register(lambda: print(received(3)))  # runs after the reporter's own, which is registered later
        t = tracer()
        for name in "abc":
            t.start_span(name).finish()
    """)
    assert out == "['a', 'b', 'c']"


def test_a_first_span_at_exit_is_delivered_although_no_thread_can_start_any_more():
    out = run("""
        import atexit
        atexit.register(lambda: print(received(1)))
        t = tracer()
        atexit.register(lambda: t.start_span("late").finish())
    """)
    assert out == "['late']"


class StoppableSender(RecordingSender):
    """Holds every batch until it is closed, as one that waits for a dead server does."""

    def __init__(self):
        super().__init__()
        self.gate.clear()
        self.deadlines = []

    def stop_at(self, deadline):
        self.deadlines.append(deadline)

    def send(self, spans):
        super().send(spans)
        return 0

    def close(self):
        super().close()
        self.gate.set()


def test_close_tells_the_sender_its_deadline_before_it_waits(counters):
    """A little before its own, so that what the sender gives up is counted when close returns."""
    sender = StoppableSender()
    reporter = BatchingReporter(sender, counters=counters)
    reporter.report(span(0))
    before = time.monotonic()
    assert reporter.close(0.2) is False
    (deadline,) = sender.deadlines
    assert before < deadline < time.monotonic()


def test_each_span_is_counted_once_and_the_thread_ends_whatever_close_left_behind(counters):
    """Those in the sender's hands fail, those in the queue are dropped; the thread goes when the sender lets it."""
    sender = StoppableSender()
    reporter = BatchingReporter(sender, max_batch_size=10, counters=counters)
    for number in range(100):
        reporter.report(span(number))
    assert reporter.close(0.1) is False
    eventually(lambda: not reporter._thread.is_alive())
    assert counters.get("reporter_spans_dropped") + counters.get("reporter_spans_failed") == 100
    assert counters.get("reporter_spans_failed") in (0, 10)


def test_close_is_false_when_the_sender_failed_meanwhile(reporter, sender):
    """It says whether all was sent, not whether all was tried."""
    sender.error = ValueError("no route")
    reporter.report(span(0))
    assert reporter.close(10) is False


@pytest.mark.parametrize("statistics", [None, "mine", 7])
def test_a_sender_may_have_a_statistics_of_its_own(sender, counters, statistics):
    """Only Jaeger's client statistics are told of a full queue."""
    sender.statistics = statistics
    sender.gate.clear()
    reporter = BatchingReporter(sender, max_queue_size=1, max_batch_size=1, counters=counters)
    for number in range(10):
        reporter.report(span(number))
    sender.gate.set()
    assert reporter.close(10)
    assert counters.get("reporter_spans_dropped") >= 8
