"""Charts as SVG, made here: a page shows them at once, they need no script, and what they show is text to read and links to follow.

Across, everything is in per cent of the chart's width and text is text of the page: a chart fits a phone without its letters shrinking. Upwards are pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.axes import Axis, Tick, duration_axis, linear_axis, time_axis
from sls_tracing.backend.ui.trace_tree import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dot", "Series", "Step", "bars", "histogram", "lines", "pie", "scatter"]

HEIGHT = 190
_TOP, _BOTTOM = 12, 8
_MARKED_POINTS = 150
"""A line of more points has no dots on it."""


class Dot(NamedTuple):
    """A trace in the scatter plot: begin and duration in seconds, ``size`` in spans; ``href`` is where it leads, ``text`` is read out."""

    time: float
    duration: float
    size: int
    is_error: bool
    href: str
    text: str


class Series(NamedTuple):
    """Values over the labels of a chart, None where there is none."""

    name: str
    values: Sequence[float | None]


class Step(NamedTuple):
    """A bar of a histogram: how many, where it leads, and what it says."""

    many: int
    href: str
    text: str


def scatter(dots: Sequence[Dot], window: tuple[float, float], title: str) -> Markup:
    """Plot durations over time between the two times of ``window``."""
    times = time_axis(*window)
    durations = [dot.duration for dot in dots]
    lengths = duration_axis(min((each for each in durations if each > 0), default=0.0), max(durations, default=0.0))
    marks = []
    for dot in sorted(dots, key=lambda each: -each.size):
        radius = 3 + 3 * math.log10(max(dot.size, 1))
        marks.append(
            Markup('<a href="{}"><circle class="dot{}" cx="{:.2f}%" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle></a>').format(
                dot.href, " error" if dot.is_error else "", 1 + 98 * times.share(dot.time), _y(lengths.share(dot.duration)), radius, dot.text
            )
        )  # fmt: skip
    across = [Tick(0.01 + 0.98 * tick.at, tick.text) for tick in times.ticks]
    return _chart(title, lengths, across, Markup().join(marks))


def lines(labels: Sequence[str], series: Sequence[Series], unit: str, title: str) -> Markup:
    """Draw a line for each series over the same labels, with a gap where there is no value."""
    axis = linear_axis(max((value for each in series for value in each.values if value is not None), default=0.0), unit)
    last = max(1, len(labels) - 1)
    paths, points = Markup(), Markup()
    for number, (name, values) in enumerate(series):
        path, pen = [], "M"
        for at, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            path.append(f"{pen}{100 * at / last:.2f} {_y(axis.share(value)):.1f}")
            pen = "L"
            if len(values) <= _MARKED_POINTS:
                points += Markup('<circle class="fill c{}" cx="{:.2f}%" cy="{:.1f}" r="2.5"><title>{}</title></circle>').format(
                    number % COLOURS, 100 * at / last, _y(axis.share(value)), f"{labels[at]} {name}: {words.short(value)} {unit}".strip()
                )  # fmt: skip
        paths += Markup('<path class="line c{}" d="{}"></path>').format(number % COLOURS, " ".join(path))
    stretched = Markup(
        '<svg viewBox="0 0 100 {0}" width="100%" height="{0}" preserveAspectRatio="none">{1}</svg>'
    ).format(HEIGHT, paths)
    every = max(1, -(-len(labels) // 6))
    ticks = [Tick(at / last, label) for at, label in enumerate(labels) if at % every == 0]
    return _chart(title, axis, ticks, stretched + points) + _legend([each.name for each in series])


def histogram(steps: Sequence[Step], window: tuple[float, float], title: str) -> Markup:
    """Draw counts over time; each bar is a link to its own time."""
    axis = linear_axis(max((step.many for step in steps), default=0), marks=2)
    width = 100 / max(1, len(steps))
    marks = Markup()
    for n, step in enumerate(steps):
        if step.many:
            y = min(_y(axis.share(step.many), 90), 80.0)
            marks += Markup(
                '<a href="{0}"><rect class="near" x="{1:.3f}%" width="{2:.3f}%" height="90"></rect><rect class="hit" x="{1:.3f}%" y="{3:.1f}" width="{2:.3f}%" height="{4:.1f}"><title>{5}</title></rect></a>'
            ).format(step.href, n * width + width * 0.06, width * 0.88, y, 90 - _BOTTOM - y, step.text)
    return _chart(title, axis, time_axis(*window, marks=7).ticks, marks, 90)


def bars(labels: Sequence[str], series: Sequence[Series], unit: str, title: str) -> Markup:
    """Draw horizontal bars, a group for each label, as a table that says the figures too."""
    top = max((value or 0.0 for each in series for value in each.values), default=0.0) or 1.0
    rows = Markup()
    for at, label in enumerate(labels):
        cells = Markup()
        for number, (name, values) in enumerate(series):
            value = values[at]
            text = "none" if value is None else f"{words.short(value)} {unit}".strip()
            cells += Markup(
                '<div><svg height="10" aria-hidden="true"><rect class="fill c{}" width="{:.2f}%" height="10" rx="2"></rect></svg><span>{}<span class="hidden"> {}</span></span></div>'
            ).format(number % COLOURS, max(0.0, value or 0.0) / top * 100, text, name)
        rows += Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(label, cells)
    legend = _legend([each.name for each in series]) if len(series) > 1 else Markup()
    return (
        Markup('<table class="bars"><caption class="hidden">{}</caption><tbody>{}</tbody></table>').format(title, rows)
        + legend
    )


def pie(labels: Sequence[str], values: Sequence[float], title: str) -> Markup:
    """Draw shares of a whole as a ring; the legend says them in numbers."""
    total = sum(values) or 1.0
    # A circle of circumference 100: a share is a dash of its length, turned to where the one before it ends.
    arcs, done = Markup(), 0.0
    for number, value in enumerate(values):
        share = 100 * value / total
        arcs += Markup(
            '<circle class="arc c{}" cx="21" cy="21" r="15.9155" stroke-dasharray="{:.3f} {:.3f}" stroke-dashoffset="{:.3f}"><title>{}</title></circle>'
        ).format(number % COLOURS, max(0.0, share - 0.4), 100.4 - share, 25 - done, labels[number])
        done += share
    texts = [
        f"{label}: {words.short(value)} ({100 * value / total:.1f} %)"
        for label, value in zip(labels, values, strict=True)
    ]
    ring = Markup('<svg class="pie" viewBox="0 0 42 42" role="img" aria-label="{}">{}</svg>').format(title, arcs)
    return Markup('<div class="ring">{}{}</div>').format(ring, _legend(texts))


def _y(share: float, height: int = HEIGHT) -> float:
    return height - _BOTTOM - share * (height - _TOP - _BOTTOM)


def _chart(title: str, axis: Axis, across: Sequence[Tick], marks: Markup, height: int = HEIGHT) -> Markup:
    grid, texts, below = Markup(), Markup(), Markup()
    for tick in axis.ticks:
        y = _y(tick.at, height)
        grid += Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"></line>').format(y)
        texts += Markup('<text x="100%" y="{:.1f}" text-anchor="end">{}</text>').format(y + 4, tick.text)
    for tick in across:
        side = "start" if tick.at < 0.04 else "end" if tick.at > 0.96 else "middle"
        below += Markup('<text x="{:.2f}%" y="12" text-anchor="{}">{}</text>').format(100 * tick.at, side, tick.text)
    # A group, not an image: what is in it are links, which a screen reader must reach.
    return Markup(
        '<div class="chart" role="group" aria-label="{0}"><svg class="ys" height="{1}" aria-hidden="true">{2}</svg>'
        '<div class="area" data-area><svg height="{1}">{3}{4}</svg></div><svg class="xs" height="16" aria-hidden="true">{5}</svg></div>'
    ).format(title, height, texts, grid, marks, below)


def _legend(names: Sequence[str]) -> Markup:
    items = [
        Markup('<li><svg class="key" width="10" height="10" aria-hidden="true"><rect class="fill c{}" width="10" height="10" rx="2"></rect></svg>{}</li>').format(number % COLOURS, name)
        for number, name in enumerate(names)
    ]  # fmt: skip
    return Markup('<ul class="legend">{}</ul>').format(Markup().join(items))
