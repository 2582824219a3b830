"""Jaeger's HTTP API v3: what its UI asks from 2.15 on, and API clients that want OTLP.

Errors are ``{"error": {"httpCode": …, "message": …}}`` (jaegertracing/jaeger v2.20.0, internal/apiv3/http_gateway.go). As in v1, all work is done in a
worker thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.routing import Route

from sls_tracing.backend.otlp_json import resource_spans
from sls_tracing.backend.query_answers import NotFoundError, Workers, dumps, json_response
from sls_tracing.backend.query_params import ParameterError, Parameters, first, parse_trace_id
from sls_tracing.backend.query_params_v3 import parse_time, parse_v3_query
from sls_tracing.backend.trace_views import TraceViews
from sls_tracing.guard import Guard
from sls_tracing.log_service.trace_summaries import find_summaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.query_settings import QuerySettings
    from sls_tracing.backend.trace_json import JSONObject
    from sls_tracing.log_service import TraceQuery, TraceStore
    from sls_tracing.log_service.trace_summaries import TraceSummary
    from sls_tracing.model import SpanRecord

__all__ = ["v3_error", "v3_routes"]

STORE_FAILED = "the trace store could not answer; the log of this server tells why"


def v3_routes(trace_store: TraceStore, settings: QuerySettings, workers: Workers) -> list[Route]:
    """Return the routes of the API over a trace store, which is asked from several threads."""
    api = _V3API(trace_store, settings, workers)
    return [
        Route("/api/v3/services", api.services),
        Route("/api/v3/operations", api.operations),
        Route("/api/v3/trace-summaries", api.summaries),
        Route("/api/v3/traces", api.search),
        Route("/api/v3/traces/{trace_id}", api.trace),
    ]


def v3_error(status: int, message: str) -> Response:
    """Return an error as v3 has it."""
    return json_response(dumps({"error": {"httpCode": status, "message": message}}), status=status)


class _V3API:
    def __init__(self, trace_store: TraceStore, settings: QuerySettings, workers: Workers) -> None:
        self._store = trace_store
        self._settings = settings
        self._views = TraceViews(settings)
        self._workers = workers
        self._guard = Guard("query")

    async def services(self, request: Request) -> Response:
        return await self._answer(request, lambda parameters: dumps({"services": self._store.services()}))

    async def operations(self, request: Request) -> Response:
        def work(parameters: Parameters) -> bytes:
            kind = (first(parameters, "spanKind") or first(parameters, "span_kind")).lower()
            found = {
                # A span that does not say its kind is an internal one in OTLP; the UI takes no empty text.
                (operation.name, operation.span_kind.lower() or "internal")
                for operation in self._store.operations(first(parameters, "service") or None)
            }
            wanted = sorted(each for each in found if kind in ("", each[1]))
            return dumps({"operations": [{"name": name, "spanKind": span_kind} for name, span_kind in wanted]})

        return await self._answer(request, work)

    async def summaries(self, request: Request) -> Response:
        def work(parameters: Parameters) -> bytes:
            found = find_summaries(self._store, self._query(parameters))
            return dumps({"summaries": [_summary(each) for each in found]})

        return await self._answer(request, work)

    async def search(self, request: Request) -> Response:
        def work(parameters: Parameters) -> bytes:
            return self._otlp(self._found(parameters))

        return await self._answer(request, work)

    async def trace(self, request: Request) -> Response:
        def work(parameters: Parameters) -> bytes:
            trace_id = parse_trace_id(request.path_params["trace_id"])
            start = parse_time(parameters, "startTime", "start_time")
            end = parse_time(parameters, "endTime", "end_time")
            spans = self._store.get_trace(trace_id, start, end, max_spans=self._views.fetched)
            return self._otlp([spans] if spans else [])

        return await self._answer(request, work)

    def _query(self, parameters: Parameters) -> TraceQuery:
        query = parse_v3_query(parameters)
        return query._replace(limit=min(query.limit, self._settings.max_limit))

    def _found(self, parameters: Parameters) -> Iterator[Sequence[SpanRecord]]:
        return self._store.iter_traces(self._query(parameters), max_spans=self._views.fetched)

    def _otlp(self, traces: Iterable[Sequence[SpanRecord]]) -> bytes:
        """Render traces until the answer is full. OTLP has no room to say that the rest was left out."""
        parts: list[bytes] = []
        size = 0
        for spans in traces:
            part = b",".join(dumps(each) for each in resource_spans(self._views.cut(spans)[0]))
            size += len(part)
            if parts and size > self._settings.max_answer_bytes:
                break
            parts.append(part)
        if not parts:
            raise NotFoundError
        return b'{"result":{"resourceSpans":[' + b",".join(parts) + b"]}}"

    async def _answer(self, request: Request, work: Callable[[Parameters], bytes]) -> Response:
        response = await self._workers.run(lambda: self._guard.call(None, _respond, request, work))
        return v3_error(500, STORE_FAILED) if response is None else response


def _summary(trace: TraceSummary) -> JSONObject:
    """Return a trace in a line. Its id has 32 digits, or the UI takes the whole page for an error; JavaScript's numbers end before nanoseconds since 1970 begin."""
    start = round(trace.start * 1e6)
    return {
        "traceId": format(trace.trace_id, "032x"),
        "rootServiceName": trace.service,
        "rootOperationName": trace.operation,
        "minStartTimeUnixNano": str(start * 1000),
        "maxEndTimeUnixNano": str((start + round(trace.duration * 1e6)) * 1000),
        "spanCount": trace.spans,
        "errorSpanCount": trace.errors,
        "orphanSpanCount": trace.orphans,
        "services": [
            {"name": each.service, "spanCount": each.spans, "errorSpanCount": each.errors} for each in trace.services
        ],
    }


def _respond(request: Request, work: Callable[[Parameters], bytes]) -> Response:
    try:
        return json_response(work(parse_qs(request.url.query, keep_blank_values=True)), request)
    except ParameterError as refused:
        return v3_error(400, str(refused))
    except NotFoundError:
        return v3_error(404, "no traces found")
