"""What a trace looks like behind applications that carry no headers, or carry them wrongly, and what the library makes of the same request."""

from __future__ import annotations

import pytest
from mesh_of_two import FULL, forest

PRODUCTPAGE, REVIEWS = FULL[:1], FULL[4:5]
PROXIES = (FULL[0], FULL[3], FULL[4])
BEHIND = FULL[3:5]
ALL_B3 = "x-b3-traceid,x-b3-spanid,x-b3-parentspanid,x-b3-sampled,x-b3-flags,b3"


def with_the_library(mesh, trace_with):
    reporter = trace_with("mesh")
    exchange = mesh.request({})
    mesh.wait_until_reported()
    return exchange, mesh.spans_of(exchange, reporter)


def without(mesh, trace_with, headers=None, **query):
    """The same, from an application that does with headers what ``query`` says. reviews reports nothing here: nobody traces it."""
    trace_with("mesh", roots=False).clear()
    exchange = mesh.request(headers or {}, "/plain", **query)
    mesh.wait_until_reported()
    return exchange, mesh.spans_of(exchange)


@pytest.mark.parametrize(
    ("copied", "chains", "same_request_id"),
    [
        pytest.param("", [PRODUCTPAGE, BEHIND], False, id="E24 nothing: two traces, two request ids"),
        pytest.param("x-request-id", [PRODUCTPAGE, BEHIND], True, id="E25 only x-request-id: two traces"),
        pytest.param(ALL_B3, [PROXIES], False, id="E26 only B3: one trace, but the logs no longer match"),
        pytest.param(f"{ALL_B3},x-request-id", [PROXIES], True, id="E1 all by hand: one trace of proxies"),
    ],
)
def test_headers_that_an_application_carries(copied, chains, same_request_id, meshes, trace_with):
    exchange, spans = without(meshes("zipkin"), trace_with, copy=copied)
    assert sorted(path for paths in forest(spans).values() for path in paths) == sorted(chains)
    assert (exchange.received["x-request-id"] == exchange.arrived["x-request-id"]) is same_request_id


def test_with_the_library_it_is_one_trace_with_one_request_id(meshes, trace_with):
    """E28: a span of ours on each side of the call, between the sidecars' spans."""
    exchange, spans = with_the_library(meshes("zipkin"), trace_with)
    assert forest(spans) == {"": [FULL]}
    assert exchange.received["x-request-id"] == exchange.arrived["x-request-id"]


def test_an_application_that_turns_no_into_yes_makes_orphans(meshes, trace_with):
    """E29: the proxies behind it report children of spans that nobody reported. The library never decides again under a parent."""
    _, spans = without(meshes("zipkin 0 %"), trace_with, copy=ALL_B3, set="x-b3-sampled:1")
    (entry,) = forest(spans)
    assert entry != ""
    assert forest(spans) == {entry: [BEHIND]}


def test_an_application_that_turns_yes_into_no_truncates_the_trace(meshes, trace_with):
    """E29, the other way round."""
    _, spans = without(meshes("zipkin"), trace_with, copy=ALL_B3, set="x-b3-sampled:0")
    assert forest(spans) == {"": [PRODUCTPAGE]}


def test_without_its_request_id_a_sampled_trace_ends_in_opentelemetry_meshes_since_1_39(meshes, trace_with, version):
    """E35: traceparent alone is not enough any more. The library carries both (E36 among the rows)."""
    sends = {
        "traceparent": "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01",
        "x-request-id": "6ba7b810-9dad-91d1-80b4-00c04fd430c8",
    }
    _, spans = without(meshes("otel 0 %"), trace_with, sends, copy="traceparent")
    assert forest(spans) == {"a2fb4a1d1a96d312": [PRODUCTPAGE if version >= (1, 39) else PROXIES]}


def test_shared_spans_of_istio_1_0(meshes, trace_with):
    """E27: the server side takes over the client's span id, and the library makes children of it all the same."""
    mesh = meshes("zipkin shared")
    reporter = trace_with("mesh")
    exchange = mesh.request({})
    mesh.wait_until_reported()
    spans = mesh.spans_of(exchange, reporter)
    by_label = {f"{span.service} {span.kind}": span for span in spans}
    sidecar, server, call, outbound, inbound, reviews = (by_label[label] for label in FULL)
    assert len(spans) == 6
    assert exchange.arrived["x-b3-spanid"] == outbound.span_id == inbound.span_id
    assert inbound.shared
    assert [server.parent_id, call.parent_id, outbound.parent_id, reviews.parent_id] == [
        sidecar.span_id,
        server.span_id,
        call.span_id,
        inbound.span_id,
    ]


def test_opentelemetry_proxies_mark_remote_parents_since_1_40(meshes, trace_with, version):
    """E30: OTLP's span flags: 0x100 says that 0x200 is known, 0x200 that the parent is remote, 1 is W3C's sampled."""
    mesh = meshes("otel")
    reporter = trace_with("mesh")
    exchange = mesh.request({})
    mesh.wait_until_reported()
    flags = [span.flags for span in mesh.spans_of(exchange, reporter) if span.service.endswith(".default")]
    assert sorted(flags) == ([0x101, 0x301, 0x301] if version >= (1, 40) else [0, 0, 0])
