"""Trace and span ids: random, never zero, different in every process.

The generator is our own instance, so that an application's ``random.seed(1)`` cannot make its traces collide. It is seeded from the
operating system, and again in every forked child (jaeger-client kept the parent's state: two workers of one gunicorn
made the same ids).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from sls_tracing.forks import call_in_child, forks_may_go_unseen, renew_if_forked

__all__ = ["IdSource", "random_bits"]

IdSource: TypeAlias = Callable[[int], int]
"""``source(bits)`` returns an integer of at most that many bits; a zero is asked again."""


class _ReseededRandom(random.Random):
    def reseed(self) -> None:
        self.seed()


_random = _ReseededRandom()  # ids must differ, they need not be secret
call_in_child(_random.reseed)


def _after_looking_for_a_fork(bits: int) -> int:
    renew_if_forked()
    return _random.getrandbits(bits)


random_bits: IdSource = _after_looking_for_a_fork if forks_may_go_unseen() else _random.getrandbits
"""The default source, 40 ns a call. A bound C method: the hot path calls it without a Python frame, but under uWSGI."""
