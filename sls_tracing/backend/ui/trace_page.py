"""The page of one trace: its timeline, the same trace as statistics, flame graph, graph and table, and what each span holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.query_params import ParameterError, parse_trace_id
from sls_tracing.backend.trace_json import trace_to_json
from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.pages import JSON, as_json, base_path, packed, page
from sls_tracing.backend.ui.timeline import EMBEDDED_SPANS, ROWS, matching, minimap, rows, timeline_data
from sls_tracing.backend.ui.trace_tree import has_error
from sls_tracing.backend.ui.trace_views import call_graph, flame, statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.ui.trace_tree import TraceTree
    from sls_tracing.backend.ui.traces import Traces

__all__ = ["TracePage"]

VIEWS = {"timeline": "Timeline", "statistics": "Statistics", "flame": "Flame graph", "graph": "Graph", "spans": "Table"}
TABLE_ROWS = 500
"""Spans on one page of the table; the others are pages further."""


class TracePage:
    """Answers ``/trace/{id}`` and what lies below it, from the traces of the store and of files."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def lookup(self, request: Request) -> Response:
        """Lead to the trace whose id was typed."""
        wanted = request.query_params.get("id", "").strip()
        return RedirectResponse(f"{base_path(request)}/trace/{words.trace_id(parse_trace_id(wanted))}", 303)

    def show(self, request: Request) -> Response:
        """Return the trace in the view that ``view`` names; for ``{id}...{id}``, Jaeger's address of two, their comparison."""
        first, dots, second = request.path_params["trace_id"].partition("...")
        if dots:
            return RedirectResponse(f"{base_path(request)}/compare?{urlencode([('id', first), ('id', second)])}", 307)
        tree = self._tree(request)
        if tree is None:
            return _missing(request)
        view = request.query_params.get("view", "timeline")
        view = view if view in VIEWS else "timeline"
        selected = request.query_params.get("span", "")
        return page(
            request,
            "trace.html",
            tree=tree,
            trace_id=request.path_params["trace_id"],
            view=view,
            views=VIEWS,
            span=tree.by_key.get(selected),
            has_sidecars=any(node.is_sidecar for node in tree.nodes),
            **_VIEWS[view](request, tree),
        )

    def timeline(self, request: Request) -> Response:
        """Return what the timeline's script draws rows from."""
        tree = self._tree(request, follow_up=True)
        found = timeline_data(tree) if tree is not None else None
        return packed(request, json.dumps(found, separators=(",", ":")).encode(), JSON, 404 if found is None else 200)

    def find(self, request: Request) -> Response:
        """Return the keys of the spans that contain ``q``."""
        tree = self._tree(request, follow_up=True)
        found = [] if tree is None else matching(tree, request.query_params.get("q", ""))
        return packed(request, json.dumps(found).encode(), JSON)

    def span(self, request: Request) -> Response:
        """Return what a span holds, as a piece of the page."""
        tree = self._tree(request, follow_up=True)
        node = None if tree is None else tree.by_key.get(request.path_params["key"])
        if node is None:
            return page(request, "message.html", 404, title="Span not found", text="The trace has no such span.")
        return page(request, "span.html", node=node, tree=tree, trace_id=request.path_params["trace_id"])

    def download(self, request: Request) -> Response:
        """Return the trace as Jaeger's JSON, as a file."""
        tree = self._tree(request)
        if tree is None:
            return _missing(request)
        found = {"data": [adjust(trace_to_json([node.span for node in tree.nodes]))]}
        content = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        name = f'attachment; filename="trace-{tree.trace_id}.json"'
        return packed(request, content.encode("utf-8", "replace"), JSON, headers={"Content-Disposition": name})

    def _tree(self, request: Request, *, follow_up: bool = False) -> TraceTree | None:
        return self._traces.get(request.path_params["trace_id"], follow_up=follow_up)


def _missing(request: Request) -> Response:
    text = "No span of this trace is stored. It may not have arrived yet, may not have been sampled, or is too old."
    return page(request, "message.html", 404, title="Trace not found", text=text)


def _timeline(request: Request, tree: TraceTree) -> dict[str, Any]:
    begin = _number(request, "from")
    selected = request.query_params.get("span", "")
    if selected in tree.by_key and "from" not in request.query_params:
        begin = tree.by_key[selected].number // ROWS * ROWS
    begin = min(begin, max(0, len(tree.nodes) - 1) // ROWS * ROWS)
    return {
        "begin": begin,
        "following": begin + ROWS if begin + ROWS < len(tree.nodes) else None,
        "previous": max(0, begin - ROWS) if begin else None,
        "rows": rows(tree, begin, selected),
        "minimap": minimap(tree),
        "ticks": [tree.duration * n / 4 for n in range(5)],
        "data": as_json(timeline_data(tree)) if len(tree.nodes) <= EMBEDDED_SPANS else "",
        "find": request.query_params.get("find") or request.query_params.get("uiFind", ""),
    }


def _statistics(request: Request, tree: TraceTree) -> dict[str, Any]:
    by_service = request.query_params.get("group") == "service"
    return {"statistics": statistics(tree, by_service=by_service), "by_service": by_service}


def _graph(request: Request, tree: TraceTree) -> dict[str, Any]:
    shown = request.query_params.get("sidecars") == "shown"
    return {"graph": call_graph(tree, fold_sidecars=not shown), "sidecars_shown": shown}


def _table(request: Request, tree: TraceTree) -> dict[str, Any]:
    begin = min(_number(request, "from"), max(0, len(tree.nodes) - 1))
    return {
        "nodes": tree.nodes[begin : begin + TABLE_ROWS],
        "begin": begin,
        "following": begin + TABLE_ROWS if begin + TABLE_ROWS < len(tree.nodes) else None,
        "previous": max(0, begin - TABLE_ROWS) if begin else None,
        "has_error": has_error,
    }


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ParameterError(f"{name} must be a number, not {text[:40]!r}")
    return int(text)


_VIEWS: dict[str, Callable[[Request, TraceTree], dict[str, Any]]] = {
    "timeline": _timeline,
    "statistics": _statistics,
    "flame": lambda request, tree: {"flame": flame(tree)},
    "graph": _graph,
    "spans": _table,
}
