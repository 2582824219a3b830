"""Traces from files: Jaeger's JSON, as this site and Jaeger's let it be downloaded, and OTLP's.

What a file lacks is left out; what in it cannot be read makes an error that says where.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.uploads import read_upload
from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.model import ReferenceType, TagValue

__all__ = ["read_trace_file"]

_REFERENCES: dict[str, ReferenceType] = {"CHILD_OF": "child_of", "FOLLOWS_FROM": "follows_from"}


def read_trace_file(content: bytes, now: float) -> list[Sequence[SpanRecord]]:
    """Return the traces of a file, each with at least one span. Raises ParameterError for what is no such file."""
    if b'"resourceSpans"' in content:
        return _otlp(content, now)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise ParameterError("the file is no JSON") from None
    traces = found.get("data", found) if isinstance(found, dict) else found
    traces = [traces] if isinstance(traces, dict) else traces
    if not isinstance(traces, list) or not all(
        isinstance(each, dict) and isinstance(each.get("spans"), list) for each in traces
    ):
        expected = '{"data": [{"spans": …, "processes": …}]}, or OTLP\'s {"resourceSpans": …}'
        raise ParameterError(f"the file holds no traces: {expected} is expected")
    read = [_trace(trace) for trace in traces]
    return [spans for spans in read if spans]


def _otlp(content: bytes, now: float) -> list[Sequence[SpanRecord]]:
    try:
        return read_upload(content, now)[0]
    except DecodeError as error:
        raise ParameterError(f"the file is no OTLP: {error}") from error


def _trace(trace: dict[str, Any]) -> Sequence[SpanRecord]:
    named = trace.get("processes") or {}
    spans = []
    for number, span in enumerate(trace["spans"], 1):
        try:
            process = span.get("process") or named.get(span.get("processID")) or {}
            spans.append(
                _span(span, Process(str(process.get("serviceName", "unknown-service")), _tags(process.get("tags"))))
            )
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise ParameterError(
                f"span {number} of the file cannot be read: {type(error).__name__}: {error}"
            ) from error
    return spans


def _span(span: dict[str, Any], process: Process) -> SpanRecord:
    trace_id = int(span["traceID"], 16)
    references = [
        Reference(_REFERENCES[each["refType"]], int(each["traceID"], 16), int(each["spanID"], 16))
        for each in span.get("references") or ()
    ]
    above = next((each.span_id for each in references if each.trace_id == trace_id), None)
    if span.get("parentSpanID"):
        above = int(span["parentSpanID"], 16) or None
    start = int(span["startTime"]) / 1e6
    return SpanRecord(
        operation_name=str(span["operationName"]),
        context=SpanContext(trace_id=trace_id, span_id=int(span["spanID"], 16), parent_id=above, sampled=True),
        references=references,
        start_time=start,
        finish_time=start + int(span.get("duration") or 0) / 1e6,
        tags=_tags(span.get("tags")),
        logs=[LogRecord(int(log["timestamp"]) / 1e6, _tags(log.get("fields"))) for log in span.get("logs") or ()],
        process=process,
        warnings=[str(text) for text in span.get("warnings") or ()],
    )


def _tags(tags: Sequence[dict[str, Any]] | None) -> dict[str, TagValue]:
    return {str(tag["key"]): _value(tag.get("type"), tag.get("value")) for tag in tags or ()}


def _value(kind: str | None, value: Any) -> TagValue:
    if kind == "binary":
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return str(value)
    if kind in ("int64", "float64"):
        return int(value) if kind == "int64" else float(value)
    return value if isinstance(value, (str, bool, int, float)) else json.dumps(value)
