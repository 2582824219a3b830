"""Work that comes at a steady rate, as requests do: what each piece takes, and how late it begins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 5_000
"""Pieces a second."""


def paced(work: Callable[[int], object], count: int) -> tuple[list[float], list[float]]:
    """Call ``work(number)`` ``count`` times; return the seconds that each call took and those that it was late, both sorted."""
    times, late = [], []
    clock = time.perf_counter
    following = clock()
    for number in range(count):
        following += 1 / RATE
        time.sleep(max(0.0, following - clock()))  # a service waits for its clients, it does not spin
        began = clock()
        work(number)
        times.append(clock() - began)
        late.append(began - following)
    return sorted(times), sorted(late)
