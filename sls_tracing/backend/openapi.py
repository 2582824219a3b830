"""The OpenAPI 3.1 description that the query service publishes at ``/api/openapi.json``: what it takes and what it answers.

It is held true by tests: every route is described, and requests made from the description are sent to the real server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from sls_tracing.backend.openapi_schemas import SCHEMAS, ref
from sls_tracing.backend.query_answers import dumps, json_response
from sls_tracing.backend.query_params import SORTS
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.trace_json import JSONObject

__all__ = ["describe", "openapi_routes"]

_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_FLAG = {"type": "string", "description": "true, t or 1 in any case that Go's ParseBool takes; anything else is false"}
_INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_TIME_MS = {"type": "integer", "minimum": 0, "maximum": 2**32 * 1000}
_LENGTH_MS = {"type": "integer", "minimum": 1, "maximum": 366 * 86400 * 1000}
_LOOKBACK_MS = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_LIMIT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_DURATION = {
    "type": "string",
    "pattern": r"^([0-9]{1,6}(\.[0-9]{1,9})?(ns|us|µs|ms|s|m))+$",
    "examples": ["1.2s", "100ms", "1m30s"],
}
_RFC3339 = {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00.5Z"]}
_TAGS_JSON = {"type": "string", "contentMediaType": "application/json", "examples": ['{"error":"true"}']}
_TRACE_ID = {"type": "string", "pattern": "^[0-9a-fA-F]{1,32}$"}
_SORT = {"type": "string", "enum": list(SORTS), "default": "recent"}
_KIND = {"type": "string", "enum": ["unspecified", "internal", "server", "client", "producer", "consumer"]}


def _many(items: Mapping[str, Any]) -> JSONObject:
    return {"type": "array", "items": items}


_PRETTY = {"prettyPrint": ("indented by four", _FLAG)}
_RENDER = {"raw": ("as stored, without adjustments", _FLAG), **_PRETTY}
_SEARCH: Mapping[str, tuple[str, JSONObject]] = {
    "service": ("the service; * for all; required unless traceID is given", _TEXT),
    "operation": ("an operation of it", _TEXT),
    "start": ("µs since 1970; 48 hours ago", _INT64),
    "end": ("µs since 1970; now", _INT64),
    "limit": ("how many traces; 0 means 100", _LIMIT),
    "minDuration": ("of a span, as Go writes it", _DURATION),
    "maxDuration": ("of a span, as Go writes it", _DURATION),
    "tag": (
        "key:value; repeatable; * and ? in the value are wildcards",
        _many({"type": "string", "pattern": "^[^:]*:"}),
    ),
    "tags": ("the same as a JSON object of texts; repeatable", _many(_TAGS_JSON)),
    "traceID": ("these traces instead of a search", _many(_TRACE_ID)),
    "sort": ("which are the first `limit` of all that match", _SORT),
    "lookback": ("ignored: the UI sends start and end, too", _TEXT),
    **_RENDER,
}
_METRIC: Mapping[str, tuple[str, JSONObject]] = {
    "!service": ("the services", {**_many(_NAME), "minItems": 1}),
    "endTs": ("ms since 1970; now", _TIME_MS),
    "lookback": ("ms; an hour", _LENGTH_MS),
    "step": ("ms; 5 seconds", _LENGTH_MS),
    "ratePer": ("ms that one figure is over; 10 minutes", _LENGTH_MS),
    "spanKind": ("spans of these kinds; server", _many(_KIND)),
    "groupByOperation": ("a series an operation", {"type": "string", "enum": ["true", "false"]}),
    **_PRETTY,
}
_V3_SEARCH: Mapping[str, tuple[str, JSONObject]] = {
    "query.serviceName": ("the service; all without it", _TEXT),
    "query.operationName": ("an operation of it", _TEXT),
    "!query.startTimeMin": ("from", _RFC3339),
    "!query.startTimeMax": ("until; after query.startTimeMin", _RFC3339),
    "query.durationMin": ("of a span, as Go writes it", _DURATION),
    "query.durationMax": ("of a span, as Go writes it", _DURATION),
    "query.searchDepth": ("how many traces; 0 means 100", _LIMIT),
    "query.attributes": ("a JSON object of texts; * and ? are wildcards", _TAGS_JSON),
    "query.sort": ("which are the first of all that match", _SORT),
    "query.rawTraces": ("taken and without effect: v3 never adjusts", _FLAG),
}
_V3_WINDOW: Mapping[str, tuple[str, JSONObject]] = {
    "startTime": ("spans from", _RFC3339),
    "endTime": ("spans until", _RFC3339),
    "rawTraces": ("taken and without effect", _FLAG),
}

# path: (method, what it answers, query parameters ("!": required), schema of the answer, further statuses)
_PATHS: Mapping[str, tuple[str, str, Mapping[str, tuple[str, JSONObject]], str, Sequence[int]]] = {
    "/api/services": ("get", "All services that have spans", _PRETTY, "Names", ()),
    "/api/services/{service}/operations": ("get", "The operations of a service, by name", _PRETTY, "Names", ()),
    "/api/operations": (
        "get", "The operations of a service, with their kinds",
        {"!service": ("the service", _NAME), "spanKind": ("of this kind only", _TEXT), **_PRETTY}, "Operations", (400,),
    ),
    "/api/traces": ("get", "Traces that match, or those that are named", _SEARCH, "Traces", (400,)),
    "/api/traces/{trace_id}": (
        "get", "A trace, stored or archived",
        {"start": ("spans from, µs", _INT64), "end": ("spans until, µs", _INT64), **_RENDER}, "Traces", (400, 404),
    ),
    "/api/archive/{trace_id}": ("post", "Keeps a trace beyond the retention of what is stored", {}, "Nothing", (400, 404)),
    "/api/dependencies": (
        "get", "Which service calls which",
        {"endTs": ("ms since 1970; now", _TIME_MS), "lookback": ("ms; a day", _LOOKBACK_MS),
         "service": ("of this service only", _TEXT), **_PRETTY}, "Dependencies", (400,),
    ),
    "/api/transform": ("post", "OTLP in JSON, or lines of it, as traces; nothing is stored", _RENDER, "Traces", (400, 408, 413, 415, 503)),
    "/api/metrics/latencies": (
        "get", "Latency over time, in ms", {"!quantile": ("0 to 1", {"type": "number", "minimum": 0, "maximum": 1}), **_METRIC}, "MetricFamily", (400,),
    ),
    "/api/metrics/calls": ("get", "Calls a second over time", _METRIC, "MetricFamily", (400,)),
    "/api/metrics/errors": ("get", "Share of errors over time", _METRIC, "MetricFamily", (400,)),
    "/api/metrics/minstep": ("get", "The shortest step, in ms", {}, "MinStep", ()),
    "/api/v3/services": ("get", "All services that have spans", {}, "V3Services", ()),
    "/api/v3/operations": (
        "get", "The operations of a service, or of all",
        {"service": ("the service", _TEXT), "spanKind": ("of this kind only", _TEXT)}, "V3Operations", (),
    ),
    "/api/v3/trace-summaries": ("get", "Traces that match, in a line each", _V3_SEARCH, "V3Summaries", (400,)),
    "/api/v3/traces": ("get", "Traces that match, as OTLP", _V3_SEARCH, "V3Traces", (400, 404)),
    "/api/v3/traces/{trace_id}": ("get", "A trace as OTLP", _V3_WINDOW, "V3Traces", (400, 404)),
}  # fmt: skip

_REASONS = {
    400: "A parameter cannot be read; the message names it",
    404: "There is no such trace",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body's encoding is not supported",
    500: "The store could not answer, or has no archive",
    503: "Too many bodies at once",
}


def openapi_routes() -> list[Route]:
    """Return the route of the description."""

    async def description(request: Request) -> Response:
        return json_response(dumps(describe(request.scope.get("root_path", ""))))

    return [Route("/api/openapi.json", description)]


def describe(base_path: str = "") -> JSONObject:
    """Return the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Jaeger's query API, by sls-tracing",
            "version": __version__,
            "description": "Traces, services, dependencies and metrics. v1 errors come in v1's envelope as text/plain, as Jaeger sends them.",
        },
        "servers": [{"url": base_path or "/"}],
        "paths": {path: {entry[0]: _operation(path, *entry[1:], method=entry[0])} for path, entry in _PATHS.items()},
        "components": {"schemas": dict(SCHEMAS)},
    }


