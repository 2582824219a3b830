"""A trace in the JSON of Jaeger's query API (v1), as its UI, Grafana and its API clients read it.

Shapes: jaegertracing/jaeger v1.65.0, model/json/model.go and model/converter/json/from_domain.go.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sls_tracing.model import LogRecord, Process, Reference, SpanRecord, TagValue

__all__ = ["JSONObject", "span_id_hex", "trace_id_hex", "trace_to_json"]

JSONObject: TypeAlias = "dict[str, Any]"

MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript reads numbers as doubles; integers beyond this go as text, still typed ``int64``."""

_REFERENCE_TYPES = {"child_of": "CHILD_OF", "follows_from": "FOLLOWS_FROM"}
_FLAG_SAMPLED = 1
_FLAG_DEBUG = 2


def trace_to_json(spans: Sequence[SpanRecord]) -> JSONObject:
    """Return the spans of one trace, at least one, as Jaeger's ``Trace`` object, just as they are stored.

    Processes are named p1, p2, … in order of appearance, each once. What makes a trace pleasant to read (sorting, removing
    duplicates, warnings) is done by :mod:`~sls_tracing.backend.adjusters`.
    """
    processes = _Processes()
    return {
        "traceID": trace_id_hex(spans[0].context.trace_id or 0),
        "spans": [_span(span, processes.name_of(span.process)) for span in spans],
        "processes": processes.by_name,
        "warnings": None,
    }


def trace_id_hex(trace_id: int) -> str:
    """Return 32 hex digits, or 16 where the upper half is zero (model/ids.go)."""
    return format(trace_id, "032x" if trace_id >> 64 else "016x")


def span_id_hex(span_id: int) -> str:
    """Return 16 hex digits."""
    return format(span_id, "016x")


class _Processes:
    """The processes of a trace; equal ones (same service, same tags) share a name."""

    def __init__(self) -> None:
        self.by_name: dict[str, JSONObject] = {}
        self._names: dict[object, str] = {}

    def name_of(self, process: Process) -> str:
        # With the types: True, 1 and 1.0 compare equal in Python.
        identity = process.service_name, frozenset([(key, type(value), value) for key, value in process.tags.items()])
        name = self._names.get(identity)
        if name is None:
            name = self._names[identity] = f"p{len(self._names) + 1}"
            self.by_name[name] = {"serviceName": process.service_name, "tags": _key_values(process.tags)}
        return name


def _span(span: SpanRecord, process_name: str) -> JSONObject:
    context = span.context
    start = _microseconds(span.start_time)
    rendered: JSONObject = {
        "traceID": trace_id_hex(context.trace_id or 0),
        "spanID": span_id_hex(context.span_id or 0),
    }
    if flags := (_FLAG_SAMPLED if context.sampled else 0) | (_FLAG_DEBUG if context.debug else 0):
        rendered["flags"] = flags
    rendered |= {
        "operationName": span.operation_name,
        "references": _references(span),
        "startTime": start,
        "duration": _microseconds(span.finish_time) - start,
        "tags": _key_values(span.tags),
        "logs": [_log(log) for log in span.logs],
        "processID": process_name,
        "warnings": list(span.warnings) or None,
    }
    return rendered


def _references(span: SpanRecord) -> list[JSONObject]:
    """Render all references; a parent that none of them names comes first, as CHILD_OF (converter/thrift/jaeger/to_domain.go)."""
    trace_id, parent_id = span.context.trace_id or 0, span.context.parent_id
    references = [_reference(reference) for reference in span.references]
    if parent_id and (trace_id, parent_id) not in [link[1:] for link in span.references]:
        parent = {"refType": "CHILD_OF", "traceID": trace_id_hex(trace_id), "spanID": span_id_hex(parent_id)}
        references.insert(0, parent)
    return references


def _reference(reference: Reference) -> JSONObject:
    return {
        "refType": _REFERENCE_TYPES[reference.type],
        "traceID": trace_id_hex(reference.trace_id),
        "spanID": span_id_hex(reference.span_id),
    }


def _log(log: LogRecord) -> JSONObject:
    return {"timestamp": _microseconds(log.timestamp), "fields": _key_values(log.fields)}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _key_values(values: Mapping[str, TagValue]) -> list[JSONObject]:
    return [_key_value(key, value) for key, value in values.items()]


def _key_value(key: str, value: TagValue) -> JSONObject:
    kind, render = _VALUE_TYPES[type(value)]
    return {"key": key, "type": kind, "value": value if render is None else render(value)}


def _integer(value: int) -> int | str:
    return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)


def _float(value: float) -> float | str:
    """JSON has no word for these three. Jaeger answers 500 to the whole trace; text, as protobuf's JSON has it, costs the one tag."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _binary(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_VALUE_TYPES: dict[type, tuple[str, Callable[[Any], Any] | None]] = {
    str: ("string", None),
    bool: ("bool", None),
    int: ("int64", _integer),
    float: ("float64", _float),
    bytes: ("binary", _binary),
}
