"""Time, injectable.

A clock is any callable that returns seconds since the epoch as a float: pass ``clock=`` to a tracer, a sampler or a reporter, and
``testing.FakeClock`` in tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Clock", "monotonic_clock", "wall_clock"]

Clock: TypeAlias = Callable[[], float]

wall_clock: Clock = time.time
"""For timestamps."""

monotonic_clock: Clock = time.monotonic
"""For rates and deadlines: never steps back."""
