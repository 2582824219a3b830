"""What the doctor reads from a trace, for each way in which meshes go wrong. Real traces of a mesh: tests/examples/test_doctor_in_the_mesh.py."""

from __future__ import annotations

import pytest

from sls_tracing.doctor.mesh_probe import Answer
from sls_tracing.doctor.mesh_trace import about_trace, headers_seen, read_spans, tree

ENVOY = {"server": "istio-envoy"}


def answer(status=200, headers=ENVOY, failure=""):
    return Answer(0xABC, 0x1, "b3", {}, status, headers, failure)


def span(span_id, parent, service, kind="server", *, proxy=False, request_id="r", start=0, logs=()):
    tags = [{"key": "span.kind", "type": "string", "value": kind}]
    if proxy:
        tags += [{"key": "component", "type": "string", "value": "proxy"}]
        tags += [{"key": "guid:x-request-id", "type": "string", "value": request_id}]
    return {
        "spanID": f"{span_id:016x}",
        "references": [{"refType": "CHILD_OF", "spanID": f"{parent:016x}"}],
        "process": {"serviceName": service},
        "operationName": "GET",
        "startTime": start,
        "tags": tags,
        "logs": [{"fields": [{"key": key, "value": value} for key, value in log.items()]} for log in logs],
    }


CHAIN = [
    span(2, 1, "a.default", proxy=True),
    span(3, 2, "a"),
    span(4, 3, "a", "client"),
    span(5, 4, "a.default", "client", proxy=True),
    span(6, 5, "b.default", proxy=True),
    span(7, 6, "b"),
]


def found(spans, told=None):
    return [(finding.level, finding.text) for finding in about_trace(told or answer(), read_spans(spans))]


def test_a_sound_trace_has_no_problem():
    """One tree, one request id, and nothing to complain of."""
    assert [level for level, _ in found(CHAIN)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("spans", "level", "said"),
    [
        ([*CHAIN[:1], *CHAIN[2:]], "problem", "name a parent that nobody reported: a (GET)"),
        ([*CHAIN, span(2, 1, "a")], "problem", "one_span_per_rpc"),
        (
            [*CHAIN[:4], span(6, 5, "b.default", proxy=True, request_id="other"), CHAIN[5]],
            "problem",
            "x-request-id was lost by a.default",
        ),
        ([CHAIN[0], span(5, 2, "a.default", "client", proxy=True)], "note", "forwards the headers and reports no span"),
        (CHAIN[:1], "note", "the trace ends at its sidecar"),
        (CHAIN[:3], "note", "is seen by no sidecar"),
        ([], "problem", "Nobody reported a span"),
    ],
)
def test_each_way_to_go_wrong(spans, level, said):
    """The sentence names the service and the remedy."""
    assert any(each == level and said in text for each, text in found(spans)), found(spans)


def test_a_request_past_the_mesh():
    """Without a trace of Envoy in the answer, that is the first thing to know."""
    assert any("did not go through a sidecar" in text for _, text in found(CHAIN, answer(headers={})))


def test_a_request_without_an_answer():
    """Why there was none is said."""
    assert found([], answer(0, {}, "refused")) == [("problem", "The request was not answered: refused")]


def test_headers_that_services_noted():
    """In the order of the trace, with the service's name; a malformed one is a problem of that service."""
    noted = span(7, 6, "b", start=9, logs=[{"event": "headers received", "x-b3-traceid": "zz"}, {"event": "other"}])
    seen = headers_seen(read_spans([*CHAIN[:5], noted]))
    assert [(each.service, each.headers) for each in seen] == [("b", {"x-b3-traceid": "zz"})]
    assert any(text.startswith("b: The ids that came in are malformed") for _, text in found([*CHAIN[:5], noted]))


def test_the_tree_survives_circles_and_orphans():
    """A trace that is wrong is printed all the same, every span that hangs from a root."""
    lines = list(tree(read_spans([span(9, 9, "self"), span(8, 77, "orphan"), span(3, 8, "child")])))
    assert [line.partition(":")[0] for line in lines] == ["self", "orphan", "  child"]
