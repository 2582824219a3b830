"""Node's services and ours in one mesh: Jaeger's client for Node on either side of our library, sidecars between them."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
from mesh_of_two import FULL, Mesh, forest
from processes import ProcessGroup
from report_sink import SeenSpan

SENDS = {"x-b3-traceid": "463ac35c9f6413ad48485a3953bb6124", "x-b3-spanid": "a2fb4a1d1a96d312", "x-b3-sampled": "1"}


@pytest.fixture(scope="module")
def node(node_modules):
    """The port of a Node service that takes the place of productpage or of reviews."""
    program = Path(__file__).with_name("node_application.js")
    environment = {**os.environ, "NODE_PATH": str(node_modules)}
    with subprocess.Popen(["node", str(program)], env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())
        process.terminate()


def spans_of_node(port, exchange):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/reported", timeout=20) as response:
        spans = [
            SeenSpan(
                each["trace"],
                each["span"].zfill(16),  # jaeger-client for Node leaves out leading zeros
                each["parent"] and each["parent"].zfill(16),
                each["tags"]["span.kind"].upper(),
                "node",
                each["name"],
                each["tags"],
            )
            for each in json.load(response)
        ]
    return [span for span in spans if span.key == exchange.key]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("productpage", (FULL[0], "node SERVER", "node CLIENT", *FULL[3:])),
        ("reviews", (*FULL[:5], "node SERVER")),
    ],
)
@pytest.mark.parametrize("sends", [{}, SENDS], ids=["a trace of the gateway", "a trace of the caller"])
def test_one_tree(place, expected, sends, node, applications, sink, trace_with, tmp_path):
    """Whoever comes first, everybody's spans hang together, each under the one that called it."""
    reporter = trace_with("mesh")
    with ProcessGroup(tmp_path) as group:
        mesh = Mesh("zipkin", applications, sink, group, tmp_path, **{place: node})
        exchange = mesh.request(sends)
        mesh_spans = len(expected) - len([each for each in expected if each.startswith("node")])
        proxies = sum(".default" in each for each in expected)
        sink.wait_for(exchange.key, proxies)
        spans = [*mesh.spans_of(exchange, reporter), *spans_of_node(node, exchange)]
    assert len(mesh.spans_of(exchange, reporter)) == mesh_spans
    (tree,) = forest(spans).items()
    assert tree == (sends.get("x-b3-spanid", ""), [expected])
    assert {int(span.trace_id, 16) for span in spans} == {int(sends.get("x-b3-traceid", spans[0].trace_id), 16)}
