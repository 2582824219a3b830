"""The page of services that call each other: calls, errors and the 99th percentile on the lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.graph import Edge, draw, levels_of
from sls_tracing.backend.ui.pages import base_path, page
from sls_tracing.backend.ui.sidecars import owners
from sls_tracing.log_service.trace_analysis import Dependency

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service import TraceStore

__all__ = ["DependenciesPage", "fold"]

LOOKBACKS = {
    "1h": ("Last hour", 3600),
    "6h": ("Last 6 hours", 21600),
    "1d": ("Last day", 86400),
    "7d": ("Last week", 604800),
    "30d": ("Last 30 days", 2592000),
}
_NOTICED = 0.01
"""The share of failed calls from which a line is red."""


class DependenciesPage:
    """Answers ``/dependencies`` from a trace store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def __call__(self, request: Request) -> Response:
        """Return the page."""
        lookback = request.query_params.get("lookback", "1d")
        if lookback not in LOOKBACKS:
            lookback = "1d"
        found = self._store.dependencies(time.time(), LOOKBACKS[lookback][1])
        folded = fold(found)
        has_sidecars = len(folded) != len(found)
        shown = request.query_params.get("sidecars") == "shown"
        if not shown:
            found = folded
        searches = f"{base_path(request)}/search?lookback={'all' if lookback == '30d' else lookback}&"
        drawn = [
            Edge(each.parent, each.child, _text(each), each.errors >= _NOTICED * each.calls > 0, searches + _condition(each))
            for each in found
        ]  # fmt: skip
        levels = levels_of((each.parent, each.child) for each in found)
        hrefs = {service: searches + urlencode({"service": service}) for service in levels}
        failed = {edge.child for edge in drawn if edge.failed}
        return page(
            request,
            "dependencies.html",
            found=sorted(found, key=lambda each: -each.calls),
            searches=searches,
            condition=_condition,
            graph=draw(levels, drawn, hrefs, failed, "Which service calls which"),
            lookback=lookback,
            lookbacks=LOOKBACKS,
            has_sidecars=has_sidecars,
            sidecars_shown=shown,
        )


def fold(found: Iterable[Dependency]) -> list[Dependency]:
    """Return the calls with sidecars as a part of their services: what passes between the two is none.

    However many proxies a call passes, exactly one of its steps leads from one service to another: calls add up. Percentiles do not; the longest is told.
    """
    calls = list(found)
    whose = owners(dict.fromkeys(name for each in calls for name in (each.parent, each.child)))
    merged: dict[tuple[str, str], Dependency] = {}
    for each in calls:
        pair = whose[each.parent], whose[each.child]
        if pair[0] == pair[1]:
            continue
        known = merged.get(pair, Dependency(*pair, 0, 0, 0.0, 0.0))
        merged[pair] = Dependency(
            *pair,
            known.calls + each.calls,
            known.errors + each.errors,
            max(known.p50, each.p50),
            max(known.p99, each.p99),
        )
    return list(merged.values())


def _text(each: Dependency) -> str:
    share = 100 * each.errors / each.calls if each.calls else 0.0
    failed = f" · {share:.2g} % failed" if each.errors else ""
    return f"{each.calls:,}{failed} · p99 {words.duration(each.p99)}"


def _condition(each: Dependency) -> str:
    """Return the search for the callee's traces: those that failed if some did, the longest first."""
    tags = {"tags": "error=true"} if each.errors else {}
    return urlencode({"service": each.child, **tags, "sort": "longest"})
