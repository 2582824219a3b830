"""How a span becomes a log and a log a span: one module a schema.

jaeger_legacy   what Jaeger writes with ``SPAN_STORAGE_TYPE=aliyun-log``; the default
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.log_service.index import Index
    from sls_tracing.log_service.logstore import Log
    from sls_tracing.model import SpanRecord

__all__ = ["Dialect"]


class Dialect(Protocol):
    """A schema of spans in logs. A module is one."""

    INDEX: Index
    """The index that its queries need."""

    def to_log(self, record: SpanRecord) -> Log:
        """Return the span as a log."""

    def from_log(self, contents: Mapping[str, str]) -> SpanRecord:
        """Return the span that a log holds. Raises ValueError for a log that holds none."""
