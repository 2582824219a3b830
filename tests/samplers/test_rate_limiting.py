"""RateLimitingSampler: at most so many traces a second, on a clock that moves when told."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import RateLimitingSampler
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.testing import FakeClock


def sampled(sampler, times):
    return sum(sampler.is_sampled(1).sampled for _ in range(times))


def test_it_starts_full_and_refills_with_time(clock):
    """Two a second: two at once, none more, one after half a second, two after any long time."""
    sampler = RateLimitingSampler(2, clock)
    assert sampled(sampler, 5) == 2
    clock.advance(0.5)
    assert sampled(sampler, 5) == 1
    clock.advance(3600)
    assert sampled(sampler, 5) == 2


def test_a_rate_below_one(clock):
    """0.1 is one in ten seconds, the first of them at once."""
    sampler = RateLimitingSampler(0.1, clock)
    assert sampled(sampler, 3) == 1
    clock.advance(9)
    assert sampled(sampler, 3) == 0
    clock.advance(1)
    assert sampled(sampler, 3) == 1


def test_zero_is_none(clock):
    """Not even the first."""
    sampler = RateLimitingSampler(0, clock)
    clock.advance(1e6)
    assert sampled(sampler, 10) == 0


@given(rate=st.floats(0.01, 1000), steps=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 20)), max_size=20))
def test_never_more_than_the_bucket_and_the_time_allow(rate, steps):
    """In any pattern of questions and pauses."""
    clock = FakeClock()
    sampler = RateLimitingSampler(rate, clock)
    passed, taken = 0.0, 0
    for pause, questions in steps:
        clock.advance(pause)
        passed += pause
        taken += sampled(sampler, questions)
        assert taken <= max(rate, 1.0) + passed * rate + 1e-3


def test_the_tags_name_the_rate():
    """Yes and no alike."""
    sampler = RateLimitingSampler(1, FakeClock())
    for expected in (True, False):
        decision = sampler.is_sampled(1, "any")
        assert decision == (expected, {"sampler.type": "ratelimiting", "sampler.param": 1.0})
    sampler.close()
    assert repr(sampler) == "RateLimitingSampler(1.0)"


def test_threads_share_the_credit(clock):
    """100 credits, 8 threads: exactly 100 are sampled."""
    sampler = RateLimitingSampler(100, clock)
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(sampled(sampler, 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 100


def test_a_child_forked_while_the_lock_is_held_can_sample(clock):
    """The lock is new in the child."""
    sampler = RateLimitingSampler(1, clock)
    with sampler._limiter._lock:
        pid = os.fork()
        if not pid:
            os._exit(0 if sampler.is_sampled(1).sampled else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "1", None, True, [], object(), 10**400])
def test_what_is_no_rate_is_refused(wrong):
    """With the rule in the message."""
    with pytest.raises(ConfigurationError, match="traces a second"):
        RateLimitingSampler(wrong)


@pytest.mark.parametrize(("before", "after", "left"), [(4, 8, 4), (8, 4, 2), (4, 0, 0), (0, 4, 4), (0.1, 4, 0)])
def test_an_update_keeps_the_share_of_credit_that_is_left(before, after, left):
    """Half of 4 is half of 8; what was switched off starts full."""
    clock = FakeClock()
    sampler = RateLimitingSampler(before, clock)
    for _ in range(int(before / 2) or 1):
        sampler.is_sampled(1)
    assert sampler.update(after)
    assert sampled(sampler, 20) == left
    assert sampler.is_sampled(1).tags == {"sampler.type": "ratelimiting", "sampler.param": float(after)}


def test_an_update_to_the_same_rate_says_so_and_gives_nothing():
    sampler = RateLimitingSampler(2, FakeClock())
    sampled(sampler, 20)
    assert not sampler.update(2.0)
    assert sampled(sampler, 20) == 0
