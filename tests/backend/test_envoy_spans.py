"""Real Envoys send their own spans to the collector's doors, an app between them sends its own: one tree."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import opentracing
import pytest
import requests

from sls_tracing import BatchingReporter, ConstSampler, HTTPSender, Tracer
from sls_tracing.backend.all_in_one import all_in_one_in_background
from sls_tracing.metrics import counters

sys.path.append(str(Path(__file__).parents[2] / "examples" / "bookinfo"))


class App(http.server.ThreadingHTTPServer):
    """A traced service that asks the next one, if there is one."""

    daemon_threads = True

    def __init__(self, service, collector, propagation):
        super().__init__(("127.0.0.1", 0), Handler)
        self.next_url = None
        self.tracer = Tracer(
            service,
            sampler=ConstSampler(True),
            reporter=BatchingReporter(HTTPSender(collector)),
            propagation=propagation,
        )


class Handler(http.server.BaseHTTPRequestHandler):
    disable_nagle_algorithm = True

    def do_GET(self):
        tracer = self.server.tracer
        headers = {key.lower(): value for key, value in self.headers.items()}
        parent = tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
        with tracer.start_span("serve", child_of=parent, tags={"span.kind": "server"}) as serving:
            if self.server.next_url:
                with tracer.start_span("ask", child_of=serving, tags={"span.kind": "client"}) as asking:
                    out = {"x-request-id": headers["x-request-id"]}
                    tracer.inject(asking.context, opentracing.Format.HTTP_HEADERS, out)
                    urllib.request.urlopen(urllib.request.Request(self.server.next_url, headers=out)).read()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@contextmanager
def running(app):
    thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        app.shutdown()
        thread.join()
        app.server_close()
        app.tracer.close()


def in_order(trace):
    """The spans from the root on, a (service, kind) each; fails unless every span has at most one child."""
    children = {}
    for span in trace["spans"]:
        children.setdefault(span["references"][0]["spanID"] if span["references"] else None, []).append(span)
    chain, parent = [], None
    while below := children.pop(parent, []):
        [span] = below
        kind = next(tag["value"] for tag in span["tags"] if tag["key"] == "span.kind")
        chain.append((trace["processes"][span["processID"]]["serviceName"], kind))
        parent = span["spanID"]
    assert not children
    return chain


CHAIN = [
    ("istio-ingressgateway.default", "server"),
    ("istio-ingressgateway.default", "client"),
    ("productpage.default", "server"),
    ("productpage", "server"),
    ("productpage", "client"),
    ("productpage.default", "client"),
    ("reviews.default", "server"),
    ("reviews", "server"),
]


@pytest.mark.parametrize(
    ("provider", "shared", "propagation"),
    [("zipkin", False, "b3"), ("zipkin", True, "b3"), ("otel", False, "w3c")],
)
def test_gateway_sidecars_and_apps_are_one_tree(provider, shared, propagation, tmp_path, eventually):
    """Zipkin with an id for each side (Istio), with shared ids (Istio 1.0) and OTLP: eight spans in a chain, no warning, no id twice."""
    from envoy_config import Listener, Proxy, Route, Tracing
    from processes import ProcessGroup
    from sidecars import start_sidecar

    with ExitStack() as stack:
        backend = stack.enter_context(all_in_one_in_background())
        port = backend.zipkin_port if provider == "zipkin" else backend.otlp_port
        tracing = Tracing(provider, port, shared_span=shared)
        dropped_before = counters.get("collector_zipkin_malformed")
        productpage = stack.enter_context(running(App("productpage", backend.collector_url, propagation)))
        reviews = stack.enter_context(running(App("reviews", backend.collector_url, propagation)))
        group = stack.enter_context(ProcessGroup(tmp_path))

        def envoy(service, *listeners, role="sidecar"):
            proxy = Proxy(service, listeners, tracing, role)
            sidecar = start_sidecar(group, service, proxy, tmp_path, dict(os.environ))
            sidecar.wait_until_ready()
            return sidecar.ports()

        inbound = Listener("in", 0, "INBOUND", (Route("/", "reviews", (reviews.server_port,)),))
        ports = envoy("reviews", inbound)
        page = Listener("in", 0, "INBOUND", (Route("/", "productpage", (productpage.server_port,)),))
        ports = envoy("productpage", page, Listener("out", 0, "OUTBOUND", (Route("/", "reviews", (ports["in"],)),)))
        productpage.next_url = f"http://127.0.0.1:{ports['out']}/reviews/1"
        route = Route("/", "productpage", (ports["in"],))
        gateway = envoy("istio-ingressgateway", Listener("gate", 0, "OUTBOUND", (route,)), role="router")
        assert requests.get(f"http://127.0.0.1:{gateway['gate']}/productpage", timeout=30).text == "ok"

        def complete():
            url = f"{backend.query_url}/api/traces?service=istio-ingressgateway.default"
            return [each for each in requests.get(url, timeout=30).json()["data"] if len(each["spans"]) == len(CHAIN)]

        [trace] = eventually(complete)
        assert in_order(trace) == CHAIN
        assert len({span["spanID"] for span in trace["spans"]}) == len(CHAIN)
        assert not any(span["warnings"] for span in trace["spans"]), json.dumps(trace)
        [sidecar] = [
            each for each in trace["spans"] if "reviews.default.svc" in each["operationName"] and kind(each) == "server"
        ]
        tags = {tag["key"]: tag["value"] for tag in sidecar["tags"]}
        assert tags["component"] == "proxy"
        assert tags["istio.canonical_service"] == "reviews"
        raw = requests.get(f"{backend.query_url}/api/traces/{trace['traceID']}?raw=true", timeout=30).json()["data"][0]
        assert len({span["spanID"] for span in raw["spans"]}) == len(CHAIN) - (2 if shared else 0)
        assert counters.get("collector_zipkin_malformed") == dropped_before


def kind(span):
    return next(tag["value"] for tag in span["tags"] if tag["key"] == "span.kind")
