"""Traces in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from traces import Span, Trace

__all__ = ["trace_tree"]

INJECTED = {"DI": "delay injected", "FI": "fault injected"}
"""What Envoy's response flags say of the faults that the gateway was told to make."""

COLORS = {"productpage": "cyan", "details": "green", "reviews": "magenta", "ratings": "yellow"}


def trace_tree(trace: Trace) -> Tree:
    """The trace as a tree: service, operation, kind, duration, error. Orphans stand beside the roots, and say so."""
    services = {span.service for span in trace.spans}
    first = min(span.start for span in trace.spans)
    last = max(span.start + span.duration for span in trace.spans)
    heading = Text.assemble(
        ("trace ", "dim"),
        (trace.trace_id, "bold"),
        (f"  {len(trace.spans)} spans, {len(services)} services, {_milliseconds(last - first)}", "dim"),
    )
    tree = Tree(heading, guide_style="dim")
    children = trace.children()
    for span in trace.roots():
        _add(tree, span, children)
    for span in trace.orphans():
        _add(tree, span, children, note=f"orphan of {span.parent_id}")
    return tree


def _add(tree: Tree, span: Span, children: dict[str, list[Span]], note: str = "") -> None:
    line = Text.assemble(
        (span.service, f"bold {COLORS.get(span.service.partition('.')[0], 'blue')}"),
        " ",
        span.operation.replace(
            ".default.svc.cluster.local", ""
        ),  # the host in the name of a proxy's span: always the same
        (f"  {span.kind}", "dim"),
        (f"  {_milliseconds(span.duration)}", "bold"),
    )
    if span.error:
        status = span.tags.get("http.status_code")
        line.append(f"  error{f' {status}' if status else ''}", "bold red")
    injected = INJECTED.get(str(span.tags.get("response_flags")))
    if injected:
        line.append(f"  {injected}", "bold yellow")
    if note:
        line.append(f"  {note}", "bold red")
    branch = tree.add(line)
    for child in children.get(span.span_id, ()):
        _add(branch, child, children)


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
