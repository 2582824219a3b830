"""Where the marks of an axis stand: at round values, few enough to read."""

from __future__ import annotations

import math
from typing import NamedTuple

from sls_tracing.backend.ui import words

__all__ = ["Axis", "Tick", "duration_axis", "linear_axis", "time_axis"]

LOGARITHMIC_FROM = 50
"""How many times the longest must be the shortest for equal steps to hide the short ones."""

_TIME_STEPS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2419200, 7257600, 31536000, 157680000,
)  # fmt: skip


class Tick(NamedTuple):
    """A mark at a share of the axis (0 to 1), and its text."""

    at: float
    text: str


class Axis(NamedTuple):
    """From ``low`` to ``high``, in the values' unit; marks by their share of it."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[Tick, ...]

    def share(self, value: float) -> float:
        """Return where a value stands, 0 to 1."""
        return _share(value, self.low, self.high, logarithmic=self.logarithmic)


def _share(value: float, low: float, high: float, *, logarithmic: bool) -> float:
    if high <= low:
        return 0.5
    spread = math.log(max(value, low) / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
    return min(1.0, max(0.0, spread))


def linear_axis(top: float, unit: str = "", marks: int = 4) -> Axis:
    """Return an axis from 0 to a round value at or above ``top``."""
    step = _round_step(top / marks) if top > 0 else 1.0
    count = max(1, math.ceil(top / step - 1e-9))
    ticks = tuple(Tick(n / count, f"{words.short(n * step)} {unit}".strip()) for n in range(count + 1))
    return Axis(0.0, count * step, logarithmic=False, ticks=ticks)


def duration_axis(shortest: float, longest: float) -> Axis:
    """Return an axis of durations in seconds: logarithmic, over powers of ten, if they differ much."""
    if not (shortest > 0 and longest > LOGARITHMIC_FROM * shortest):
        unit = 1.0 if longest >= 1 else 1e-3 if longest >= 1e-3 else 1e-6
        axis = linear_axis(longest / unit)
        ticks = tuple(Tick(tick.at, words.duration(axis.high * unit * tick.at)) for tick in axis.ticks)
        return Axis(0.0, axis.high * unit, logarithmic=False, ticks=ticks)
    first, last = math.floor(math.log10(shortest) + 1e-9), math.ceil(math.log10(longest) - 1e-9)
    powers = range(first, last + 1, max(1, math.ceil((last - first) / 6)))
    low, high = 10.0**first, 10.0**last
    marks = tuple(Tick(_share(10.0**n, low, high, logarithmic=True), words.duration(10.0**n)) for n in powers)
    return Axis(low, high, logarithmic=True, ticks=marks)


def time_axis(low: float, high: float, marks: int = 5) -> Axis:
    """Return an axis of times in seconds since the epoch, with marks at round times of day in UTC."""
    step = next((step for step in _TIME_STEPS if step * marks >= high - low), _TIME_STEPS[-1])
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    ticks = []
    for n in range(max(0, min(count, 50))):
        at = (first + n) * step
        text = words.moment(at)
        text = text[:10] if step >= 86400 else text[11:16] if step >= 60 else text[11:19] if step >= 1 else text[11:]
        ticks.append(Tick(_share(at, low, high, logarithmic=False), text))
    return Axis(low, high, logarithmic=False, ticks=tuple(ticks))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next((factor * power for factor in (1.0, 2.0, 2.5, 5.0) if factor * power >= raw - 1e-12), 10.0 * power)
