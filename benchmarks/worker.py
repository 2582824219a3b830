"""One process, one tracer: ``worker.py WORK TRACER PORT SCALE`` prints figures as JSON. Short works share a process, others have their own.

``SCALE`` shortens the work while the benchmarks themselves are being worked on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requested import HEADERS
from tracers import CONTROLS, TRACERS, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE = float(sys.argv[4]) if len(sys.argv) > 4 else 1.0
UNDECIDED = {name: value for name, value in HEADERS.items() if name != "x-b3-sampled"}


def best(work: Callable[[int], Any], count: int = 4_000, loops: int = 7) -> float:
    """Return µs a unit: the best of many short loops, which is what the work costs when nobody disturbs it.

    Short, because on a busy machine a loop of 20 ms never has the processor to itself, and one of 2 ms sometimes does.
    """
    work(count // 4)
    count, loops = max(20, count // 20), max(10, int(loops * 20 * SCALE))
    fastest = float("inf")
    for _ in range(loops):
        began = time.perf_counter()
        work(count)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest / count * 1e6


def short(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """Nothing is sent: what each call costs the application's thread."""
    work = make(Setting())
    figures = {
        "sampled": best(work.life),
        "nested": best(work.nested, 2_000),
        "hop": best(lambda count: work.hop(count, HEADERS), 1_500),
    }
    if work.decorate is not None:

        def nothing() -> None:
            pass

        decorated = work.decorate(nothing)

        def call(function: Callable[[], None], count: int) -> None:
            for _ in range(count):
                function()

        figures["decorator"] = best(lambda count: call(decorated, count)) - best(lambda count: call(nothing, count))
    figures["asyncio"] = best(lambda count: asyncio.run(_tasks(work, count)), 1_000, 5)
    if sys.argv[2] == "sls-tracing":  # nobody else can leave a decision open
        figures["deferred"] = best(lambda count: work.deferred(count, UNDECIDED))
    return figures


def unsampled(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    return {"unsampled": best(make(Setting(sampled=False)).life)}


async def _tasks(work: Any, count: int) -> None:
    """Ten tasks that take turns, an active span and its child each time."""

    async def task() -> None:
        for _ in range(count // 10):
            with work.active("outer"):
                await asyncio.sleep(0)
                with work.active("inner"):
                    pass

    await asyncio.gather(*[task() for _ in range(10)])


def gevent(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """The same in ten greenlets."""
    import gevent as library

    work = make(Setting())

    def greenlet(count: int) -> None:
        for _ in range(count // 10):
            with work.active("outer"):
                library.sleep(0)
                with work.active("inner"):
                    pass

    return {
        "gevent": best(lambda count: library.joinall([library.spawn(greenlet, count) for _ in range(10)]), 1_000, 5)
    }


def threads(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """Elapsed µs a span, all threads together: with one GIL, no less than alone; more is what locks and switching cost."""
    work = make(Setting())
    figures = {}
    for number in (1, 2, 4, 8):
        fastest = float("inf")
        for _ in range(10):  # a start costs 100 µs: so not as short as `best` has it
            running = [threading.Thread(target=work.life, args=(4_000 // number,)) for _ in range(number)]
            began = time.perf_counter()
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
            fastest = min(fastest, time.perf_counter() - began)
        figures[f"threads {number}"] = fastest / 4_000 * 1e6
    return figures


def cpu(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """µs of CPU of the whole process for a sampled span with 4 tags, encoding and sending included; and of the loop alone."""
    count = int(30_000 * SCALE)
    work = make(Setting(port))
    for number in range(200):
        work.four_tags(number)
    gc.collect()
    began, began_loop = time.process_time(), time.thread_time()
    for number in range(count):
        work.four_tags(number)
    loop = time.thread_time() - began_loop
    work.close()
    return {"cpu": (time.process_time() - began) / count * 1e6, "cpu loop": loop / count * 1e6, "sent": count + 200}


def latency(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """µs that one span with 4 tags takes from the application's thread, 5,000 a second, while the tracer sends in the background."""
    rate, seconds = 5_000, 3 * SCALE
    work = make(Setting(port))
    for number in range(200):
        work.four_tags(number)
    times, late = [], []
    clock = time.perf_counter
    following = clock()
    for number in range(int(rate * seconds)):
        following += 1 / rate
        time.sleep(max(0.0, following - clock()))  # a service waits for its clients, it does not spin
        began = clock()
        work.four_tags(number)
        times.append(clock() - began)
        late.append(began - following)
    work.close()
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    times.sort()
    late.sort()
    return {
        **{name: times[int(len(times) * share)] * 1e6 for name, share in shares},
        **{f"late {name}": late[int(len(late) * share)] * 1e6 for name, share in shares},
    }


def memory(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """Bytes that a finished span with 4 tags occupies in a queue: growth of the process, whatever allocated it."""
    count = max(5_000, int(20_000 * SCALE))
    queue: deque[Any] = deque()
    work = make(Setting(keep=queue.append))
    for number in range(2_000):
        work.four_tags(number)
    gc.collect()
    before, already = _resident(), len(queue)
    for number in range(count):
        work.four_tags(number)
    gc.collect()
    return {"memory": (_resident() - before) / (len(queue) - already)}


def _resident() -> int:
    import os

    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def burst(make: Callable[[Setting], Any], port: int | None) -> dict[str, float]:
    """10,000 spans in one go with default settings; the parent counts what arrives."""
    work = make(Setting(port, default_queue=True))
    for number in range(10_000):
        work.four_tags(number)
    work.close()
    return {"sent": 10_000}


WORKS = {work.__name__: work for work in (short, unsampled, gevent, threads, cpu, latency, memory, burst)}

if __name__ == "__main__":
    if sys.argv[1] == "gevent":
        from gevent import monkey

        monkey.patch_all()
    print(json.dumps(WORKS[sys.argv[1]]((TRACERS | CONTROLS)[sys.argv[2]], int(sys.argv[3]) or None)), flush=True)
