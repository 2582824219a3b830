"""One measurement in a process of its own: ``worker.py WORK TRACER PORT`` prints one number as JSON.

- ``life``: µs for start + 2 tags + finish of a sampled root, nothing exported; best of several loops.
- ``cpu``: µs of CPU of the whole process for a sampled span with 4 tags, encoding and sending included.
- ``burst``: 10,000 spans in one go with default settings; the parent counts what arrives.
"""

from __future__ import annotations

import gc
import json
import sys
import time

from tracers import TRACERS, Traced


def life(traced: Traced, loops: int = 7, count: int = 20_000) -> float:
    start, tag, finish = traced.start, traced.tag, traced.finish
    best = float("inf")
    for _ in range(loops):
        began = time.perf_counter()
        for _ in range(count):
            span = start("operation")
            tag(span, "http.method", "GET")
            tag(span, "http.status_code", 200)
            finish(span)
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def _four_tags(traced: Traced, number: int) -> None:
    span = traced.start("GET /products/<id>")
    traced.tag(span, "http.method", "GET")
    traced.tag(span, "http.status_code", 200)
    traced.tag(span, "http.url", f"http://productpage:9080/products/{number}")
    traced.tag(span, "component", "flask")
    traced.finish(span)


def cpu(traced: Traced, count: int = 50_000) -> float:
    gc.collect()
    began = time.process_time()
    for number in range(count):
        _four_tags(traced, number)
    traced.close()
    return (time.process_time() - began) / count * 1e6


def burst(traced: Traced, count: int = 10_000) -> float:
    for number in range(count):
        _four_tags(traced, number)
    traced.close()
    return float(count)


WORKS = {"life": life, "cpu": cpu, "burst": burst}

if __name__ == "__main__":
    work, tracer, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    made = TRACERS[tracer](port or None, default_queue=work == "burst")
    json.dump(WORKS[work](made), sys.stdout)
