"""Services and who calls whom, drawn in columns from left to right."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = ["Edge", "draw", "levels_of"]

_WIDE, _TALL, _GAP_X, _GAP_Y = 164, 36, 168, 30
_LONGEST_NAME = 22
_SWEEPS = 4
_READABLE = 16
"""Lines beyond which their texts stand on each other: they are then shown one at a time, and in the table below."""


class Edge(NamedTuple):
    """A call from one service to another; ``text`` stands on it, ``href`` is where it leads (nowhere if empty)."""

    parent: str
    child: str
    text: str
    failed: bool
    href: str


def levels_of(edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return a column for each service: one more than that of its nearest caller, whatever circles there are."""
    children: dict[str, list[str]] = defaultdict(list)
    called: set[str] = set()
    names: dict[str, None] = {}
    for parent, child in edges:
        names |= {parent: None, child: None}
        if child != parent:
            children[parent].append(child)
            called.add(child)
    levels: dict[str, int] = {}
    # Entries first; in a circle nobody is one, so whoever comes first begins it.
    reached = [name for name in names if name not in called]
    levels.update(dict.fromkeys(reached, 0))
    for name in [None, *names]:
        if name is not None and name not in levels:
            levels[name] = 0
            reached = [name]
        while reached:
            following: dict[str, int] = {}
            for parent in reached:
                following |= {child: levels[parent] + 1 for child in children[parent] if child not in levels}
            levels |= following
            reached = list(following)
    return levels


def draw(
    levels: Mapping[str, int], edges: Sequence[Edge], hrefs: Mapping[str, str], failed: Collection[str], title: str
) -> Markup:
    """Return the graph. A box is a link if ``hrefs`` has an address for it."""
    columns = _columns(levels, edges)
    tallest = max((len(column) for column in columns), default=1)
    height = tallest * (_TALL + _GAP_Y) + _GAP_Y + 24
    width = max(1, len(columns)) * (_WIDE + _GAP_X) - _GAP_X + 24
    places: dict[str, tuple[float, float]] = {}
    for n, column in enumerate(columns):
        free = (height - 24 - len(column) * (_TALL + _GAP_Y)) / 2
        for row, service in enumerate(column):
            places[service] = (12 + n * (_WIDE + _GAP_X), free + row * (_TALL + _GAP_Y) + _GAP_Y / 2)
    marks = [_edge(edge, places) for edge in edges if edge.parent in places and edge.child in places]
    marks += [_box(service, *places[service], hrefs.get(service, ""), service in failed) for service in levels]
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><svg class="graph{}" width="{}" height="{}" viewBox="0 0 {} {}">{}{}</svg></div>'
    ).format(
        title,
        " dense" if len(edges) > _READABLE else "",
        width,
        int(height),
        width,
        int(height),
        _ARROW,
        Markup().join(marks),
    )


def _columns(levels: Mapping[str, int], edges: Sequence[Edge]) -> list[list[str]]:
    """Order each column by where its neighbours stand, a few times over: lines then cross little."""
    columns: list[list[str]] = [[] for _ in range(max(levels.values(), default=0) + 1)]
    for service, level in levels.items():
        columns[level].append(service)
    near: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        near[edge.child].append(edge.parent)
        near[edge.parent].append(edge.child)
    for _ in range(_SWEEPS):
        rank = {service: (n + 0.5) / len(column) for column in columns for n, service in enumerate(column)}
        for column in columns:
            means = {
                each: sum(rank[other] for other in near[each] if other in rank) / max(1, len(near[each]))
                for each in column
            }
            column.sort(key=lambda each: means[each])
    return columns


_ARROW = Markup(
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="head" d="M0 0L8 4L0 8Z"></path></marker></defs>'
)


def _box(service: str, x: float, y: float, href: str, failed: bool) -> Markup:
    short = service if len(service) <= _LONGEST_NAME else service[: _LONGEST_NAME - 1] + "…"
    box = Markup(
        '<rect class="box{}" x="{:.0f}" y="{:.0f}" width="{}" height="{}" rx="6"><title>{}</title></rect><text x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>'
    ).format(" failed" if failed else "", x, y, _WIDE, _TALL, service, x + _WIDE / 2, y + _TALL / 2 + 4, short)
    return Markup('<a href="{}">{}</a>').format(href, box) if href else box


def _edge(edge: Edge, places: Mapping[str, tuple[float, float]]) -> Markup:
    (x1, y1), (x2, y2) = places[edge.parent], places[edge.child]
    y1 += _TALL / 2
    y2 += _TALL / 2
    if x2 > x1:
        x1 += _WIDE
        bend = min(120.0, (x2 - x1) / 2)
        path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2 - 1:.0f} {y2:.0f}"
        at = ((x1 + x2) / 2, (y1 + y2) / 2 - 6)
    else:  # back to the left, or within the column: around below
        low = max(y1, y2) + 46
        path = (
            f"M{x1 + _WIDE:.0f} {y1:.0f}C{x1 + _WIDE + 60:.0f} {low:.0f} {x2 - 60:.0f} {low:.0f} {x2 - 1:.0f} {y2:.0f}"
        )
        at = ((x1 + x2 + _WIDE) / 2, low - 6)
    mark = Markup(
        '<path class="edge{}" d="{}" marker-end="url(#arrow)"></path><path class="near" d="{}"><title>{}</title></path><text class="small" x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>'
    ).format(" failed" if edge.failed else "", path, path, f"{edge.parent} → {edge.child}: {edge.text}", *at, edge.text)
    return Markup('<a href="{}">{}</a>').format(edge.href, mark) if edge.href else mark
