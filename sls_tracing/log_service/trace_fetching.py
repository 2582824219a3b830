"""Whole traces out of a logstore by their ids, under every spelling that some writer uses, repeated deliveries left out."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from sls_tracing.guard import limited_log
from sls_tracing.log_service.dialects import read_log
from sls_tracing.log_service.logstore import ValueLookup, search_all
from sls_tracing.log_service.query.quoting import search_value
from sls_tracing.log_service.query.search import MAX_TERMS
from sls_tracing.metrics import counters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.log_service.logstore import Logstore
    from sls_tracing.model import SpanRecord

__all__ = ["count_unreadable", "fetch_traces", "spellings"]

_BY_SEARCH = MAX_TERMS // 3
"""Traces that one search can name: an id has up to three spellings."""

_BY_LOOKUP = 250
"""Traces of one lookup: what is in memory at a time."""


def fetch_traces(
    logstore: Logstore,
    trace_ids: Sequence[int],
    from_time: int,
    to_time: int,
    *,
    max_spans: int | None = None,
) -> Iterator[list[SpanRecord]]:
    """Yield the traces that are there, in the order of ``trace_ids``, each by start time; many with one search.

    Of each at most ``max_spans`` spans, the earliest ones.
    """
    at_once = _BY_LOOKUP if isinstance(logstore, ValueLookup) else _BY_SEARCH
    for begin in range(0, len(trace_ids), at_once):
        wanted = trace_ids[begin : begin + at_once]
        traces, whole = _search(logstore, wanted, (from_time, to_time), max_spans)
        if not whole and len(wanted) > 1:  # one of them is too long: each by itself, or the others would lack spans
            for trace_id in wanted:
                yield from fetch_traces(logstore, [trace_id], from_time, to_time, max_spans=max_spans)
            continue
        yield from (_in_order(_distinct(traces[trace_id])) for trace_id in wanted if trace_id in traces)


def _search(
    logstore: Logstore, trace_ids: Sequence[int], times: tuple[int, int], most: int | None
) -> tuple[dict[int, list[SpanRecord]], bool]:
    """Return the spans of each trace, and whether these are all."""
    traces: dict[int, list[SpanRecord]] = defaultdict(list)
    names = [each for trace_id in trace_ids for each in spellings(trace_id)]
    if isinstance(logstore, ValueLookup):
        logs = logstore.logs_with("traceID", names, *times, most=None if most is None else most + 1)
    else:
        logs = search_all(logstore, " or ".join(f"traceID: {search_value(each)}" for each in names), *times)
    for contents in islice(logs, most):
        try:
            span = read_log(contents)
        except (ValueError, KeyError) as error:
            count_unreadable(str(error))
            continue
        if span.context.trace_id is not None:
            traces[span.context.trace_id].append(span)
    return traces, most is None or next(logs, None) is None


def spellings(trace_id: int) -> list[str]:
    """Return the forms that writers give an id."""
    return list(dict.fromkeys((f"{trace_id:016x}", f"{trace_id:032x}", f"{trace_id:x}")))


def _distinct(spans: Sequence[SpanRecord]) -> list[SpanRecord]:
    """Drop repeated deliveries. Spans that share an id and differ stay: Zipkin's client and server sides of one call do.

    Two writers may have stored the same span, each in its own way: what is the same then is who did what when. The one with more to say stays.
    """
    distinct: dict[tuple[object, ...], SpanRecord] = {}
    for span in spans:
        what = (
            span.context.span_id,
            span.process.service_name,
            span.operation_name,
            str(span.tags.get("span.kind", "")),
        )
        key = (*what, span.start_time, span.finish_time)
        known = distinct.get(key)
        if known is None or _says(span) > _says(known):
            distinct[key] = span
    return list(distinct.values())


def _says(span: SpanRecord) -> tuple[int, int, int]:
    return len(span.logs), len(span.tags), sum(type(value) is not str for value in span.tags.values())


def _in_order(spans: list[SpanRecord]) -> list[SpanRecord]:
    return sorted(spans, key=lambda span: (span.start_time, -span.finish_time))


def count_unreadable(reason: str) -> None:
    """Count a stored log that is no readable span, and say so at a limited rate."""
    counters.add("log_service_logs_unreadable")
    limited_log.warning("log_service_logs_unreadable", "a stored log is no readable span: %s", reason)
