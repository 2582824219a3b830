"""The schema of Jaeger on Log Service, ``SPAN_STORAGE_TYPE=aliyun-log``: what its readers, dashboards and users know.

Source: aliyun/aliyun-log-jaeger, ``plugin/storage/aliyunlog/spanstore`` (converter, reader, span_writer_resource_init). One span is one
log: ``traceID`` in 16 or 32 hex digits, span ids without leading zeros, a root's ``parentSpanID`` ``0``, ``startTime`` and ``duration`` in
microseconds, one content a tag. Every tag value is text there, so its type is lost; the key ``typedTags``, which other readers skip
as they skip every key that they do not know, keeps it for this one.

Reading is tolerant where Jaeger's own is not: ids of any padding, SQL's ``null``, missing keys. Unreadable references or logs become a
warning of the span instead of failing its whole trace.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects.reading import (
    SPAN_ID,
    TRACE_ID,
    TYPED_TAGS,
    json_list,
    read_id,
    read_number,
    read_times,
    typed_forms,
)
from sls_tracing.log_service.dialects.values import (
    as_text,
    clean,
    from_key_value,
    from_time,
    from_typed,
    to_json,
    to_key_value,
    to_time,
    to_typed,
    typed_json,
)
from sls_tracing.log_service.index import TOKENS, FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.model import ReferenceType, TagValue

__all__ = ["INDEX", "TYPED_TAGS", "from_log", "parent_id_of", "to_log"]

_TAG = "tags."
_PROCESS_TAG = "process.tags."
_SAMPLED, _DEBUG = 1, 2
_MICROS = re.compile(r"-?[0-9]{1,17}")
_REFERENCE_NAMES: Mapping[ReferenceType, str] = {"child_of": "child-of", "follows_from": "follows-from"}

_WORDS = FieldIndex(tokens=TOKENS)
_WHOLE = FieldIndex()
_LONG = FieldIndex("long")
_WHOLE_TAGS = (
    *("component", "downstream_cluster", "error", "guid:x-request-id", "node_id", "response_flags", "span.kind"),
    *("http.method", "http.protocol", "http.status_code", "http.url", "upstream_cluster", "user_agent"),
    *("sampler.param", "sampler.type"),
)

INDEX = Index(
    keys={
        **dict.fromkeys(("operationName", "process.serviceName", "spanID"), _WORDS),
        **dict.fromkeys(("traceID", "parentSpanID", "process.tags.ip"), _WHOLE),
        **{_TAG + tag: _WHOLE for tag in _WHOLE_TAGS},
        **dict.fromkeys(("duration", "startTime", "tags.request_size", "tags.response_size"), _LONG),
    }
)
"""The index that Jaeger's collector creates, and ``tags.error``, without which no search or chart finds errors, and what adaptive sampling counts by."""


