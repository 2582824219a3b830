"""Shared by all tests. Hypothesis runs without a deadline: the machines are noisy."""

from hypothesis import settings

settings.register_profile("sls", deadline=None, derandomize=False)
settings.load_profile("sls")
