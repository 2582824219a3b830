"""The time that an analysis looks at, as an address says it: ``time=1h``, or ``from`` and ``to`` in seconds since 1970."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.logstore import END_OF_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMES", "TimeRange", "time_range"]

TIMES = {
    "15m": ("Last 15 minutes", 900),
    "1h": ("Last hour", 3600),
    "6h": ("Last 6 hours", 21600),
    "1d": ("Last day", 86400),
    "7d": ("Last week", 604800),
    "all": ("All that is stored", 0),
}
USUAL = "1h"


class TimeRange(NamedTuple):
    """From ``begin`` until before ``end``, in seconds since 1970; ``name`` is a key of ``TIMES``, empty for exact times."""

    name: str
    begin: int
    end: int


def time_range(parameters: Mapping[str, str], now: float | None = None) -> TimeRange:
    """Read an address; what cannot be read is the last hour."""
    exact = [parameters.get(name, "") for name in ("from", "to")]
    if all(text.isascii() and text.isdigit() and len(text) < 11 for text in exact):
        begin, end = map(int, exact)
        if begin < end <= END_OF_TIME:
            return TimeRange("", begin, end)
    name = parameters.get("time", USUAL)
    name = name if name in TIMES else USUAL
    seconds = TIMES[name][1]
    end = int(time.time() if now is None else now) + 1
    return TimeRange(name, end - seconds if seconds else 0, end)
