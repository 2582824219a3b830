"""The interface that people look at: pages made by the server, small scripts where a hand needs them, nothing from elsewhere.

    search_page         /search              results as plot and list                  search_form   what an address asks for
    trace_page          /trace/{id}          a trace in five views                     timeline      rows, minimap, data for the script
                                                                                       trace_views   statistics, flame graph, graph
    compare_page        /compare             two traces                                trace_diff    what differs
    dependencies_page   /dependencies        who calls whom
    analyse_page        /analyse             the query language                        answers       tables, charts, CSV and JSON of an answer
    dashboard_page      /dashboard           the named analyses
    upload_page         /upload              a trace from a file                       trace_file    Jaeger's JSON, OTLP's
    traces              where trees come from: store or file                           trace_tree    tree, critical path;  sidecars
    charts, axes, graph                      pictures as SVG
    pages, words        templates, headers, files; how figures read

The address says all of a page's state, so that every page can be sent to somebody. Jaeger's own links (``/search?service=…``, ``/trace/{id}``) lead here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from sls_tracing.backend.ui.analyse_page import AnalysePage
from sls_tracing.backend.ui.compare_page import ComparePage
from sls_tracing.backend.ui.dashboard_page import DashboardPage
from sls_tracing.backend.ui.dependencies_page import DependenciesPage
from sls_tracing.backend.ui.pages import answering, base_path, icon, static_file
from sls_tracing.backend.ui.search_page import SearchPage
from sls_tracing.backend.ui.trace_page import TracePage
from sls_tracing.backend.ui.traces import Traces
from sls_tracing.backend.ui.upload_page import UploadPage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service import TraceStore

__all__ = ["ui_routes"]


def ui_routes(store: TraceStore) -> list[Route]:
    """Return the routes of all pages over a trace store, which stays the caller's to close."""
    traces = Traces(store)
    trace, upload = TracePage(traces), UploadPage(traces)

    async def uploaded(request: Request) -> Response:
        return await upload(request)

    return [
        Route("/", _home),
        Route("/search", answering(SearchPage(store))),
        Route("/trace", answering(trace.lookup)),
        Route("/trace/{trace_id}", answering(trace.show)),
        Route("/trace/{trace_id}/timeline", answering(trace.timeline)),
        Route("/trace/{trace_id}/find", answering(trace.find)),
        Route("/trace/{trace_id}/json", answering(trace.download)),
        Route("/trace/{trace_id}/spans/{key}", answering(trace.span)),
        Route("/compare", answering(ComparePage(traces))),
        Route("/dependencies", answering(DependenciesPage(store))),
        Route("/analyse", answering(AnalysePage(store))),
        Route("/dashboard", answering(DashboardPage(store))),
        Route("/upload", uploaded, methods=["GET", "POST"]),
        Route("/static/ui/{digest}/{name}", static_file),
        Route("/favicon.ico", icon),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse(f"{base_path(request)}/search?lookback=1h", 307)
