"""Zipkin's span as a span of ours.

Every form of Zipkin's model (JSON v1 and v2, Thrift, protobuf) is brought into that of v2's JSON first; this is the one place that gives it a
meaning. Missing times and odd values are repaired as Jaeger's collector does (jaegertracing/jaeger v1.65.0,
cmd/collector/app/sanitizer/zipkin/span_sanitizer.go); where its stand-in would hide the span (a start in 1970), ours is noted in the
span's ``warnings``.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.thrift.schema import MAX_I64, MIN_I64, DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.model import TagValue

__all__ = ["microseconds", "span_from_zipkin"]

_ID = re.compile(r"[0-9a-fA-F]+")
_KINDS = {"CLIENT": "client", "SERVER": "server", "PRODUCER": "producer", "CONSUMER": "consumer"}
_DECIMAL = re.compile(r"-?[0-9]{1,18}")
_LAST_MICROSECOND = 10**17
"""The year 5138: a sum of two such times still has the 18 digits that a store takes."""


def span_from_zipkin(span: Any, now: float) -> SpanRecord:
    """Return the span that an object of Zipkin's v2 JSON describes. Raises :class:`DecodeError`.

    ``now`` is the time of arrival in seconds, which stands in when the span has no time at all.
    """
    if not isinstance(span, dict):
        raise DecodeError(f"a Zipkin span that is no object but {_shown(span)}")
    warnings: list[str] = []
    trace_id, span_id = _id(span, "traceId", 32), _id(span, "id", 16)
    if not trace_id or not span_id:
        raise DecodeError(
            f"a Zipkin span without ids: traceId {_shown(span.get('traceId'))}, id {_shown(span.get('id'))}"
        )
    tags = _tags(span.get("tags"))
    parent_id = _parent(span, span_id, tags, warnings)
    logs = _logs(span.get("annotations"))
    start, finish = _times(span, logs, now, tags, warnings)
    _set_kind(span.get("kind"), tags, warnings)
    _set_peer(_endpoint(span.get("remoteEndpoint")), tags)
    local = _endpoint(span.get("localEndpoint"))
    return SpanRecord(
        operation_name=_text(span.get("name")),
        context=SpanContext(
            trace_id, span_id, parent_id, sampled=True, debug=span.get("debug") is True, wide=bool(trace_id >> 64)
        ),
        references=() if parent_id is None else (Reference("child_of", trace_id, parent_id),),
        start_time=start / 1e6,
        finish_time=finish / 1e6,
        tags=tags,
        logs=logs,
        process=_process(_text(local.get("serviceName")), _text(local.get("ipv4")) or _text(local.get("ipv6"))),
        warnings=tuple(warnings),
    )


@lru_cache(maxsize=256)
def _process(service: str, ip: str) -> Process:
    """One object for all spans of a service: stores and the query API then render it once. ``ip`` is what Jaeger tells hosts apart by."""
    return Process(service, {"ip": ip} if ip else {})


def _id(span: Mapping[str, Any], key: str, digits: int) -> int | None:
    """Return an id: hexadecimal, of any length up to ``digits``, since some writers leave out leading zeros. None if there is none."""
    value = span.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > digits or not _ID.fullmatch(value):
        raise DecodeError(f"a Zipkin {key} that is not 1 to {digits} hexadecimal digits: {_shown(value)}")
    return int(value, 16)


def _parent(span: Mapping[str, Any], span_id: int, tags: dict[str, TagValue], warnings: list[str]) -> int | None:
    parent_id = _id(span, "parentId", 16)
    if parent_id == 0:
        tags["errZeroParentID"] = "0"
        return None
    if parent_id == span_id:
        warnings.append("a span that named itself as its parent")
        return None
    return parent_id


def _times(
    span: Mapping[str, Any], logs: tuple[LogRecord, ...], now: float, tags: dict[str, TagValue], warnings: list[str]
) -> tuple[int, int]:
    """Return start and end in microseconds. Annotations stand in for what is missing; no span is shorter than a microsecond."""
    noted = [round(log.timestamp * 1e6) for log in logs]
    start = microseconds(span.get("timestamp"), "timestamp")
    duration = microseconds(span.get("duration"), "duration")
    if not start:
        start = min(noted, default=0)
    if not start:
        start = round(now * 1e6)
        warnings.append("a span without a time; that of its arrival stands in")
    if duration is None and len(noted) > 1:
        duration = max(noted) - min(noted)
    if duration is not None and duration < 0:
        tags["errNegativeDuration"] = str(duration)
    return start, start + max(1, duration or 0)


def microseconds(value: Any, name: str) -> int | None:
    """Return a time of Zipkin's: an integer, also as text or as a float without fraction. Raises :class:`DecodeError`."""
    if value is None:
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    if type(value) is not int or abs(value) > _LAST_MICROSECOND:
        raise DecodeError(f"a Zipkin {name} that is no number of microseconds: {_shown(value)}")
    return value


