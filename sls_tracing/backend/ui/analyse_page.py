"""The page of Log Service's query language: a box for ``search | SQL``, a histogram, tables and charts, the named analyses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sls_tracing.backend.ui import charts, words
from sls_tracing.backend.ui.answers import CHARTS, ask, draw, file_of
from sls_tracing.backend.ui.pages import as_json, base_path, page, status_of
from sls_tracing.backend.ui.time_range import TIMES, TimeRange, time_range
from sls_tracing.log_service.analyses import ANALYSES
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.query import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service import TraceStore

__all__ = ["AnalysePage", "Place", "place_of"]

FIELDS = (
    "__time__",
    "traceID",
    "spanID",
    "parentSpanID",
    "operationName",
    "process.serviceName",
    "startTime",
    "duration",
)
"""Fields that every span has, whatever the index says."""

_PLACE = re.compile(r"(?:line (\d+), )?column (\d+)")


class Place(NamedTuple):
    """Where in a query an error is: its line, a mark below it, and how many characters stand before it."""

    line: str
    mark: str
    offset: int


class AnalysePage:
    """Answers ``/analyse`` from a trace store's logstore."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def __call__(self, request: Request) -> Response:
        """Return the page, or with ``format`` the answer as CSV or JSON."""
        parameters = request.query_params
        analysis = ANALYSES.get(parameters.get("analysis", ""))
        query = parameters.get("query", "").strip()
        if analysis and not query:
            query = analysis.query(parameters.get("service", ""))
        when = time_range(parameters)
        answer, problem, status, place = None, "", 200, None
        try:
            if query:
                answer = ask(self._store.logstore, query, when.begin, when.end)
        except LogServiceError as error:
            problem, status, place = error.message, status_of(error), place_of(query, error.message)
        if answer is not None and parameters.get("format") in ("csv", "json"):
            return file_of(request, answer, parameters["format"])
        kind = parameters.get("chart") or (analysis.chart if analysis else "table")
        kind = kind if kind in CHARTS else "table"
        columns = (analysis.x, analysis.y, analysis.unit) if analysis else ("", (), "")
        return page(
            request,
            "analyse.html",
            status,
            query=query,
            answer=answer,
            problem=problem,
            place=place,
            chart=draw(answer, kind, *columns) if answer else "",
            kind=kind,
            charts=CHARTS,
            times=TIMES,
            when=when,
            histogram="" if problem else self._histogram(query or "*", when, parameters, base_path(request)),
            analyses=ANALYSES,
            chosen=parameters.get("analysis", "") if analysis and not parameters.get("query") else "",
            fields=as_json(self._fields()),
            kept=_kept(parameters, "format"),
            but_chart=_kept(parameters, "chart", "format"),
        )

    def _histogram(self, query: str, when: TimeRange, parameters: Mapping[str, str], root: str) -> Markup | str:
        """Return how many logs the search finds over time; nothing if the store cannot tell."""
        logstore: Any = self._store.logstore
        if not hasattr(logstore, "histogram"):
            return ""
        search = split(query).search or "*"
        try:
            begin = when.begin
            if begin == 0:
                first = logstore.get_logs("*", 0, when.end, line=1).logs
                begin = int(first[0]["__time__"]) if first else when.end - 1
            counted = logstore.histogram(search, begin, when.end)
        except LogServiceError:
            return ""
        kept = _kept(parameters, "from", "to", "time", "format")
        steps = [
            charts.Step(
                count,
                f"{root}/analyse?{kept}&{urlencode({'from': low, 'to': high})}",
                f"{words.moment(low)[:-4]}: {words.plural(count, 'log')}",
            )
            for low, high, count in counted
        ]
        return charts.histogram(steps, (begin, max(when.end, begin + 1)), "Logs over time")

    def _fields(self) -> list[str]:
        try:
            indexed = list(self._store.logstore.get_index().keys)
        except LogServiceError:
            indexed = []
        return sorted({*indexed, *FIELDS})


def _kept(parameters: Mapping[str, str], *but: str) -> str:
    return urlencode([(key, value) for key, value in parameters.items() if key not in but])


def place_of(query: str, message: str) -> Place | None:
    """Return the place of the query that an error names, None if it names none."""
    match = _PLACE.search(message)
    if not match:
        return None
    parts = split(query)
    in_sql = parts.sql is not None and not message.startswith("search")
    begin, text = (parts.sql_offset, query[parts.sql_offset :]) if in_sql else (0, query)
    lines = text.splitlines() or [""]
    row, column = int(match[1] or 1), int(match[2])
    if not 0 < row <= len(lines):
        return None
    before = sum(len(line) + 1 for line in lines[: row - 1]) + column - 1
    return Place(lines[row - 1], " " * max(0, column - 1) + "^", max(0, min(len(query), begin + before)))
