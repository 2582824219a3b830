"""Spans in OTLP's JSON (opentelemetry-proto, ``trace.proto``; OTLP specification, "JSON Protobuf Encoding").

Ids are lower-case hex, 64-bit integers decimal text, enums numbers, bytes base64. Where OpenTracing and OpenTelemetry say the same thing
differently, OpenTelemetry's OpenTracing shim is the model:

- tag ``span.kind`` becomes ``kind``; spans without one are INTERNAL, since UNSPECIFIED is not to be sent;
- tag ``error=true`` becomes the status ERROR, with the message of the last log of an error;
- a log becomes an event named by its field ``event`` ("log" if it has none); one of an error becomes the event ``exception``
  with ``exception.type``, ``.message`` and ``.stacktrace``;
- the parent becomes ``parentSpanId``, every other reference (a parent by FOLLOWS_FROM, too) a link with ``opentracing.ref_type``;
- process tags become attributes of the resource.

``flags`` are W3C's (sampled, random). Whether the parent is remote is not known here, so bits 8 and 9 stay unset, which says just that.
Times are those of Jaeger's wire, in whole microseconds.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING, Any

from sls_tracing.thrift.schema import MAX_I64, MIN_I64, EncodeError, integer_text
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.model import LogRecord, Process, Reference, SpanRecord, TagValue
    from sls_tracing.thrift.schema import ClientStats

__all__ = ["OTLPEncoder"]

_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_INTERNAL = 1
_STATUS_ERROR = 2
_FLAG_SAMPLED, _FLAG_RANDOM = 1, 2
_LAST_NANOSECOND = (1 << 64) - 1  # of a fixed64: the year 2554
_EXCEPTION_FIELDS = {"error.kind": "exception.type", "message": "exception.message", "stack": "exception.stacktrace"}
_SURROGATE = re.compile("[\ud800-\udfff]")

_HEAD = b'{"resourceSpans":[{"resource":'
_SCOPE = b',"scopeSpans":[{"scope":' + json.dumps({"name": "sls_tracing", "version": __version__}).encode()
_SPANS, _TAIL = _SCOPE + b',"spans":[', b"]}]}]}"


class OTLPEncoder:
    """Writes spans one by one, then the request around them; an :class:`~sls_tracing.thrift.schema.Encoder` but for the wire."""

    def span(self, record: SpanRecord) -> bytes:
        """Return one ``Span`` object. Raises :class:`EncodeError`."""
        try:
            return _to_bytes(_span(record))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise EncodeError(f"a span that cannot be encoded: {error!r}") from error

    def process(self, process: Process) -> bytes:
        """Return one ``Resource`` object. Raises :class:`EncodeError`."""
        try:
            tags = {**process.tags, "service.name": process.service_name}
            return _to_bytes({"attributes": _attributes(tags)})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise EncodeError(f"a process that cannot be encoded: {error!r}") from error

    def batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return one request."""
        return b"".join((_HEAD, process, _SPANS, b",".join(spans), _TAIL))

    emit_batch = batch

    def envelope_size(
        self, process: bytes, count: int, *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> int:
        """Return the exact bytes that :meth:`batch` adds to ``count`` spans."""
        return len(_HEAD) + len(process) + len(_SPANS) + max(0, count - 1) + len(_TAIL)


def _to_bytes(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate becomes the six characters that name it, as in Thrift: JSON's own escape for it is refused by servers.
        return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode()


def _span(record: SpanRecord) -> dict[str, Any]:
    context, tags = record.context, dict(record.tags)
    if context.trace_id is None or context.span_id is None:
        raise ValueError("a context without ids")
    start = _microseconds(record.start_time)
    kind = _KINDS.get(tags["span.kind"]) if isinstance(tags.get("span.kind"), str) else None  # type: ignore[arg-type]
    if kind is not None:
        del tags["span.kind"]
    span: dict[str, Any] = {
        "traceId": _hexadecimal(context.trace_id, 32),
        "spanId": _hexadecimal(context.span_id, 16),
        "name": record.operation_name,
        "kind": kind or _INTERNAL,
        "startTimeUnixNano": _nanoseconds(start),
        "endTimeUnixNano": _nanoseconds(max(start, _microseconds(record.finish_time))),
        "flags": _FLAG_SAMPLED * bool(context.sampled) | _FLAG_RANDOM * context.random,
    }
    if context.parent_id is not None:
        span["parentSpanId"] = _hexadecimal(context.parent_id, 16)
    if state := context.carried.get("tracestate"):
        span["traceState"] = state
    if _is_error(tags.get("error")):
        del tags["error"]
        span["status"] = _error_status(record.logs)
    if tags:
        span["attributes"] = _attributes(tags)
    if record.logs:
        span["events"] = [_event(log) for log in record.logs]
    if links := [_link(each) for each in record.references if not _is_parent(each, record)]:
        span["links"] = links
    return span


def _hexadecimal(number: int, digits: int) -> str:
    if not 0 < number < 1 << 4 * digits:
        raise ValueError(f"an id out of range: {number:#x}")
    return format(number, f"0{digits}x")


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _nanoseconds(microseconds: int) -> str:
    """Return a time as text; what the unsigned 64 bits cannot hold becomes the nearest that they can."""
    return str(min(max(0, microseconds * 1000), _LAST_NANOSECOND))


def _is_error(value: TagValue | None) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _error_status(logs: Sequence[LogRecord]) -> dict[str, Any]:
    for log in reversed(logs):
        message = log.fields.get("message")
        if log.fields.get("event") == "error" and isinstance(message, str) and message:
            return {"code": _STATUS_ERROR, "message": message}
    return {"code": _STATUS_ERROR}


def _event(log: LogRecord) -> dict[str, Any]:
    fields = dict(log.fields)
    name = fields.get("event")
    if name == "error":
        name = "exception"
        fields = {_EXCEPTION_FIELDS.get(key, key): value for key, value in fields.items()}
    if isinstance(name, str) and name:
        del fields["event"]
    else:
        name = "log"
    event: dict[str, Any] = {"timeUnixNano": _nanoseconds(_microseconds(log.timestamp)), "name": name}
    if fields:
        event["attributes"] = _attributes(fields)
    return event


def _is_parent(reference: Reference, record: SpanRecord) -> bool:
    kind, trace_id, span_id = reference
    return kind == "child_of" and span_id == record.context.parent_id and trace_id == record.context.trace_id


def _link(reference: Reference) -> dict[str, Any]:
    return {
        "traceId": _hexadecimal(reference.trace_id, 32),
        "spanId": _hexadecimal(reference.span_id, 16),
        "attributes": [{"key": "opentracing.ref_type", "value": {"stringValue": reference.type}}],
    }


def _attributes(tags: Mapping[str, TagValue]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in _values(tags.items())]


def _values(items: Iterable[tuple[str, TagValue]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for key, value in items:
        kind = type(value)
        if kind is str:
            yield key, {"stringValue": value}
        elif kind is bool:
            yield key, {"boolValue": value}
        elif kind is int:
            in_range = MIN_I64 <= value <= MAX_I64  # type: ignore[operator]
            yield key, {"intValue": str(value)} if in_range else {"stringValue": integer_text(value).decode()}  # type: ignore[arg-type]
        elif kind is float:
            # JSON has no number for these; protobuf's mapping writes them as text.
            finite = math.isfinite(value)  # type: ignore[arg-type]
            yield key, {"doubleValue": value if finite else _NOT_FINITE[str(value)]}
        elif kind is bytes:
            yield key, {"bytesValue": base64.b64encode(value).decode()}  # type: ignore[arg-type]
        else:
            raise TypeError(f"a value of type {kind.__name__}")


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
