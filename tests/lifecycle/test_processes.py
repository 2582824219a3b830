"""Forked and spawned processes: ids of their own, spans delivered, whoever forks and however the child ends."""

from __future__ import annotations

import pytest

START = """
import concurrent.futures, multiprocessing, os, sys, threading, time
from sls_tracing import init_tracer

def make(number, name="span"):
    import opentracing
    for _ in range(number):
        with opentracing.global_tracer().start_active_span(name):
            pass
    return os.getpid()

"""


def distinct(spans):
    return len({span.context.span_id for span in spans}), len({span.context.trace_id for span in spans})


@pytest.mark.parametrize("end", ["sys.exit()", "tracer.flush(10) or os._exit(9); os._exit(0)", "tracer.close(10) or os._exit(9); os._exit(0)"])  # fmt: skip
def test_8_forked_children_of_1000_spans_each(end, run_program, receiver) -> None:
    """8,000 distinct span ids, all arrive; the parent was sending when it forked. jaeger-client: the same ids in all, none arrives."""
    run_program(
        START
        + f"""
tracer = init_tracer()
make(100, "parent")
children = []
for _ in range(8):
    pid = os.fork()
    if not pid:
        make(1000, "child")
        {end}
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
make(100, "parent")
"""
    )
    spans = receiver.wait_for(8200)
    assert receiver.names() == {"child": 8000, "parent": 200}
    assert distinct(spans) == (8200, 8200)


def test_every_process_names_itself(run_program, receiver) -> None:
    """An agent tells clients apart, and what each lost, by the tag client-uuid."""
    run_program(
        START
        + """
tracer = init_tracer()
make(1)
for _ in range(2):
    pid = os.fork()
    if not pid:
        make(1)
        sys.exit()
    os.waitpid(pid, 0)
"""
    )
    assert len({span.process.tags["client-uuid"] for span in receiver.wait_for(3)}) == 3


@pytest.mark.parametrize("instrumented", [False, True], ids=["plain", "instrumented"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing(method, instrumented, run_program, receiver) -> None:
    """A forked one ends by os._exit, which skips atexit; so does the forkserver's. Each delivers all the same."""
    run_program(
        START
        + f"""
def work(number):
    init_tracer()
    make(number)

if __name__ == "__main__":
    if {instrumented}:
        from sls_tracing import instrumentation
        instrumentation.install(["multiprocessing"])
    init_tracer()
    context = multiprocessing.get_context({method!r})
    processes = [context.Process(target=work, args=(1000,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
"""
    )
    assert distinct(receiver.wait_for(4000)) == (4000, 4000)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    "use",
    [
        "pool = context.Pool(4)\n    pool.map(make, [100] * 40)\n    pool.close()\n    pool.join()",
        "with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:\n        list(pool.map(make, [100] * 40))",
    ],
    ids=["Pool, closed", "ProcessPoolExecutor"],
)
def test_pools(method, use, run_program, receiver) -> None:
    """Their workers end as other processes of multiprocessing do."""
    run_program(
        START
        + f"""
init_tracer()
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    {use}
"""
    )
    assert distinct(receiver.wait_for(4000)) == (4000, 4000)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_grandchildren(method, run_program, receiver) -> None:
    """A process of multiprocessing that starts others, and one that forks by itself."""
    run_program(
        START
        + f"""
tracer = init_tracer()
context = multiprocessing.get_context({method!r})

def child():
    make(10, "child")
    process = context.Process(target=make, args=(10, "grandchild"))
    process.start()
    process.join()
    pid = os.fork()
    if not pid:
        make(10, "forked")
        tracer.flush(10)
        os._exit(0)
    os.waitpid(pid, 0)

if __name__ == "__main__":
    process = context.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    )
    receiver.wait_for(30)
    assert receiver.names() == {"child": 10, "grandchild": 10, "forked": 10}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_terminated(method, run_program, receiver) -> None:
    """Leaving its with-block kills the workers; the instrumentation delivers before each result is handed over."""
    run_program(
        START
        + f"""
from sls_tracing import instrumentation
instrumentation.install(["multiprocessing"])
init_tracer()
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(4) as pool:
        pool.map(make, [100] * 40)
"""
    )
    assert distinct(receiver.wait_for(4000)) == (4000, 4000)


def test_a_daemon_that_forked_twice(run_program, receiver) -> None:
    """The tracer was made before the daemonising, which also closes all descriptors, the socket's among them."""
    run_program(
        START
        + """
tracer = init_tracer()
make(10, "before")
tracer.flush(10)
if os.fork():
    sys.exit()
os.setsid()
if os.fork():
    sys.exit()
os.closerange(3, 256)
make(1000, "daemon")
"""
    )
    receiver.wait_for(1010)
    assert receiver.names() == {"before": 10, "daemon": 1000}


def test_forks_while_other_threads_report(run_program, receiver) -> None:
    """The reporter's thread is sending, others hold whatever lock there is: no child hangs, each delivers."""
    run_program(
        START
        + """
tracer = init_tracer()
stop = threading.Event()

def report():
    while not stop.is_set():
        make(5, "parent")
        tracer.flush(1)

threads = [threading.Thread(target=report) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(60):
    pid = os.fork()
    if not pid:
        try:
            make(10, "child")
            os._exit(0 if tracer.close(10) else 9)
        finally:
            os._exit(8)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""
    )
    receiver.wait_for(600)
    assert receiver.names()["child"] == 600


def test_a_fork_in_the_middle_of_the_first_look_up(run_program, receiver, environ) -> None:
    """The reporter's thread loads what the C library needs to look names up; no child may hang in its own first one."""
    environ["JAEGER_AGENT_HOST"] = "localhost"
    run_program(
        START
        + """
import subprocess
if len(sys.argv) == 1:
    for number in range(10):
        subprocess.run([sys.executable, __file__, str(number)], check=True)
    sys.exit()
tracer = init_tracer()
make(1, "parent")
threading.Thread(target=tracer.flush).start()
time.sleep(int(sys.argv[1]) / 10_000)
children = []
for _ in range(5):
    pid = os.fork()
    if not pid:
        make(10, "child")
        os._exit(0 if tracer.close(5) else 9)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 5
"""
    )
    receiver.wait_for(510)
    assert receiver.names() == {"parent": 10, "child": 500}
