"""Spans into a logstore and traces out of it, written once in the query language, for the real service and the embedded one alike.

A query has two halves with different strengths, and the methods here use each for its own: the search half is answered from the
index but finds words (``process.serviceName: "a"`` also finds service ``a/b``), the SQL half is exact. Whole spans are always fetched by
search, never by ``select *``: an analysis cuts long values.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.clock import wall_clock
from sls_tracing.guard import limited_log
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.log_service.logstore import END_OF_TIME, LogGroup, complete_page, search_all
from sls_tracing.log_service.query.quoting import search_value, sql_name, sql_value
from sls_tracing.log_service.query.search import MAX_TERMS
from sls_tracing.log_service.trace_query import TraceQuery, find_statement, meets
from sls_tracing.metrics import counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.dialects import Dialect
    from sls_tracing.log_service.logstore import Log, Logstore
    from sls_tracing.model import SpanRecord

__all__ = ["Operation", "TraceQuery", "TraceStore"]

ACCEPTED_PAST = 7 * 86400
ACCEPTED_FUTURE = 15 * 60
"""Seconds around now in which Log Service takes a log; one log outside makes it refuse the whole request."""

_MAX_NAMES = 10_000


class Operation(NamedTuple):
    """An operation of a service; ``span_kind`` is empty where spans do not say."""

    name: str
    span_kind: str = ""


class TraceStore:
    """Write spans, get and find traces, list services and operations, in any logstore.

    ``look_back`` limits in seconds how far back services, operations and traces without a time range are looked for; None means all that is
    stored. What fails raises :class:`~sls_tracing.log_service.logstore.LogServiceError`.
    """

    def __init__(
        self,
        logstore: Logstore,
        dialect: Dialect = jaeger_legacy,
        *,
        look_back: float | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self._logstore = logstore
        self._dialect = dialect
        self._look_back = look_back
        self._clock = clock

    def write(self, spans: Iterable[SpanRecord]) -> None:
        """Store the spans. They are safe once this returned; a span that cannot be a log costs itself only."""
        now = self._clock()
        accepted: list[Log] = []
        untimely: list[Log] = []
        for span in spans:
            try:
                log = self._dialect.to_log(span)
            except (TypeError, ValueError, AttributeError, OverflowError, KeyError) as error:
                counters.add("log_service_spans_unwritable")
                limited_log.warning("log_service_spans_unwritable", "a span cannot be stored: %s", error)
                continue
            (accepted if now - ACCEPTED_PAST <= log.time <= now + ACCEPTED_FUTURE else untimely).append(log)
        for logs in (accepted, untimely):
            if logs:
                self._logstore.put_logs(LogGroup(logs, source="0.0.0.0"))

    def get_trace(self, trace_id: int, start: float | None = None, end: float | None = None) -> list[SpanRecord]:
        """Return the trace's spans by start time, all of them, however many; empty if there are none.

        ``start`` and ``end`` in seconds narrow the search to spans that started between them.
        """
        return self._fetch([trace_id], *self._window(start, end)).get(trace_id, [])

    def find_traces(self, query: TraceQuery) -> list[list[SpanRecord]]:
        """Return whole traces with a span that meets the query, newest first."""
        window = self._window(query.start_min, query.start_max)
        statement = find_statement(query, self._logstore.get_index())
        found = dict.fromkeys(self._trace_ids(self._rows(statement.text, *window)))
        traces = self._fetch(list(found), *self._window(None, None))
        hits = (traces[trace_id] for trace_id in found if trace_id in traces)
        if not statement.exact:
            hits = (trace for trace in hits if any(meets(span, query) for span in trace))
        return list(islice(hits, max(0, query.limit)))

    def services(self) -> list[str]:
        """Return the names of all services that have spans, sorted."""
        sql = f'select distinct "process.serviceName" as service from log order by service limit {_MAX_NAMES}'
        rows = self._rows(f"* | {sql}", *self._window(None, None))
        return [row["service"] for row in rows if row["service"] not in ("", "null")]

    def operations(self, service: str, span_kind: str | None = None) -> list[Operation]:
        """Return the operations of a service, sorted; only those of ``span_kind`` if one is named."""
        kind = sql_name("tags.span.kind") if self._logstore.get_index().can_search("tags.span.kind") else "''"
        sql = (
            f'select operationName as operation, {kind} as kind from log where "process.serviceName" = {sql_value(service)} '
            f"group by 1, 2 order by 1, 2 limit {_MAX_NAMES}"
        )
        rows = self._rows(f"process.serviceName: {search_value(service)} | {sql}", *self._window(None, None))
        operations = [Operation(row["operation"], "" if row["kind"] == "null" else row["kind"]) for row in rows]
        return [operation for operation in operations if span_kind is None or operation.span_kind == span_kind]

    def close(self) -> None:
        """Close the logstore."""
        self._logstore.close()

    def _window(self, start: float | None, end: float | None) -> tuple[int, int]:
        earliest = 0 if self._look_back is None else self._clock() - self._look_back
        return (
            max(0, int(earliest if start is None else start)),
            END_OF_TIME if end is None else min(END_OF_TIME, int(end) + 1),
        )

    def _rows(self, query: str, from_time: int, to_time: int) -> list[Mapping[str, str]]:
        return complete_page(self._logstore, query, from_time, to_time).logs

    def _trace_ids(self, rows: Iterable[Mapping[str, str]]) -> Iterator[int]:
        for row in rows:
            try:
                yield int(row["traceID"], 16)
            except ValueError:
                _count_unreadable(f"traceID {row['traceID'][:40]!r}")

    def _fetch(self, trace_ids: Sequence[int], from_time: int, to_time: int) -> dict[int, list[SpanRecord]]:
        """Fetch whole traces, many with one search: each under every spelling of its id that some writer uses."""
        traces: dict[int, list[SpanRecord]] = defaultdict(list)
        spellings = [spelling for trace_id in trace_ids for spelling in _spellings(trace_id)]
        for begin in range(0, len(spellings), MAX_TERMS):
            terms = [f"traceID: {search_value(each)}" for each in spellings[begin : begin + MAX_TERMS]]
            for contents in search_all(self._logstore, " or ".join(terms), from_time, to_time):
                try:
                    span = self._dialect.from_log(contents)
                except (ValueError, KeyError) as error:
                    _count_unreadable(str(error))
                    continue
                if span.context.trace_id is not None:
                    traces[span.context.trace_id].append(span)
        return {trace_id: _in_order(_distinct(spans)) for trace_id, spans in traces.items()}


def _spellings(trace_id: int) -> list[str]:
    return list(dict.fromkeys((f"{trace_id:016x}", f"{trace_id:032x}", f"{trace_id:x}")))


def _distinct(spans: Sequence[SpanRecord]) -> list[SpanRecord]:
    """Drop repeated deliveries. Spans that share an id and differ stay: Zipkin's client and server sides of one call do."""
    distinct: dict[int | None, list[SpanRecord]] = defaultdict(list)
    for span in spans:
        same_id = distinct[span.context.span_id]
        if span not in same_id:
            same_id.append(span)
    return [span for same_id in distinct.values() for span in same_id]


def _in_order(spans: list[SpanRecord]) -> list[SpanRecord]:
    return sorted(spans, key=lambda span: (span.start_time, -span.finish_time))


def _count_unreadable(reason: str) -> None:
    counters.add("log_service_logs_unreadable")
    limited_log.warning("log_service_logs_unreadable", "a stored log is no readable span: %s", reason)
