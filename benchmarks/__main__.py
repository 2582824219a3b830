"""``python benchmarks``: every figure of docs/performance.md, next to its peers, in one run.

Each measurement is a process of its own, and the tracers take turns within a round, so that a slow minute of a noisy machine hits all of them; the
median over the rounds is shown, with the ratio to sls-tracing. ``--json FILE`` keeps everything, ``--charts FOLDER`` draws, ``--quick`` is for work
on the benchmarks themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from charts import draw
from instrumentation_overhead import added
from sinks import Sinks
from tables import FIGURES, medians, show
from tracers import CONTROLS, MODULES, TRACERS

HERE = Path(__file__).parent
ALONE = [name for name in TRACERS if "," not in name]
SENDING = [name for name in TRACERS if name != "opentracing no-op"]
WORKS: dict[str, list[str]] = {
    "short": ALONE,
    "unsampled": [name for name in ALONE if name != "ddtrace"],  # ddtrace decides when a trace ends
    "threads": ALONE,
    "gevent": ALONE,
    "cpu": SENDING,
    "latency": [*ALONE, *CONTROLS],
    "memory": [name for name in ALONE if name in SENDING],
    "burst": [name for name in ALONE if name in SENDING],
    "import": list(MODULES),
}
INSTRUMENTED = ("flask", "requests", "launcher")
NAMES = {"opentelemetry": "OpenTelemetry"}
UDP = {"sls-tracing", "sls-tracing, binary", "jaeger-client"}
Results = dict[str, dict[str, list[float]]]


def measure(work: str, tracer: str, sinks: Sinks, scale: float) -> dict[str, float]:
    """Return the worker's figures; those of a work that sends with the number of spans that arrived."""
    if work == "import":
        return {"import": import_time(MODULES[tracer])}
    sends = work in ("cpu", "latency", "burst") and tracer in SENDING
    port = (sinks.udp if tracer in UDP else sinks.http) if sends else 0
    command = [sys.executable, str(HERE / "worker.py"), work, tracer, str(port), str(scale)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        sys.exit(f"{work} of {tracer} failed:\n{run.stderr}")
    figures: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    if sends:
        time.sleep(0.2)  # the last datagrams are still in the sink's buffer
        figures["arrived"] = sinks.take()
    if "sent" in figures and work == "burst":
        figures = {"burst": figures["arrived"]}
    return figures


def import_time(statement: str, runs: int = 5) -> float:
    """Return milliseconds of CPU over bare Python, compiled modules at hand: the least of several processes."""
    program = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began, flush=True); import os; os._exit(0)"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    times = []
    for _ in range(runs):
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        times.append(float(run.stdout.split()[-1]))
    return min(times) * 1e3


def run_rounds(works: dict[str, list[str]], rounds: int, minutes: float, scale: float) -> tuple[Results, int]:
    """Measure until the rounds are done or another one would not fit into ``minutes``."""
    results: Results = {}
    began = time.monotonic()
    done = 0
    with Sinks() as sinks:
        while done < rounds and (time.monotonic() - began) * (done + 1) <= minutes * 60 * max(done, 1):
            for work, tracers in works.items():
                for tracer in tracers[done % len(tracers) :] + tracers[: done % len(tracers)]:
                    print(
                        f"\r{time.monotonic() - began:5.0f} s  round {done + 1}: {work:<10} {tracer:<24}",
                        end="",
                        file=sys.stderr,
                        flush=True,
                    )
                    for figure, value in measure(work, tracer, sinks, scale).items():
                        name = f"{work} {figure}" if figure in ("arrived", "sent") else figure
                        results.setdefault(name, {}).setdefault(tracer, []).append(value)
            done += 1
    print(f"\r{time.monotonic() - began:5.0f} s, {done} rounds{'':<40}", file=sys.stderr)
    return results, done


def instrumentation(rounds: int) -> Results:
    """Run the program that measures instrumented libraries; return what each tracer adds to the same work without tracing."""
    measured: Results = {}
    for case in INSTRUMENTED:
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "figures.json"
            options = ["--rounds", str(rounds), "--only", case, "--json", str(kept)]
            try:
                subprocess.run(
                    [sys.executable, str(HERE / "instrumentation_overhead.py"), *options],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    timeout=300,
                )
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                print(f"{case}: left out, {error}", file=sys.stderr)  # what was measured before must not be lost for it
            else:
                measured |= json.loads(kept.read_text())
    return {
        case: {NAMES.get(tracer, tracer): [figure] for tracer, figure in added(rows).items()}
        for case, rows in measured.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at most; default 5")
    parser.add_argument(
        "--minutes", type=float, default=7.0, help="no further round is begun that would not fit; default 7"
    )
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of the work")
    parser.add_argument("--only", choices=WORKS, action="append", help="may be given several times")
    parser.add_argument("--json", type=Path, help="keep every figure of every round")
    parser.add_argument("--charts", type=Path, help="draw into this folder")
    options = parser.parse_args()
    works = {work: WORKS[work] for work in options.only or WORKS}
    results, rounds = run_rounds(
        works, 1 if options.quick else options.rounds, options.minutes, 0.2 if options.quick else 1
    )
    if not options.only:
        results |= instrumentation(min(rounds, 3))
    for figure in FIGURES:
        if figure in results:
            show(figure, results)
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "rounds": rounds,
    }
    kept = {"machine": machine, "medians": medians(results), "results": results}
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n")
    if options.charts:
        draw(kept["medians"], options.charts)


if __name__ == "__main__":
    main()
