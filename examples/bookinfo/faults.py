"""The deliberate faults of ratings: each is a version of the service, for watching how the others (and their traces) take it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VERSIONS", "Faults"]

VERSIONS = {
    "v1": "no fault",
    "v-faulty": "every second request on average answers 503",
    "v-delayed": "every second request on average takes 7 s",
    "v-unavailable": "answers, and fails, for 60 s by turns",
    "v-unhealthy": "the same by turns of 15 minutes, and /health fails too",
}

DELAY = 7.0
"""Seconds. Longer than reviews v3 waits (2.5 s), shorter than v2 does (10 s), and longer than productpage waits for either (3 s)."""

PERIODS = {"v-unavailable": 60.0, "v-unhealthy": 15 * 60.0}
"""Seconds from one turn to the next."""


class Faults:
    """What ``version`` does wrong, and when. An unknown version has no faults, as in the original. Chance and time are injected for tests."""

    def __init__(
        self,
        version: str,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._chance = chance
        self._clock = clock
        self._start = clock()

    def delay(self) -> float:
        """Seconds by which this request is late."""
        return DELAY if self._version == "v-delayed" and self._chance() < 0.5 else 0.0

    def unavailable(self) -> bool:
        """Whether this request fails."""
        if self._version == "v-faulty":
            return self._chance() < 0.5
        return self._bad_turn()

    def healthy(self) -> bool:
        """What /health tells: only v-unhealthy is honest about its state, so only it is taken out of service."""
        return not (self._version == "v-unhealthy" and self._bad_turn())

    def _bad_turn(self) -> bool:
        period = PERIODS.get(self._version)
        return period is not None and int((self._clock() - self._start) / period) % 2 == 1
