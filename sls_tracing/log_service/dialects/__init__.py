"""How a span becomes a log and a log a span: one module a dialect.

jaeger_legacy   what Jaeger writes with ``SPAN_STORAGE_TYPE=aliyun-log``; the default
trace_service   what Log Service's own trace application and the OpenTelemetry exporter write, and Jaeger with ``aliyun-log-otel``
jaeger_plugin   what Jaeger's gRPC storage plugin writes
reading         what the readers share          schema    what queries call the fields         values    tag values as text and JSON

Who reads takes all of them, mixed in one logstore; who writes chooses one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from sls_tracing.log_service.dialects import jaeger_legacy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.log_service.index import Index
    from sls_tracing.log_service.logstore import Log
    from sls_tracing.model import SpanRecord

__all__ = ["DIALECTS", "Dialect", "find_dialect", "read_log"]


class Dialect(Protocol):
    """A form of spans in logs. A module is one."""

    INDEX: Index
    """The index that its queries need."""

    def to_log(self, record: SpanRecord) -> Log:
        """Return the span as a log. Raises ValueError for one that cannot be stored."""

    def from_log(self, contents: Mapping[str, str]) -> SpanRecord:
        """Return the span that a log holds. Raises ValueError for a log that holds none."""


DIALECTS: Mapping[str, str] = {
    "jaeger": "jaeger_legacy",
    "trace-service": "trace_service",
    "jaeger-plugin": "jaeger_plugin",
}
"""Module by the name that settings call it (``settings.DIALECTS``); the first is the default."""


def find_dialect(name: str) -> Dialect:
    """Return the dialect of that name. Raises KeyError."""
    return cast("Dialect", import_module(f"{__name__}.{DIALECTS[name]}"))


def read_log(contents: Mapping[str, str]) -> SpanRecord:
    """Return the span that a log of any dialect holds. Raises ValueError for a log that holds none."""
    # Jaeger's first schema has names of its own for all that every span has; a log with neither's is left to it to refuse.
    if "process.serviceName" in contents or "startTime" in contents or "start" not in contents:
        return jaeger_legacy.from_log(contents)
    from sls_tracing.log_service.dialects import trace_service

    return trace_service.from_log(contents)
