"""ConstSampler: all or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ConstSampler
from sls_tracing.exceptions import ConfigurationError


@pytest.mark.parametrize(("given_value", "decision"), [(True, True), (False, False), (1, True), (0, False)])
@given(trace_id=st.integers(1, 2**128 - 1))
def test_the_same_decision_for_every_trace(given_value, decision, trace_id):
    """With the tags that Jaeger's backend knows."""
    sampler = ConstSampler(given_value)
    assert sampler.is_sampled(trace_id, "any") == (decision, {"sampler.type": "const", "sampler.param": decision})


def test_all_by_default_and_still_asked_after_close():
    """close releases nothing."""
    sampler = ConstSampler()
    sampler.close()
    assert sampler.is_sampled(1).sampled is True
    assert repr(sampler) == "ConstSampler(True)"


@pytest.mark.parametrize("wrong", ["false", "1", None, 2, 0.5, [], b"0"])
def test_what_is_no_decision_is_refused(wrong):
    """The text "false" would be a yes otherwise."""
    with pytest.raises(ConfigurationError, match="True"):
        ConstSampler(wrong)
