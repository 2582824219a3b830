"""Figures as tables: what each is called, its unit, and its ratio to sls-tracing's."""

from __future__ import annotations

import statistics
from typing import NamedTuple

Results = dict[str, dict[str, list[float]]]


class Figure(NamedTuple):
    title: str
    unit: str
    decimals: int = 2


FIGURES = {
    "sampled": Figure("start + 2 tags + finish, sampled, nothing exported", "µs"),
    "unsampled": Figure("start + 2 tags + finish, unsampled", "µs"),
    "deferred": Figure("start + finish under a caller who left the decision open", "µs"),
    "nested": Figure("two nested active spans, a tag each", "µs"),
    "hop": Figure("a hop: extract B3, active server span, active client span, inject B3", "µs"),
    "decorator": Figure("a decorated function, over a bare one", "µs"),
    "flask": Figure("added to a Flask request", "µs", 1),
    "requests": Figure("added to a call of requests", "µs", 1),
    "launcher": Figure("added to the start of a program, CPU", "ms", 0),
    "asyncio": Figure("asyncio: two nested active spans, ten tasks taking turns", "µs"),
    "gevent": Figure("gevent: the same in ten greenlets", "µs"),
    **{
        f"threads {number}": Figure(f"start + 2 tags + finish in {number} thread(s), elapsed", "µs")
        for number in (1, 2, 4, 8)
    },
    "cpu": Figure("whole CPU of a sampled span, 4 tags, encoded and sent", "µs"),
    "cpu loop": Figure("of that, the application's thread", "µs"),
    "p50": Figure("a span of 4 tags in the application's thread, 5,000 a second, sent meanwhile: p50", "µs"),
    "p99": Figure("the same: p99", "µs"),
    "p99.9": Figure("the same: p99.9", "µs"),
    "memory": Figure("memory of a finished span, 4 tags, that waits", "bytes", 0),
    "burst": Figure("spans that arrive of a burst of 10,000, default settings", "spans", 0),
    "import": Figure("import, over bare Python, CPU", "ms", 1),
}
US = "sls-tracing"


def medians(results: Results) -> dict[str, dict[str, float]]:
    """Return the median over the rounds; of threads the least, since a busy machine lends them two processors now and then only."""
    return {
        name: {
            tracer: (min if name.startswith("threads") else statistics.median)(values)
            for tracer, values in rows.items()
        }
        for name, rows in results.items()
    }


def show(name: str, results: Results) -> None:
    """Print one table: median, the range over the rounds, the ratio; for the CPU figure the spans that arrived of those sent."""
    title, unit, decimals = FIGURES[name]
    print(f"\n{title} ({unit})")
    rows = medians(results)[name]
    for tracer, figure in rows.items():
        values = results[name][tracer]
        ratio = f"{figure / rows[US]:7.2f} x" if rows.get(US) else ""
        arrived = results.get("cpu arrived", {}).get(tracer) if name == "cpu" else None
        note = f"   {min(arrived) / results['cpu sent'][tracer][0]:.1%} arrived" if arrived else ""
        print(
            f"  {tracer:<22} {figure:12,.{decimals}f} {ratio}   [{min(values):,.{decimals}f} to {max(values):,.{decimals}f}]{note}"
        )
