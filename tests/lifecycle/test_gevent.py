"""gevent: patched before us, after us, between, or not at all. Spans leave while the program runs, and at its end."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PATCH = "from gevent import monkey; monkey.patch_all()\n"
IMPORT = "from sls_tracing import init_tracer\n"
START = "tracer = init_tracer()\n"
SPAN = "tracer.start_span('early').finish(); assert tracer.flush(10)\n"

ORDERS = {
    "patched first": PATCH + IMPORT + START + SPAN,
    "patched after the import": IMPORT + PATCH + START + SPAN,
    "patched after the tracer": IMPORT + START + PATCH + SPAN,
    "patched after the first span": IMPORT + START + SPAN + PATCH,
    "not patched": IMPORT + START + SPAN,
}

WORK = """
import os, sys, threading
import gevent

def work(number):
    with tracer.start_active_span("outer") as outer:
        for _ in range(49):
            with tracer.start_active_span("inner", tags={"number": number}) as inner:
                gevent.sleep(0)
                assert inner.span.context.parent_id == outer.span.context.span_id

greenlets = [gevent.spawn(work, number) for number in range(20)]
gevent.joinall(greenlets, raise_error=True)
"""


@pytest.mark.parametrize("order", ORDERS)
def test_spans_of_greenlets_arrive_while_the_program_runs(order, environ, tmp_path, receiver) -> None:
    """jaeger-client sent nothing (its #256, #258). The program idles in the hub; nothing is flushed by hand, nor by the exit."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            ORDERS[order]
            + WORK
            + """
while not os.path.exists("end"):
    gevent.sleep(0.01)
os._exit(0)
"""
        )
    )
    program = subprocess.Popen([sys.executable, "program.py"], env=environ, cwd=tmp_path)
    try:
        receiver.wait_for(1001)
        assert receiver.names() == {"early": 1, "outer": 20, "inner": 980}
    finally:
        (tmp_path / "end").touch()
        assert program.wait(30) == 0


ENDS = {
    "the script's": "",
    "after flush and close by many greenlets at once": """
for end in (tracer.flush, tracer.close):
    assert all(job.get() for job in [gevent.spawn(end, 10) for _ in range(10)])
""",
    "a fork": """
pid = os.fork()
if not pid:
    gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True)
    os._exit(0 if tracer.close(10) else 9)
assert os.waitpid(pid, 0)[1] == 0
""",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_end_delivers(order, end, run_program, receiver) -> None:
    """Of the program, and of a forked child."""
    run_program(ORDERS[order] + WORK + ENDS[end])
    times = 2 if end == "a fork" else 1
    receiver.wait_for(1 + 1000 * times)
    assert receiver.names() == {"early": 1, "outer": 20 * times, "inner": 980 * times}


@pytest.mark.parametrize("order", ["patched first", "patched after the tracer"])
def test_a_forked_child_does_not_go_on_with_its_parents_work(order, run_program, receiver) -> None:
    """A fork copies greenlets, unlike threads: the one that waits to send, and the one that polls."""
    polling = """
from sls_tracing.polling import Poller
polled_by = []
poller = Poller("test", lambda: polled_by.append(os.getpid()) or True, 0.05)
poller.start()
while not polled_by:
    gevent.sleep(0.01)
"""
    fork = """
tracer.start_span("waiting").finish()
pid = os.fork()
if not pid:
    gevent.sleep(1.5)
    os._exit(9 if os.getpid() in polled_by else 0)
assert os.waitpid(pid, 0)[1] == 0
assert tracer.flush(10)
"""
    run_program(ORDERS[order] + WORK + polling + fork)
    receiver.wait_for(1002)
    assert receiver.names() == {"early": 1, "outer": 20, "inner": 980, "waiting": 1}


def test_a_forked_child_polls_when_it_asks_to(run_program) -> None:
    """Once, not twice as often."""
    run_program(
        PATCH
        + """
import os
import gevent
from sls_tracing.polling import Poller
polled_by = []
poller = Poller("test", lambda: polled_by.append(os.getpid()) or True, 60)
poller.start()
gevent.sleep(0.1)
pid = os.fork()
if not pid:
    poller.start()
    gevent.sleep(0.5)
    os._exit(polled_by.count(os.getpid()))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
"""
    )
