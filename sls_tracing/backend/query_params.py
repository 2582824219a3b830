"""The parameters of the query API, read by Jaeger's rules (jaegertracing/jaeger v1.65.0, cmd/query/app/query_parser.go).

``Parameters`` are what ``urllib.parse.parse_qs`` makes of a query string: a name may repeat, and where one value is meant the first
one counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from sls_tracing.log_service import TraceQuery

if TYPE_CHECKING:
    from sls_tracing.log_service.trace_query import Order

__all__ = [
    "ParameterError",
    "Parameters",
    "first",
    "flag",
    "parse_dependencies",
    "parse_duration",
    "parse_limit",
    "parse_microseconds",
    "parse_milliseconds",
    "parse_sort",
    "parse_tags_json",
    "parse_trace_id",
    "parse_trace_ids",
    "parse_trace_query",
]

Parameters: TypeAlias = Mapping[str, Sequence[str]]

ALL_SERVICES = "*"
"""What stands in ``service`` for every service; Jaeger's API has no word for it."""

SORTS: Mapping[str, Order] = {
    "recent": "recent",
    "longest": "longest",
    "shortest": "shortest",
    "spans": "most_spans",
    "errors": "most_errors",
}
"""What ``sort``, a parameter that Jaeger has not, makes of "the first ``limit``": of all that match, and as in the pages' addresses."""

DEFAULT_LIMIT = 100
DEFAULT_LOOKBACK = 48 * 3600.0
"""Seconds before now where a search begins that names no start."""

DEPENDENCIES_LOOKBACK = 24 * 3600.0

_INT32 = 2**31
_INT64 = 2**63

_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+|0)")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))  # strconv.ParseBool


class ParameterError(ValueError):
    """A parameter cannot be read. The message goes to the client, with status 400."""


def first(parameters: Parameters, name: str) -> str:
    """Return the first value of ``name``, or the empty text: an empty value counts as absent."""
    return parameters.get(name, ("",))[0]


def flag(parameters: Parameters, name: str) -> bool:
    """Return whether ``name`` is true as Go spells it; anything else is false, as in Jaeger."""
    return first(parameters, name) in _TRUE


def parse_trace_query(parameters: Parameters, now: float) -> TraceQuery:
    """Return what ``/api/traces`` shall search for. Times and durations become seconds."""
    start = parse_microseconds(parameters, "start")
    end = parse_microseconds(parameters, "end")
    shortest = parse_duration(parameters, "minDuration")
    longest = parse_duration(parameters, "maxDuration")
    tags = _parse_tags(parameters)
    limit = parse_limit(parameters) or DEFAULT_LIMIT
    service = first(parameters, "service")
    if not service:
        raise ParameterError("parameter 'service' is required")
    if shortest and longest and longest < shortest:
        raise ParameterError("'maxDuration' should be greater than 'minDuration'")
    return TraceQuery(
        service="" if service == ALL_SERVICES else service,
        operation=first(parameters, "operation"),
        tags=tags,
        min_duration=shortest or None,
        max_duration=longest or None,
        start_min=now - DEFAULT_LOOKBACK if start is None else start,
        start_max=now if end is None else end,
        limit=limit,
        order=parse_sort(parameters, "sort"),
    )


def parse_sort(parameters: Parameters, name: str) -> Order:
    """Read which of all traces that match are the first ones; the most recent unless told otherwise."""
    text = first(parameters, name) or "recent"
    if text not in SORTS:
        raise ParameterError(f"parameter '{name}' is one of {', '.join(SORTS)}, not {text[:40]!r}")
    return SORTS[text]


def parse_dependencies(parameters: Parameters, now: float) -> tuple[float, float]:
    """Return the end of the time that dependencies are asked for, and its length, in seconds."""
    end = parse_milliseconds(parameters, "endTs")
    lookback = parse_milliseconds(parameters, "lookback")
    if lookback is not None and lookback < 0:
        raise ParameterError(f"unable to parse param 'lookback': {lookback:g} s is negative")
    return now if end is None else end, DEPENDENCIES_LOOKBACK if lookback is None else lookback


def parse_trace_ids(parameters: Parameters) -> list[int]:
    """Return every ``traceID``, which asks for these traces instead of a search."""
    return [parse_trace_id(text) for text in parameters.get("traceID", ())]


def parse_trace_id(text: str) -> int:
    """Read 1 to 32 hex digits of either case."""
    if not _TRACE_ID.fullmatch(text):
        raise ParameterError(f"cannot parse trace ID {text[:100]!r}: 1 to 32 hex digits are expected")
    return int(text, 16)


def parse_microseconds(parameters: Parameters, name: str) -> float | None:
    """Read a time in microseconds since the epoch; return seconds, or None when it is absent."""
    text = first(parameters, name)
    return _parse_integer(name, text, _INT64) / 1e6 if text else None


def parse_milliseconds(parameters: Parameters, name: str) -> float | None:
    """Read milliseconds, of a duration or since the epoch; return seconds, or None when it is absent."""
    text = first(parameters, name)
    return _parse_integer(name, text, _INT64) / 1e3 if text else None


def parse_duration(parameters: Parameters, name: str) -> float:
    """Read a duration as Go writes it ("1.2s", "1m30s", "500us"); return seconds, 0 when it is absent."""
    text = first(parameters, name)
    if not text:
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ParameterError(
            f"unable to parse param '{name}': invalid duration {text[:100]!r}, a number with a unit is expected "
            "(ns, us, ms, s, m, h), as in 1.2s, 100ms or 1m30s"
        )
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(match[2]))
    if seconds * 1e9 >= _INT64:
        raise ParameterError(f"unable to parse param '{name}': duration {text[:100]!r} is too long")
    return -seconds if match[1] == "-" else seconds


def parse_limit(parameters: Parameters, name: str = "limit") -> int:
    """Read how many traces are wanted; 0 when that is absent."""
    text = first(parameters, name)
    limit = _parse_integer(name, text, _INT32) if text else 0
    if limit < 0:
        raise ParameterError(f"unable to parse param '{name}': {limit} is negative")
    return limit


def _parse_integer(name: str, text: str, bound: int) -> int:
    if not _INTEGER.fullmatch(text) or not -bound <= int(text) < bound:
        raise ParameterError(
            f"unable to parse param '{name}': {text[:100]!r} is not an integer of {bound.bit_length()} bits"
        )
    return int(text)


def _parse_tags(parameters: Parameters) -> dict[str, str]:
    """Read ``tag=key:value`` and ``tags={"key":"value"}``; both may repeat, and of one key the last value counts."""
    tags: dict[str, str] = {}
    for text in parameters.get("tag", ()):
        key, colon, value = text.partition(":")
        if not colon:
            raise ParameterError(f"malformed 'tag' parameter, expecting key:value, received: {text[:100]}")
        tags[key] = value
    for text in parameters.get("tags", ()):
        tags.update(parse_tags_json(text))
    return tags


def parse_tags_json(text: str, name: str = "tags") -> dict[str, str]:
    """Read a JSON object of texts."""
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"malformed '{name}' parameter, cannot unmarshal JSON: {error}") from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise ParameterError(
            f"malformed '{name}' parameter, cannot unmarshal JSON: an object with text values is expected, "
            'as in {"error":"true"}'
        )
    return tags
