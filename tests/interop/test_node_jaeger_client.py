"""Jaeger's client for Node: it sends to our agent, and a trace crosses from it to us and back to it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import opentracing
import pytest

from sls_tracing import BatchingReporter, Tracer, UDPSender
from sls_tracing.backend.all_in_one import all_in_one_in_background


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def backend():
    with all_in_one_in_background() as backend:
        yield backend


@pytest.fixture
def tracer(backend):
    reporter = BatchingReporter(UDPSender("127.0.0.1", backend.agent_compact_port))
    with Tracer("ours", reporter=reporter, propagation="jaeger") as tracer:
        yield tracer


@pytest.fixture
def service(tracer):
    """Our service between Node's: it goes on with the trace, adds baggage of its own, and calls Node back."""

    def app(environ, start_response):
        carrier = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        context = tracer.extract(opentracing.Format.HTTP_HEADERS, carrier)
        with tracer.start_active_span("ours", child_of=context) as scope:
            scope.span.set_baggage_item("ours", "grüße")
            headers: dict[str, str] = {}
            tracer.inject(scope.span.context, opentracing.Format.HTTP_HEADERS, headers)
            request = urllib.request.Request(environ["HTTP_X_CALL_BACK"], headers=headers)
            with urllib.request.urlopen(request, timeout=20) as response:
                body = response.read()
        tracer.flush(20)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def stored_spans(backend, trace_id: str, number: int) -> list[dict]:
    """The trace's spans, each with its process, as the query API answers once they are all there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"{backend.query_url}/api/traces/{trace_id}", timeout=20) as response:
                [trace] = json.load(response)["data"]
        except (urllib.error.HTTPError, ValueError):
            trace = {"spans": []}
        if len(trace["spans"]) >= number:
            return [{**span, "process": trace["processes"][span["processID"]]} for span in trace["spans"]]
        assert time.monotonic() < deadline, trace
        time.sleep(0.02)


def stored_trace(backend, trace_id: str, spans: int) -> dict[str, dict]:
    """The same by operation."""
    return {span["operationName"]: span for span in stored_spans(backend, trace_id, spans)}


def test_from_node_to_us_and_back(node_modules, backend, service) -> None:
    """One trace, parents in order, baggage both ways; Node's datagrams (strict binary) are stored with all their values."""
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("node_service.js")), str(backend.agent_binary_port), service],
        env={**os.environ, "NODE_PATH": str(node_modules)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    root, inner = said["root"], said["inner"]
    assert int(inner["trace"], 16) == int(root["trace"], 16)
    assert (inner["baggage"], inner["ours"]) == ("jürgen & co", "grüße")

    spans = stored_trace(backend, root["trace"], 3)
    assert {name: span["process"]["serviceName"] for name, span in spans.items()} == {
        "node-root": "node", "ours": "ours", "node-inner": "node",
    }  # fmt: skip
    ids = {name: int(span["spanID"], 16) for name, span in spans.items()}  # as numbers: Node leaves out leading zeros
    parents = {name: [int(each["spanID"], 16) for each in span["references"]] for name, span in spans.items()}
    assert parents == {"node-root": [], "ours": [ids["node-root"]], "node-inner": [ids["ours"]]}
    assert ids["node-inner"] == int(inner["span"], 16)
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in spans["node-inner"]["tags"]}
    assert tags["text"] == ("string", "ü")
    assert tags["flag"] == ("bool", True)
    assert tags["ratio"] == ("float64", 0.5)
    [log] = [log for log in spans["node-inner"]["logs"] if log["fields"][0]["value"] == "answered"]
    assert {field["key"]: field["value"] for field in log["fields"]} == {"event": "answered", "number": 7}


def test_over_http_with_a_remote_sampler(node_modules, backend) -> None:
    """Node asks our agent's port for the strategy and posts its 301 spans to the collector, which are all stored."""
    sampling = urllib.parse.urlsplit(backend.url(backend.sampling_port))
    arguments = [backend.collector_url, sampling.hostname, str(sampling.port)]
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("node_over_http.js")), *arguments],
        env={**os.environ, "NODE_PATH": str(node_modules)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trace_id = done.stdout.split()[-1]
    spans = stored_spans(backend, trace_id, 301)
    root = next(span for span in spans if span["operationName"] == "root")
    children = [span for span in spans if span["operationName"] == "child"]
    assert sorted(tag["value"] for span in children for tag in span["tags"] if tag["key"] == "number") == list(
        range(300)
    )
    assert {int(span["references"][0]["spanID"], 16) for span in children} == {int(root["spanID"], 16)}
    assert {"sampler.type", "sampler.param"} <= {tag["key"] for tag in root["tags"]}