def to_log(record: SpanRecord) -> Log:
    """Return the span as a log, its contents in the order in which Jaeger writes them."""
    context = record.context
    start = round(record.start_time * 1e6)
    if not _MICROS.fullmatch(str(start)):
        raise ValueError(f"a span that starts at {record.start_time} seconds cannot be stored")
    contents = [
        ("traceID", _trace_id_text(context.trace_id)),
        ("spanID", f"{context.span_id or 0:x}"),
        ("parentSpanID", f"{parent_id_of(record):x}"),
        ("operationName", clean(record.operation_name)),
        ("flags", str((_SAMPLED if context.sampled else 0) | (_DEBUG if context.debug else 0))),
        ("startTime", str(start)),
        ("duration", str(max(0, round(record.finish_time * 1e6) - start))),
        ("process.serviceName", clean(record.process.service_name)),
    ]
    contents += [(_tag_name(key), as_text(value)) for key, value in record.tags.items()]
    process_contents, process_typed = _process(record.process)
    contents += process_contents
    if record.references:
        contents.append(("reference", f"[{','.join([_reference_json(reference) for reference in record.references])}]"))
    if record.logs:
        contents.append(("logs", to_json([_log_json(log) for log in record.logs])))
    if record.warnings:
        contents.append(("Warnings", to_json([clean(warning) for warning in record.warnings])))
    if typed := typed_json(to_typed(record.tags), process_typed):
        contents.append((TYPED_TAGS, typed))
    return Log(min(max(0, start // 1_000_000), END_OF_TIME - 1), contents)


def _trace_id_text(trace_id: int | None) -> str:
    if not trace_id:
        raise ValueError("a span without ids cannot be stored")
    return f"{trace_id:032x}" if trace_id >> 64 else f"{trace_id:016x}"


def parent_id_of(record: SpanRecord) -> int:
    """Return the parent as Jaeger finds it: by name, else the first child-of in the same trace, else the first follows-from."""
    if record.context.parent_id:
        return record.context.parent_id
    for kind in _REFERENCE_NAMES:
        for reference in record.references:
            if reference.type == kind and reference.trace_id == record.context.trace_id:
                return reference.span_id
    return 0


@lru_cache(maxsize=4096)
def _tag_name(key: str) -> str:
    return _TAG + clean(key)


def _process(process: Process) -> tuple[list[tuple[str, str]], str]:
    """Return the contents and typed forms of the process tags; those of the last process are kept.

    The spans of a batch share one Process, and its tags are a third of a span's work (22 µs a span without this, 13 with it).
    """
    global _last_process  # noqa: PLW0603 - one entry, replaced whole: threads can only lose the saving
    known = _last_process
    if known[0] is process:
        return known[1], known[2]
    contents = [(_PROCESS_TAG + clean(key), as_text(value)) for key, value in process.tags.items()]
    typed = to_typed(process.tags)
    _last_process = (process, contents, typed)
    return contents, typed


_last_process: tuple[Process, list[tuple[str, str]], str] = (Process(""), [], "")


def _reference_json(reference: Reference) -> str:
    kind, trace_id = _REFERENCE_NAMES[reference.type], _trace_id_text(reference.trace_id)
    return f'{{"refType":"{kind}","traceID":"{trace_id}","spanID":"{reference.span_id:x}"}}'


def _log_json(log: LogRecord) -> dict[str, object]:
    return {
        "timestamp": to_time(log.timestamp),
        "fields": [to_key_value(key, value) for key, value in log.fields.items()],
    }


def from_log(contents: Mapping[str, str]) -> SpanRecord:
    """Return the span that the log holds.

    :raises ValueError: no usable ``traceID``, ``spanID`` or ``startTime``: there is no span to show.
    """
    warnings: list[str] = []
    trace_id = read_id(contents, "traceID", TRACE_ID)
    span_id = read_id(contents, "spanID", SPAN_ID)
    if not trace_id or not span_id:
        raise ValueError(f"no span: traceID {contents.get('traceID')!r}, spanID {contents.get('spanID')!r}")
    start, finish = read_times(contents, "startTime")
    parent_id = _read_parent(contents, warnings)
    flags = read_number(contents.get("flags"), _SAMPLED)
    context = SpanContext(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id or None,
        sampled=bool(flags & _SAMPLED),
        debug=bool(flags & _DEBUG),
        wide=len(contents["traceID"]) > 16,
    )
    tags, process_tags = _tags(contents, warnings)
    references = json_list(contents, "reference", _read_reference, warnings)
    if parent_id and not any(r.trace_id == trace_id and r.span_id == parent_id for r in references):
        references.insert(0, Reference("child_of", trace_id, parent_id))
    logs = json_list(contents, "logs", _read_log, warnings)
    stored_warnings = json_list(contents, "Warnings", str, warnings)
    return SpanRecord(
        operation_name=contents.get("operationName", ""),
        context=context,
        references=references,
        start_time=start,
        finish_time=finish,
        tags=tags,
        logs=logs,
        process=Process(contents.get("process.serviceName", ""), process_tags),
        warnings=[*stored_warnings, *warnings],
    )


def _read_parent(contents: Mapping[str, str], warnings: list[str]) -> int:
    try:
        return read_id(contents, "parentSpanID", SPAN_ID)
    except ValueError as error:
        warnings.append(str(error))
        return 0


def _tags(contents: Mapping[str, str], warnings: list[str]) -> tuple[dict[str, TagValue], dict[str, TagValue]]:
    typed_tags, typed_process_tags = typed_forms(contents, warnings)
    tags: dict[str, TagValue] = {}
    process_tags: dict[str, TagValue] = {}
    for key, value in contents.items():
        if key.startswith(_TAG):
            name = key[len(_TAG) :]
            tags[name] = from_typed(typed_tags[name], value) if name in typed_tags else value
        elif key.startswith(_PROCESS_TAG):
            name = key[len(_PROCESS_TAG) :]
            process_tags[name] = from_typed(typed_process_tags[name], value) if name in typed_process_tags else value
    return tags, process_tags


def _read_reference(element: Mapping[str, str]) -> Reference:
    kind = str(element.get("refType", "child-of")).lower().replace("_", "-")
    trace_id, span_id = read_id(element, "traceID", TRACE_ID), read_id(element, "spanID", SPAN_ID)
    if not trace_id or not span_id:
        raise ValueError("a reference names a trace and a span")
    return Reference("follows_from" if kind == "follows-from" else "child_of", trace_id, span_id)


def _read_log(element: Mapping[str, Any]) -> LogRecord:
    fields: Sequence[Mapping[str, Any]] = element.get("fields") or ()
    return LogRecord(from_time(str(element["timestamp"])), dict(from_key_value(field) for field in fields))
