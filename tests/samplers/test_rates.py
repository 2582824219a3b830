"""What a rate may be, wherever it comes from."""

from __future__ import annotations

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.samplers import (
    AdaptiveSampler,
    GuaranteedThroughputProbabilisticSampler,
    PerOperationStrategies,
    ProbabilisticSampler,
    RateLimitingSampler,
)

NO_NUMBERS = [True, None, "0.5", float("nan"), [], 10**5000, -1, -1e-9]


@pytest.mark.parametrize("rate", [*NO_NUMBERS, 1.0000001, float("inf")], ids=lambda value: type(value).__name__)
def test_a_share_is_a_number_from_0_to_1(rate):
    for make in (
        ProbabilisticSampler,
        lambda rate: GuaranteedThroughputProbabilisticSampler("op", 1.0, rate),
        lambda rate: AdaptiveSampler(PerOperationStrategies(default_rate=rate)),
        lambda rate: AdaptiveSampler(PerOperationStrategies(rates={"op": rate})),
    ):
        with pytest.raises(ConfigurationError, match=r"from 0\.0 to 1\.0"):
            make(rate)


@pytest.mark.parametrize("rate", [*NO_NUMBERS, 2**31, float("inf")], ids=lambda value: type(value).__name__)
def test_traces_a_second_are_what_the_protocol_can_say(rate):
    for make in (
        RateLimitingSampler,
        RateLimitingSampler(1).update,
        lambda rate: GuaranteedThroughputProbabilisticSampler("op", rate, 0.5),
        lambda rate: AdaptiveSampler(PerOperationStrategies(lower_bound=rate)),
    ):
        with pytest.raises(ConfigurationError, match="from 0 to 2147483647"):
            make(rate)


def test_the_ends_of_both_ranges_are_allowed():
    assert (ProbabilisticSampler(0).rate, ProbabilisticSampler(1).rate) == (0.0, 1.0)
    assert RateLimitingSampler(0).max_traces_per_second == 0.0
    assert RateLimitingSampler(2**31 - 1).is_sampled(1).sampled
