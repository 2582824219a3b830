"""What the doctor says of a request's headers. The cases are those of docs/mesh.md; what real Envoy sends is in tests/mesh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.doctor.headers import TRACE_HEADERS, explain, parse_headers
from sls_tracing.propagators import MeshPropagator

TRACE, SPAN, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
REQUEST_ID = {"X-Request-Id": "6ba7b810-9dad-91d1-80b4-00c04fd430c8"}
MULTI = {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}
TRACEPARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def levels(headers, level):
    return [finding.text for finding in explain({**REQUEST_ID, **headers}).findings if finding.level == level]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (MULTI, "provider is Zipkin"),
        (MULTI, "128 bits"),
        ({**MULTI, "X-B3-TraceId": TRACE[16:]}, "64 bits"),
        ({**MULTI, "X-B3-Sampled": "0"}, "not sampled"),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN}, "No decision came"),
        ({**MULTI, "X-B3-Sampled": "0", "X-B3-Flags": "1"}, "Envoy does not read it"),
        ({"b3": f"{TRACE}-{SPAN}-1"}, "Only b3 came in"),
        ({**MULTI, "b3": f"{TRACE}-{PARENT}-1", "X-B3-ParentSpanId": PARENT}, "x-b3-* is believed"),
        ({**MULTI, "b3": f"{TRACE}-{PARENT}-1"}, "b3 is believed"),
        ({**TRACEPARENT, "tracestate": ""}, "provider is OpenTelemetry"),
        ({**TRACEPARENT, **MULTI}, "say the same"),
        ({"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "", **MULTI}, "is stale"),
        ({"traceparent": f"00-{PARENT * 2}-{PARENT}-01", **MULTI}, "web client"),
        ({}, "No trace context came in"),
        ({"sw8": "1-abc"}, "SkyWalking"),
        ({"Cookie": "session=1"}, "cookie: not forwarded"),
    ],
)
def test_a_case_is_explained(headers, said):
    """Each case has a sentence, and none of these is a mistake."""
    found = explain({**REQUEST_ID, **headers})
    assert [finding for finding in found.findings if said in finding.text], found.findings
    assert levels(headers, "problem") == []


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-B3-TraceId": "xyz", "X-B3-SpanId": SPAN}, "malformed"),
        ({**MULTI, "X-B3-TraceId": TRACE[1:]}, "31 digits"),
        ({"X-Request-Id": "7"}, "is no UUID"),
        ({"X-Request-Id": ""}, "no x-request-id"),
        ({"traceparent": f"01-{TRACE}"}, "malformed"),
    ],
)
def test_a_mistake_is_a_problem(headers, said):
    """What costs spans in a mesh is a problem."""
    assert any(said in text for text in levels(headers, "problem"))


def test_what_goes_out_is_what_the_service_writes():
    """A child of the span that came, in the format that came, with x-request-id."""
    sent = explain({**REQUEST_ID, "b3": f"{TRACE}-{SPAN}-1"}).sent
    assert sent["x-request-id"] == REQUEST_ID["X-Request-Id"]
    trace, _, sampled, parent = sent["b3"].split("-")
    assert (trace, sampled, parent) == (TRACE, "1", SPAN)


def test_secrets_are_not_shown():
    """Headers that say who somebody is are named, their values are not."""
    explanation = explain(
        {**MULTI, "Authorization": "Bearer secret", "Cookie": "secret"}, MeshPropagator(forward=["jwt"])
    )
    assert "secret" not in repr(explanation)
    assert explanation.received["authorization"] == "(not shown)"


def test_lines_are_read_as_tools_print_them():
    """Request lines, curl's marks and headers that stand twice."""
    text = "> GET /productpage HTTP/1.1\n> Host: a\n> X-B3-TraceId: 1\nTraceState: a=1\nTraceState: b=2\n\nbody"
    assert parse_headers(text) == {"host": "a", "x-b3-traceid": "1", "tracestate": "a=1,b=2"}


@given(
    st.dictionaries(
        st.sampled_from(TRACE_HEADERS),
        st.text(max_size=60) | st.sampled_from([TRACE, SPAN, "1", "d", f"{TRACE}-{SPAN}"]),
    )
)
def test_nothing_that_comes_in_breaks_it(headers):
    """The doctor is asked about headers that are wrong."""
    explanation = explain(headers)
    assert explanation.made
    assert all(finding.text for finding in explanation.findings)
