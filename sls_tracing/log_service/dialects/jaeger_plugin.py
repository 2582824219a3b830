"""What Jaeger's gRPC storage plugin for Log Service writes and reads (aliyun/aliyun-log-jaeger, branch ``jaeger-storage-plugin``): for those who keep it.

The fields are those of ``trace_service``, whose reader reads this too. What differs is what that plugin insists on: every attribute is text (one number makes
it show all of them as a single tag), the parent is a link (``parentSpanID`` is not looked at), ids have 16 digits and no parent is zeros. ``typedTags``
keeps the types of tags; those of log fields are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.log_service.dialects.jaeger_legacy import parent_id_of
from sls_tracing.log_service.dialects.reading import TYPED_TAGS
from sls_tracing.log_service.dialects.trace_service import INDEX, KINDS, from_log
from sls_tracing.log_service.dialects.values import as_text, clean, to_json, to_typed, typed_json
from sls_tracing.log_service.logstore import END_OF_TIME, Log
from sls_tracing.model import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.model import LogRecord, SpanRecord, TagValue

__all__ = ["INDEX", "from_log", "to_log"]

_LATEST = 2**53


def to_log(record: SpanRecord) -> Log:
    """Return the span as a log."""
    context = record.context
    if not context.trace_id:
        raise ValueError("a span without ids cannot be stored")
    start = round(record.start_time * 1e6)
    if not 0 <= start < _LATEST:
        raise ValueError(f"a span that starts at {record.start_time} seconds cannot be stored")
    end = max(start, round(record.finish_time * 1e6))
    kind = str(record.tags.get("span.kind", ""))
    parent_id = parent_id_of(record)
    references = list(record.references)
    if parent_id and not any(each[1:] == (context.trace_id, parent_id) for each in references):
        references.insert(0, Reference("child_of", context.trace_id, parent_id))
    contents = [
        ("traceID", _trace_id(context.trace_id)),
        ("spanID", f"{context.span_id or 0:016x}"),
        ("parentSpanID", f"{parent_id:016x}"),
        ("name", clean(record.operation_name)),
        ("kind", kind if kind in KINDS else ""),
        ("start", str(start)),
        ("duration", str(end - start)),
        ("end", str(end)),
        ("service", clean(record.process.service_name)),
        ("statusCode", "UNSET"),
        ("attribute", to_json(_texts(record.tags))),
        ("resource", to_json({"ProcessID": "p1", **_texts(record.process.tags)})),
        ("links", to_json([_link(reference) for reference in references])),
        ("logs", to_json([_event(log) for log in record.logs])),
    ]
    if record.warnings:
        contents.append(("statusMessage", to_json([clean(warning) for warning in record.warnings])))
    if typed := typed_json(to_typed(record.tags), to_typed(record.process.tags)):
        contents.append((TYPED_TAGS, typed))
    return Log(min(start // 1_000_000, END_OF_TIME - 1), contents)


def _trace_id(trace_id: int) -> str:
    return f"{trace_id:032x}" if trace_id >> 64 else f"{trace_id:016x}"


def _texts(tags: Mapping[str, TagValue]) -> dict[str, str]:
    return {clean(key): as_text(value) for key, value in tags.items()}


def _link(reference: Reference) -> dict[str, str]:
    kind = reference.type.upper()
    return {"TraceID": _trace_id(reference.trace_id), "SpanID": f"{reference.span_id:016x}", "RefType": kind}


def _event(log: LogRecord) -> dict[str, object]:
    return {"attribute": _texts(log.fields), "time": round(log.timestamp * 1e6) * 1000}
