"""Figures as charts, for docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tables import FIGURES, US
from tracers import CONTROLS

if TYPE_CHECKING:
    from pathlib import Path

Medians = dict[str, dict[str, float]]
OURS, THEIRS, TEXT = "#b3420f", "#9aa5b1", "#5a6572"  # legible on light and on dark paper

CHARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "performance-calls": (
        "What the application's thread pays, µs",
        ("sampled", "unsampled", "nested", "hop", "decorator"),
    ),
    "performance-libraries": ("Added to a Flask request and to a call of requests, µs", ("flask", "requests")),
    "performance-cpu": ("Whole CPU of a span, encoded and sent, µs", ("cpu",)),
    "performance-latency": ("A span in the application's thread at 5,000 a second, µs", ("p50", "p99", "p99.9")),
    "performance-threads": (
        "Start + 2 tags + finish by threads, µs",
        ("threads 1", "threads 2", "threads 4", "threads 8"),
    ),
    "performance-rest": (
        "Import (ms), memory of a waiting span (bytes), spans that arrive of 10,000",
        ("import", "memory", "burst"),
    ),
}
SHORT = {"threads 1": "1 thread", "threads 2": "2", "threads 4": "4", "threads 8": "8"}
WITHOUT = {"opentracing no-op", *CONTROLS}  # lines in the tables, no bars


def draw(medians: Medians, folder: Path) -> None:
    """Draw every chart whose figures are there, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sls-tracing", "font.size": 9, "text.color": TEXT, "axes.labelcolor": TEXT})
    mpl.rcParams.update({"xtick.color": TEXT, "ytick.color": TEXT, "axes.edgecolor": TEXT})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, figures) in CHARTS.items():
        present = [figure for figure in figures if figure in medians]
        if present:
            _bars(medians, title, present, folder / f"{name}.svg")


def _bars(medians: Medians, title: str, figures: list[str], path: Path) -> None:
    from matplotlib import pyplot as plt

    rows = [
        [(tracer, value) for tracer, value in medians[figure].items() if tracer not in WITHOUT] for figure in figures
    ]
    height = 0.5 + sum(0.22 * len(row) + 0.35 for row in rows)
    panels: Any
    drawing, panels = plt.subplots(
        len(rows),
        1,
        figsize=(7.2, height),
        squeeze=False,
        height_ratios=[len(row) for row in rows],
        layout="constrained",
    )
    drawing.suptitle(title, x=0.01, ha="left", fontsize=10)
    for panel, figure, row in zip(panels[:, 0], figures, rows, strict=True):
        names, values = [tracer for tracer, _ in row], [value for _, value in row]
        bars = panel.barh(
            names, values, color=[OURS if tracer.startswith(US) else THEIRS for tracer in names], height=0.7
        )
        panel.bar_label(
            bars,
            [f"{value:,.{FIGURES[figure].decimals if value < 100 else 0}f}" for value in values],
            padding=3,
            color=TEXT,
        )
        panel.invert_yaxis()
        panel.set_xlim(0, max(values) * 1.15)
        panel.set_xticks([])
        panel.tick_params(length=0)
        if len(figures) > 1:
            panel.set_title(SHORT.get(figure, figure), loc="left", fontsize=9, color=TEXT)
        for side in ("top", "right", "bottom"):
            panel.spines[side].set_visible(False)
    drawing.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    plt.close(drawing)
