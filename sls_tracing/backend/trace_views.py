"""A stored trace as the query API shows it: cut where it is longer than anybody can look at, rendered, adjusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.trace_json import trace_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.backend.query_settings import QuerySettings
    from sls_tracing.backend.trace_json import JSONObject
    from sls_tracing.model import SpanRecord

__all__ = ["TraceViews"]


class TraceViews:
    """Renders traces within the bounds that ``settings`` set."""

    def __init__(self, settings: QuerySettings) -> None:
        self._settings = settings
        self.fetched = settings.max_trace_spans + 1
        """How many spans of a trace to ask for: one more than are shown tells that there are more."""

    def cut(self, spans: Sequence[SpanRecord]) -> tuple[Sequence[SpanRecord], list[str]]:
        """Return as many spans as are shown, and a warning if these are not all."""
        most = self._settings.max_trace_spans
        if len(spans) <= most:
            return spans, []
        return spans[:most], [f"this trace has more than {most} spans; the later ones are not shown"]

    def trace(self, spans: Sequence[SpanRecord], *, raw: bool = False) -> JSONObject:
        """Return Jaeger's ``Trace`` object; ``raw`` leaves it as it is stored."""
        spans, warnings = self.cut(spans)
        trace = trace_to_json(spans)
        if not raw:
            adjust(trace, self._settings.max_clock_skew)
        if warnings:
            trace["warnings"] = warnings
        return trace
