"""ProbabilisticSampler: a share of all traces, decided on the id alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ProbabilisticSampler
from sls_tracing.exceptions import ConfigurationError

TRACE_IDS = st.integers(1, 2**128 - 1)
RATES = st.floats(0.0, 1.0)


@given(trace_id=TRACE_IDS, rate=RATES)
def test_one_id_has_one_decision(trace_id, rate):
    """In every process that samples at this rate, whatever the operation; the tags name the rate."""
    one, other = ProbabilisticSampler(rate), ProbabilisticSampler(rate)
    decision = one.is_sampled(trace_id, "a")
    assert decision == other.is_sampled(trace_id, "b")
    assert decision.tags == {"sampler.type": "probabilistic", "sampler.param": rate}


@given(trace_id=TRACE_IDS, rates=st.tuples(RATES, RATES))
def test_a_higher_rate_samples_all_that_a_lower_one_does(trace_id, rates):
    """So services that sample differently still share whole traces."""
    low, high = sorted(rates)
    assert (
        ProbabilisticSampler(low).is_sampled(trace_id).sampled
        <= ProbabilisticSampler(high).is_sampled(trace_id).sampled
    )


@given(trace_id=TRACE_IDS)
def test_the_ends_are_exact(trace_id):
    """1 samples everything and 0 nothing, the extreme ids included; whole numbers are rates too."""
    for extreme in (trace_id, 1 << 64, (1 << 128) - 1, 1):
        assert ProbabilisticSampler(1).is_sampled(extreme).sampled is True
        assert ProbabilisticSampler(0).is_sampled(extreme).sampled is False


@given(high=st.integers(0, 2**64 - 1), low=st.integers(1, 2**64 - 1), rate=RATES)
def test_the_low_half_decides(high, low, rate):
    """A service that knows the id with 64 bits only agrees with one that knows it whole."""
    sampler = ProbabilisticSampler(rate)
    assert sampler.is_sampled(high << 64 | low) == sampler.is_sampled(low)


@given(low=st.integers(0, 2**64 - 1), rate=st.floats(0.0, 1.0, exclude_min=True))
def test_it_agrees_with_jaegers_go_client(low, rate):
    """Go: ``boundary >= id & (1<<63 - 1)`` with ``boundary = uint64(rate * (1<<63 - 1))`` (sampler.go)."""
    assert ProbabilisticSampler(rate).is_sampled(low).sampled is (int(rate * (2**63 - 1)) >= low & (2**63 - 1))


def test_the_share_is_right():
    """20,000 ids at 0.3, within five standard deviations."""
    ids = random.Random(5)
    sampler = ProbabilisticSampler(0.3)
    sampled = sum(sampler.is_sampled(ids.getrandbits(128)).sampled for _ in range(20_000))
    assert abs(sampled - 6000) < 5 * (20_000 * 0.3 * 0.7) ** 0.5


def test_close_and_repr():
    """It may be asked after close."""
    sampler = ProbabilisticSampler(1.0)
    sampler.close()
    assert sampler.is_sampled(1).sampled
    assert repr(sampler) == "ProbabilisticSampler(1.0)"


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True, [], 10**400, object()])
def test_what_is_no_rate_is_refused(wrong):
    """With the range in the message."""
    with pytest.raises(ConfigurationError, match=r"from 0\.0 to 1\.0"):
        ProbabilisticSampler(wrong)


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
