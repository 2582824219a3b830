"""The schema of Log Service's own trace application: what its console shows as traces, topology and statistics.

Sources: "Trace data format" of Alibaba Cloud's documentation; the exporter of opentelemetry-collector-contrib (``alibabacloudlogserviceexporter``);
aliyun/aliyun-log-jaeger, ``plugin/storage/aliyunlogotel`` and the branch ``jaeger-storage-plugin``.

Written as the exporter does: ids of 32 and 16 digits, no parent as ``""``, microseconds, the log's time that of the span's end, attributes as JSON with
their types. Of a tag, only bytes and numbers that JSON lacks become text; ``typedTags`` keeps those. Log fields that are bytes come back as text.

Read is what any writer of this schema makes: roots as ``""``, ``0`` or zeros; nanoseconds; attributes all text or with types; links of four
shapes; events with the name inside or outside of their attributes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects.jaeger_legacy import parent_id_of
from sls_tracing.log_service.dialects.reading import (
    ABSENT,
    NANOSECONDS_FROM,
    SPAN_ID,
    TRACE_ID,
    TYPED_TAGS,
    json_list,
    json_object,
    read_id,
    read_times,
    typed_forms,
)
from sls_tracing.log_service.dialects.values import as_text, clean, from_typed, to_json, to_typed, typed_json
from sls_tracing.log_service.index import TOKENS, FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.model import TagValue

__all__ = ["INDEX", "KINDS", "from_log", "to_log"]

KINDS = frozenset(("client", "server", "producer", "consumer", "internal"))
"""What the field ``kind`` may say."""

_WORDS = FieldIndex(tokens=TOKENS)
_WHOLE = FieldIndex()
_LONG = FieldIndex("long")
_JSON = FieldIndex("json", tokens=TOKENS, index_all=True, max_depth=-1)
_LATEST = 2**53  # microseconds, of the year 2255: what a float of seconds can tell apart

INDEX = Index(
    keys={
        **dict.fromkeys(("service", "name", "spanID", "host"), _WORDS),
        **dict.fromkeys(("traceID", "parentSpanID", "kind", "statusCode"), _WHOLE),
        "statusMessage": _WORDS,
        **dict.fromkeys(("start", "duration", "end"), _LONG),
        **dict.fromkeys(("attribute", "resource"), _JSON),
    }
)
"""An index for a logstore of our own. A trace instance has one already, which is not ours to change: what it has stays."""


def to_log(record: SpanRecord) -> Log:
    """Return the span as a log."""
    context = record.context
    if not context.trace_id:
        raise ValueError("a span without ids cannot be stored")
    start = round(record.start_time * 1e6)
    if not 0 <= start < _LATEST:
        raise ValueError(f"a span that starts at {record.start_time} seconds cannot be stored")
    end = max(start, round(record.finish_time * 1e6))
    tags = dict(record.tags)
    kind = str(tags.get("span.kind", ""))
    if kind in KINDS:
        del tags["span.kind"]
    process_tags = dict(record.process.tags)
    hostname = process_tags.get("hostname")
    parent_id = parent_id_of(record)
    contents = [
        ("host", clean(hostname) if isinstance(hostname, str) else ""),
        ("service", clean(record.process.service_name)),
        ("resource", _attributes(process_tags)),
        ("name", clean(record.operation_name)),
        ("kind", kind if kind in KINDS else ""),
        ("traceID", f"{context.trace_id:032x}"),
        ("spanID", f"{context.span_id or 0:016x}"),
        ("parentSpanID", f"{parent_id:016x}" if parent_id else ""),
        ("links", to_json([_link(reference) for reference in _links(record, parent_id)])),
        ("logs", to_json([_event(log) for log in record.logs])),
        ("traceState", clean(str(tags.get("w3c.tracestate", "")))),
        ("start", str(start)),
        ("end", str(end)),
        ("duration", str(end - start)),
        ("attribute", _attributes(tags)),
        *_status(record),
    ]
    if typed := typed_json(_untold(tags), _untold(process_tags)):
        contents.append((TYPED_TAGS, typed))
    return Log(min(end // 1_000_000, END_OF_TIME - 1), contents)


def _attributes(tags: Mapping[str, TagValue]) -> str:
    return to_json({clean(key): _plain(value) for key, value in tags.items()})


def _plain(value: TagValue) -> object:
    """Return the value as JSON can say it: bytes and infinities only as text."""
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return as_text(value)


def _untold(tags: Mapping[str, TagValue]) -> str:
    """Return the typed forms of the tags that JSON says as text although they are none."""
    return to_typed(
        {key: value for key, value in tags.items() if type(value) is not str and type(_plain(value)) is str}
    )


def _links(record: SpanRecord, parent_id: int) -> Sequence[Reference]:
    """Return all references but the parent's, which ``parentSpanID`` tells."""
    references = record.references
    if references and references[0] == Reference("child_of", record.context.trace_id or 0, parent_id):
        return references[1:]
    return references


