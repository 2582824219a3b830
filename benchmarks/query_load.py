"""``python benchmarks/query_load.py``: how long searches take over HTTP while spans come in.

A file is filled with traces of 10 spans over the last hour; the all-in-one opens it in a process of its own; a sender, another process, keeps a rate of spans over
UDP (``backend_ingest.py``); one client asks ``/api/traces`` as the search form of Jaeger's UI does, one kind of search after the other, a pause between
them. Times are from the first byte sent to the last byte read; every answer must have traces. Large answers are measured once at the end.

    python benchmarks/query_load.py --spans 1000000 --rate 2000 --seconds 60
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import backend_ingest

from sls_tracing.context import SpanContext
from sls_tracing.log_service import TraceStore, open_trace_store
from sls_tracing.model import Process, Reference, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = [f"service-{n:02}" for n in range(20)]
SPANS_A_TRACE = 10
PAUSE = 0.1
LONG_TRACE, LONG_TRACE_SPANS = 0xB16, 20_000
HOUR = 3600


def searches(rng: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield kinds of searches, in turn, each for some service."""
    while True:
        service = rng.choice(SERVICES)
        yield "service", {"service": service}
        yield "service, 48 h", {"service": service, "lookback": "2d"}
        yield "operation", {"service": service, "operation": f"GET /op{rng.randrange(10)}"}
        yield "tag", {"service": service, "tags": '{"http.status_code":"500"}'}
        yield "rare tag", {"service": service, "tags": json.dumps({"user.id": str(rng.randrange(1000))})}
        yield "duration", {"service": service, "minDuration": "200ms"}


def spans(total: int, now: float) -> Iterator[list[SpanRecord]]:
    """Yield batches of whole traces, the oldest first."""
    rng = random.Random(1)
    processes = [Process(name, {"hostname": f"{name}-1", "ip": f"10.0.0.{n}"}) for n, name in enumerate(SERVICES)]
    batch: list[SpanRecord] = []
    for number in range(total // SPANS_A_TRACE):
        trace_id, begin = rng.getrandbits(128) | 1, now - HOUR + HOUR * number * SPANS_A_TRACE / total
        batch += [
            _span(rng, trace_id, position, begin + position / 1000, rng.choice(processes))
            for position in range(1, SPANS_A_TRACE + 1)
        ]
        if len(batch) >= 2000:
            yield batch
            batch = []
    yield batch
    yield [_span(rng, LONG_TRACE, position, now - 60, processes[0]) for position in range(1, LONG_TRACE_SPANS + 1)]


def _span(rng: random.Random, trace_id: int, position: int, start: float, process: Process) -> SpanRecord:
    tags = {
        "span.kind": "client" if position % 2 else "server", "component": "flask", "http.method": "GET",
        "http.url": f"http://{process.service_name}/op/{rng.randrange(1000)}", "http.status_code": 500 if rng.random() < 0.01 else 200,
        "user.id": rng.randrange(1000), "request_size": rng.randrange(5000),
    }  # fmt: skip
    parent = None if position == 1 else 1
    references = [Reference("child_of", trace_id, 1)] if parent else []
    context = SpanContext(trace_id, position, parent, sampled=True)
    finish = start + rng.expovariate(20)
    return SpanRecord(f"GET /op{rng.randrange(10)}", context, references, start, finish, tags, (), process)


def fill(storage: str, total: int) -> float:
    """Store the spans; return the seconds that it took."""
    begin = time.monotonic()
    with contextlib.closing(open_trace_store(storage)) as store:
        write_all(store, total)
    return time.monotonic() - begin


def write_all(store: TraceStore, total: int) -> None:
    for batch in spans(total, time.time()):
        store.write(batch)


def ask(url: str) -> tuple[float, Any, int]:
    """Return the milliseconds that an answer took, its traces and its bytes."""
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=120) as response:
        body = response.read()
    return (time.perf_counter() - begin) * 1e3, json.loads(body)["data"], len(body)


