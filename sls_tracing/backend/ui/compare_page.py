"""Two traces side by side: both over the same time, and a tree of both in which what differs has a colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.ui.pages import page
from sls_tracing.backend.ui.timeline import minimap
from sls_tracing.backend.ui.trace_diff import differences, most_telling
from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.ui.trace_tree import TraceTree
    from sls_tracing.backend.ui.traces import Traces

__all__ = ["ComparePage"]

KINDS = {
    "added": "only in the second",
    "removed": "only in the first",
    "slower": "slower in the second",
    "faster": "faster in the second",
    "same": "about the same",
}


SHOWN = 300
"""Places of the tree with the greatest changes, besides what called them: more than somebody reads."""


class Side(NamedTuple):
    """One of the two traces; ``share`` is its length in per cent of the longer one."""

    id: str
    tree: TraceTree
    share: float
    minimap: Markup


class ComparePage:
    """Answers ``/compare?id=…&id=…``."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def __call__(self, request: Request) -> Response:
        """Return the page."""
        ids = [text.strip() for text in request.query_params.getlist("id") if text.strip()]
        problem = "" if len(ids) <= 2 else f"{len(ids)} traces were chosen; these are the first two."
        trees: list[TraceTree] = []
        for text in ids[:2]:
            try:
                tree = self._traces.get(text)
            except (ParameterError, LogServiceError) as error:
                problem = str(error)
                continue
            if tree is None:
                problem = f"There is no trace {text[:80]}."
            else:
                trees.append(tree)
        longest = max((tree.duration for tree in trees), default=0.0) or 1.0
        sides = [
            Side(text, tree, 100 * tree.duration / longest, minimap(tree))
            for text, tree in zip(ids, trees, strict=False)
        ]
        found = differences(*trees) if len(trees) == 2 else []
        return page(
            request,
            "compare.html",
            ids=[*ids[:2], "", ""][:2],
            swapped=urlencode([("id", text) for text in reversed(ids[:2])]),
            problem=problem,
            sides=sides if len(sides) == 2 else (),
            differences=most_telling(found, SHOWN),
            places=len(found),
            kinds=KINDS,
            counts={kind: sum(each.kind == kind for each in found) for kind in KINDS},
            widest=max((total for each in found for total in each.totals), default=0.0) or 1.0,
        )
