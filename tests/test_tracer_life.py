"""The life of a tracer: configuration, flush and close, threads and forks; what a broken reporter costs."""

import logging
import subprocess
import sys
import textwrap
import threading

import opentracing
import pytest

from sls_tracing import ConstSampler, InMemoryReporter, NullReporter, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters

requirement = pytest.mark.requirement


# -- ending -------------------------------------------------------------------------------------------------------------


@requirement("OT-T18")
def test_close_flushes_and_may_be_repeated(tracer, reporter):
    """Spans that finish afterwards raise nothing."""
    tracer.start_span("before").finish()
    late = tracer.start_span("late")
    assert tracer.flush() is True
    assert tracer.close() is True
    assert tracer.close() is True
    assert tracer.closed
    late.finish()
    assert reporter.spans[0].operation_name == "before"


def test_a_tracer_is_a_context_manager(reporter):
    """Leaving it closes it."""
    with Tracer("t", reporter=reporter) as tracer:
        tracer.start_span("x").finish()
    assert tracer.closed


class BrokenReporter:
    def report(self, span):
        raise ValueError("report")

    def flush(self, timeout=5.0):
        raise ValueError("flush")

    def close(self, timeout=5.0):
        raise ValueError("close")


def test_a_reporter_that_raises_harms_nobody(caplog):
    """Each failure is counted and the first is logged; flush and close answer False."""
    before = counters.get("guard_failures_tracer")
    tracer = Tracer("t", reporter=BrokenReporter())
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        tracer.start_span("x").finish()
        with tracer.start_active_span("y"):
            pass
    assert tracer.flush() is False
    assert tracer.close() is False
    assert counters.get("guard_failures_tracer") == before + 4


def test_a_sampler_that_cannot_be_closed_does_not_keep_the_reporter_open(reporter):
    """close goes on to the reporter."""

    class Unclosable(ConstSampler):
        def close(self):
            raise ValueError("close")

    assert Tracer("t", sampler=Unclosable(), reporter=reporter).close() is True


# -- configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"service_name": ""}, "JAEGER_SERVICE_NAME"),
        ({"service_name": "  "}, "JAEGER_SERVICE_NAME"),
        ({"service_name": None}, "JAEGER_SERVICE_NAME"),
        ({"service_name": b"x"}, "JAEGER_SERVICE_NAME"),
        ({"sampler": "const"}, "is_sampled, close"),
        ({"sampler": True}, "is_sampled, close"),
        ({"sampler": ConstSampler}, r"pass ConstSampler\(…\)"),
        ({"reporter": "log"}, "report, flush, close"),
        ({"reporter": InMemoryReporter}, r"pass InMemoryReporter\(…\)"),
        ({"reporter": []}, "report, flush, close"),
        ({"scope_manager": "asyncio"}, "activate"),
        ({"scope_manager": opentracing.ScopeManager}, r"pass ScopeManager\(…\)"),
        ({"propagation": "b4"}, "known are: b3"),
        ({"propagation": None}, "propagation name or mapping"),
        ({"propagation": ["b3"]}, "propagation name or mapping"),
        ({"tags": "a=b"}, "items, keys"),
        ({"tags": 5}, "items, keys"),
        ({"tags": [("a", "b")]}, "items, keys"),
        ({"trace_id_bits": 96}, "64 or 128"),
        ({"trace_id_bits": "128"}, "64 or 128"),
        ({"trace_id_bits": 128.0}, "64 or 128"),
    ],
)
def test_wrong_configuration_fails_at_start_with_the_remedy(arguments, remedy):
    """Not once a span, and not with an AttributeError."""
    with pytest.raises(ConfigurationError, match=remedy):
        Tracer(**{"service_name": "t", "reporter": NullReporter(), **arguments})


def test_process_tags(reporter):
    """They describe the process on every span; the user's beat those found here."""
    Tracer("t", reporter=reporter, tags={"ip": "1.2.3.4", "zone": None}).start_span("x").finish()
    process = reporter.spans[0].process
    assert process.service_name == "t"
    assert process.tags["ip"] == "1.2.3.4"
    assert process.tags["zone"] == "None"
    assert process.tags["jaeger.version"].startswith("sls-tracing-")
    assert process.tags["hostname"]


# -- threads and forks --------------------------------------------------------------------------------------------------


def test_ids_made_in_many_threads_differ(tracer):
    """One generator serves all."""
    ids = []

    def work():
        ids.extend(tracer.start_span("x").context.span_id for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 4000


def test_a_fork_with_everything_locked():
    """Children make ids of their own, can count, and can set baggage, although another thread held the locks at the fork."""
    program = textwrap.dedent(
        """
        import os, threading
        from sls_tracing import NullReporter, Tracer
        from sls_tracing.metrics import counters

        tracer = Tracer("t", reporter=NullReporter())
        def show(who):
            counters.add("counted")
            span = tracer.start_span("x").set_baggage_item("a", "b")
            os.write(1, f"{who} {span.context.to_trace_id()} {counters.get('counted')}\\n".encode())
        held, release = threading.Event(), threading.Event()
        def hold():
            with counters._lock, tracer._lock:
                held.set()
                release.wait()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        children = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                show("child")
                os._exit(0)
            children.append(pid)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        release.set()
        holder.join()
        show("parent")
        """
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    lines = [line.split() for line in output.stdout.splitlines()]
    assert sorted(who for who, *_ in lines) == ["child"] * 3 + ["parent"]
    assert len({trace_id for _, trace_id, _ in lines}) == 4
    assert {count for *_, count in lines} == {"1"}
