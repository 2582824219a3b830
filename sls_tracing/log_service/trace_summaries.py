"""What a list of traces shows of each, computed by the store: a search must not carry the spans of every trace that it lists.

A trace of 20,000 spans costs seconds to fetch and one row to count.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.logstore import END_OF_TIME
from sls_tracing.log_service.query.quoting import sql_name, sql_value
from sls_tracing.log_service.trace_fetching import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.log_service.index import Index
    from sls_tracing.log_service.trace_query import TraceQuery
    from sls_tracing.log_service.trace_store import TraceStore
    from sls_tracing.model import SpanRecord

__all__ = ["ServiceShare", "TraceSummary", "find_summaries", "summarise"]

MARGIN = 3600
"""Seconds around the spans that were found in which the rest of their traces is counted."""

_NO_PARENT = ("0", "", "0000000000000000", "null")
_LATER = 4 * 10**15
"""Microseconds, more than a century: what is put off by it comes after every span that is not."""


class ServiceShare(NamedTuple):
    """How many of a trace's spans are a service's, and how many of them failed."""

    service: str
    spans: int
    errors: int


class TraceSummary(NamedTuple):
    """One trace of a list; times in seconds. The title's service and operation are those of its first span without a parent.

    ``orphans`` are the spans whose parent is not in the trace: late, lost, or sampled away.
    """

    trace_id: int
    service: str
    operation: str
    start: float
    duration: float
    spans: int
    errors: int
    services: Sequence[ServiceShare]
    orphans: int = 0


def find_summaries(store: TraceStore, query: TraceQuery) -> list[TraceSummary]:
    """Return what :meth:`TraceStore.find_traces` finds, in its order, without fetching a span if the index decides every condition."""
    found = store.find_trace_ids(query)
    if not found.exact:
        return [summarise(spans) for spans in store.iter_traces(query)]
    if not found.starts:
        return []
    window = max(0, min(found.starts.values()) - MARGIN), min(END_OF_TIME, max(found.starts.values()) + MARGIN)
    rows: dict[int, list[Mapping[str, str]]] = {}
    for row in store.rows(_counts(found.starts, store.index), *window):
        rows.setdefault(int(row["traceID"], 16), []).append(row)
    hits = (_read(trace_id, rows[trace_id]) for trace_id in found.starts if trace_id in rows)
    return list(islice(hits, max(0, query.limit)))


def summarise(spans: Sequence[SpanRecord]) -> TraceSummary:
    """Count the spans of one trace that is here already."""
    shares: dict[str, list[int]] = {}
    known = {span.context.span_id for span in spans}
    for span in spans:
        share = shares.setdefault(span.process.service_name, [0, 0])
        share[0] += 1
        share[1] += span.tags.get("error") in (True, "true")
    first = min(spans, key=lambda span: (span.context.parent_id is not None, span.start_time))
    start = min(span.start_time for span in spans)
    return TraceSummary(
        trace_id=first.context.trace_id or 0,
        service=first.process.service_name,
        operation=first.operation_name,
        start=start,
        duration=max(span.finish_time for span in spans) - start,
        spans=len(spans),
        errors=sum(errors for _, errors in shares.values()),
        services=[ServiceShare(service, *share) for service, share in sorted(shares.items())],
        orphans=sum(span.context.parent_id not in (None, *known) for span in spans),
    )


def _counts(trace_ids: Iterable[int], index: Index) -> str:
    """Return the statement that counts, a row for each service of a trace. A span that was delivered twice counts once."""
    error = sql_name("tags.error") if index.can_search("tags.error") else "''"
    ids = [sql_value(each) for trace_id in trace_ids for each in spellings(trace_id)]
    is_root = f"s.parentSpanID in ({', '.join(map(sql_value, _NO_PARENT))})"
    rank = f"case when {is_root} then s.startTime else s.startTime + {_LATER} end"
    return (
        "* | with spans as (select traceID, spanID, coalesce(parentSpanID, '0') as parentSpanID, \"process.serviceName\" as service, "
        f"operationName, startTime, duration, max(case when {error} = 'true' then 1 else 0 end) as failed from log "
        f"where traceID in ({', '.join(ids)}) group by 1, 2, 3, 4, 5, 6, 7), "
        "known as (select distinct traceID, spanID from spans) "
        "select s.traceID as traceID, s.service as service, count(1) as spans, sum(s.failed) as errors, "
        f"sum(case when {is_root} or k.spanID is not null then 0 else 1 end) as orphans, min(s.startTime) as began, "
        f"max(s.startTime + s.duration) as ended, min({rank}) as first, min_by(s.operationName, {rank}) as operation "
        "from spans s left join known k on k.traceID = s.traceID and k.spanID = s.parentSpanID "
        "group by s.traceID, s.service order by first limit 100000"
    )


def _read(trace_id: int, rows: Sequence[Mapping[str, str]]) -> TraceSummary:
    first = min(rows, key=lambda row: _number(row["first"]))
    start = min(_number(row["began"]) for row in rows)
    shares = [ServiceShare(row["service"], _number(row["spans"]), _number(row["errors"])) for row in rows]
    return TraceSummary(
        trace_id=trace_id,
        service=first["service"],
        operation=first["operation"],
        start=start / 1e6,
        duration=(max(_number(row["ended"]) for row in rows) - start) / 1e6,
        spans=sum(share.spans for share in shares),
        errors=sum(share.errors for share in shares),
        services=sorted(shares),
        orphans=sum(_number(row["orphans"]) for row in rows),
    )


def _number(text: str) -> int:
    """Read a count. Nothing to count among spans of which none has the field is ``null``, and none of them failed."""
    return 0 if text in ("null", "") else int(float(text))
