"""Shared by all tests. Hypothesis runs without a deadline: the machines are noisy."""

import pytest
from hypothesis import settings

from sls_tracing import InMemoryReporter, Tracer
from sls_tracing.testing import FakeClock

settings.register_profile("sls", deadline=None, derandomize=False)
settings.load_profile("sls")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def reporter():
    return InMemoryReporter()


@pytest.fixture
def tracer(reporter, clock):
    """A tracer that samples everything, at a time that stands still."""
    return Tracer("tested", reporter=reporter, clock=clock)
