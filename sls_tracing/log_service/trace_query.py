"""What to look for among traces, as a statement of the query language and as a test of a span in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.dialects.values import as_text, to_json, to_key_value
from sls_tracing.log_service.query.quoting import search_value, sql_name, sql_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.log_service.index import Index
    from sls_tracing.model import SpanRecord, TagValue

__all__ = ["Statement", "TraceQuery", "find_statement", "meets"]

_CANDIDATES = 10  # traces looked at for each one wanted, where the store cannot decide exactly


class TraceQuery(NamedTuple):
    """Which traces: every condition must hold on one and the same span. Durations and times are in seconds, bounds included.

    A tag matches, as its text, a tag of the span, of its process, or a field of its logs.
    """

    service: str = ""
    operation: str = ""
    tags: Mapping[str, TagValue] = {}
    min_duration: float | None = None
    max_duration: float | None = None
    start_min: float | None = None
    start_max: float | None = None
    limit: int = 20


class Statement(NamedTuple):
    """A query whose rows are ``traceID`` and ``started`` (µs), newest first. Not ``exact``: a row may be a near miss."""

    text: str
    exact: bool


def find_statement(query: TraceQuery, index: Index) -> Statement:
    """Return the statement that finds the traces of ``query`` in a logstore with ``index``."""
    search: list[str] = []
    where: list[str] = []
    for field, name in (("process.serviceName", query.service), ("operationName", query.operation)):
        if name:
            search.append(f"{field}: {search_value(name)}")
            where.append(f"{sql_name(field)} = {sql_value(name)}")
    bounds = (("duration", query.min_duration, query.max_duration), ("startTime", query.start_min, query.start_max))
    for field, low, high in bounds:
        search += [f"{field} >= {_micros(low)}"] if low is not None else []
        search += [f"{field} <= {_micros(high)}"] if high is not None else []
    exact = True
    for key, value in query.tags.items():
        conditions = _tag_conditions(key, as_text(value), index)
        if conditions:
            where.append(f"({' or '.join(conditions)})")
        else:  # no index knows the tag: look for its value anywhere, and let `meets` decide
            exact = False
            search.append(search_value(as_text(value)))
    limit = max(0, query.limit) * (1 if exact else _CANDIDATES)
    condition = f" where {' and '.join(where)}" if where else ""
    sql = f"select traceID, max(startTime) as started from log{condition} group by traceID order by started desc limit {limit}"
    return Statement(f"{' and '.join(search) or '*'} | {sql}", exact)


def _tag_conditions(key: str, text: str, index: Index) -> list[str]:
    conditions = []
    for name in ("tags." + key, "process.tags." + key):
        if not index.can_search(name):
            continue
        field = index.keys.get(name)
        if field is None or field.type in ("text", "json"):
            conditions.append(f"{sql_name(name)} = {sql_value(text)}")
        elif _is_number(text):
            conditions.append(f"{sql_name(name)} = {text}")
        else:
            conditions.append("1 = 0")
    if index.can_search("logs"):
        conditions += [f"strpos(logs, {sql_value(needle)}) > 0" for needle in _log_needles(key, text)]
    return conditions


def _log_needles(key: str, text: str) -> list[str]:
    """Return how a log field with this text may stand in the ``logs`` JSON: the writer's spelling is fixed, member order and all."""
    values: list[TagValue] = [text]
    if text in ("true", "false"):
        values.append(text == "true")
    if _is_number(text):
        values += [
            value for value in (float(text), int(text) if text.lstrip("-").isdigit() else None) if value is not None
        ]
    return [to_json(to_key_value(key, value))[1:] for value in values if as_text(value) == text]


def meets(record: SpanRecord, query: TraceQuery) -> bool:
    """Whether this one span meets every condition of ``query``."""
    start = round(record.start_time * 1e6)
    duration = round(record.finish_time * 1e6) - start
    return (
        query.service in ("", record.process.service_name)
        and query.operation in ("", record.operation_name)
        and _within(duration, query.min_duration, query.max_duration)
        and _within(start, query.start_min, query.start_max)
        and all(_has_tag(record, key, as_text(value)) for key, value in query.tags.items())
    )


def _has_tag(record: SpanRecord, key: str, text: str) -> bool:
    places = [record.tags, record.process.tags, *(log.fields for log in record.logs)]
    return any(key in place and as_text(place[key]) == text for place in places)


def _within(micros: int, low: float | None, high: float | None) -> bool:
    return (low is None or micros >= _micros(low)) and (high is None or micros <= _micros(high))


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text) is not None
