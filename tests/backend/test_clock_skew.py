"""Clocks that differ: spans are moved into their parents, within a bound, or a warning says why not."""

from __future__ import annotations

import pytest

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.trace_json import trace_to_json
from sls_tracing.model import LogRecord

START = 1_600_000_000.0


@pytest.fixture
def adjusted(make_span):
    """A function that adjusts a parent of one second at START on host 10.0.0.1, and other spans; returns (start in ms after START, warnings) of each."""

    def run(*spans, most=3600.0):
        parent = make_span(start=START, duration=1.0, process_tags={"ip": "10.0.0.1"})
        trace = adjust(trace_to_json([parent, *spans]), most)
        return [((span["startTime"] - START * 1e6) / 1e3, span["warnings"]) for span in trace["spans"][1:]]

    return run


@pytest.mark.parametrize(
    ("start", "duration", "moved"),
    [
        (0.2, 0.5, 200),  # it fits
        (-0.1, 0.5, 250),  # begins too early: centred
        (0.8, 0.5, 250),  # ends too late: centred
        (-5.0, 0.5, 250),
        (-0.5, 2.0, 0),  # longer than its parent: only must not begin first
        (0.5, 2.0, 500),
    ],
)
def test_a_child_on_another_host_is_moved_into_its_parent(make_span, adjusted, start, duration, moved):
    """By what centres it; one that cannot fit is moved to its parent's start at most."""
    child = make_span(span_id=2, parent_id=1, start=START + start, duration=duration, process_tags={"ip": "10.0.0.2"})
    [(found, warnings)] = adjusted(child)
    assert found == pytest.approx(moved)
    if moved == pytest.approx(start * 1e3):
        assert warnings is None
    else:
        [warning] = warnings
        assert f"moved by {round((moved / 1e3 - start) * 1e6)} µs" in warning


def test_descendants_on_the_same_host_and_logs_move_along(make_span, adjusted):
    """One host has one clock; a host in between has its own."""
    there = {"process_tags": {"ip": "10.0.0.2"}}
    child = make_span(span_id=2, parent_id=1, start=START - 10, duration=0.5, **there)
    grandchild = make_span(
        span_id=3, parent_id=2, start=START - 9.9, duration=0.1, logs=[LogRecord(START - 9.85, {"event": "x"})], **there
    )
    elsewhere = make_span(span_id=4, parent_id=3, start=START, duration=0.05, process_tags={"ip": "10.0.0.3"})
    found = adjusted(child, grandchild, elsewhere)
    assert [start for start, _ in found] == [pytest.approx(250), pytest.approx(350), pytest.approx(375)]
    trace = adjust(trace_to_json([make_span(start=START, duration=1.0), child, grandchild]), 3600.0)
    assert trace["spans"][2]["logs"][0]["timestamp"] == (START + 0.4) * 1e6


def test_the_same_host_is_left_alone(make_span, adjusted):
    """A child that outlives its parent on one clock really does."""
    child = make_span(span_id=2, parent_id=1, start=START + 5, process_tags={"ip": "10.0.0.1"})
    assert adjusted(child) == [(pytest.approx(5000), None)]


@pytest.mark.parametrize(
    ("most", "words"), [(0.0, "is disabled"), (1.0, "1000000 µs is the most")], ids=["off", "bound"]
)
def test_beyond_the_bound_only_a_warning_comes(make_span, adjusted, most, words):
    """0, the default, moves nothing; the shift that was not applied is told."""
    child = make_span(span_id=2, parent_id=1, start=START - 10, duration=0.5, process_tags={"ip": "10.0.0.2"})
    [(start, [warning])] = adjusted(child, most=most)
    assert start == -10_000
    assert "10250000 µs" in warning
    assert words in warning


def test_what_makes_no_tree_is_warned_of_and_left(make_span, adjusted):
    """A missing parent, an id that comes twice, a circle."""
    spans = [
        make_span(span_id=2, parent_id=99, start=START - 10),
        make_span("other", span_id=2, start=START - 20),
        make_span(span_id=5, parent_id=6, start=START - 30),
        make_span(span_id=6, parent_id=5, start=START - 40),
    ]
    found = adjusted(*spans)
    assert [round(start) for start, _ in found] == [-10_000, -20_000, -30_000, -40_000]
    assert "invalid parent span IDs=0000000000000063" in found[0][1][0]
    assert "duplicate span IDs" in found[1][1][0]


def test_a_very_deep_trace_is_adjusted(make_span, adjusted):
    """No recursion: 20,000 spans in a chain."""
    spans = [
        make_span(span_id=n, parent_id=n - 1, start=START, duration=0.1, process_tags={"ip": str(n)})
        for n in range(2, 20_001)
    ]
    assert len(adjusted(*spans)) == 19_999


def test_the_library_is_told_of_the_process(make_span):
    """Tags that name OpenTelemetry's SDK move from spans to their process; spans that share it still do."""
    tags = {"telemetry.sdk.language": "python", "telemetry.distro.name": "d", "x": 1}
    spans = [make_span(span_id=n, tags=tags, process_tags={"pid": 7}) for n in (1, 2)]
    trace = adjust(trace_to_json([*spans, make_span(span_id=3, process_tags={"pid": 7})]))
    assert [span["processID"] for span in trace["spans"]] == ["p2", "p2", "p1"]
    assert [tag["key"] for tag in trace["spans"][0]["tags"]] == ["x"]
    keys = [tag["key"] for tag in trace["processes"]["p2"]["tags"]]
    assert keys == ["pid", "telemetry.distro.name", "telemetry.sdk.language"]
    only = adjust(trace_to_json([make_span(tags={"telemetry.sdk.name": "x"})]))
    assert list(only["processes"]) == [only["spans"][0]["processID"]]
