"""The finished span: the one vocabulary of reporters, encoders, decoders, Log Service dialects and the query API.

Everything here is immutable and has no behaviour. Times are seconds since the epoch as floats (a float of today's epoch
resolves a quarter of a microsecond; the wire's microseconds are ``round(seconds * 1e6)``). Ids are positive integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.context import SpanContext

__all__ = ["LogRecord", "Process", "Reference", "ReferenceType", "SpanRecord", "TagValue"]

TagValue: TypeAlias = "str | bool | int | float | bytes"
ReferenceType: TypeAlias = Literal["child_of", "follows_from"]


class Reference(NamedTuple):
    """A causal link to another span. ``type`` is spelled as in ``opentracing.ReferenceType``."""

    type: ReferenceType
    trace_id: int
    span_id: int


class LogRecord(NamedTuple):
    """Something that happened during a span: a time in seconds and one or more fields."""

    timestamp: float
    fields: Mapping[str, TagValue]


class Process(NamedTuple):
    """Who made the span: the service and the tags of its instance (``hostname``, ``ip``, ``jaeger.version``, …)."""

    service_name: str
    tags: Mapping[str, TagValue] = {}


class SpanRecord(NamedTuple):
    """One finished span.

    ``references`` holds every link, the parent's among them; ``context.parent_id`` names the parent for the wire formats that keep
    it apart. ``warnings`` is for those who read and repair spans (the collector, the query API), never for the application.
    """

    operation_name: str
    context: SpanContext
    references: Sequence[Reference]
    start_time: float
    finish_time: float
    tags: Mapping[str, TagValue]
    logs: Sequence[LogRecord]
    process: Process
    warnings: Sequence[str] = ()
