"""A share of all traces, decided on the trace id as Jaeger's Go client decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.samplers import ProbabilisticSampler

# boundary = uint64(float64(2^63 - 1) * rate), and an id is sampled up to and with its boundary (sampler.go, isSampled). Worked out by hand
# from the doubles: 0.5 and 0.25 are exact, 0.1 and 0.001 are 2^63 times the double, which is a whole number at that size.
GO_BOUNDARIES = [
    (1.0, 0x7FFFFFFFFFFFFFFF),
    (0.5, 0x4000000000000000),
    (0.25, 0x2000000000000000),
    (0.1, 922337203685477632),
    (0.001, 9223372036854776),
    (2.0**-63, 1),
]


@pytest.mark.parametrize(("rate", "boundary"), GO_BOUNDARIES)
def test_the_boundary_is_gos(rate, boundary):
    sampler = ProbabilisticSampler(rate)
    for distance in range(11):
        assert sampler.is_sampled(boundary - min(distance, boundary)).sampled
        if distance > 0 and boundary + distance < 2**63:
            assert not sampler.is_sampled(boundary + distance).sampled


@pytest.mark.parametrize(("rate", "boundary"), GO_BOUNDARIES)
def test_only_the_low_63_bits_count(rate, boundary):
    """Go masks the sign bit, and looks at the low half of an id of 128 bits."""
    sampler = ProbabilisticSampler(rate)
    for high in (1 << 63, 0xFFFF << 64, (1 << 128) - (1 << 63)):
        assert sampler.is_sampled(boundary | high).sampled
        if boundary + 1 < 2**63:
            assert not sampler.is_sampled(boundary + 1 | high).sampled


def test_rate_0_samples_nothing_at_all():
    """Go's comparison would take an id whose low 63 bits are 0."""
    sampler = ProbabilisticSampler(0.0)
    assert not any(sampler.is_sampled(trace_id).sampled for trace_id in (0, 1, 1 << 63, 1 << 64, 2**128 - 1))


@given(st.integers(1, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_samples_all_that_a_lower_one_does(trace_id, one, other):
    low, high = sorted((one, other))
    assert (
        ProbabilisticSampler(low).is_sampled(trace_id).sampled
        <= ProbabilisticSampler(high).is_sampled(trace_id).sampled
    )


def test_the_tags_say_why():
    assert ProbabilisticSampler(1).is_sampled(7).tags == {"sampler.type": "probabilistic", "sampler.param": 1.0}
