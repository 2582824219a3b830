from __future__ import annotations

from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.backend.query_params import (
    ParameterError,
    flag,
    parse_duration,
    parse_trace_id,
    parse_trace_query,
)

NOW = 1_700_000_000.0


def query(text):
    return parse_trace_query(parse_qs(text, keep_blank_values=True), NOW)


def test_defaults():
    """48 hours up to now, 100 traces, no other condition; `lookback` is ignored."""
    found = query("service=a&lookback=1h&operation=&minDuration=&maxDuration=&tags=%7B%7D")
    assert (found.service, found.operation, dict(found.tags)) == ("a", "", {})
    assert (found.min_duration, found.max_duration, found.limit) == (None, None, 100)
    assert (found.start_min, found.start_max) == (NOW - 48 * 3600, NOW)


def test_all_parameters():
    """Times are microseconds, durations Go's, tags come in both spellings and the JSON one wins."""
    found = query(
        urlencode(
            [
                ("service", "a"),
                ("operation", "GET /"),
                ("start", "1600000000000000"),
                ("end", "1600000001500000"),
                ("limit", "20"),
                ("minDuration", "1.5ms"),
                ("maxDuration", "1m30s"),
                ("tag", "url:http://x"),
                ("tag", "error:false"),
                ("tags", '{"error":"true"}'),
                ("tags", '{"é":""}'),
            ]
        )
    )
    assert (found.operation, found.limit) == ("GET /", 20)
    assert (found.start_min, found.start_max) == (1_600_000_000.0, 1_600_000_001.5)
    assert (found.min_duration, found.max_duration) == (pytest.approx(0.0015), 90.0)
    assert dict(found.tags) == {"url": "http://x", "error": "true", "é": ""}


def test_the_first_of_repeated_values_counts():
    """As Go's FormValue."""
    assert query("service=a&service=b").service == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "parameter 'service' is required"),
        ("service=", "parameter 'service' is required"),
        ("service=a&start=x", "start"),
        ("service=a&start=1.5", "start"),
        ("service=a&end=99999999999999999999", "end"),
        ("service=a&end=" + "9" * 5000, "end"),
        ("service=a&start=%D9%A3", "start"),
        ("service=a&limit=-1", "limit"),
        ("service=a&limit=many", "limit"),
        ("service=a&limit=2147483648", "limit"),
        ("service=a&minDuration=5", "minDuration"),
        ("service=a&minDuration=5 ms", "minDuration"),
        ("service=a&maxDuration=ms", "maxDuration"),
        ("service=a&maxDuration=9999999h", "maxDuration"),
        ("service=a&minDuration=2s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'"),
        ("service=a&tag=nocolon", "malformed 'tag' parameter"),
        ("service=a&tags=nojson", "malformed 'tags' parameter"),
        ("service=a&tags=[]", "malformed 'tags' parameter"),
        ('service=a&tags={"a":1}', "malformed 'tags' parameter"),
        ("service=a&tags=" + "[" * 60_000, "malformed 'tags' parameter"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    """Every bad parameter is refused with a message that names it."""
    with pytest.raises(ParameterError) as caught:
        query(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.2s", 1.2),
        ("100ms", 0.1),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("500μs", 0.0005),
        ("3ns", 3e-9),
        ("1m30s", 90),
        ("1h1m1s1ms", 3661.001),
        (".5s", 0.5),
        ("1.s", 1),
        ("0", 0),
        ("-1s", -1),
        ("+1s", 1),
    ],
)
def test_durations_are_go_durations(text, seconds):
    """The grammar of time.ParseDuration: signs, fractions, all units, several in a row."""
    assert parse_duration({"d": [text]}, "d") == pytest.approx(seconds)


@given(st.text(max_size=30))
def test_no_text_breaks_a_parameter(text):
    """Any text in any parameter is read or refused, never an error of another kind."""
    for name in ("start", "end", "limit", "minDuration", "maxDuration", "tag", "tags"):
        try:
            parse_trace_query({"service": ["a"], name: [text]}, NOW)
        except ParameterError:
            pass
    try:
        assert 0 <= parse_trace_id(text) < 2**128
    except ParameterError:
        pass


@pytest.mark.parametrize(
    ("text", "number"), [("abc", 0xABC), ("ABC", 0xABC), ("0" * 29 + "abc", 0xABC), ("f" * 32, 2**128 - 1)]
)
def test_trace_ids_are_1_to_32_hex_digits(text, number):
    """Upper case and missing zeros are accepted."""
    assert parse_trace_id(text) == number


@pytest.mark.parametrize("text", ["", "g", "0x1", " 1", "1_0", "0" * 33, "\u0661"])
def test_other_trace_ids_are_refused(text):
    """What Python's int() would take is not hex enough."""
    with pytest.raises(ParameterError):
        parse_trace_id(text)


def test_flags_are_go_booleans():
    """1, t, true are true; everything else is false."""
    assert all(flag({"raw": [text]}, "raw") for text in ("1", "t", "T", "true", "True", "TRUE"))
    assert not any(flag({"raw": [text]}, "raw") for text in ("", "0", "false", "yes", "tRUE"))
    assert not flag({}, "raw")
