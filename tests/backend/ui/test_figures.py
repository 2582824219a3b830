"""Axes, words, graphs, forms: the parts that compute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.analyse_page import place_of
from sls_tracing.backend.ui.axes import duration_axis, linear_axis, time_axis
from sls_tracing.backend.ui.dependencies_page import fold
from sls_tracing.backend.ui.graph import levels_of
from sls_tracing.backend.ui.search_form import SearchForm, read_tags
from sls_tracing.backend.ui.time_range import time_range
from sls_tracing.log_service.trace_analysis import Dependency


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"), (0.000789, "789 µs"), (0.001, "1 ms"), (0.0456, "45.6 ms"), (0.09996, "100 ms"), (0.4, "400 ms"),
        (1.234, "1.23 s"), (59.4, "59.4 s"), (59.9, "1 min 0 s"), (125, "2 min 5 s"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds, text):
    assert words.duration(seconds) == text


@given(st.floats(1e-6, 1e9))
def test_linear_axes_begin_at_0_and_reach_the_top(top):
    """Few marks, the last one at or above the largest value."""
    axis = linear_axis(top)
    assert axis.high >= top * (1 - 1e-9)
    assert 2 <= len(axis.ticks) <= 6
    assert axis.ticks[-1].at == 1


@given(st.floats(1e-6, 1e3), st.floats(1, 1e6))
def test_duration_axes_hold_what_they_show(shortest, factor):
    axis = duration_axis(shortest, shortest * factor)
    assert 0 <= axis.share(shortest) <= axis.share(shortest * factor) <= 1
    assert len(axis.ticks) <= 10


@given(st.floats(0, 4e9), st.floats(0.001, 1e8))
def test_time_axes_have_round_marks_within(low, length):
    axis = time_axis(low, low + length)
    assert len(axis.ticks) <= 8
    assert all(0 <= tick.at <= 1 for tick in axis.ticks)


def test_levels_of_a_graph_with_circles():
    """Entries stand left; a circle has no entry and begins with whoever comes first."""
    assert levels_of([("a", "b"), ("b", "c"), ("a", "c"), ("c", "b")]) == {"a": 0, "b": 1, "c": 1}
    assert levels_of([("x", "y"), ("y", "x"), ("x", "x")]) == {"x": 0, "y": 1}


def test_calls_through_sidecars_are_calls_between_services():
    """Each call has one step from one service to another, on whatever side of the proxies."""

    def call(parent, child, calls, errors=0, p99=1.0):
        return Dependency(parent, child, calls, errors, 0.5, p99)

    found = fold([
        call("shop", "shop.default", 9), call("shop.default", "pay.default", 9, 1, 2.0), call("pay.default", "pay", 9),
        call("shop", "pay.default", 1),
    ])  # fmt: skip
    assert found == [Dependency("shop", "pay", 10, 1, 0.5, 2.0)]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        ("error", {"error": "true"}),
        ("a=1 b=2", {"a": "1", "b": "2"}),
        ('a="x y" b=', {"a": "x y", "b": ""}),
        ("http.url=/a?b=c#d", {"http.url": "/a?b=c#d"}),
        (r"a=\*", {"a": r"\*"}),
        ('{"a": "1", "b": true}', {"a": "1", "b": "true"}),
    ],
    ids=range(7),
)
def test_tags_are_read(text, tags):
    assert read_tags(text) == tags


@pytest.mark.parametrize("text", ["=1", 'a="', "{1", "[]=", '{"a"}'][:4], ids=range(4))
def test_tags_that_cannot_be_read_are_said(text):
    if text == "[]=":
        assert read_tags(text) == {"[]": ""}
    else:
        with pytest.raises(ParameterError):
            read_tags(text)


def test_the_form_is_the_address():
    """Every value goes into the address and comes out of it; what is usual stays out."""
    form = SearchForm(service="a b", tags="x=1", sort="longest", limit="50")
    assert form.address() == "service=a+b&tags=x%3D1&limit=50&sort=longest"
    assert SearchForm.of({"service": "a b", "tags": "x=1", "sort": "longest", "limit": "50"}) == form
    assert SearchForm.of({"operation": "all", "service": " s "}) == SearchForm(service="s")


def test_exact_times_hold_whatever_stands_beside_them():
    """Microseconds as Jaeger's addresses have them, or a browser's date in UTC."""
    form = SearchForm.of({"start": "1700000000000000", "end": "2023-11-14T22:13:21.500", "lookback": "1h"})
    assert form.window(0.0) == (1_700_000_000.0, 1_700_000_001.5)
    assert SearchForm(lookback="2h").window(10_000.0) == (2800.0, None)
    assert SearchForm(lookback="all").window(1.0) == (None, None)


def test_time_ranges():
    assert time_range({"time": "15m"}, 10_000)[1:] == (10_001 - 900, 10_001)
    assert time_range({"from": "5", "to": "9", "time": "1h"}, 10_000) == ("", 5, 9)
    assert time_range({"from": "9", "to": "5"}, 10_000).name == "1h"


def test_an_error_has_its_place_in_the_query():
    """The SQL's lines are counted from the bar on."""
    place = place_of("a: b | select 1\nfrm log", "analysis: line 2, column 1: unexpected")
    assert place == ("frm log", "^", 16)
    assert place_of("a: b | select x", "column 'x' cannot be resolved") is None
