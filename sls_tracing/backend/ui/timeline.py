"""The timeline of a trace: its rows for a browser without scripts and for the first look, and the same as data for the script that goes on from there.

A page holds a bounded number of rows whatever the trace is. The script draws the rows that are in sight from the data, about 50 bytes a span.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.trace_tree import has_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sls_tracing.backend.ui.trace_tree import Node, TraceTree

__all__ = ["EMBEDDED_SPANS", "ROWS", "matching", "minimap", "rows", "timeline_data"]

ROWS = 100
"""Rows that a page has when it comes from the server."""

EMBEDDED_SPANS = 2000
"""Up to so many spans, the data is in the page; beyond, the script asks for it after the first look."""

DEEPEST = 24
"""Levels that are indented; deeper ones stand below each other."""

_HEATS = (0.02, 0.1, 0.25, 0.5)
_FAILED, _SIDECAR, _WARNED = 1, 2, 4


def timeline_data(tree: TraceTree) -> dict[str, Any]:
    """Return what the script draws rows from.

    A span is ``[depth, service, operation, begin µs, duration µs, flags, heat, key, critical]``: services and operations by their number, ``flags`` 1 failed,
    2 a sidecar's, 4 has warnings; ``critical`` the begins and ends in µs of the parts that the request waited for.
    """
    services = {service: n for n, service in enumerate(tree.owners)}
    operations: dict[str, int] = {}
    spans = []
    for node in tree.nodes:
        operation = operations.setdefault(node.span.operation_name, len(operations))
        critical = [_micros(at) for part in node.critical for at in part]
        spans.append(
            [
                node.depth,
                services[node.service],
                operation,
                _micros(node.start),
                _micros(node.duration),
                _flags(node),
                heat(node, tree),
                node.key,
                critical,
            ]
        )
    return {
        "duration": _micros(tree.duration),
        "services": [[service, tree.colours[service]] for service in services],
        "operations": list(operations),
        "spans": spans,
    }


def rows(tree: TraceTree, begin: int, selected: str) -> Markup:
    """Return up to ``ROWS`` rows from number ``begin``."""
    return Markup().join(_row(node, tree, selected) for node in tree.nodes[begin : begin + ROWS])


def _row(node: Node, tree: TraceTree, selected: str) -> Markup:
    flags = _flags(node)
    classes = [
        "row",
        *(["failed"] if flags & _FAILED else ()),
        *(["sidecar"] if flags & _SIDECAR else ()),
        *(["selected"] if node.key == selected else ()),
    ]
    return Markup(
        '<div class="{classes}" id="s{key}"><div class="name d{depth}"><span class="fold"></span><a href="?span={key}#s{key}"><b class="svc b{colour}">{service}</b> {operation}</a>{mark}</div>{bar}</div>'
    ).format(
        classes=" ".join(classes),
        key=node.key,
        depth=min(node.depth, DEEPEST),
        colour=tree.colours[node.service],
        service=node.service,
        operation=node.span.operation_name,
        mark=_mark(flags),
        bar=_bar(node, tree),
    )


def _mark(flags: int) -> Markup:
    text = "failed" if flags & _FAILED else "warning" if flags & _WARNED else ""
    return Markup(' <em class="mark">{}</em>').format(text) if text else Markup()


def _bar(node: Node, tree: TraceTree) -> Markup:
    scale = 100 / tree.duration if tree.duration else 0.0
    x, width = min(node.start * scale, 99.8), max(node.duration * scale, 0.2)
    critical = Markup().join(
        Markup('<rect class="critical" x="{:.3f}%" y="17" width="{:.3f}%" height="2"></rect>').format(
            begin * scale, max((end - begin) * scale, 0.1)
        )
        for begin, end in node.critical
    )
    at, anchor, ground = _label(x, x + width)
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect class="fill c{} h{}" x="{:.3f}%" y="6" width="{:.3f}%" height="10" rx="2"></rect>{}<text class="{}" x="{:.3f}%" y="15" text-anchor="{}">{}</text></svg>'
    ).format(
        tree.colours[node.service],
        heat(node, tree),
        x,
        width,
        critical,
        ground,
        at,
        anchor,
        words.duration(node.duration),
    )


def _label(begin: float, end: float) -> tuple[float, str, str]:
    """Return where a bar's text stands, in per cent, how it is anchored and on what: after the bar, before it, or in it. The script's rows do the same."""
    if end < 85:
        return end + 0.5, "start", ""
    return (begin - 0.5, "end", "") if begin > 15 else (begin + 0.7, "start", "on")


def heat(node: Node, tree: TraceTree) -> int:
    """Return 0 to 4: how much of the whole trace's time the span took by itself."""
    share = node.self_time / tree.duration if tree.duration else 0.0
    return sum(share >= limit for limit in _HEATS)


def minimap(tree: TraceTree) -> Markup:
    """Return the whole trace in a few pixels: every span a line, about 200 of them shown."""
    scale = 100 / tree.duration if tree.duration else 0.0
    shown = tree.nodes[:: max(1, math.ceil(len(tree.nodes) / 200))]
    height = 60 / max(len(shown), 1)
    marks = [
        Markup('<rect class="fill c{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"></rect>').format(
            tree.colours[node.service],
            node.start * scale,
            n * height,
            max(node.duration * scale, 0.4),
            min(6, max(height * 0.7, 0.8)),
        )
        for n, node in enumerate(shown)
    ]
    return Markup('<svg viewBox="0 0 100 60" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        Markup().join(marks)
    )


def matching(tree: TraceTree, text: str) -> list[str]:
    """Return the keys of the spans with ``text`` in their service, operation, id, tags or logs, in whatever case."""
    wanted = text.strip().lower()
    return [node.key for node in tree.nodes if wanted and any(wanted in each.lower() for each in _texts(node))]


def _texts(node: Node) -> Iterator[str]:
    span = node.span
    yield from (node.service, span.operation_name, words.span_id(span.context.span_id), *span.warnings)
    for tags in (span.tags, span.process.tags, *(log.fields for log in span.logs)):
        for key, value in tags.items():
            yield f"{key}={words.tag_text(value)}"


def _flags(node: Node) -> int:
    return _FAILED * has_error(node.span) + _SIDECAR * node.is_sidecar + _WARNED * bool(node.span.warnings)


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
