from __future__ import annotations

import base64
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.trace_json import trace_to_json
from sls_tracing.model import LogRecord, Reference


def tags_of(span, index=0):
    return {tag["key"]: tag for tag in trace_to_json([span])["spans"][index]["tags"]}


def test_a_whole_trace(make_span):
    """The shape is Jaeger's to the member: names, types, hex widths, empty lists, nulls."""
    root = make_span("GET /", tags={"http.status_code": 200}, process_tags={"hostname": "h"})
    child = make_span(
        "query",
        span_id=2,
        parent_id=1,
        process_tags={"hostname": "h"},
        logs=[LogRecord(1_600_000_000.3, {"event": "hit"})],
        debug=True,
    )
    assert trace_to_json([root, child]) == {
        "traceID": "0000000000000abc",
        "spans": [
            {
                "traceID": "0000000000000abc",
                "spanID": "0000000000000001",
                "flags": 1,
                "operationName": "GET /",
                "references": [],
                "startTime": 1600000000250000,
                "duration": 250000,
                "tags": [{"key": "http.status_code", "type": "int64", "value": 200}],
                "logs": [],
                "processID": "p1",
                "warnings": None,
            },
            {
                "traceID": "0000000000000abc",
                "spanID": "0000000000000002",
                "flags": 3,
                "operationName": "query",
                "references": [{"refType": "CHILD_OF", "traceID": "0000000000000abc", "spanID": "0000000000000001"}],
                "startTime": 1600000000250000,
                "duration": 250000,
                "tags": [],
                "logs": [
                    {"timestamp": 1600000000300000, "fields": [{"key": "event", "type": "string", "value": "hit"}]}
                ],
                "processID": "p1",
                "warnings": None,
            },
        ],
        "processes": {"p1": {"serviceName": "svc", "tags": [{"key": "hostname", "type": "string", "value": "h"}]}},
        "warnings": None,
    }


def test_a_wide_trace_id_has_32_digits(make_span):
    """16 hex digits if the upper half is zero, else 32; the span id always 16."""
    span = trace_to_json([make_span(trace_id=0x1_0000_0000_0000_0002, span_id=0xF)])["spans"][0]
    assert span["traceID"] == "00000000000000010000000000000002"
    assert span["spanID"] == "000000000000000f"


def test_flags_of_zero_are_left_out(make_span):
    """Go's omitempty: an unsampled span has no member `flags`."""
    assert "flags" not in trace_to_json([make_span(sampled=False)])["spans"][0]


@pytest.mark.parametrize(
    ("value", "kind", "rendered"),
    [
        ("text", "string", "text"),
        (True, "bool", True),
        (False, "bool", False),
        (2**53 - 1, "int64", 2**53 - 1),
        (2**53, "int64", "9007199254740992"),
        (-(2**53), "int64", "-9007199254740992"),
        (1.5, "float64", 1.5),
        (math.inf, "float64", "Infinity"),
        (-math.inf, "float64", "-Infinity"),
        (math.nan, "float64", "NaN"),
        (b"\x00\xff", "binary", base64.b64encode(b"\x00\xff").decode()),
    ],
)
def test_value_types(make_span, value, kind, rendered):
    """Five types; integers that JavaScript would round go as text, bytes as base64, NaN and infinity as text."""
    assert tags_of(make_span(tags={"k": value}))["k"] == {"key": "k", "type": kind, "value": rendered}


VALUES = st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary())


@given(tags=st.dictionaries(st.text(), VALUES))
def test_any_value_gives_strict_json(tags):
    """Whatever the tags hold, the result is JSON by the letter, raw and adjusted."""
    from sls_tracing.context import SpanContext
    from sls_tracing.model import Process, SpanRecord

    context = SpanContext(trace_id=1, span_id=1)
    span = SpanRecord("op", context, [], 1.0, 2.0, tags, [LogRecord(1.0, tags)], Process("s", tags))
    trace = trace_to_json([span])
    assert len(json.loads(json.dumps(trace, allow_nan=False))["spans"][0]["tags"]) == len(tags)
    json.dumps(adjust(trace), allow_nan=False)


