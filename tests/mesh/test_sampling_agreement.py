"""One decision a trace: the service obeys the mesh, and the mesh obeys the service, request for request."""

from __future__ import annotations

from collections import Counter

import pytest
from mesh_of_two import FULL

FROM_PRODUCTPAGE = FULL[1:]


def decision_in(headers):
    """What B3 or W3C headers say; both forms of the id are of fixed width."""
    if "x-b3-sampled" in headers:
        return headers["x-b3-sampled"] == "1"
    if "b3" in headers:
        return headers["b3"].split("-")[2] in ("1", "d")
    return int(headers["traceparent"][-2:], 16) & 1 == 1


def assert_agreement(exchanges, mesh, reporter, labels):
    """Everybody was told the same, and those who were told yes reported, each once; the number of those requests."""
    mesh.wait_until_reported()
    reported = mesh.reported(exchanges, reporter)
    disagreements = []
    for exchange in exchanges:
        told = [decision_in(exchange.forwarded), decision_in(exchange.arrived)]
        told += [decision_in(exchange.received)] if labels == FULL else []
        expected = Counter(labels) if told[0] else Counter()
        if len(set(told)) > 1 or reported[exchange.key] != expected:
            disagreements.append((told, reported[exchange.key]))
    assert disagreements == []
    return sum(decision_in(exchange.forwarded) for exchange in exchanges)


@pytest.mark.parametrize(
    ("name", "propagation", "times", "least", "most"),
    [
        ("zipkin 0 %", "mesh", 100, 0, 0),
        ("zipkin 1 %", "mesh", 300, 0, 30),
        ("zipkin 50 %", "mesh", 300, 90, 210),
        ("zipkin", "mesh", 100, 100, 100),
        ("otel 0 %", "mesh", 50, 0, 0),
        ("otel 50 %", "mesh", 100, 15, 85),
        ("otel", "mesh", 50, 50, 50),
    ],
)
def test_the_service_obeys_the_mesh(name, propagation, times, least, most, meshes, trace_with):
    """The service's own sampler says yes to every root, and is not asked. The bounds are seven standard deviations wide, or exact."""
    reporter = trace_with(propagation)
    mesh = meshes(name)
    exchanges = [mesh.request({}) for _ in range(times)]
    assert least <= assert_agreement(exchanges, mesh, reporter, FULL) <= most


@pytest.mark.parametrize("name", ["zipkin 0 %", "zipkin 1 %", "zipkin 50 %", "zipkin"])
@pytest.mark.parametrize("propagation", ["b3", "mesh"])
def test_the_mesh_obeys_the_service(name, propagation, meshes, trace_with):
    """A trace that starts in the service: its sampler decides, and no proxy after it decides again, at whatever percentage."""
    reporter = trace_with(propagation, roots=0.5)
    mesh = meshes(name)
    exchanges = [mesh.request({}, past_sidecar=True) for _ in range(125)]
    assert 20 <= assert_agreement(exchanges, mesh, reporter, FROM_PRODUCTPAGE) <= 105
