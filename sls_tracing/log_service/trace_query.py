"""What to look for among traces, as a statement of the query language and as a test of a span in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sls_tracing.log_service.dialects.values import as_text, to_json, to_key_value
from sls_tracing.log_service.query.quoting import search_value, sql_name, sql_value
from sls_tracing.log_service.wildcards import Pattern, literal, pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.log_service.index import Index
    from sls_tracing.model import SpanRecord, TagValue

__all__ = ["Statement", "TraceQuery", "find_statement", "meets"]

Order: TypeAlias = Literal["recent", "longest", "shortest", "most_spans", "most_errors"]

_ORDERS: Mapping[Order, str] = {
    "longest": "max(startTime + duration) - min(startTime)",
    "shortest": "max(startTime + duration) - min(startTime)",
    "most_spans": "count(1)",
    "most_errors": "sum(case when {error} = 'true' then 1 else 0 end)",
}
_DIRECTIONS: Mapping[Order, str] = {"longest": " desc", "shortest": "", "most_spans": " desc", "most_errors": " desc"}
_CANDIDATES = 10  # traces looked at for each one wanted, where the store cannot decide exactly


class TraceQuery(NamedTuple):
    r"""Which traces: every condition must hold on one and the same span. Durations and times are in seconds, bounds included.

    A tag matches, as its text, a tag of the span, of its process, or a field of its logs. In a tag's value ``*`` stands for any text and ``?``
    for any character; ``\*`` is a star. ``order`` says which of all that match are the first ``limit``: the most ``recent`` ones, or by the whole trace
    the ``longest``, the ``shortest``, those with ``most_spans`` or ``most_errors``.
    """

    service: str = ""
    operation: str = ""
    tags: Mapping[str, TagValue] = {}
    min_duration: float | None = None
    max_duration: float | None = None
    start_min: float | None = None
    start_max: float | None = None
    limit: int = 20
    order: Order = "recent"


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
    limits = _limits("duration", query.min_duration, query.max_duration)
    limits += _limits("startTime", query.start_min, query.start_max)
    exact = True
    for key, value in query.tags.items():
        conditions = _tag_conditions(key, as_text(value), index)
        if conditions:
            where.append(f"({' or '.join(conditions)})")
        else:  # no index knows the tag: look for its value anywhere, and let `meets` decide
            exact = False
            if pattern(as_text(value)) is None:
                search.append(search_value(literal(as_text(value))))
    limit = max(0, query.limit) * (1 if exact else _CANDIDATES)
    if query.order == "recent":
        condition = f" where {' and '.join(where)}" if where else ""
        sql = f"select traceID, max(startTime) as started from log{condition} group by traceID order by started desc, traceID limit {limit}"
        return Statement(f"{' and '.join((*search, *limits)) or '*'} | {sql}", exact)
    return Statement(_ordered_by_whole_traces(query.order, [*where, *limits], limit, index), exact)


def _ordered_by_whole_traces(order: Order, where: Sequence[str], limit: int, index: Index) -> str:
    """Return the statement that looks at all spans of a trace: the conditions stand in a sub-query, since the search would leave the others out."""
    among = f" where traceID in (select traceID from log where {' and '.join(where)})" if where else ""
    errors = sql_name("tags.error") if index.can_search("tags.error") else "''"
    return (
        f"* | select traceID, max(startTime) as started, {_ORDERS[order].format(error=errors)} as ranked "
        f"from log{among} group by traceID order by ranked{_DIRECTIONS[order]}, started desc, traceID limit {limit}"
    )


def _limits(field: str, low: float | None, high: float | None) -> list[str]:
    limits = [f"{field} >= {_micros(low)}"] if low is not None else []
    return limits + ([f"{field} <= {_micros(high)}"] if high is not None else [])


def _tag_conditions(key: str, text: str, index: Index) -> list[str]:
    conditions = []
    wildcards = pattern(text)
    plain = literal(text)
    for name in ("tags." + key, "process.tags." + key):
        if not index.can_search(name):
            continue
        field = index.keys.get(name)
        is_text = field is None or field.type in ("text", "json")
        if wildcards is not None:
            column = sql_name(name) if is_text else f"cast({sql_name(name)} as varchar)"
            conditions.append(f"{column} like {sql_value(wildcards.like)} escape '!'")
        elif is_text:
            conditions.append(f"{sql_name(name)} = {sql_value(plain)}")
        elif _is_number(plain):
            conditions.append(f"{sql_name(name)} = {plain}")
        else:
            conditions.append("1 = 0")
    if index.can_search("logs"):
        if wildcards is None:
            conditions += [f"strpos(logs, {sql_value(needle)}) > 0" for needle in _log_needles(key, plain)]
        else:
            conditions.append(f"regexp_like(logs, {sql_value(_log_pattern(key, wildcards))})")
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


def _log_pattern(key: str, wildcards: Pattern) -> str:
    """Return the same for a text with wildcards: of numbers the integers only, since a float stands there as its bits."""
    name = re.escape(to_json({"key": key})[1:-1])
    if wildcards.matches_everything:
        return name + ',"vType"'
    forms = [f'"string","vStr":"{wildcards.in_json}"', f'"int64","vNum":{wildcards.in_number}\\}}']
    zeros: tuple[TagValue, ...] = (
        "",
        0,
        False,
        True,
    )  # what the writer says by leaving the value out, and its one other form
    forms += [
        re.escape(to_json(to_key_value("", value)).partition('"vType":')[2])
        for value in zeros
        if wildcards.matches(as_text(value))
    ]
    return f'{name},"vType":(?:{"|".join(forms)})'


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
    wildcards = pattern(text)
    if wildcards is not None:
        return any(key in place and wildcards.matches(as_text(place[key])) for place in places)
    return any(key in place and as_text(place[key]) == literal(text) for place in places)


def _within(micros: int, low: float | None, high: float | None) -> bool:
    return (low is None or micros >= _micros(low)) and (high is None or micros <= _micros(high))


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text) is not None
