"""A trace as people look at it: a tree in the order of time, who waited for whom, and where the time went."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.sidecars import owners

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.model import SpanRecord

__all__ = ["COLOURS", "Node", "TraceTree", "by_operation", "has_error"]

COLOURS = 12
"""How many colours of services the style sheet has."""


@dataclass(eq=False)
class Node:
    """A span in its tree. Times are in seconds from the trace's begin; ``critical`` are the parts during which the whole request waited for this span itself."""

    span: SpanRecord
    number: int = 0
    key: str = ""
    """The span's id, and which one of those that share it: ``00000000000000ab``, ``00000000000000ab.1``."""
    depth: int = 0
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    start: float = 0.0
    end: float = 0.0
    critical: list[tuple[float, float]] = field(default_factory=list)
    descendants: int = 0
    is_sidecar: bool = False
    """Made by the proxy that stands before a program whose own spans are here too: may be folded into it."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def service(self) -> str:
        """The service's name."""
        return self.span.process.service_name

    @property
    def self_time(self) -> float:
        """Seconds during which no child ran."""
        covered, reached = 0.0, self.start
        for child in self.children:
            begin, end = max(child.start, reached), min(child.end, self.end)
            if end > begin:
                covered += end - begin
                reached = end
        return max(0.0, self.duration - covered)


class TraceTree:
    """All spans of a trace, parents before their children. Spans whose parent is missing are roots of their own; so is one span of every circle."""

    def __init__(self, spans: Sequence[SpanRecord]) -> None:
        ordered = sorted(spans, key=lambda span: (span.start_time, -span.finish_time))
        self.start = ordered[0].start_time if ordered else 0.0
        self.nodes: list[Node] = []
        self.roots: list[Node] = []
        self._link([Node(span) for span in ordered])
        self.duration = max((node.end for node in self.nodes), default=0.0)
        self.owners = owners(dict.fromkeys(node.service for node in self.nodes))
        """Each service, in the order of appearance, and the one whose sidecar it is: itself if it is none."""
        colours = {owner: n % COLOURS for n, owner in enumerate(dict.fromkeys(self.owners.values()))}
        self.colours = {service: colours[owner] for service, owner in self.owners.items()}
        for node in self.nodes:
            node.is_sidecar = self.owners[node.service] != node.service and node.span.tags.get("component") == "proxy"
        self.by_key = {node.key: node for node in self.nodes}
        if self.roots:
            _mark_critical(self.roots[0])

    @property
    def root(self) -> Node:
        """The first span without a parent. A tree without spans has none: it is never made of them."""
        return self.roots[0]

    @property
    def trace_id(self) -> str:
        """The trace's id as links have it."""
        return words.trace_id(self.root.span.context.trace_id)

    @property
    def title(self) -> str:
        """What the root's service did."""
        return f"{self.root.service}: {self.root.span.operation_name}"

    @property
    def depth(self) -> int:
        """How many levels there are."""
        return max((node.depth for node in self.nodes), default=-1) + 1

    @property
    def errors(self) -> int:
        """How many spans failed."""
        return sum(has_error(node.span) for node in self.nodes)

    @property
    def orphans(self) -> int:
        """How many spans name a parent that is not here."""
        return sum(node.parent is None and _parent_of(node.span) is not None for node in self.roots)

    def _link(self, nodes: list[Node]) -> None:
        first, server, seen = dict[int | None, Node](), dict[int | None, Node](), defaultdict[str, int](int)
        for node in nodes:
            node.start = node.span.start_time - self.start
            node.end = max(node.start, node.span.finish_time - self.start)
            span_id = node.span.context.span_id
            name = words.span_id(span_id)
            node.key = f"{name}.{seen[name]}" if seen[name] else name
            seen[name] += 1
            first.setdefault(span_id, node)
            if node.span.tags.get("span.kind") == "server":
                server.setdefault(span_id, node)
        for node in nodes:
            twin = first[node.span.context.span_id]
            above = _parent_of(node.span)
            # Zipkin's two halves of a call share an id: the server's is below the client's, and children are the server's.
            if twin is not node and server.get(node.span.context.span_id) is node:
                node.parent = twin
            else:
                node.parent = None if above is None else server.get(above) or first.get(above)
        self._hang(nodes)
        self._walk()

    def _hang(self, nodes: list[Node]) -> None:
        """Hang each span below its parent, but where that would close a circle: its first span becomes a root."""
        settled: set[Node] = set()
        for node in nodes:
            path: dict[Node, None] = {}
            at: Node | None = node
            while at is not None and at not in settled:
                if at in path:
                    min(list(path)[list(path).index(at) :], key=lambda each: each.start).parent = None
                    break
                path[at] = None
                at = at.parent
            settled.update(path)
        for node in nodes:
            (self.roots if node.parent is None else node.parent.children).append(node)

    def _walk(self) -> None:
        stack = list(reversed(self.roots))
        while stack:
            node = stack.pop()
            node.number = len(self.nodes)
            node.depth = node.parent.depth + 1 if node.parent is not None else 0
            self.nodes.append(node)
            stack.extend(reversed(node.children))
        for node in reversed(self.nodes):
            if node.parent is not None:
                node.parent.descendants += node.descendants + 1


def has_error(span: SpanRecord) -> bool:
    """Return whether a span failed."""
    return span.tags.get("error") in (True, "true", "True")


def _parent_of(span: SpanRecord) -> int | None:
    if span.context.parent_id is not None:
        return span.context.parent_id
    for kind in ("child_of", "follows_from"):
        for reference in span.references:
            if reference.type == kind and reference.trace_id == span.context.trace_id:
                return reference.span_id
    return None


def _mark_critical(root: Node) -> None:
    """Walk back from the end: what ran last kept the request waiting, before that what ended last before it, and so on."""
    stack = [(root, root.end)]
    while stack:
        node, until = stack.pop()
        cursor = min(node.end, until)
        for child in sorted(node.children, key=lambda each: each.end, reverse=True):
            if child.end > cursor or child.start < node.start:
                continue  # it ran beside what is marked already, or goes on after its parent: nobody waited for it
            if cursor > child.end:
                node.critical.append((child.end, cursor))
            stack.append((child, child.end))
            cursor = child.start
        if cursor > node.start:
            node.critical.append((node.start, cursor))


def by_operation(nodes: Sequence[Node]) -> Iterator[tuple[tuple[str, str], list[Node]]]:
    """Group by service and operation."""
    groups: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in nodes:
        groups[node.service, node.span.operation_name].append(node)
    yield from groups.items()
