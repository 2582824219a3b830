"""At most so many traces a second, on a clock that the tests move."""

from __future__ import annotations

import os
import threading

import pytest

from sls_tracing.samplers import RateLimitingSampler
from sls_tracing.testing import FakeClock


def taken(sampler, tries=20):
    return sum(sampler.is_sampled(1).sampled for _ in range(tries))


def test_it_starts_full_and_grows_with_time():
    clock = FakeClock()
    sampler = RateLimitingSampler(4, clock)
    assert taken(sampler) == 4
    clock.advance(0.25)
    assert taken(sampler) == 1
    clock.advance(3600)
    assert taken(sampler) == 4, "credit does not pile up"


def test_a_rate_below_1_is_one_trace_in_so_many_seconds():
    clock = FakeClock()
    sampler = RateLimitingSampler(0.1, clock)
    assert taken(sampler) == 1
    clock.advance(9.9)
    assert taken(sampler) == 0
    clock.advance(0.1)
    assert taken(sampler) == 1


def test_rate_0_samples_nothing_ever():
    clock = FakeClock()
    sampler = RateLimitingSampler(0, clock)
    assert taken(sampler) == 0
    clock.advance(1e6)
    assert taken(sampler) == 0


@pytest.mark.parametrize(("before", "after", "left"), [(4, 8, 4), (8, 4, 2), (4, 0, 0), (0, 4, 4), (0.1, 4, 0)])
def test_an_update_keeps_the_share_of_credit_that_is_left(before, after, left):
    """Half of 4 is half of 8; what was switched off starts full."""
    clock = FakeClock()
    sampler = RateLimitingSampler(before, clock)
    for _ in range(int(before / 2) or 1):
        sampler.is_sampled(1)
    assert sampler.update(after)
    assert taken(sampler) == left
    assert sampler.is_sampled(1).tags == {"sampler.type": "ratelimiting", "sampler.param": float(after)}


def test_an_update_to_the_same_rate_says_so_and_gives_nothing():
    sampler = RateLimitingSampler(2, FakeClock())
    taken(sampler)
    assert not sampler.update(2.0)
    assert taken(sampler) == 0


def test_many_threads_get_no_more_than_one():
    sampler = RateLimitingSampler(100, FakeClock())
    counts = []
    threads = [threading.Thread(target=lambda: counts.append(taken(sampler, 500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 100


def test_a_child_forked_under_the_lock_is_not_stuck():
    sampler = RateLimitingSampler(1)
    with sampler._limiter._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if sampler.is_sampled(1).sampled else 1)
    assert os.waitpid(child, 0)[1] == 0
