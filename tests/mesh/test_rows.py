"""Every row of docs/mesh.md on the real thing: what the service receives, what it sends on, what everybody reports, as one tree."""

from __future__ import annotations

import re
import time

import pytest
from mesh_of_two import forest, label
from rows import CLIENT, ROWS, resolve

CASES = [
    pytest.param(row, propagation, id=f"{row.name}, {propagation}") for row in ROWS for propagation in row.propagations
]

SPAN_ID, TRACE_ID = "[0-9a-f]{16}", "[0-9a-f]{32}"
MULTI = ("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags")
NO_CONTEXT = dict.fromkeys((*MULTI, "b3", "traceparent", "tracestate"))


@pytest.mark.parametrize(("row", "propagation"), CASES)
def test_row(row, propagation, meshes, trace_with, version):
    """One request; the row says what must come of it."""
    reporter = trace_with(propagation)
    mesh = meshes(row.mesh)
    exchange = mesh.request(row.sends)
    mesh.wait_until_reported()
    spans = settled(lambda: mesh.spans_of(exchange, reporter), resolve(row.tree, version))
    ids = ids_of(spans, row, exchange)

    received = {name: resolve(template, version) for name, template in row.received.items()}
    assert_headers(received, exchange.received, ids)
    formats = resolve(row.answer, version) if propagation.startswith("mesh") else propagation
    decision = resolve(row.decision, version)
    request_id = re.escape(exchange.received["x-request-id"])
    written = {
        **context_in(formats, decision, resolve(row.debug, version)),
        **row.forwarded,
        "x-request-id": request_id,
    }
    assert_headers(written, exchange.forwarded, ids)
    assert exchange.arrived["x-request-id"] == exchange.received["x-request-id"]

    expected = {entry.format(**ids): paths for entry, paths in resolve(row.tree, version).items()}
    if formats == "b3-single" and version < (1, 40):
        expected = {entry: beside_a_stale_b3(paths) for entry, paths in expected.items()}
    assert forest(spans) == expected
    assert {span.trace_id for span in spans if label(span) != "productpage.default SERVER"} <= {
        ids["trace"],
        ids["padded"],
    }


def settled(spans_so_far, tree):
    """All spans, once there are as many as the tree has. Two reports of a proxy go by two connections: the later one may be the first to arrive."""
    count = sum(len({path[:end] for path in paths for end in range(1, len(path) + 1)}) for paths in tree.values())
    deadline = time.monotonic() + 10
    while len(spans := spans_so_far()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return spans


def beside_a_stale_b3(paths):
    """Envoy up to 1.39 leaves the application's ``b3`` as it is, and the next one believes it: that hop hangs one too high."""
    flat = []
    for path in paths:
        outbound = path.index("productpage.default CLIENT") if "productpage.default CLIENT" in path else len(path)
        flat += [path[: outbound + 1], path[:outbound] + path[outbound + 1 :]]
    return sorted(set(flat)) if len(flat[0]) > 1 else paths


def context_in(formats, decision, debug):
    """What the library writes in these formats: the ids of its own client span, and always the decision."""
    digit, flags = ("1", "[13]") if decision else ("0", "[02]")  # 2: the trace id is random, which only its maker knows
    multi = dict(zip(MULTI, ("{trace}", "{call}", "{server}", digit, "1" if debug else None), strict=True))
    written = {
        "b3": multi,
        "b3-single": {"b3": f"{{trace}}-{{call}}-{'d' if debug else digit}-{{server}}"},
        "w3c": {"traceparent": f"00-{{padded}}-{{call}}-0{flags}", "tracestate": None},
    }
    return NO_CONTEXT | {name: value for each in formats.split(",") for name, value in written[each].items()}


def ids_of(spans, row, exchange):
    """What the names in templates stand for: ids of reported spans, and patterns where nothing is reported."""
    by_label = {label(span): span for span in spans}
    labels = {"sidecar": "productpage.default SERVER", "server": "productpage SERVER", "call": "productpage CLIENT"}
    ids = {name: by_label[found].span_id if found in by_label else SPAN_ID for name, found in labels.items()}
    if "productpage.default SERVER" not in by_label:
        ids["sidecar"] = exchange.received.get("x-b3-spanid", SPAN_ID)
    trace = row.trace or (by_label["productpage SERVER"].trace_id if "productpage SERVER" in by_label else TRACE_ID)
    return {**ids, "trace": trace, "padded": trace.rjust(32, "0"), "client": CLIENT}


def assert_headers(expected, actual, ids):
    wrong = {}
    for name, template in expected.items():
        pattern, value = None if template is None else template.format(**ids), actual.get(name)
        if (pattern is None) is not (value is None) or (pattern is not None and not re.fullmatch(pattern, value)):
            wrong[name] = f"{value!r}, not {pattern!r}"
    assert not wrong
