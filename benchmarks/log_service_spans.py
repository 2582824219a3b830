"""Spans such as Istio's sidecars send, for the figures of Log Service: Bookinfo's services, 15 tags, ten spans a trace, the same ones for the same seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sls_tracing.context import SpanContext
from sls_tracing.model import Process, Reference, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

SPANS_A_TRACE = 10
_CALLS = [
    ("istio-ingressgateway", "productpage.default.svc.cluster.local:9080/productpage", None, "client"),
    ("productpage.default", "productpage.default.svc.cluster.local:9080/productpage", 0, "server"),
    ("productpage.default", "details.default.svc.cluster.local:9080/*", 1, "client"),
    ("details.default", "details.default.svc.cluster.local:9080/*", 2, "server"),
    ("productpage.default", "reviews.default.svc.cluster.local:9080/*", 1, "client"),
    ("reviews.default", "reviews.default.svc.cluster.local:9080/*", 4, "server"),
    ("reviews.default", "ratings.default.svc.cluster.local:9080/*", 5, "client"),
    ("ratings.default", "ratings.default.svc.cluster.local:9080/*", 6, "server"),
    ("ratings.default", "mongodb.default.svc.cluster.local:27017/query", 7, "client"),
    ("mongodb.default", "mongodb.default.svc.cluster.local:27017/query", 8, "server"),
]
_PROCESSES = {
    (service, pod): Process(service, {"ip": f"10.4.{number}.{pod + 10}"})
    for number, service in enumerate(dict.fromkeys(call[0] for call in _CALLS))
    for pod in range(4)
}


def make_spans(count: int, begin: float, seconds: float, seed: int = 1) -> Iterator[SpanRecord]:
    """Yield ``count`` spans of traces that begin evenly over ``seconds`` from ``begin`` on."""
    chance = random.Random(seed)
    traces = -(-count // SPANS_A_TRACE)
    for number in range(traces):
        yield from list(_trace(chance, begin + seconds * number / traces))[: count - number * SPANS_A_TRACE]


def make_service_spans(count: int, seed: int = 1) -> Iterator[SpanRecord]:
    """Yield spans such as an instrumented service makes: seven tags, 19 fields as a log."""
    chance = random.Random(seed)
    process = Process(
        "productpage",
        {"hostname": "productpage-v1-6b746f74dc-9stvs", "ip": "10.4.1.12", "jaeger.version": "Python-1.0"},
    )
    begin = 1_700_000_000.0
    for number in range(count):
        trace_id, span_id, parent_id = (
            chance.getrandbits(64) | 1,
            chance.getrandbits(64) | 1,
            chance.getrandbits(64) | 1,
        )
        path = f"/api/v1/products/{chance.randrange(1000)}/reviews"
        tags = {
            "component": "requests", "span.kind": "client", "http.method": "GET", "http.url": f"http://reviews:9080{path}",
            "http.status_code": "200", "peer.hostname": "reviews", "peer.port": "9080",
        }  # fmt: skip
        start = begin + number / 1000
        yield SpanRecord(
            f"GET {path}", SpanContext(trace_id, span_id, parent_id), [Reference("child_of", trace_id, parent_id)], start,
            start + chance.random() / 10, tags, [], process, [],
        )  # fmt: skip


def _trace(chance: random.Random, begin: float) -> Iterator[SpanRecord]:
    trace_id, guid = chance.getrandbits(64) | 1, f"{chance.getrandbits(128):032x}"
    request = f"{guid[:8]}-{guid[8:12]}-{guid[12:16]}-{guid[16:20]}-{guid[20:]}"
    agent = f"Mozilla/5.0 (X11; Linux x86_64) Firefox/{chance.randrange(90, 120)}.0"
    ids: list[int] = []
    took = chance.lognormvariate(-4.0, 0.8)
    failed = chance.random() < 0.01
    for depth, (service, operation, parent, kind) in enumerate(_CALLS):
        ids.append(chance.getrandbits(64) | 1)
        pod = chance.randrange(4)
        start = begin + depth * 0.0007 * chance.random()
        duration = round(took * (1 - depth / 12) * chance.uniform(0.8, 1.0), 6)
        status = 503 if failed and depth > 4 else 200
        path = operation.partition("/")[2].replace("*", str(chance.randrange(50)))
        tags = {
            "component": "proxy", "node_id": f"sidecar~10.4.{depth}.{pod + 10}~{service}-v1-{pod}.default~cluster.local",
            "guid:x-request-id": request, "http.url": f"http://{operation.partition('/')[0]}/{path}", "http.method": "GET",
            "http.protocol": "HTTP/1.1", "http.status_code": status, "user_agent": agent, "response_flags": "-" if status == 200 else "UH",
            "request_size": 0, "response_size": chance.randrange(100, 9000), "downstream_cluster": "-",
            "upstream_cluster": f"{'inbound' if kind == 'server' else 'outbound'}|9080||{operation.partition('/')[0]}", "span.kind": kind,
            "peer.address": f"10.4.{depth}.{pod + 10}",
        }  # fmt: skip
        if status == 503:
            tags["error"] = True
        parent_id = None if parent is None else ids[parent]
        references = [] if parent_id is None else [Reference("child_of", trace_id, parent_id)]
        context = SpanContext(trace_id, ids[-1], parent_id)
        yield SpanRecord(
            operation, context, references, start, start + duration, tags, [], _PROCESSES[service, pod], []
        )