def ask_for(url: str, seconds: float) -> dict[str, list[float]]:
    """Ask searches in turn for so long; return the times of each kind."""
    times: dict[str, list[float]] = {}
    kinds = searches(random.Random(2))
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        kind, parameters = next(kinds)
        end = time.time()
        back = 48 * HOUR if parameters.get("lookback") else HOUR
        window = {"start": f"{(end - back) * 1e6:.0f}", "end": f"{end * 1e6:.0f}", "limit": "20"}
        took, traces, _ = ask(f"{url}/api/traces?{urlencode({**parameters, **window})}")
        if not traces:
            raise SystemExit(f"no traces found by {parameters}: nothing was measured")
        times.setdefault(kind, []).append(took)
        time.sleep(PAUSE)
    return times


def large_answers(url: str) -> dict[str, tuple[float, int, int]]:
    """Return milliseconds, traces and bytes of the largest answers that a UI asks for."""
    now = time.time()
    many = urlencode(
        {"service": SERVICES[3], "limit": "1500", "start": f"{(now - HOUR) * 1e6:.0f}", "end": f"{now * 1e6:.0f}"}
    )
    found = {}
    for name, path in (
        ("1,500 traces", f"/api/traces?{many}"),
        ("a trace of 20,000 spans", f"/api/traces/{LONG_TRACE:x}"),
    ):
        took, traces, size = ask(url + path)
        found[name] = took, len(traces), size
    return found


def measure(total: int, rate: float, seconds: float) -> dict[str, Any]:
    """Fill, start, load, ask; return all figures."""
    with tempfile.TemporaryDirectory() as folder:
        storage = str(Path(folder, "spans.duckdb"))
        filled = fill(storage, total)
        backend = backend_ingest.start_backend(storage)
        try:
            return {"fill_seconds": filled, **_under_load(backend, rate, seconds)}
        finally:
            backend.process.terminate()
            try:
                backend.process.wait(60)
            finally:
                backend.process.kill()
                backend.process.wait()


def _under_load(backend: backend_ingest.Backend, rate: float, seconds: float) -> dict[str, Any]:
    sender = [
        sys.executable,
        backend_ingest.__file__,
        "--send-to",
        str(backend.ports["binary"]),
        "--protocol",
        "binary",
    ]
    sender += ["--rate", str(rate), "--seconds", str(seconds + 5)]
    with subprocess.Popen(sender, stdout=subprocess.PIPE) as sending:
        try:
            time.sleep(2)
            before, load = backend_ingest.cpu_seconds(backend.process), os.getloadavg()[0]
            times = ask_for(backend.query_url, seconds)
            cpu = backend_ingest.cpu_seconds(backend.process) - before
            sent = json.loads(sending.communicate(timeout=60)[0])
        finally:
            sending.kill()
    stored = backend_ingest.metrics(backend)
    return {
        "times": times,
        "cpu_share": cpu / seconds,
        "load_before": load,
        "sent": sent["sent"],
        "stored": int(stored.get("collector_spans_stored", 0)),
        "dropped": int(stored.get("collector_spans_dropped", 0) + stored.get("agent_socket_drops", 0)),
        "large": large_answers(backend.query_url),
        "peak_mib": round(backend_ingest.peak_mib(backend.process)),
    }


def show(result: dict[str, Any]) -> None:
    print(
        f"filled in {result['fill_seconds']:.0f} s; sent meanwhile {result['sent']:,} spans, stored {result['stored']:,}, dropped {result['dropped']:,}"
    )
    print(f"load average before {result['load_before']:.1f}; the backend used {result['cpu_share']:.0%} of a core")
    times = result["times"]
    for kind, all_times in [*times.items(), ("all", [each for some in times.values() for each in some])]:
        p95 = statistics.quantiles(all_times, n=20)[-1] if len(all_times) > 1 else all_times[0]
        print(
            f"  {kind:<16} p50 {statistics.median(all_times):6.0f} ms   p95 {p95:6.0f} ms   of {len(all_times)} searches"
        )
    for name, (took, traces, size) in result["large"].items():
        print(f"  {name}: {took:.0f} ms, {traces} traces, {size / 1e6:.1f} MB")
    print(f"  peak memory {result['peak_mib']} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000, help="stored before; %(default)s")
    parser.add_argument("--rate", type=float, default=2000, help="spans a second that come in meanwhile; %(default)s")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.spans, options.rate, options.seconds)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
