"""However a process ends, short of being killed, what it finished has been sent. No program here calls close or flush."""

from __future__ import annotations

import pytest

START = """
import asyncio, atexit, os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from sls_tracing import init_tracer

tracer = init_tracer()

def make(number, name="span"):
    for _ in range(number):
        with tracer.start_active_span(name):
            pass

"""

ENDS = {
    "end of the script": ("make(1000)", 0),
    "sys.exit": ("make(1000); sys.exit(3)", 3),
    "exception": ("make(1000); raise KeyError('x')", 1),
    "KeyboardInterrupt": ("make(1000); raise KeyboardInterrupt", -2),
    "SIGTERM with the handler of docs/deployment.md": (
        """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
make(1000)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
""",
        0,
    ),
    "sys.exit in a function deep in spans": (
        """
with tracer.start_active_span("outer"):
    make(999)
    sys.exit(0)
""",
        0,
    ),
    "asyncio.run": (
        """
async def work(number):
    for _ in range(number):
        with tracer.start_active_span("span"):
            await asyncio.sleep(0)

async def main():
    await asyncio.gather(*(work(100) for _ in range(10)))

asyncio.run(main())
""",
        0,
    ),
    "a thread that outlives the main one": (
        """
released = threading.Event()
def late():
    released.wait(10)
    make(1000)
threading.Thread(target=late).start()
threading.Timer(0.05, released.set).start()
""",
        0,
    ),
    "a thread pool that is joined at shutdown": (
        """
pool = ThreadPoolExecutor(4)
for _ in range(100):
    pool.submit(make, 10)
""",
        0,
    ),
    # From 3.12 on no thread can be started any more then: the reporter's own never runs.
    "first spans in an atexit function": ("atexit.register(make, 1000)", 0),
    "flush in an atexit function": (
        """
def late():
    make(1000)
    assert tracer.flush(10) or os._exit(9)
atexit.register(late)
""",
        0,
    ),
    "subprocess of a traced process": (
        """
import subprocess
if len(sys.argv) == 1:
    make(500)
    sys.exit(subprocess.run([sys.executable, __file__, "child"]).returncode)
make(500)
""",
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_all_1000_spans_arrive(end, run_program, receiver) -> None:
    """jaeger-client delivered none of them, in five runs of five."""
    code, returncode = ENDS[end]
    run_program(START + code, returncode=returncode)
    spans = receiver.wait_for(1000)
    assert len(spans) == 1000
    assert len({span.context.span_id for span in spans}) == 1000


def test_spans_that_finish_after_the_close_at_exit_are_counted(run_program, receiver) -> None:
    """Late ones, in an atexit function that runs after ours, are not silently lost: the log and the counters tell."""
    done = run_program("""
        import atexit
        from sls_tracing.metrics import counters
        tracer = None
        @atexit.register
        def late():
            tracer.start_span("late").finish()
            print(counters.get("reporter_spans_dropped"))
        from sls_tracing import init_tracer
        tracer = init_tracer()
        tracer.start_span("before").finish()
    """)
    assert done.stdout == "1\n"
    assert "after the reporter was closed" in done.stderr
    assert [span.operation_name for span in receiver.wait_for(1)] == ["before"]


@pytest.mark.parametrize("host", ["127.0.0.1", "host.invalid", "192.0.2.1"])
def test_a_process_whose_agent_is_gone_ends_all_the_same(host, run_program, environ) -> None:
    """Nobody listens, the name cannot be resolved, the address answers nothing: the exit status is the program's own."""
    environ["JAEGER_AGENT_HOST"], environ["JAEGER_AGENT_PORT"] = host, "9"
    run_program(START + "make(1000); sys.exit(5)", returncode=5, seconds=30)
