"""A trace in other shapes than its timeline: figures by operation, a flame graph, and which service called which."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.graph import Edge, draw, levels_of
from sls_tracing.backend.ui.trace_tree import by_operation, has_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.backend.ui.trace_tree import Node, TraceTree

__all__ = ["Statistics", "call_graph", "flame", "statistics"]

_NARROWEST = 0.15  # per cent: what is below cannot be seen
_LEVEL = 22


class Statistics(NamedTuple):
    """Figures of the spans of a service, or of one operation of it; times in seconds, ``share`` of the trace's time in per cent."""

    service: str
    operation: str
    colour: int
    spans: int
    errors: int
    total: float
    own: float
    average: float
    longest: float
    share: float


def statistics(tree: TraceTree, *, by_service: bool = False) -> list[Statistics]:
    """Return figures by service and operation, or by service only, what took longest by itself first."""
    groups: dict[tuple[str, str], list[Node]] = {}
    for (service, operation), nodes in by_operation(tree.nodes):
        groups.setdefault((service, "" if by_service else operation), []).extend(nodes)
    found = [_figures(tree, *key, nodes) for key, nodes in groups.items()]
    return sorted(found, key=lambda each: -each.own)


def _figures(tree: TraceTree, service: str, operation: str, nodes: Sequence[Node]) -> Statistics:
    total, own = sum(node.duration for node in nodes), sum(node.self_time for node in nodes)
    return Statistics(
        service,
        operation,
        tree.colours[service],
        len(nodes),
        sum(has_error(node.span) for node in nodes),
        total,
        own,
        total / len(nodes),
        max(node.duration for node in nodes),
        100 * own / tree.duration if tree.duration else 0.0,
    )


class _Frame(NamedTuple):
    service: str
    operation: str
    depth: int
    x: float
    width: float
    own: float
    total: float
    spans: int
    failed: bool


def flame(tree: TraceTree) -> Markup:
    """Return a flame graph: spans of one operation under one parent are merged, width is the time they took together."""
    frames = list(_frames(tree.roots))
    height = _LEVEL * (max((frame.depth for frame in frames), default=0) + 1)
    marks = []
    for frame in frames:
        text = f"{frame.service}: {frame.operation}"
        title = (
            f"{text}, {words.plural(frame.spans, 'span')}, {words.duration(frame.total)}, of it {words.duration(frame.own)} itself"
            + (", failed" if frame.failed else "")
        )
        # A picture within the picture: it cuts its text off at its own edge.
        marks.append(
            Markup(
                '<a href="?{}"><svg x="{:.3f}%" y="{}" width="{:.3f}%" height="{}"><rect class="fill c{}{}" width="100%" height="{}" rx="2"><title>{}</title></rect>{}</svg></a>'
            ).format(
                urlencode({"view": "timeline", "find": frame.operation}),
                frame.x,
                frame.depth * _LEVEL,
                frame.width,
                _LEVEL,
                tree.colours[frame.service],
                " failed" if frame.failed else "",
                _LEVEL - 2,
                title,
                Markup('<text class="on" x="5" y="14">{}</text>').format(text) if frame.width > 2 else "",
            )
        )
    return Markup('<svg class="flame" width="100%" height="{}" role="group" aria-label="Flame graph">{}</svg>').format(
        height, Markup().join(marks)
    )


def _frames(roots: Sequence[Node]) -> Iterator[_Frame]:
    stack: list[tuple[Sequence[Node], int, float, float]] = [(roots, 0, 0.0, 100.0)]
    while stack:
        level, depth, left, room = stack.pop()
        whole = sum(node.duration for node in level) or 1.0
        for (service, operation), group in by_operation(level):
            total, own = sum(node.duration for node in group), sum(node.self_time for node in group)
            width = room * total / whole
            if width < _NARROWEST:
                continue
            failed = any(has_error(node.span) for node in group)
            yield _Frame(service, operation, depth, left, width, own, total, len(group), failed)
            children = [child for node in group for child in node.children]
            inner = sum(child.duration for child in children)
            if inner and total:
                stack.append((children, depth + 1, left, width * min(1.0, inner / total)))
            left += width


def call_graph(tree: TraceTree, *, fold_sidecars: bool) -> Markup:
    """Return which service called which, with how often and how long; sidecars as part of their services or by themselves."""
    names = tree.owners if fold_sidecars else {service: service for service in tree.owners}
    edges: dict[tuple[str, str], list[Node]] = {}
    for node in tree.nodes:
        if node.parent is not None:
            pair = names[node.parent.service], names[node.service]
            if pair[0] != pair[1]:
                edges.setdefault(pair, []).append(node)
    drawn = [
        Edge(
            parent,
            child,
            f"{words.plural(len(nodes), 'call')} · ø {words.duration(sum(node.duration for node in nodes) / len(nodes))}",
            any(has_error(node.span) for node in nodes),
            "?" + urlencode({"view": "timeline", "find": child}),
        )
        for (parent, child), nodes in edges.items()
    ]
    levels = levels_of(edges) or {names[service]: 0 for service in tree.owners}
    failed = {names[node.service] for node in tree.nodes if has_error(node.span)}
    hrefs = {service: "?" + urlencode({"view": "timeline", "find": service}) for service in levels}
    return draw(levels, drawn, hrefs, failed, "Which service called which")
