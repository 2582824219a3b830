"""Values: anything becomes text, bool, int, float or bytes, when it is set, and never raises."""

import datetime as dt
import decimal
import enum
import subprocess
import sys

import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.metrics import counters
from sls_tracing.values import PLAIN_TYPES, error_fields, to_fields, to_seconds, to_tags, to_text, to_value


class Level(enum.IntEnum):
    HIGH = 3


class Raises:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Exits(Raises):
    def __str__(self):
        raise SystemExit


class Endless:
    def __str__(self):
        return str(self)


class NotText:
    def __str__(self):
        return 5  # noqa: PLE0307 - on purpose


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise ValueError("no text")


class Liar:
    @property
    def __class__(self):
        raise ValueError("no class")

    def __str__(self):
        return "liar"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers(), inner),
)


@given(ANYTHING)
def test_the_result_is_always_plain(value):
    """By exact type, which the encoders rely on; what is plain is untouched."""
    plain = to_value(value)
    assert type(plain) in PLAIN_TYPES
    if type(value) in PLAIN_TYPES:
        assert plain is value
    assert type(to_text(value)) is str


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, "None"),
        (Level.HIGH, 3),
        (markupsafe.Markup("<b>"), "<b>"),
        (Text("text"), "text"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (ValueError, "ValueError"),
        (decimal.Decimal, "decimal.Decimal"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        ([1, "a"], "[1, 'a']"),
        (KeyError("k"), "'k'"),
        (Raises(), "<unprintable Raises>"),
        (Endless(), "<unprintable Endless>"),
        (NotText(), "<unprintable NotText>"),
        (Liar(), "<unprintable Liar>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types(value, plain):
    """Subclasses become their base, binary views bytes, classes their name, the rest their text."""
    assert to_value(value) == plain
    assert type(to_value(value)) in PLAIN_TYPES


def test_what_cannot_be_shown_is_counted():
    """And named by its type."""
    before = counters.get("guard_failures_values")
    assert to_tags({Raises(): Raises()}) == {"<unprintable Raises>": "<unprintable Raises>"}
    assert counters.get("guard_failures_values") == before + 2


def test_an_exit_belongs_to_the_host():
    """SystemExit from a ``__str__`` passes."""
    with pytest.raises(SystemExit):
        to_value(Exits())


def test_text_of_bytes_and_of_huge_numbers():
    """UTF-8 where it is, escapes where not; more than 4,300 digits have no text."""
    assert to_text(b"caf\xc3\xa9") == "café"
    assert to_text(b"\xff") == "\\xff"
    assert to_text(10**4000) == str(10**4000)
    assert type(to_text(10**5000)) is str


def test_keys_of_bytes_under_python_bb():
    """``str(bytes)`` is an error there."""
    program = "from sls_tracing.values import to_tags; print(to_tags({b'a': 1}))"
    output = subprocess.run(
        [sys.executable, "-bb", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert output.stdout == "{'a': 1}\n"


def test_the_callers_dict_is_not_touched():
    """to_tags makes a new one."""
    tags = {"a": [1], 2: None}
    assert to_tags(tags) == {"a": "[1]", "2": "None"}
    assert tags == {"a": [1], 2: None}


@given(st.floats(-9e12, 9e12) | st.integers(-(10**12), 10**12))
def test_times_that_the_wire_can_hold_are_kept(time):
    """As floats of seconds."""
    assert to_seconds(time, lambda: pytest.fail("the clock was asked")) == time


@pytest.mark.parametrize(
    "time",
    [float("nan"), float("-inf"), 1e13, -1e13, 10**400, "5", b"5", None, object(), Raises(), dt.date(2024, 1, 1)],
)
def test_times_that_it_cannot_are_now(time):
    """And counted."""
    before = counters.get("guard_failures_values")
    assert to_seconds(time, lambda: 7.0) == 7.0
    assert counters.get("guard_failures_values") == before + 1


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_error_fields_are_opentracings():
    """With the qualified class name, the message and the whole stack."""
    fields = error_fields(raised(decimal.InvalidOperation("bad sum")))
    assert fields["error.kind"] == "decimal.InvalidOperation"
    assert (fields["event"], fields["message"], fields["error.object"]) == ("error", "bad sum", "bad sum")
    assert "in raised" in fields["stack"]


def test_a_given_stack_stays():
    """Only a traceback object, or none at all, is replaced by the readable one."""
    error = raised(ValueError("x"))
    assert to_fields({"error.object": error, "stack": "mine"})["stack"] == "mine"
    assert "in raised" in to_fields({"error.object": error})["stack"]
    assert "in raised" in to_fields({"error.object": error, "stack": error.__traceback__})["stack"]
    assert "in raised" in to_fields({"event": "x", "stack": error.__traceback__})["stack"]
    assert "stack" not in to_fields({"error.object": "text"})
