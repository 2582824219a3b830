"""What a query of the query language gave, as rows, as a chart, and as a file."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from sls_tracing.backend.ui import charts
from sls_tracing.backend.ui.pages import JSON, packed
from sls_tracing.log_service.logstore import complete_page
from sls_tracing.log_service.query import split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service.logstore import Logstore

__all__ = ["CHARTS", "Answer", "ask", "draw", "file_of"]

CHARTS = {"table": "Table", "line": "Line", "bar": "Bars", "pie": "Pie", "number": "Number"}

_LOG_COLUMNS = ("__time__", "process.serviceName", "operationName", "duration", "tags.error", "traceID")
"""What is shown of logs that a search finds; a file has all."""
_MOST_POINTS, _MOST_BARS, _MOST_SLICES = 2000, 60, 12


class Answer(NamedTuple):
    """Rows, the columns to show, whether they are logs of a search (SQL has rows of its own), and how long it took."""

    rows: Sequence[Mapping[str, str]]
    columns: Sequence[str]
    is_search: bool
    milliseconds: float


def ask(logstore: Logstore, query: str, begin: int, end: int) -> Answer:
    """Ask a logstore. Raises LogServiceError."""
    started = time.perf_counter()
    is_search = split(query).sql is None
    if is_search:
        rows: Sequence[Mapping[str, str]] = logstore.get_logs(query, begin, end, reverse=True).logs
        columns: Sequence[str] = _LOG_COLUMNS
    else:
        found = complete_page(logstore, query, begin, end)
        rows, columns = found.logs, found.keys or tuple(dict.fromkeys(key for row in found.logs for key in row))
    return Answer(rows, columns, is_search, (time.perf_counter() - started) * 1e3)


def draw(answer: Answer, kind: str, x: str = "", y: Sequence[str] = (), unit: str = "") -> Markup | str:
    """Return a chart of an answer, of the columns named or of those that fit; nothing if it is a table or there is nothing to draw."""
    columns, rows = list(answer.columns), answer.rows[:_MOST_POINTS]
    if kind == "table" or kind not in CHARTS or not rows:
        return ""
    numeric = [column for column in columns if any(_number(row.get(column)) is not None for row in rows)]
    x = x if x in columns else next((column for column in columns if column not in numeric), columns[0])
    y = [column for column in y if column in columns] or [column for column in numeric if column != x]
    if kind == "number":
        y = y or numeric
        return Markup('<p class="number">{} <small>{}</small></p>').format(rows[0].get(y[0], ""), unit) if y else ""
    if not y:
        return ""
    labels = [row.get(x, "") for row in rows]
    series = [charts.Series(column, [_number(row.get(column)) for row in rows]) for column in y]
    title = f"{' and '.join(y)} by {x}"
    if kind == "line":
        return charts.lines(labels, series, unit, title)
    if kind == "pie":
        return charts.pie(*_slices(labels, series[0]), title)
    return charts.bars(
        labels[:_MOST_BARS], [charts.Series(name, values[:_MOST_BARS]) for name, values in series], unit, title
    )


def _slices(labels: Sequence[str], series: charts.Series) -> tuple[list[str], list[float]]:
    """Return the largest shares, and the others together: more slices cannot be told apart."""
    found = sorted(
        zip(labels, (max(0.0, value or 0.0) for value in series.values), strict=True), key=lambda each: -each[1]
    )
    shown, others = found[:_MOST_SLICES], found[_MOST_SLICES:]
    if others:
        shown[-1:] = [("others", shown[-1][1] + sum(value for _, value in others))]
    return [label for label, _ in shown], [value for _, value in shown]


def file_of(request: Request, answer: Answer, form: str) -> Response:
    """Return an answer as a file, ``csv`` or ``json``; logs with all their fields."""
    if form == "json":
        content, kind = json.dumps(list(answer.rows), ensure_ascii=False, indent=1), JSON
    else:
        columns = (
            list(dict.fromkeys(key for row in answer.rows for key in row)) if answer.is_search else list(answer.columns)
        )
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(map(_harmless, columns))
        writer.writerows([_harmless(row.get(column, "")) for column in columns] for row in answer.rows)
        content, kind = text.getvalue(), "text/csv; charset=utf-8"
    name = f'attachment; filename="analysis.{form}"'
    return packed(request, content.encode("utf-8", "replace"), kind, headers={"Content-Disposition": name})


def _harmless(value: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    begins = value[:1]
    is_formula = begins in ("=", "+", "@", "\t", "\r") or (begins == "-" and _number(value) is None)
    return f"'{value}" if is_formula else value


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
