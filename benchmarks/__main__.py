"""``python benchmarks``: every figure of the README, next to its peers, in one run.

Each measurement is a process of its own; the tracers take turns within a round, so that a slow minute of a noisy machine hits all of them;
the median over the rounds is shown, with the ratio to sls-tracing. ``--json FILE`` keeps everything.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sinks import HTTPSink, UDPSink
from tracers import TRACERS

HERE = Path(__file__).parent
WORKS = {
    "life": "start + 2 tags + finish, sampled, nothing exported (µs)",
    "cpu": "whole CPU a sampled span, 4 tags, encoded and sent (µs)",
    "burst": "spans that arrive of a burst of 10,000, default settings",
}
SENDS = {"cpu", "burst"}


def measure(work: str, tracer: str, sinks: dict[str, UDPSink | HTTPSink]) -> tuple[float, int]:
    """Return the worker's figure and the number of spans that arrived."""
    sink = sinks["http" if tracer == "opentelemetry" else "udp"]
    port = sink.port if work in SENDS else 0
    output = subprocess.run(
        [sys.executable, str(HERE / "worker.py"), work, tracer, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    time.sleep(0.2)  # the last datagrams are still in the sink's buffer
    return json.loads(output.stdout), sink.take()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=WORKS, action="append")
    options = parser.parse_args()
    sinks: dict[str, UDPSink | HTTPSink] = {"udp": UDPSink(), "http": HTTPSink()}
    results: dict[str, dict[str, list[tuple[float, int]]]] = {}
    for work in options.only or WORKS:
        names = [name for name in TRACERS if work in SENDS or name != "sls-tracing binary"]
        results[work] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                results[work][name].append(measure(work, name, sinks))
        show(work, results[work])
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1))


def show(work: str, rows: dict[str, list[tuple[float, int]]]) -> None:
    """Print one table: figure, ratio to sls-tracing, and for those that send, the spans that arrived."""
    print(f"\n{WORKS[work]}")
    figures = {
        name: statistics.median(arrived if work == "burst" else figure for figure, arrived in rounds)
        for name, rounds in rows.items()
    }
    ours = figures["sls-tracing"]
    for name, figure in figures.items():
        ratio = f"{figure / ours:6.2f} x" if ours else ""
        arrived = f"   {min(count for _, count in rows[name]):,} spans arrived" if work == "cpu" else ""
        print(f"  {name:<20} {figure:10.2f} {ratio}{arrived}")


if __name__ == "__main__":
    main()
