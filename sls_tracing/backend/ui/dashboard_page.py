"""The named analyses beside each other: what the console's dashboard shows, on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.backend.ui.answers import Answer, ask, draw
from sls_tracing.backend.ui.pages import page
from sls_tracing.backend.ui.time_range import TIMES, time_range
from sls_tracing.log_service.analyses import ANALYSES, Analysis
from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service import TraceStore

__all__ = ["DashboardPage"]

SHOWN = (
    "requests",
    "entry-p99",
    "traffic",
    "entry-latency",
    "p99-by-service",
    "error-rate",
    "traffic-by-service",
    "status-codes",
    "slowest-operations",
    "errors",
)


class Card(NamedTuple):
    """An analysis on the dashboard, with its answer or what kept it from one."""

    name: str
    analysis: Analysis
    chart: Markup | str
    answer: Answer | None
    problem: str


class DashboardPage:
    """Answers ``/dashboard`` from a trace store's logstore."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def __call__(self, request: Request) -> Response:
        """Return the page, of one service's spans if ``service`` names it."""
        when = time_range(request.query_params)
        service = request.query_params.get("service", "").strip()
        return page(
            request,
            "dashboard.html",
            cards=[self._card(name, service, when.begin, when.end) for name in SHOWN],
            services=self._store.services(),
            service=service,
            times=TIMES,
            when=when,
        )

    def _card(self, name: str, service: str, begin: int, end: int) -> Card:
        analysis = ANALYSES[name]
        try:
            answer = ask(self._store.logstore, analysis.query(service), begin, end)
        except LogServiceError as error:
            return Card(name, analysis, "", None, error.message)
        chart = draw(answer, analysis.chart, analysis.x, analysis.y, analysis.unit)
        return Card(name, analysis, chart, answer, "")
