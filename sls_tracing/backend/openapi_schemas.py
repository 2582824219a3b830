"""The shapes that the query API answers with, as JSON Schema (2020-12, OpenAPI 3.1). Members that are not listed do not occur."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.backend.trace_json import JSONObject

__all__ = ["SCHEMAS", "array", "ref"]


def ref(name: str) -> JSONObject:
    """Return a reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Mapping[str, Any]) -> JSONObject:
    """Return the schema of a list, which may be empty and is never null."""
    return {"type": "array", "items": items}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> JSONObject:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def _nullable(schema: Mapping[str, Any]) -> JSONObject:
    return {"anyOf": [schema, {"type": "null"}]}


def _envelope(data: Mapping[str, Any]) -> JSONObject:
    count = {"type": "integer", "minimum": 0}
    errors = _nullable(array(ref("Error")))
    return _object({"data": data, "total": count, "limit": count, "offset": count, "errors": errors})


_TEXT = {"type": "string"}
_TRACE_ID = {"type": "string", "pattern": "^([0-9a-f]{16}|[0-9a-f]{32})$"}
_WIDE_TRACE_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_SPAN_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_MICROS = {"type": "integer"}
_COUNT = {"type": "integer", "minimum": 0}
_NANOS = {"type": "string", "pattern": "^-?[0-9]+$"}
_WARNINGS = _nullable(array(_TEXT))
_ATTRIBUTES = array(ref("OTLPAttribute"))


def _value(kind: str, value: Mapping[str, Any]) -> JSONObject:
    return _object({"key": _TEXT, "type": {"const": kind}, "value": value})


_DIGITS = {"type": "string", "pattern": "^-?[0-9]{16,}$"}
_KEY_VALUES: Sequence[JSONObject] = [
    _value("string", _TEXT),
    _value("bool", {"type": "boolean"}),
    _value("int64", {"anyOf": [{"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1}, _DIGITS]}),
    _value("float64", {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
    _value("binary", {"type": "string", "contentEncoding": "base64"}),
]
_OTLP_VALUES: Sequence[JSONObject] = [
    _object({"stringValue": _TEXT}),
    _object({"boolValue": {"type": "boolean"}}),
    _object({"intValue": _NANOS}),
    _object({"doubleValue": {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}}),
    _object({"bytesValue": {"type": "string", "contentEncoding": "base64"}}),
]

SCHEMAS: Mapping[str, JSONObject] = {
    "Error": _object({"msg": _TEXT}, {"code": {"type": "integer"}, "traceID": _TRACE_ID}),
    "V3Error": _object({"error": _object({"httpCode": {"type": "integer"}, "message": _TEXT})}),
    "Names": _envelope(array(_TEXT)),
    "Operations": _envelope(array(_object({"name": _TEXT, "spanKind": _TEXT}))),
    "Traces": _envelope(array(ref("Trace"))),
    "Nothing": _envelope({"type": "array", "maxItems": 0}),
    "Dependencies": _envelope(
        array(_object({"parent": _TEXT, "child": _TEXT, "callCount": {"type": "integer", "minimum": 1}}))
    ),
    "MinStep": _envelope({"type": "integer", "minimum": 1}),
    "KeyValue": {"oneOf": list(_KEY_VALUES)},
    "Reference": _object({"refType": {"enum": ["CHILD_OF", "FOLLOWS_FROM"]}, "traceID": _TRACE_ID, "spanID": _SPAN_ID}),
    "Process": _object({"serviceName": _TEXT, "tags": array(ref("KeyValue"))}),
    "Log": _object({"timestamp": _MICROS, "fields": array(ref("KeyValue"))}),
    "Span": _object(
        {
            "traceID": _TRACE_ID,
            "spanID": _SPAN_ID,
            "operationName": _TEXT,
            "references": array(ref("Reference")),
            "startTime": _MICROS,
            "duration": {"type": "integer", "minimum": 0},
            "tags": array(ref("KeyValue")),
            "logs": array(ref("Log")),
            "processID": {"type": "string", "pattern": "^p[0-9]+$"},
            "warnings": _WARNINGS,
        },
        {"flags": {"type": "integer", "minimum": 1}},
    ),
    "Trace": _object(
        {
            "traceID": _TRACE_ID,
            "spans": {**array(ref("Span")), "minItems": 1},
            "processes": {"type": "object", "additionalProperties": ref("Process"), "minProperties": 1},
            "warnings": _WARNINGS,
        }
    ),
    "MetricFamily": _object(
        {
            "name": {"type": "string", "pattern": "^service_(operation_)?(latencies|call_rate|error_rate)$"},
            "type": {"const": "GAUGE"},
            "help": _TEXT,
            "metrics": array(
                _object(
                    {
                        "labels": array(_object({"name": {"enum": ["service_name", "operation"]}, "value": _TEXT})),
                        "metricPoints": array(
                            _object(
                                {
                                    "gaugeValue": _object(
                                        {"doubleValue": {"anyOf": [{"type": "number"}, {"const": "NaN"}]}}
                                    ),
                                    "timestamp": {"type": "string", "format": "date-time"},
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "V3Services": _object({"services": array(_TEXT)}),
    "V3Operations": _object(
        {"operations": array(_object({"name": _TEXT, "spanKind": {"type": "string", "minLength": 1}}))}
    ),
    "V3Summaries": _object({"summaries": array(ref("V3Summary"))}),
    "V3Summary": _object(
        {
            "traceId": _WIDE_TRACE_ID,
            "rootServiceName": _TEXT,
            "rootOperationName": _TEXT,
            "minStartTimeUnixNano": _NANOS,
            "maxEndTimeUnixNano": _NANOS,
            "spanCount": {"type": "integer", "minimum": 1},
            "errorSpanCount": _COUNT,
            "orphanSpanCount": _COUNT,
            "services": array(_object({"name": _TEXT, "spanCount": _COUNT, "errorSpanCount": _COUNT})),
        }
    ),
    "V3Traces": _object({"result": _object({"resourceSpans": array(ref("OTLPResourceSpans"))})}),
    "OTLPAttribute": _object({"key": _TEXT, "value": {"oneOf": list(_OTLP_VALUES)}}),
    "OTLPResourceSpans": _object(
        {
            "resource": _object({"attributes": _ATTRIBUTES}),
            "scopeSpans": array(
                _object({"scope": _object({}, {"name": _TEXT, "version": _TEXT}), "spans": array(ref("OTLPSpan"))})
            ),
        }
    ),
    "OTLPSpan": _object(
        {
            "traceId": _WIDE_TRACE_ID,
            "spanId": _SPAN_ID,
            "flags": {"type": "integer"},
            "name": _TEXT,
            "kind": {"type": "integer", "minimum": 0, "maximum": 5},
            "startTimeUnixNano": _NANOS,
            "endTimeUnixNano": _NANOS,
            "attributes": _ATTRIBUTES,
            "events": array(_object({"timeUnixNano": _NANOS, "name": _TEXT, "attributes": _ATTRIBUTES})),
            "links": array(_object({"traceId": _WIDE_TRACE_ID, "spanId": _SPAN_ID, "attributes": _ATTRIBUTES})),
            "status": _object({}, {"code": {"enum": [1, 2]}, "message": _TEXT}),
        },
        {"parentSpanId": _SPAN_ID, "traceState": _TEXT},
    ),
}