def _operation(
    path: str,
    summary: str,
    query: Mapping[str, tuple[str, JSONObject]],
    schema: str,
    statuses: Sequence[int],
    *,
    method: str,
) -> JSONObject:
    parameters = [_parameter(name, *rest) for name, rest in query.items()]
    if "{trace_id}" in path:
        parameters.insert(0, {"name": "trace_id", "in": "path", "required": True, "schema": _TRACE_ID})
    if "{service}" in path:
        parameters.insert(0, {"name": "service", "in": "path", "required": True, "schema": _NAME})
    answers: JSONObject = {"200": {"description": summary, "content": {"application/json": {"schema": ref(schema)}}}}
    error = (
        {"application/json": {"schema": ref("V3Error")}}
        if path.startswith("/api/v3/")
        else {"text/plain": {"schema": _TEXT}}
    )
    answers |= {str(status): {"description": _REASONS[status], "content": error} for status in (*statuses, 500)}
    operation: JSONObject = {"summary": summary, "operationId": f"{method} {path}", "responses": answers}
    if parameters:
        operation["parameters"] = parameters
    if path == "/api/transform":
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _OTLP_REQUEST}}}
    return operation


_OTLP_REQUEST = {
    "description": "ExportTraceServiceRequest in OTLP's JSON; see the OpenTelemetry protocol",
    "type": "object",
    "required": ["resourceSpans"],
    "properties": {"resourceSpans": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
}


def _parameter(name: str, description: str, schema: JSONObject) -> JSONObject:
    parameter: JSONObject = {"name": name.lstrip("!"), "in": "query", "description": description, "schema": schema}
    if name.startswith("!"):
        parameter["required"] = True
    return parameter
