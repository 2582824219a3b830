"""The named analyses as a dashboard of Log Service's console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.log_service.analyses import ANALYSES
from sls_tracing.log_service.dialects import find_dialect
from sls_tracing.log_service.dialects.unified import unify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.log_service.analyses import Analysis

__all__ = ["dashboard"]

TITLE = "sls-tracing"

_COLUMNS = 10  # of the console's grid
_SIZES = {"number": (2, 5), "line": (5, 6), "bar": (5, 6), "pie": (5, 6), "table": (10, 6)}
_TYPES = {"line": "line", "bar": "bar", "pie": "pie", "number": "number", "table": "table"}


def dashboard(project: str, logstore: str, dialect: str = "jaeger") -> dict[str, Any]:
    """Return the dashboard in the service's JSON form; its name is made of project and logstore, as Jaeger's collector has it.

    Its queries are of spans in ``dialect``.
    """
    charts = []
    x = y = height = 0
    in_rows = sorted(ANALYSES.items(), key=lambda item: list(_SIZES).index(item[1].chart))
    for name, analysis in in_rows:
        width, tall = _SIZES[analysis.chart]
        if x + width > _COLUMNS:
            x, y, height = 0, y + height, 0
        charts.append(_chart(name, analysis, logstore, dialect, {"xPos": x, "yPos": y, "width": width, "height": tall}))
        x, height = x + width, max(height, tall)
    return {
        "dashboardName": f"{project}-{logstore}",
        "displayName": TITLE,
        "description": "Traces: traffic, latency, errors",
        "attribute": {"type": "grid"},
        "charts": charts,
    }


def _chart(name: str, analysis: Analysis, logstore: str, dialect: str, place: Mapping[str, int]) -> dict[str, Any]:
    title = f"{analysis.title} ({analysis.unit})" if analysis.unit else analysis.title
    display: dict[str, Any] = {
        "displayName": title,
        "xAxis": [analysis.x] if analysis.x else [],
        "yAxis": list(analysis.y),
        **place,
    }
    if analysis.unit:
        display["unit"] = analysis.unit
    return {
        "title": name,
        "type": _TYPES[analysis.chart],
        "action": {"type": "disabled"},
        "search": {
            "logstore": logstore,
            "topic": "",
            "query": _query(analysis, dialect),
            "start": "-3600s",
            "end": "now",
            "timeSpanType": "custom",
        },
        "display": display,
    }


def _query(analysis: Analysis, dialect: str) -> str:
    query = analysis.query()
    return query if dialect == "jaeger" else unify(query, find_dialect(dialect).INDEX)
