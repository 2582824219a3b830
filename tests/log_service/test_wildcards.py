r"""Wildcards in the values of tags: ``*`` any text, ``?`` any character, a backslash takes either for what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.log_service.trace_query import TraceQuery, meets
from sls_tracing.log_service.wildcards import literal, pattern
from sls_tracing.model import LogRecord

NOW = 1_700_000_000
VALUES = {1: "/cart/7", 2: "/cart/77", 3: "/Cart/7", 4: "50%_off!", 5: "a*b?c", 6: 'say "hi"\n\\end', 7: "", 8: "grüße"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/cart/7", [1]),
        ("/cart/*", [1, 2]),
        ("/cart/?", [1]),
        ("*7", [1, 2, 3]),
        ("*", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("?*", [1, 2, 3, 4, 5, 6, 8]),
        ("50%_*", [4]),
        ("5?%*!", [4]),
        ("a*c", [5]),
        (r"a\*b\?c", [5]),
        (r"a\*b*", [5]),
        (r"\*", []),
        ('*"hi"*', [6]),
        ("*\n*", [6]),
        (r"*\\end", [6]),
        ("gr??e", [8]),
        ("[a-z]*", []),
    ],
)
@pytest.mark.parametrize("place", ["tag", "process tag", "log field"])
def test_the_store_and_python_match_alike(store, make_span, text, found, place):
    """In a tag of the span, of its process and in a field of its logs; quotes, line ends and SQL's own wildcards mean nothing."""
    places = {
        "tag": lambda value: {"tags": {"k": value}},
        "process tag": lambda value: {"process_tags": {"k": value}},
        "log field": lambda value: {"logs": [LogRecord(NOW, {"other": "x", "k": value, "last": "y"})]},
    }
    spans = [make_span(n, 1, **places[place](value)) for n, value in VALUES.items()]
    store.write([*spans, make_span(99, 1, tags={"other": "/cart/7"})])
    query = TraceQuery(tags={"k": text})
    assert sorted(trace[0].context.trace_id for trace in store.find_traces(query)) == found
    assert [n for n, span in enumerate(spans, 1) if meets(span, query)] == found


@pytest.mark.parametrize(
    ("text", "found"), [("*", [1, 2, 3, 4]), ("5*", [1, 2]), ("50?", [1]), ("t*", [4]), ("*0", [2, 3]), ("f*", [])]
)
def test_values_of_other_types_match_as_their_text(store, make_span, text, found):
    """Numbers and booleans, in tags and in log fields."""
    for n, value in enumerate((503, 50, 0, True), 1):
        store.write([make_span(n, 1, tags={"k": value}), make_span(n + 10, 1, logs=[LogRecord(NOW, {"k": value})])])
    traces = store.find_traces(TraceQuery(tags={"k": text}))
    assert sorted(trace[0].context.trace_id for trace in traces) == found + [n + 10 for n in found]


@given(st.text(alphabet="ab*?\\%_[!", max_size=12))
def test_a_text_always_matches_itself(text):
    """A pattern finds at least the value that is spelled like it, so nobody who knows no wildcards misses a span."""
    wildcards = pattern(text)
    if wildcards is None:
        assert "\\" in text or literal(text) == text
    elif "\\" not in text:
        assert wildcards.matches(text)


def test_a_hostile_pattern_costs_no_more_than_its_length():
    """Many stars over a long text that does not match: expressions that backtrack would not end."""
    wildcards = pattern("*a" * 200 + "*b")
    assert not wildcards.matches("a" * 20_000)
