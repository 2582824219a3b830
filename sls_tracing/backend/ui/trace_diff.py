"""What differs between two traces of a kind: their trees laid over each other, path by path."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sls_tracing.backend.ui.trace_tree import by_operation, has_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.backend.ui.trace_tree import Node, TraceTree

__all__ = ["Difference", "Kind", "differences", "most_telling"]

Kind: TypeAlias = Literal["added", "removed", "slower", "faster", "same"]

_Place: TypeAlias = "tuple[tuple[str, str], tuple[list[Node], list[Node]], int | None]"
"""A service and its operation, the spans of either side, and the number of the place that called them."""

NOTICED = 0.1
"""The share by which times must differ, and the share of the longer trace that the difference must make, hundredths of it: less is noise."""
_OF_TRACE = 0.01


class Difference(NamedTuple):
    """An operation at one place of the tree, in the first and in the second trace: spans, seconds altogether, failures.

    ``added`` and ``removed`` are in the second or in the first only.
    """

    service: str
    operation: str
    depth: int
    spans: tuple[int, int]
    totals: tuple[float, float]
    errors: tuple[int, int]
    kind: Kind
    caller: int | None
    """The number of the place above."""

    @property
    def change(self) -> float:
        """Seconds that the second took longer."""
        return self.totals[1] - self.totals[0]


def differences(first: TraceTree, second: TraceTree) -> list[Difference]:
    """Return every place of both trees, callers before what they called."""
    noticed = _OF_TRACE * max(first.duration, second.duration)
    found: list[Difference] = []
    pending = _places(first.roots, second.roots, None)
    while pending:
        key, (left, right), caller = pending.pop()
        depth = 0 if caller is None else found[caller].depth + 1
        found.append(_difference(key, left, right, noticed, depth, caller))
        pending += _places(_children(left), _children(right), len(found) - 1)
    return found


def most_telling(found: Sequence[Difference], limit: int) -> list[Difference]:
    """Return the ``limit`` places with the greatest changes, and the callers above them, in their order."""
    chosen: set[int] = set()
    for number in sorted(range(len(found)), key=lambda n: -abs(found[n].change))[:limit]:
        at: int | None = number
        while at is not None and at not in chosen:
            chosen.add(at)
            at = found[at].caller
    return [each for number, each in enumerate(found) if number in chosen]


def _children(nodes: Sequence[Node]) -> list[Node]:
    return [child for node in nodes for child in node.children]


def _places(left: Sequence[Node], right: Sequence[Node], caller: int | None) -> list[_Place]:
    """Return what both sides called, the last first."""
    pairs: dict[tuple[str, str], tuple[list[Node], list[Node]]] = defaultdict(lambda: ([], []))
    for side, nodes in enumerate((left, right)):
        for key, group in by_operation(nodes):
            pairs[key][side].extend(group)
    found = [(key, sides, caller) for key, sides in pairs.items()]
    return sorted(found, key=lambda each: -min(node.start for side in each[1] for node in side))


def _difference(
    key: tuple[str, str],
    left: Sequence[Node],
    right: Sequence[Node],
    noticed: float,
    depth: int,
    caller: int | None,
) -> Difference:
    totals = sum(node.duration for node in left), sum(node.duration for node in right)
    kind: Kind = "same"
    if not left:
        kind = "added"
    elif not right:
        kind = "removed"
    elif abs(totals[1] - totals[0]) > max(noticed, NOTICED * totals[0]):
        kind = "slower" if totals[1] > totals[0] else "faster"
    failed = sum(has_error(node.span) for node in left), sum(has_error(node.span) for node in right)
    return Difference(*key, depth, (len(left), len(right)), totals, failed, kind, caller)
