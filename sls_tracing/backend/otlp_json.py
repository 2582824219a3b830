"""Spans of ours as OTLP's JSON, which Jaeger's API v3 answers with: the way back of ``otlp.py``.

Ids are hexadecimal, 64-bit numbers decimal text, enumerations numbers (OTLP specification 1.x, "JSON Protobuf Encoding").
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.backend.trace_json import JSONObject
    from sls_tracing.model import LogRecord, SpanRecord, TagValue

__all__ = ["resource_spans"]

_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES = {"OK": 1, "ERROR": 2}
_INT64 = range(-(2**63), 2**63)
_OWN_FIELDS = frozenset(
    (
        "span.kind",
        "otel.status_code",
        "otel.status_description",
        "w3c.tracestate",
        "otel.scope.name",
        "otel.scope.version",
    )
)
"""Tags that are fields of their own in OTLP."""


def resource_spans(spans: Iterable[SpanRecord]) -> list[JSONObject]:
    """Return the spans as OTLP has them: those of one process together, and of those the ones that one library made."""
    resources: dict[str, JSONObject] = {}
    scopes: dict[tuple[str, str, str], JSONObject] = {}
    for span in spans:
        attributes = {"service.name": span.process.service_name, **span.process.tags}
        rendered = _attributes(attributes)
        key = repr(rendered)
        resource = resources.setdefault(key, {"resource": {"attributes": rendered}, "scopeSpans": []})
        name, version = (str(span.tags.get(f"otel.scope.{part}", "")) for part in ("name", "version"))
        scope = scopes.get((key, name, version))
        if scope is None:
            scope = scopes[key, name, version] = {"scope": _present(name=name, version=version), "spans": []}
            resource["scopeSpans"].append(scope)
        scope["spans"].append(_span(span))
    return list(resources.values())


def _span(span: SpanRecord) -> JSONObject:
    context, tags = span.context, span.tags
    kind = str(tags.get("span.kind", "")).lower()
    attributes = {
        key: value
        for key, value in tags.items()
        if key not in _OWN_FIELDS or (key == "span.kind" and kind not in _KINDS)
    }
    status = _status(tags)
    if status.get("code") == _STATUSES["ERROR"] and tags.get("error") in (True, "true"):
        attributes.pop("error", None)
    return {
        "traceId": format(context.trace_id or 0, "032x"),
        "spanId": format(context.span_id or 0, "016x"),
        **_present(
            parentSpanId=format(context.parent_id, "016x") if context.parent_id else "",
            traceState=str(tags.get("w3c.tracestate", "")),
        ),
        "flags": 1 if context.sampled else 0,
        "name": span.operation_name,
        "kind": _KINDS.get(kind, 0),
        "startTimeUnixNano": _nanoseconds(span.start_time),
        "endTimeUnixNano": _nanoseconds(span.finish_time),
        "attributes": _attributes(attributes),
        "events": [_event(log) for log in span.logs],
        "links": _links(span),
        "status": status,
    }


def _status(tags: Mapping[str, TagValue]) -> JSONObject:
    code = _STATUSES.get(str(tags.get("otel.status_code", "")).upper(), 0)
    if not code and tags.get("error") in (True, "true"):
        code = _STATUSES["ERROR"]
    return _present(code=code, message=str(tags.get("otel.status_description", "")))


def _links(span: SpanRecord) -> list[JSONObject]:
    """Return every reference but the parent's, which has a field of its own; what kind of reference it is stands in an attribute."""
    parent = (span.context.trace_id, span.context.parent_id)
    return [
        {
            "traceId": format(each.trace_id, "032x"),
            "spanId": format(each.span_id, "016x"),
            "attributes": _attributes({"opentracing.ref_type": each.type}),
        }
        for each in span.references
        if (each.trace_id, each.span_id) != parent
    ]


def _event(log: LogRecord) -> JSONObject:
    name = log.fields.get("event")
    fields = {key: value for key, value in log.fields.items() if key != "event" or not isinstance(name, str)}
    return {
        "timeUnixNano": _nanoseconds(log.timestamp),
        "name": name if isinstance(name, str) else "",
        "attributes": _attributes(fields),
    }


def _attributes(values: Mapping[str, TagValue]) -> Sequence[JSONObject]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: TagValue) -> JSONObject:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if value in _INT64 else {"stringValue": str(value)}
    if isinstance(value, float):
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"doubleValue": value if math.isfinite(value) else named}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode("ascii")}
    return {"stringValue": value}


def _present(**members: Any) -> JSONObject:
    return {name: value for name, value in members.items() if value}


def _nanoseconds(seconds: float) -> str:
    return str(round(seconds * 1e6) * 1000)
