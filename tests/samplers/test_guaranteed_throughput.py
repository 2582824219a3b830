"""A share, and never less than a lower bound."""

from __future__ import annotations

from jaeger_client.sampler import GuaranteedThroughputProbabilisticSampler as TheirSampler

from sls_tracing.samplers import GuaranteedThroughputProbabilisticSampler
from sls_tracing.testing import FakeClock

TAKEN, LEFT = 1, 2**63 - 1  # by a rate of 0.5


def test_the_lower_bound_samples_what_the_share_leaves_and_says_the_rate():
    """sampler.param is the probability and not the bound: the server's adaptive sampling looks for it."""
    sampler = GuaranteedThroughputProbabilisticSampler("op", 2.0, 0.5, FakeClock())
    assert sampler.is_sampled(LEFT) == (True, {"sampler.type": "lowerbound", "sampler.param": 0.5})
    assert sampler.is_sampled(LEFT).sampled
    assert not sampler.is_sampled(LEFT).sampled


def test_what_the_share_takes_is_tagged_so_and_uses_up_the_lower_bound():
    sampler = GuaranteedThroughputProbabilisticSampler("op", 2.0, 0.5, FakeClock())
    for _ in range(5):
        assert sampler.is_sampled(TAKEN) == (True, {"sampler.type": "probabilistic", "sampler.param": 0.5})
    assert not sampler.is_sampled(LEFT).sampled


def test_the_lower_bound_comes_back_with_time():
    clock = FakeClock()
    sampler = GuaranteedThroughputProbabilisticSampler("op", 1 / 600, 0.0, clock)
    assert sampler.is_sampled(LEFT).sampled
    clock.advance(599)
    assert not sampler.is_sampled(LEFT).sampled
    clock.advance(1)
    assert sampler.is_sampled(LEFT).sampled


def test_an_update_changes_both_numbers_and_gives_no_credit():
    clock = FakeClock()
    sampler = GuaranteedThroughputProbabilisticSampler("op", 1.0, 0.5, clock)
    assert sampler.is_sampled(LEFT).sampled
    sampler.update(1.0, 0.25)
    assert not sampler.is_sampled(LEFT).sampled
    sampler.update(0.5, 0.25)
    assert not sampler.is_sampled(LEFT).sampled
    clock.advance(2)
    assert sampler.is_sampled(LEFT) == (True, {"sampler.type": "lowerbound", "sampler.param": 0.25})
    assert (sampler.rate, sampler.lower_bound) == (0.25, 0.5)


def test_it_decides_and_tags_as_jaeger_client_does():
    """Away from the boundary: theirs compares 64 bits, ours Go's 63. Theirs starts with a random balance, so it is filled first."""
    ours, theirs = GuaranteedThroughputProbabilisticSampler("op", 3, 0.5, FakeClock()), TheirSampler("op", 3, 0.5)
    theirs.lower_bound_sampler.rate_limiter.timestamp = lambda: 0.0
    theirs.lower_bound_sampler.rate_limiter.balance = 3.0
    theirs.lower_bound_sampler.rate_limiter.last_tick = 0.0
    for taken in (True, False, False, False, True, False):
        assert ours.is_sampled(TAKEN if taken else LEFT) == theirs.is_sampled(TAKEN if taken else 2**64 - 1)
    assert str(ours) == str(theirs)