def test_processes_are_shared_when_equal(make_span):
    """One process a distinct (service, tags), whatever the order of the tags; True and 1 are different tags."""
    trace = trace_to_json(
        [
            make_span(span_id=1, process_tags={"a": 1, "b": 2}),
            make_span(span_id=2, process_tags={"b": 2, "a": 1}),
            make_span(span_id=3, process_tags={"a": True, "b": 2}),
            make_span(span_id=4, service="other", process_tags={"a": 1, "b": 2}),
        ]
    )
    assert [span["processID"] for span in trace["spans"]] == ["p1", "p1", "p2", "p3"]
    assert list(trace["processes"]) == ["p1", "p2", "p3"]


def test_a_parent_that_no_reference_names_becomes_one(make_span):
    """As in Jaeger's conversion: CHILD_OF, first; but a reference of any type to that span is enough."""
    other = Reference("child_of", 0xDEF, 7)
    span = trace_to_json([make_span(span_id=2, parent_id=1, references=[other])])["spans"][0]
    assert [(link["refType"], link["spanID"][-1]) for link in span["references"]] == [
        ("CHILD_OF", "1"),
        ("CHILD_OF", "7"),
    ]
    follows = Reference("follows_from", 0xABC, 1)
    span = trace_to_json([make_span(span_id=2, parent_id=1, references=[follows])])["spans"][0]
    assert [link["refType"] for link in span["references"]] == ["FOLLOWS_FROM"]


def test_adjusted_tags_and_fields_are_sorted(make_span):
    """Tags by key; log fields by key after a textual event."""
    log = LogRecord(1.0, {"z": 1, "event": "e", "a": 2})
    span = make_span(tags={"b": 1, "a": 2}, process_tags={"d": 1, "c": 2}, logs=[log])
    trace = adjust(trace_to_json([span]))
    assert [tag["key"] for tag in trace["spans"][0]["tags"]] == ["a", "b"]
    assert [tag["key"] for tag in trace["processes"]["p1"]["tags"]] == ["c", "d"]
    assert [field["key"] for field in trace["spans"][0]["logs"][0]["fields"]] == ["event", "a", "z"]


def test_adjusted_equal_spans_appear_once(make_span):
    """A span delivered twice is shown once, even if its tags came in another order; a different one with the same id stays."""
    spans = [make_span(tags={"a": 1, "b": 2}), make_span(tags={"b": 2, "a": 1}), make_span(tags={"a": True, "b": 2})]
    trace = adjust(trace_to_json(spans))
    assert len(trace["spans"]) == 2
    assert "duplicate span IDs" in trace["spans"][1]["warnings"][0]
    assert len(trace_to_json(spans)["spans"]) == 3


def test_adjusted_orphan_is_warned_of(make_span):
    """A span whose parent is not in the trace says so, after the warnings that it had."""
    trace = adjust(trace_to_json([make_span(), make_span(span_id=3, parent_id=2, warnings=["trimmed"])]))
    root, orphan = trace["spans"]
    assert root["warnings"] is None
    assert orphan["warnings"][0] == "trimmed"
    assert "invalid parent span IDs=0000000000000002" in orphan["warnings"][1]


def test_a_link_into_another_trace_is_no_parent(make_span):
    """References into other traces make no orphan."""
    trace = adjust(trace_to_json([make_span(references=[Reference("follows_from", 0xDEF, 9)])]))
    assert trace["spans"][0]["warnings"] is None


def test_adjusted_parent_comes_first(make_span):
    """The CHILD_OF of the same trace leads, because the UI takes the first reference for the parent."""
    references = [
        Reference("child_of", 0xDEF, 9),
        Reference("follows_from", 0xABC, 1),
        Reference("child_of", 0xABC, 2),
    ]
    spans = [make_span(), make_span(span_id=2), make_span(span_id=3, parent_id=2, references=references)]
    links = adjust(trace_to_json(spans))["spans"][2]["references"]
    assert [link["spanID"][-1] for link in links] == ["2", "1", "9"]
