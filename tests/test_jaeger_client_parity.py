"""docs/jaeger-client-parity.md names for every row the test that proves it; those tests exist."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "jaeger-client-parity.md").read_text("utf-8")
COMPLAINTS, GAPS = (PAGE.split(f"## {title}\n")[1].split("\n## ")[0] for title in ("Complaints", "Gaps"))
CITED = sorted(set(re.findall(r"`(tests/[a-z_0-9/]+\.py)::(\w+)`", PAGE)))


@lru_cache
def names_in(path):
    return set(re.findall(r"^(?:async )?def (test_\w+)", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def rows(section):
    return {int(number): row for number, row in re.findall(r"^\| (\d+) \|(.*)\|$", section, re.MULTILINE)}


def test_every_row_is_there():
    """37 complaints and 28 gaps were collected from issues and from the other clients' sources."""
    assert sorted(rows(COMPLAINTS)) == list(range(1, 38))
    assert sorted(rows(GAPS)) == list(range(1, 29))


@pytest.mark.parametrize("section", [COMPLAINTS, GAPS], ids=["complaints", "gaps"])
def test_every_row_has_its_proof_or_says_why_not(section):
    """Whoever says "not offered" or "not tested" says why."""
    for number, row in rows(section).items():
        assert "`tests/" in row or re.search(r"not (offered|tested): .{20}", row), number


@pytest.mark.parametrize(("path", "name"), CITED)
def test_what_is_cited_exists(path, name):
    """By file and name; what a test is renamed to is to be told here."""
    assert name in names_in(path)
