"""A service that says what it did, and a bounded load that knows which of its requests were answered."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

APP = """
import atexit, json, os
from sls_tracing.metrics import counters

@atexit.register  # before the tracer is made: runs after its close
def tell():
    os.write(2, f"counters of {os.getpid()}: {json.dumps(counters.snapshot())}\\n".encode())

from sls_tracing import init_tracer
tracer = init_tracer()

def app(environ, start_response):
    with tracer.start_active_span(environ["PATH_INFO"], tags={"pid": os.getpid()}):
        for _ in range(4):
            with tracer.start_active_span("part", tags={"pid": os.getpid()}):
                pass
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]
"""
SPANS_PER_REQUEST = 5


class Load:
    """Requests ``/1``, ``/2``, …: every attempt has its own number. ``answered`` maps those that got their answer to the worker's pid."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._numbers = itertools.count(1)
        self.answered: dict[str, int] = {}
        self.unanswered: set[str] = set()

    def run(self, requests: int, threads: int = 4) -> None:
        """Get ``requests`` answers from as many threads as told. A request that failed is made again under another number."""
        workers = [threading.Thread(target=self._work, args=(requests // threads,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, requests: int) -> None:
        deadline = time.monotonic() + 30
        done = 0
        while done < requests and time.monotonic() < deadline:
            path = f"/{next(self._numbers)}"
            connection = http.client.HTTPConnection(self._address, timeout=10)
            try:
                connection.request("GET", path)
                self.answered[path] = int(connection.getresponse().read())
                done += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered.add(path)
                time.sleep(0.02)
            finally:
                connection.close()

    def pids(self) -> list[int]:
        """The workers that have answered, the latest first."""
        return list(dict.fromkeys(reversed(self.answered.values())))


def counters_of_processes(output: list[str]) -> dict[int, dict[str, int]]:
    """What each process printed when it ended."""
    return {int(pid): json.loads(text) for pid, text in re.findall(r"counters of (\d+): (\{[^}]*\})", "".join(output))}


def check_delivery(load: Load, receiver, output: list[str], *, killed: tuple[int, ...] = ()) -> None:
    """Each request that was answered has all its spans, once; only a killed worker may owe some. Workers' own counts agree."""
    receiver.wait_for(sum(pid not in killed for pid in load.answered.values()) * SPANS_PER_REQUEST)
    check_spans(load, receiver.spans(), killed)
    check_counts(receiver.spans(), counters_of_processes(output), killed)


def check_spans(load: Load, spans, killed: tuple[int, ...] = ()) -> None:
    roots = Counter(span.operation_name for span in spans if span.operation_name != "part")
    missing = [(path, pid) for path, pid in load.answered.items() if pid not in killed and not roots[path]]
    assert missing == []
    assert set(roots) <= load.answered.keys() | load.unanswered
    assert max(roots.values()) == 1
    assert len({span.context.span_id for span in spans}) == len(spans)
    parts = Counter(span.context.trace_id for span in spans)
    whole = [span for span in spans if span.operation_name in load.answered and span.tags["pid"] not in killed]
    assert {parts[span.context.trace_id] for span in whole} == {SPANS_PER_REQUEST}


def check_counts(spans, told: dict[int, dict[str, int]], killed: tuple[int, ...]) -> None:
    by_pid = Counter(span.tags["pid"] for span in spans)
    assert {pid: counts["reporter_spans_sent"] for pid, counts in told.items() if by_pid[pid]} == {
        pid: number for pid, number in by_pid.items() if pid in told
    }
    assert by_pid.keys() - told.keys() <= set(killed)
    assert not any("dropped" in name or "failed" in name for counts in told.values() for name in counts)
