"""200 requests at once, each with a trace of its own: whatever carries the service's work, no span ends up in another one's trace."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mesh_of_two import FULL, Mesh, forest
from processes import ProcessGroup
from report_sink import SeenSpan
from traces import find_traces

from sls_tracing.backend.all_in_one import all_in_one_in_background

TIMES = 200
ENTRANCE, GATE = "0123456789abcdef", 60


def request_all(mesh, **query):
    """All requests from threads of their own; their trace ids by key."""

    def request(number):
        trace = f"{number:08x}" * 4  # an upper half of zeros would be cut off
        sends = {"x-b3-traceid": trace, "x-b3-spanid": ENTRANCE, "x-b3-sampled": "1"}
        return mesh.request(sends, **query), trace

    with ThreadPoolExecutor(TIMES) as clients:
        return list(clients.map(request, range(1, TIMES + 1)))


def assert_apart(requests, spans_of):
    wrong = [
        (trace, spans) for exchange, trace in requests for spans in [spans_of(exchange)] if not whole(trace, spans)
    ]
    assert wrong == []


def whole(trace, spans):
    return {span.trace_id for span in spans} == {trace} and forest(spans) == {ENTRANCE: [FULL]}


def by_pool():
    """Work is handed to one pool of threads for all requests."""
    gate = threading.Barrier(TIMES)
    pool = ThreadPoolExecutor(TIMES)

    def handle(call):
        pool.submit(lambda: (gate.wait(GATE), call())).result()

    return handle, pool.shutdown


def by_threads():
    """A new thread for each."""
    gate = threading.Barrier(TIMES)

    def handle(call):
        thread = threading.Thread(target=lambda: (gate.wait(GATE), call()))
        thread.start()
        thread.join()

    return handle, lambda: None


def by_asyncio():
    """A task each, on one event loop; they wait for one another, then block in the loop's pool."""
    loop = asyncio.new_event_loop()
    pool = ThreadPoolExecutor(16)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    waiting = []
    all_here = asyncio.Event()

    async def work(call):
        waiting.append(call)
        if len(waiting) == TIMES:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), GATE)
        await asyncio.create_task(in_pool(call))

    async def in_pool(call):
        await loop.run_in_executor(pool, call)

    def stop():
        loop.call_soon_threadsafe(loop.stop)
        pool.shutdown()

    return lambda call: asyncio.run_coroutine_threadsafe(work(call), loop).result(), stop


@pytest.mark.parametrize("way", [by_pool, by_threads, by_asyncio])
def test_threads_and_tasks(way, meshes, applications, trace_with):
    reporter = trace_with("mesh")
    mesh = meshes("zipkin")
    applications.ways["in flight"], stop = way()
    requests = request_all(mesh, by="in%20flight")
    mesh.wait_until_reported()
    stop()
    assert_apart(requests, lambda exchange: mesh.spans_of(exchange, reporter))


def test_greenlets_of_gunicorn(applications, sink, trace_with, tmp_path, wait_until):
    """Bookinfo's own way to serve: gunicorn's gevent workers, here one of them with all requests, traced by `sls-tracing run`."""
    reporter = trace_with("mesh")
    with all_in_one_in_background() as backend, ProcessGroup(tmp_path) as group:
        gunicorn = group.start("gunicorn", gunicorn_command(), gunicorn_environment(backend.agent_compact_port))
        wait_until(lambda: "Listening at" in gunicorn.log.read_text() and "Booting worker" in gunicorn.log.read_text())
        port = int(re.search(r"Listening at: http://127.0.0.1:(\d+)", gunicorn.log.read_text())[1])
        mesh = Mesh("zipkin", applications, sink, group, tmp_path, productpage=port)
        requests = request_all(mesh)
        mesh.wait_until_reported()
        stored = {}

        def all_stored():
            for trace in find_traces(
                backend.query_url, service="productpage", operation="GET /productpage/<key>", since=0, limit=2 * TIMES
            ):
                for span in trace.spans:
                    seen = SeenSpan(
                        trace.trace_id, span.span_id, span.parent_id, span.kind.upper(), *span[2:4], span.tags
                    )
                    stored.setdefault(seen.key, {})[span.span_id] = seen
            return sum(map(len, stored.values())) >= 2 * TIMES

        wait_until(all_stored)
    assert_apart(requests, lambda exchange: [*mesh.spans_of(exchange, reporter), *stored[exchange.key].values()])


def gunicorn_command():
    options = ["-k", "gevent", "--workers", "1", "--worker-connections", "1000", "--bind", "127.0.0.1:0"]
    run = [sys.executable, "-m", "sls_tracing", "run", "--service", "productpage"]
    return [
        *run,
        sys.executable,
        "-m",
        "gunicorn",
        *options,
        "--chdir",
        str(Path(__file__).parent),
        "gevent_productpage:app",
    ]


def gunicorn_environment(agent_port):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAEGER_")}
    return {
        **kept,
        "JAEGER_AGENT_HOST": "127.0.0.1",
        "JAEGER_AGENT_PORT": str(agent_port),
        "JAEGER_PROPAGATION": "mesh",
        "IN_FLIGHT": str(TIMES),
    }
