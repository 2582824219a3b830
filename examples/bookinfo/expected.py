"""What one request for the product page must look like as a trace, for each version of reviews."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from traces import Span, Trace

__all__ = ["EXPECTED", "ROOT", "Shape", "problems"]


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
"""By the version of reviews."""

ROOT = EXPECTED["v1"]
"""All of them start with the same span."""


def problems(trace: Trace) -> list[str]:
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
    expected = Counter(_expected_paths(EXPECTED[_version_of_reviews(trace)]))
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
