"""The same checks as ``python tests/fuzz``, for a moment: good inputs, and those that hypothesis makes of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
from decoders import DECODERS, check

PACKED = ("gzip", "deflate")


@pytest.mark.parametrize("name", DECODERS)
def test_seeds_are_good(name):
    """What mutations start from is read, so that they get beyond the first byte."""
    for seed in DECODERS[name].seeds:
        assert check(name, seed) or name in PACKED


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=60)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=5))
def test_mutations_are_read_or_refused(name, edits):
    """And what is read can be stored, or is refused as the store refuses it."""
    for seed in DECODERS[name].seeds:
        data = seed
        for position, removed, inserted in edits:
            data = data[:position] + inserted + data[position + removed :]
        check(name, data)
