"""Spans as log lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sls_tracing.exceptions import require_methods
from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord

__all__ = ["LoggingReporter"]

_guard = Guard("logging_reporter")  # handlers and filters are the application's, and may raise


class LoggingReporter:
    """Logs every finished span in one line at level INFO: name, ids, milliseconds. ``logger`` is ``sls_tracing.spans`` if None."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else logging.getLogger("sls_tracing.spans")
        require_methods("logger", self._logger, ("info",))

    def report(self, span: SpanRecord) -> None:
        """Log it."""
        context = span.context
        with _guard:
            self._logger.info(
                "span %s %s trace=%s span=%s parent=%s %.3f ms",
                span.process.service_name,
                span.operation_name,
                context.to_trace_id(),
                context.to_span_id(),
                "-" if context.parent_id is None else format(context.parent_id, "016x"),
                (span.finish_time - span.start_time) * 1e3,
            )

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: the logger has them."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Return True: the logger is not ours to close."""
        return True
