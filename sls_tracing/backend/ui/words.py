"""How figures read: durations, times, identifiers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sls_tracing.model import TagValue

__all__ = ["clock_time", "duration", "moment", "plural", "short", "span_id", "tag_text", "trace_id"]


def duration(seconds: float) -> str:
    """Return ``1.23 s``, ``45.6 ms`` or ``789 µs``; minutes as ``2 min 5 s``. The timeline's script writes them the same way."""
    if seconds >= 59.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 99.95 else f"{seconds * factor:.0f} {unit}"
    return f"{round(seconds * 1e6)} µs"


def moment(seconds: float) -> str:
    """Return a time in UTC, to the millisecond."""
    return _formatted(seconds, "%Y-%m-%d %H:%M:%S.%f")


def clock_time(seconds: float) -> str:
    """Return a time of day in UTC, to the millisecond."""
    return _formatted(seconds, "%H:%M:%S.%f")


def _formatted(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime(form)[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.3f} s"


def plural(count: int, noun: str) -> str:
    """Return ``1 span``, ``1,234 spans``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def short(value: float) -> str:
    """Return a figure of a chart in few digits."""
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def trace_id(number: int | None) -> str:
    """Return a trace's id as links have it: 16 digits, or 32."""
    number = number or 0
    return f"{number:032x}" if number >> 64 else f"{number:016x}"


def span_id(number: int | None) -> str:
    """Return a span's id in 16 digits."""
    return f"{number or 0:016x}"


def tag_text(value: TagValue) -> str:
    """Return a tag's value as it is shown."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.hex() if isinstance(value, bytes) else str(value)
