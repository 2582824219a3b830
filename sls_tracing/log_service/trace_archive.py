"""Traces that somebody wants to keep: copies in a logstore of their own, which outlives the retention of the one they came from.

The copies bear the time of archiving, not that of their spans: Log Service refuses logs that are older than 7 days, and deletes by the same time. When
a span happened stands in its ``startTime``. What was archived twice is shown once, as every repeated delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.clock import wall_clock
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.log_service.logstore import END_OF_TIME, LogGroup
from sls_tracing.log_service.trace_fetching import fetch_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.dialects import Dialect
    from sls_tracing.log_service.logstore import Logstore
    from sls_tracing.model import SpanRecord

__all__ = ["TraceArchive"]

_LOGS_AT_ONCE = 1000
"""A write takes at most 4096 logs and 10 MB (PutLogs)."""


class TraceArchive:
    """Archived traces in ``logstore``, found by their ids only, as in Jaeger."""

    def __init__(self, logstore: Logstore, dialect: Dialect = jaeger_legacy, *, clock: Clock = wall_clock) -> None:
        self._logstore = logstore
        self._dialect = dialect
        self._clock = clock

    def add(self, spans: Sequence[SpanRecord]) -> None:
        """Keep the spans of one trace. They are safe once this returned."""
        now = int(self._clock())
        logs = [self._dialect.to_log(span)._replace(time=now, time_ns=None) for span in spans]
        for begin in range(0, len(logs), _LOGS_AT_ONCE):
            self._logstore.put_logs(LogGroup(logs[begin : begin + _LOGS_AT_ONCE], source="0.0.0.0"))

    def get(self, trace_id: int, *, max_spans: int | None = None) -> list[SpanRecord]:
        """Return an archived trace's spans by start time; empty if it is not here."""
        found = fetch_traces(self._logstore, [trace_id], 0, END_OF_TIME, max_spans=max_spans)
        return next(found, [])

    def close(self) -> None:
        """Close the logstore."""
        self._logstore.close()