def _link(reference: Reference) -> dict[str, object]:
    # refType is Jaeger's own reader's; OpenTelemetry's shape has none.
    kind = reference.type.replace("_", "-")
    ids = {"spanID": f"{reference.span_id:016x}", "traceID": f"{reference.trace_id:032x}"}
    return {"attribute": {"opentracing.ref_type": reference.type}, "refType": kind, **ids}


def _event(log: LogRecord) -> dict[str, object]:
    fields = dict(log.fields)
    name = fields.pop("event", "") if isinstance(fields.get("event"), str) else ""
    attribute = {clean(key): _plain(value) for key, value in fields.items()}
    return {"attribute": attribute, "name": clean(str(name)), "time": round(log.timestamp * 1e6) * 1000}


def _status(record: SpanRecord) -> list[tuple[str, str]]:
    tags = record.tags
    if tags.get("error") in (True, "true"):
        code = "ERROR"
    else:
        code = str(tags.get("otel.status_code", ""))
        code = code if code in ("OK", "ERROR") else "UNSET"
    if record.warnings:
        message = to_json([clean(warning) for warning in record.warnings])
    else:
        message = clean(str(tags.get("otel.status_description", "")))
    return [("statusCode", code), ("statusMessage", message)]


# -- reading ---------------------------------------------------------------------------------------------------------------


def from_log(contents: Mapping[str, str]) -> SpanRecord:
    """Return the span that the log holds.

    :raises ValueError: no usable ``traceID``, ``spanID`` or ``start``: there is no span to show.
    """
    warnings: list[str] = []
    trace_id, span_id = read_id(contents, "traceID", TRACE_ID), read_id(contents, "spanID", SPAN_ID)
    if not trace_id or not span_id:
        raise ValueError(f"no span: traceID {contents.get('traceID')!r}, spanID {contents.get('spanID')!r}")
    start, finish = read_times(contents, "start")
    references = json_list(contents, "links", _read_link, warnings)
    parent_id = _read_parent(contents, trace_id, references, warnings)
    logs = json_list(contents, "logs", _read_event, warnings)
    typed_tags, typed_process_tags = typed_forms(contents, warnings)
    tags = _read_attributes(json_object(contents, "attribute", warnings), typed_tags)
    resource = _read_attributes(json_object(contents, "resource", warnings), typed_process_tags)
    stored_warnings = _read_status(contents, tags)
    kind = _text(contents, "kind").lower()
    if kind:
        tags.setdefault("span.kind", kind)
    return SpanRecord(
        operation_name=_text(contents, "name"),
        context=SpanContext(trace_id, span_id, parent_id or None, wide=len(contents["traceID"].lstrip("0")) > 16),
        references=references,
        start_time=start,
        finish_time=finish,
        tags=_with_fields(contents, tags),
        logs=logs,
        process=_read_process(contents, resource),
        warnings=[*stored_warnings, *warnings],
    )