def _tags(sent: Any) -> dict[str, TagValue]:
    """Return the tags. Zipkin's are text; other values, which its servers tolerate, keep their type."""
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise DecodeError("Zipkin tags that are no object")
    tags: dict[str, TagValue] = {key: _value(value) for key, value in sent.items() if value is not None}
    if "error" in tags:
        _set_error(tags)
    return tags


def _value(value: Any) -> TagValue:
    if type(value) is int and not MIN_I64 <= value <= MAX_I64:
        return hex(value)
    if isinstance(value, (str, bool, int, float, bytes)):
        return value
    try:
        return json.dumps(value)
    except RecursionError:
        raise DecodeError("a Zipkin tag that is nested too deep") from None


def _set_error(tags: dict[str, TagValue]) -> None:
    """In Zipkin the mere presence of the tag means an error, and its text says which; Jaeger wants a bool."""
    text = tags["error"]
    if text in ("true", "false"):
        tags["error"] = text == "true"
    elif not isinstance(text, bool):
        tags["error"] = True
        if text != "":
            tags.setdefault("error.message", text)


def _logs(sent: Any) -> tuple[LogRecord, ...]:
    if sent is None:
        return ()
    if not isinstance(sent, list):
        raise DecodeError("Zipkin annotations that are no array")
    return tuple(map(_log, sent))


def _log(annotation: Any) -> LogRecord:
    if not isinstance(annotation, dict):
        raise DecodeError("a Zipkin annotation that is no object")
    timestamp = microseconds(annotation.get("timestamp"), "annotation's timestamp")
    return LogRecord((timestamp or 0) / 1e6, {"event": _text(annotation.get("value"))})


def _set_kind(kind: Any, tags: dict[str, TagValue], warnings: list[str]) -> None:
    if kind is None or kind == "":
        return
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known:
        tags["span.kind"] = known
    else:
        warnings.append(f"unknown Zipkin kind {_shown(kind)}")


def _set_peer(remote: Mapping[str, Any], tags: dict[str, TagValue]) -> None:
    """Write the other side as OpenTracing's ``peer.*``; what the span's own tags say about it wins."""
    for key, name in (("serviceName", "peer.service"), ("ipv4", "peer.ipv4"), ("ipv6", "peer.ipv6")):
        if value := _text(remote.get(key)):
            tags.setdefault(name, value)
    port = remote.get("port")
    if type(port) is int and 0 < port <= 0xFFFF:
        tags.setdefault("peer.port", port)


def _endpoint(sent: Any) -> Mapping[str, Any]:
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise DecodeError("a Zipkin endpoint that is no object")
    return sent


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DecodeError(f"a Zipkin field that should be text: {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """Return a value as an error may show it: short, and without a look into what may be nested deep."""
    return repr(value[:40]) if isinstance(value, str) else f"of type {type(value).__name__}"
