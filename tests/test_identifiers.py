"""Ids: random, different in every process, deaf to the application's seed."""

import random
import subprocess
import sys
import textwrap

from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.identifiers import random_bits


@given(st.integers(1, 128))
def test_ids_fit_their_width(bits):
    """So many bits and no more."""
    assert 0 <= random_bits(bits) < 1 << bits


def test_the_applications_seed_has_no_effect():
    """In either direction: equal seeds do not make equal ids, and ids do not disturb the application's sequence."""
    state = random.getstate()
    try:
        random.seed(1)
        first = random_bits(128)
        after_first = random.random()
        random.seed(1)
        second = random_bits(128)
        after_second = random.random()
    finally:
        random.setstate(state)
    assert first != second
    assert after_first == after_second


def test_processes_differ():
    """Parent, children and grandchildren of a fork; the parent had drawn before."""
    program = textwrap.dedent(
        """
        import os, random
        random.seed(1)
        from sls_tracing.identifiers import random_bits
        random_bits(64)
        for _ in range(3):
            os.fork()
        os.write(1, f"{random_bits(128):032x} {random_bits(128):032x}\\n".encode())
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        """
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    ids = output.stdout.split()
    assert len(ids) == len(set(ids)) == 16


def test_no_two_of_many_are_equal():
    """20,000 of 64 bits."""
    assert len({random_bits(64) for _ in range(20_000)}) == 20_000
