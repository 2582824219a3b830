"""The parameters of Jaeger's HTTP API v3 (jaegertracing/jaeger v2.20.0, apiv3/query_parser.go).

A name is spelled ``query.serviceName`` or ``query.service_name``; the first spelling is the UI's, and where both come the first one that has a value counts.
"""

from __future__ import annotations

import re

from sls_tracing.backend.query_params import (
    DEFAULT_LIMIT,
    ParameterError,
    Parameters,
    first,
    flag,
    parse_duration,
    parse_limit,
    parse_sort,
    parse_tags_json,
)
from sls_tracing.log_service import TraceQuery
from sls_tracing.log_service.dialects.values import from_time

__all__ = ["is_raw", "parse_time", "parse_v3_query"]


def parse_v3_query(parameters: Parameters) -> TraceQuery:
    """Return what to search for. Both ends of the time are required; without a service all services are searched."""
    start = _required_time(parameters, "query.startTimeMin", "query.start_time_min")
    end = _required_time(parameters, "query.startTimeMax", "query.start_time_max")
    if start >= end:
        raise ParameterError("query.startTimeMin must be before query.startTimeMax")
    shortest = _duration(parameters, "query.durationMin", "query.duration_min")
    longest = _duration(parameters, "query.durationMax", "query.duration_max")
    if shortest and longest and longest < shortest:
        raise ParameterError("query.durationMax must not be less than query.durationMin")
    depth = _name(parameters, "query.searchDepth", "query.search_depth", "query.numTraces", "query.num_traces")
    attributes = first(parameters, "query.attributes")
    return TraceQuery(
        service=_value(parameters, "query.serviceName", "query.service_name"),
        operation=_value(parameters, "query.operationName", "query.operation_name"),
        tags=parse_tags_json(attributes, "query.attributes") if attributes else {},
        min_duration=shortest or None,
        max_duration=longest or None,
        start_min=start,
        start_max=end,
        limit=parse_limit(parameters, depth) or DEFAULT_LIMIT,
        order=parse_sort(parameters, "query.sort"),
    )


def is_raw(parameters: Parameters, *names: str) -> bool:
    """Return whether one of the names is true."""
    return any(flag(parameters, name) for name in names)


def parse_time(parameters: Parameters, *names: str) -> float | None:
    """Read a time in RFC 3339 with up to nine digits of a second; return seconds, or None when it is absent."""
    name = _name(parameters, *names)
    text = first(parameters, name)
    if not text:
        return None
    text = re.sub(r" (?=\d\d:\d\d$)", "+", text)  # a plus that was not encoded, as in 2026-01-31T12:00:00+02:00
    try:
        return from_time(text)
    except (ValueError, OverflowError):
        raise ParameterError(
            f"cannot parse parameter {name}: {text[:60]!r} is not a time as in 2026-01-31T12:00:00.5Z"
        ) from None


def _required_time(parameters: Parameters, *names: str) -> float:
    time = parse_time(parameters, *names)
    if time is None:
        raise ParameterError(f"parameter {names[0]} is required: a time as in 2026-01-31T12:00:00.5Z")
    return time


def _duration(parameters: Parameters, *names: str) -> float:
    return parse_duration(parameters, _name(parameters, *names))


def _value(parameters: Parameters, *names: str) -> str:
    return first(parameters, _name(parameters, *names))


def _name(parameters: Parameters, *names: str) -> str:
    return next((name for name in names if first(parameters, name)), names[0])
