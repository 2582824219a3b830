"""What one request for the product page must look like as a trace, for each version of reviews."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from mesh import GATEWAY, GATEWAY_NAMESPACE, NO_MESH

if TYPE_CHECKING:
    from mesh import MeshSettings
    from traces import Span, Trace

__all__ = ["EXPECTED", "Shape", "expected_tree", "problems", "root_of"]


class Shape(NamedTuple):
    """A span as far as it can be known beforehand, with the spans below it."""

    service: str
    operation: str
    kind: str
    children: tuple[Shape, ...] = ()


def _call(caller: str, callee: Shape) -> Shape:
    """The caller's side of an HTTP call, with the callee's side below it: two spans, never one shared span."""
    return Shape(caller, "GET", "client", (callee,))


DETAILS = Shape("details", "GET /details/<product_id>", "server")
RATINGS = Shape("ratings", "GET /ratings/<product_id>", "server")
REVIEWS_ALONE = Shape("reviews", "GET /reviews/<int:product_id>", "server")
REVIEWS_WITH_RATINGS = REVIEWS_ALONE._replace(children=(_call("reviews", RATINGS),))


def _page(reviews: Shape) -> Shape:
    tries = Shape("productpage", "Upstreams.reviews", "internal", (_call("productpage", reviews),))
    return Shape("productpage", "GET /productpage", "server", (_call("productpage", DETAILS), tries))


EXPECTED = {
    "v1": _page(REVIEWS_ALONE),
    "v2": _page(REVIEWS_WITH_RATINGS),
    "v3": _page(REVIEWS_WITH_RATINGS),
}
"""Without a mesh, by the version of reviews."""


def expected_tree(version: str, mesh: MeshSettings) -> Shape:
    """The tree of one request with this version of reviews: in a mesh, every hop has a client and a server span of its proxies, too."""
    if mesh == NO_MESH:
        return EXPECTED[version]
    root = root_of(mesh)
    if mesh.fault == "abort":
        return root  # the gateway answers by itself
    upstream = f"router outbound|9080||{_host('productpage')} egress"
    # A proxy tells the next one its name for the request, so both sides of a hop have the same: here the gateway's.
    page = _sidecar("productpage", "server", root.operation, _with_sidecars(EXPECTED[version]))
    return root._replace(children=(Shape(root.service, upstream, "client", (page,)),))


def root_of(mesh: MeshSettings) -> Shape:
    """The span that every request's trace starts with, without what is below it."""
    if mesh == NO_MESH:
        return EXPECTED["v1"]._replace(children=())
    return Shape(f"{GATEWAY}.{GATEWAY_NAMESPACE}", f"{_host('productpage')}:9080/productpage", "server")


def _with_sidecars(span: Shape) -> Shape:
    """``span`` and what is below it, with the two sidecars' spans between the sides of each call."""
    children = tuple(map(_with_sidecars, span.children))
    if span.kind != "client":
        return span._replace(children=children)
    (callee,) = children
    operation = f"{_host(callee.service)}:9080/*"
    inbound = _sidecar(callee.service, "server", operation, callee)
    return span._replace(children=(_sidecar(span.service, "client", operation, inbound),))


def _sidecar(service: str, kind: str, operation: str, below: Shape) -> Shape:
    return Shape(f"{service}.default", operation, kind, (below,))


def _host(service: str) -> str:
    return f"{service}.default.svc.cluster.local"


def problems(trace: Trace, mesh: MeshSettings = NO_MESH) -> list[str]:
    """What keeps ``trace`` from being complete, a sentence each; empty if it is one tree, without orphans, of the expected spans."""
    found = []
    for span_id, times in Counter(span.span_id for span in trace.spans).items():
        if times > 1:
            found.append(f"{times} spans share the id {span_id}")
    roots = trace.roots()
    if len(roots) != 1:
        found.append(
            f"{len(roots)} roots instead of one: {', '.join(_describe(*_facts(root)) for root in roots) or 'none'}"
        )
    found += [
        f"orphan: {_describe(*_facts(span))} names the parent {span.parent_id}, which is not in the trace"
        for span in trace.orphans()
    ]
    actual = Counter(_actual_paths(trace))
    expected = Counter(_expected_paths(expected_tree(_version_of_reviews(trace), mesh)))
    found += [f"missing: {_path(path)}" for path in (expected - actual).elements()]
    found += [f"unexpected: {_path(path)}" for path in (actual - expected).elements()]
    return found


def _version_of_reviews(trace: Trace) -> str:
    """Told by the process tag that the demonstration gives to each service; v3 if reviews left no span at all."""
    versions = {str(span.process_tags.get("version")) for span in trace.spans if span.service == "reviews"}
    return min(versions & EXPECTED.keys(), default="v3")


Facts = tuple[str, str, str]
"""Service, operation, kind. A path is the facts from the root down to a span: equal sets of paths are equal trees."""


def _facts(node: Span | Shape) -> Facts:
    return node.service, node.operation, node.kind


def _expected_paths(shape: Shape, above: tuple[Facts, ...] = ()) -> list[tuple[Facts, ...]]:
    path = (*above, _facts(shape))
    return [path, *(deeper for child in shape.children for deeper in _expected_paths(child, path))]


def _actual_paths(trace: Trace) -> list[tuple[Facts, ...]]:
    """The paths of all spans that a root leads to. Spans in a circle have none, and so count as missing."""
    children = trace.children()
    paths = []
    waiting: list[tuple[Span, tuple[Facts, ...]]] = [(root, ()) for root in trace.roots()]
    seen: set[str] = set()
    while waiting:
        span, above = waiting.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        path = (*above, _facts(span))
        paths.append(path)
        waiting += [(child, path) for child in children.get(span.span_id, ())]
    return paths


def _describe(service: str, operation: str, kind: str) -> str:
    return f"{service} {operation} ({kind})"


def _path(path: tuple[Facts, ...]) -> str:
    return " > ".join(_describe(*facts) for facts in path)