def _text(contents: Mapping[str, str], key: str) -> str:
    text = contents.get(key, "")
    return "" if text in ABSENT else text


def _read_parent(contents: Mapping[str, str], trace_id: int, references: list[Reference], warnings: list[str]) -> int:
    """Return the parent, and see to it that it is among the references. Jaeger's plugin may tell it by a link alone."""
    try:
        parent_id = read_id(contents, "parentSpanID", SPAN_ID)
    except ValueError as error:
        warnings.append(str(error))
        parent_id = 0
    if not parent_id:
        parents = (each.span_id for each in references if each.type == "child_of" and each.trace_id == trace_id)
        return next(parents, 0)
    if not any(each.trace_id == trace_id and each.span_id == parent_id for each in references):
        references.insert(0, Reference("child_of", trace_id, parent_id))
    return parent_id


def _read_link(element: Mapping[str, Any]) -> Reference:
    """Read a link: OpenTelemetry's members, Jaeger's two spellings, or the documentation's."""
    link = {str(key).lower(): value for key, value in element.items()}
    attribute = link.get("attribute") or link.get("attributes") or {}
    told = link.get("reftype") or (attribute.get("opentracing.ref_type") if isinstance(attribute, dict) else None)
    trace_id, span_id = read_id(link, "traceid", TRACE_ID), read_id(link, "spanid", SPAN_ID)
    if not trace_id or not span_id:
        raise ValueError("a link names a trace and a span")
    is_child = str(told or "").lower().replace("-", "_") == "child_of"
    return Reference("child_of" if is_child else "follows_from", trace_id, span_id)


def _read_event(element: Mapping[str, Any]) -> LogRecord:
    event = {str(key).lower(): value for key, value in element.items()}
    time = int(event["time"] if "time" in event else event["timestamp"])
    attribute = event.get("attribute") or event.get("attributes") or {}
    if isinstance(attribute, str):
        attribute = json.loads(attribute)
    fields = _read_attributes(attribute, {})
    if event.get("name"):
        fields = {"event": str(event["name"]), **fields}
    return LogRecord(round(time / 1000) / 1e6 if time >= NANOSECONDS_FROM else time / 1e6, fields)


def _read_attributes(found: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, TagValue]:
    tags: dict[str, TagValue] = {}
    for key, value in found.items():
        if isinstance(value, str):
            tags[key] = from_typed(typed[key], value) if key in typed else value
        elif isinstance(value, (bool, int, float)):
            tags[key] = value
        elif value is not None:
            tags[key] = to_json(value)
    return tags


def _read_status(contents: Mapping[str, str], tags: dict[str, TagValue]) -> list[str]:
    """Put the status into ``tags`` as Jaeger says it, and return the warnings that Jaeger's writers keep in its message."""
    code, message = _text(contents, "statusCode").upper(), _text(contents, "statusMessage")
    if code == "ERROR":
        tags.setdefault("error", True)
    elif code == "OK":
        tags.setdefault("otel.status_code", "OK")
    if message.startswith("["):
        unreadable: list[str] = []
        warnings = json_list(contents, "statusMessage", str, unreadable)
        if not unreadable:
            return warnings
    if message:
        tags.setdefault("otel.status_description", message)
    return []


def _with_fields(contents: Mapping[str, str], tags: dict[str, TagValue]) -> dict[str, TagValue]:
    fields = (
        ("otlp.name", "otel.scope.name"),
        ("otlp.version", "otel.scope.version"),
        ("traceState", "w3c.tracestate"),
    )
    for field, tag in fields:
        if text := _text(contents, field):
            tags.setdefault(tag, text)
    return tags


def _read_process(contents: Mapping[str, str], resource: dict[str, TagValue]) -> Process:
    resource.pop("ProcessID", None)  # Jaeger's number of the process within a batch
    named = resource.pop("service.name", "") if not _text(contents, "service") else ""
    if host := _text(contents, "host"):
        resource.setdefault("hostname", host)
    return Process(_text(contents, "service") or str(named), resource)
