"""``python benchmarks/instrumentation_overhead.py``: what tracing adds to a Flask request, a call of requests, a decorated function, a start.

The processes of all tracers live side by side and are asked in turns for the CPU time of some hundred calls, a few milliseconds; those of the next round
are new ones, with their objects elsewhere in memory. Of all turns of all rounds the least counts, row by row: whatever else runs on the machine can only add. What
is shown is "added", a row's least minus that of no tracing at all, and its ratio to sls-tracing's. Peers that are not installed are left out:
``pip install 'sls-tracing[bench]'`` brings them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {"opentelemetry": "opentelemetry.instrumentation.flask", "ddtrace": "ddtrace", "jaeger-client": "jaeger_client"}
BASE = "none"
TURNS = 20
CASES = {
    "flask": "a Flask request: route and four headers, no server (µs)",
    "requests": "a call of requests on an adapter that answers at once (µs)",
    "httpx": "a call of httpx on a transport that answers at once (µs)",
    "traced": "a call of a decorated function (µs)",
    "launcher": "start of `python -c pass` (ms of CPU)",
}
TRACERS = {
    "flask": ("none", "sls-tracing", "sls-tracing unsampled", "sls-tracing disabled", "jaeger-client", "opentelemetry", "opentelemetry off", "ddtrace"),
    "requests": ("none", "sls-tracing", "sls-tracing unsampled", "sls-tracing disabled", "jaeger-client", "opentelemetry", "opentelemetry off", "ddtrace"),
    "httpx": ("none", "sls-tracing", "sls-tracing unsampled", "sls-tracing disabled", "jaeger-client", "opentelemetry", "opentelemetry off", "ddtrace"),
    "traced": ("none", "sls-tracing", "sls-tracing disabled", "opentelemetry", "ddtrace"),
    "launcher": ("none", "sls-tracing", "opentelemetry", "ddtrace"),
}  # fmt: skip
LAUNCHERS = {
    "none": [],
    "sls-tracing": ["sls-tracing", "run", "--service", "bench"],
    "opentelemetry": ["opentelemetry-instrument", "--traces_exporter", "none", "--metrics_exporter", "none", "--logs_exporter", "none"],
    "ddtrace": ["ddtrace-run"],
}  # fmt: skip


def start(tracer: str, repetitions: int = 5) -> float:
    """Return the least CPU time of a start, launcher included, in milliseconds."""
    scripts = Path(sys.executable).parent
    command = [*LAUNCHERS[tracer], sys.executable, "-c", "pass"]
    command[0] = shutil.which(command[0], path=str(scripts)) or command[0]
    best = float("inf")
    environ = {**os.environ, "DD_TRACE_STARTUP_LOGS": "0", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "0"}
    for _ in range(repetitions):
        began = _children()
        subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        best = min(best, _children() - began)
    return best * 1e3


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(case: str, tracers: list[str]) -> dict[str, float]:
    """Return the least figure of each tracer in one round."""
    if case == "launcher":
        return {tracer: start(tracer) for tracer in tracers}
    workers = {tracer: _worker(case, tracer) for tracer in tracers}
    figures = dict.fromkeys(tracers, float("inf"))
    try:
        for _ in range(TURNS):
            for tracer, worker in workers.items():
                worker.stdin.write("\n")
                worker.stdin.flush()
                figures[tracer] = min(figures[tracer], float(worker.stdout.readline()))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()
    return figures


def _worker(case: str, tracer: str) -> Any:
    return subprocess.Popen(
        [sys.executable, str(HERE / "instrumentation_worker.py"), case, tracer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "0"},
    )


def is_there(tracer: str) -> bool:
    module = PEERS.get(tracer.split(maxsplit=1)[0])
    try:
        return module is None or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def added(rows: dict[str, list[float]]) -> dict[str, float]:
    """Return what each tracer adds to the work without tracing."""
    base = min(rows[BASE])
    return {name: min(figures) - base for name, figures in rows.items() if name != BASE}


def show(case: str, rows: dict[str, list[float]]) -> None:
    print(f"\n{CASES[case]}; without tracing {min(rows[BASE]):.2f}")
    figures = added(rows)
    for name, figure in figures.items():
        print(f"  {name:<24} added {figure:10.2f} {figure / figures['sls-tracing']:7.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--tracer", action="append", help="only this one, beside none and sls-tracing; repeatable")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {}
    for case in options.only or CASES:
        wanted = {BASE, "sls-tracing", *(options.tracer or TRACERS[case])}
        names = [name for name in TRACERS[case] if name in wanted and is_there(name)]
        results[case] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, figure in measure(case, names).items():
                results[case][name].append(figure)
        show(case, results[case])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
