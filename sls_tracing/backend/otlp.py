"""OTLP's spans as spans of ours, from protobuf and from JSON. (Source: opentelemetry-proto, ``trace.proto``.)

What a field becomes follows OpenTelemetry's "Tracing SDK exporters to non-OTLP" and Jaeger's own translation
(opentelemetry-collector-contrib, pkg/translator/jaeger): kind is the tag ``span.kind``, the status ``error`` and ``otel.status_*``, an event a
log, a link a FOLLOWS_FROM unless it says otherwise, the scope ``otel.scope.*``, the trace state ``w3c.tracestate``.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from sls_tracing.model import TagValue

__all__ = ["process_from_resource", "scope_tags", "span_from_otlp"]

_KINDS = (None, "internal", "server", "client", "producer", "consumer")
_STATUS_OK, _STATUS_ERROR = 1, 2
_FLAG_RANDOM = 2
_DROPPED = ("dropped_attributes_count", "dropped_events_count", "dropped_links_count")
_REFERENCE_TYPE = "opentracing.ref_type"


def process_from_resource(resource: Resource) -> Process:
    """Return who made the spans. The stand-ins for a service name are those of Jaeger v2 (internal/jptrace/sanitizer)."""
    tags = _attributes(resource.attributes)
    name = tags.pop("service.name", None)
    if name is None:
        return Process("missing-service-name", tags)
    return Process(name if isinstance(name, str) else "service-name-wrong-type", tags)


def scope_tags(scope: InstrumentationScope) -> dict[str, TagValue]:
    """Return the tags that name the library which made the spans."""
    named = {"otel.scope.name": scope.name, "otel.scope.version": scope.version}
    return {**_attributes(scope.attributes), **{key: value for key, value in named.items() if value}}


def span_from_otlp(span: Span, process: Process, scope: dict[str, TagValue], now: float) -> SpanRecord:
    """Return the span. Raises :class:`DecodeError` for ids that are none.

    ``now`` is the time of arrival in seconds, which stands in when the span has no time at all.
    """
    trace_id, span_id = _id(span.trace_id, 16, "trace id"), _id(span.span_id, 8, "span id")
    parent_id = _id(span.parent_span_id, 8, "parent span id") if span.parent_span_id.strip(b"\0") else None
    warnings: list[str] = []
    start, finish = _times(span, now, warnings)
    return SpanRecord(
        operation_name=span.name,
        context=SpanContext(
            trace_id,
            span_id,
            parent_id,
            sampled=True,  # it was sent; older SDKs leave the flags at zero
            wide=bool(trace_id >> 64),
            random=bool(span.flags & _FLAG_RANDOM),
        ),
        references=_references(span, trace_id, parent_id),
        start_time=start,
        finish_time=finish,
        tags={**scope, **_attributes(span.attributes), **_tags(span)},
        logs=tuple(map(_log, span.events)),
        process=process,
        warnings=tuple(warnings),
    )


def _id(value: bytes, size: int, name: str) -> int:
    number = int.from_bytes(value, "big")
    if len(value) != size or not number:
        raise DecodeError(
            f"an OTLP span whose {name} is {value[:20].hex() or 'empty'}, not {size} bytes that are not all zero"
        )
    return number


def _times(span: Span, now: float, warnings: list[str]) -> tuple[float, float]:
    """Return start and end in seconds, in whole microseconds."""
    start, finish = _seconds(span.start_time_unix_nano), _seconds(span.end_time_unix_nano)
    if not start:
        start = finish or round(now * 1e6) / 1e6
        warnings.append("a span without a start; its end or its arrival stands in")
    if finish < start:
        finish = start
        warnings.append("a span that ended before it started; its duration was set to 0")
    return start, finish


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1000) / 1e6


def _tags(span: Span) -> dict[str, TagValue]:
    """Return the tags that are fields of their own in OTLP."""
    tags: dict[str, TagValue] = {}
    kind = _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else None
    if kind:
        tags["span.kind"] = kind
    if span.status.code == _STATUS_ERROR:
        tags["error"] = True
        tags["otel.status_code"] = "ERROR"
    elif span.status.code == _STATUS_OK:
        tags["otel.status_code"] = "OK"
    if span.status.message:
        tags["otel.status_description"] = span.status.message
    if span.trace_state:
        tags["w3c.tracestate"] = span.trace_state
    for name in _DROPPED:
        if count := getattr(span, name):
            tags["otel." + name] = count
    return tags


def _references(span: Span, trace_id: int, parent_id: int | None) -> tuple[Reference, ...]:
    """Return the links, the parent's first unless one of them names it already, as a parent by FOLLOWS_FROM does."""
    references = []
    for link in span.links:
        try:
            ids = _id(link.trace_id, 16, "link's trace id"), _id(link.span_id, 8, "link's span id")
        except DecodeError:
            continue  # W3C knows links to nowhere; the span is worth more than they are
        child_of = any(
            each.key == _REFERENCE_TYPE and each.value.string_value == "child_of" for each in link.attributes
        )
        references.append(Reference("child_of" if child_of else "follows_from", *ids))
    if parent_id is not None and not any(each[1:] == (trace_id, parent_id) for each in references):
        references.insert(0, Reference("child_of", trace_id, parent_id))
    return tuple(references)


def _log(event: Span.Event) -> LogRecord:
    fields = _attributes(event.attributes)
    if event.name:
        fields = {"event": event.name, **fields}
    return LogRecord(_seconds(event.time_unix_nano), fields)


def _attributes(attributes: Sequence[KeyValue]) -> dict[str, TagValue]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> TagValue:
    """Return a scalar as it is, an array or a map as JSON text, nothing as empty text."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(_plain(value), ensure_ascii=False)
    plain: TagValue = getattr(value, kind)
    return plain


def _plain(value: AnyValue) -> Any:
    """Return what JSON can say. Nesting is limited to 100 by the protobuf library."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _plain(each.value) for each in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    return getattr(value, kind) if kind else None
