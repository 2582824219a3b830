"""Jaeger's HTTP JSON API (v1): what its UI, Grafana's data source and its API clients ask.

Reading the parameters, asking the store, rendering and compressing the answer run in a worker thread: a search may carry tens of megabytes, and
the event loop also receives the agent's datagrams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Route

from sls_tracing.backend.metric_families import MIN_STEP_MS, metric_family, parse_metrics_query
from sls_tracing.backend.query_answers import (
    Answer,
    NotFoundError,
    RefusedByStoreError,
    Workers,
    dumps,
    envelope,
    error,
    json_response,
)
from sls_tracing.backend.query_params import (
    ParameterError,
    Parameters,
    first,
    flag,
    parse_dependencies,
    parse_microseconds,
    parse_trace_id,
    parse_trace_ids,
    parse_trace_query,
)
from sls_tracing.backend.request_body import BodyReader, RefusedError
from sls_tracing.backend.trace_json import trace_id_hex
from sls_tracing.backend.trace_views import TraceViews
from sls_tracing.backend.uploads import read_upload
from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.query_settings import QuerySettings
    from sls_tracing.clock import Clock
    from sls_tracing.log_service import TraceStore
    from sls_tracing.log_service.trace_analysis import Measure
    from sls_tracing.model import SpanRecord

__all__ = ["v1_routes"]


class _Anything(PathConvertor):
    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())

TRACE_NOT_FOUND = "trace not found"
NO_ARCHIVE = "archive span storage was not configured"
STORE_FAILED = "the trace store could not answer; the log of this server tells why"


def v1_routes(trace_store: TraceStore, clock: Clock, settings: QuerySettings, workers: Workers) -> list[Route]:
    """Return the routes of the API over a trace store, which is asked from several threads."""
    api = _JaegerAPI(trace_store, clock, settings, workers)
    # A service's name may hold slashes and line ends. Between a fixed prefix and a fixed suffix the decoded path stays unambiguous,
    # so "%2F" needs no look at the raw one.
    return [
        Route("/api/services", api.services),
        Route("/api/services/{service:anything}/operations", api.operation_names),
        Route("/api/operations", api.operations),
        Route("/api/traces", api.search),
        Route("/api/traces/{trace_id}", api.trace),
        Route("/api/archive/{trace_id}", api.archive, methods=["POST"]),
        Route("/api/dependencies", api.dependencies),
        Route("/api/transform", api.transform, methods=["POST"]),
        Route("/api/metrics/minstep", api.min_step),
        Route("/api/metrics/latencies", api.latencies),
        Route("/api/metrics/calls", api.calls),
        Route("/api/metrics/errors", api.errors),
    ]


class _JaegerAPI:
    def __init__(self, trace_store: TraceStore, clock: Clock, settings: QuerySettings, workers: Workers) -> None:
        self._store = trace_store
        self._clock = clock
        self._settings = settings
        self._views = TraceViews(settings)
        self._workers = workers
        self._guard = Guard("query")
        self._bodies = BodyReader()

    async def services(self, request: Request) -> Response:
        return await self._answer(request, lambda parameters: _listed(self._store.services()))

    async def operation_names(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            operations = self._store.operations(request.path_params["service"])
            return _listed(list(dict.fromkeys(operation.name for operation in operations)))

        return await self._answer(request, work)

    async def operations(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            service = first(parameters, "service")
            if not service:
                raise ParameterError("parameter 'service' is required")
            operations = self._store.operations(service, first(parameters, "spanKind") or None)
            return _listed([{"name": operation.name, "spanKind": operation.span_kind} for operation in operations])

        return await self._answer(request, work)

    async def search(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            trace_ids = parse_trace_ids(parameters)
            if trace_ids:
                return self._traces_by_id(trace_ids, parameters)
            query = parse_trace_query(parameters, self._clock())
            query = query._replace(limit=min(query.limit, self._settings.max_limit))
            return self._traces(self._store.iter_traces(query, max_spans=self._views.fetched), parameters)

        return await self._answer(request, work)

    async def trace(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            trace_id = parse_trace_id(request.path_params["trace_id"])
            start, end = parse_microseconds(parameters, "start"), parse_microseconds(parameters, "end")
            spans = self._store.get_trace(trace_id, start, end, max_spans=self._views.fetched)
            if not spans:
                raise NotFoundError
            return self._traces([spans], parameters)

        return await self._answer(request, work)

    async def archive(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            trace_id = parse_trace_id(request.path_params["trace_id"])
            if not self._store.has_archive:
                raise RefusedByStoreError(NO_ARCHIVE)
            if not self._store.archive(trace_id):
                raise NotFoundError
            return Answer([], errors=[])

        return await self._answer(request, work)

    async def dependencies(self, request: Request) -> Response:
        def work(parameters: Parameters) -> Answer:
            service = first(parameters, "service")
            found = self._store.dependencies(*parse_dependencies(parameters, self._clock()))
            return Answer(
                [
                    dumps({"parent": each.parent, "child": each.child, "callCount": each.calls})
                    for each in found
                    if service in ("", each.parent, each.child)
                ]
            )

        return await self._answer(request, work)

    async def transform(self, request: Request) -> Response:
        try:
            traces, problems = await self._bodies.decode(request, lambda body: read_upload(body, self._clock()))
        except RefusedError as refused:
            response = error(refused.status, refused.reason)
            response.headers.update(refused.headers)
            return response
        errors = [{"code": 400, "msg": problem} for problem in problems]
        return await self._answer(
            request, lambda parameters: self._traces(traces, parameters)._replace(errors=errors or None)
        )

    async def min_step(self, request: Request) -> Response:
        return json_response(dumps({"data": MIN_STEP_MS, "total": 0, "limit": 0, "offset": 0, "errors": None}), request)

    async def latencies(self, request: Request) -> Response:
        return await self._metric(request, "latencies")

    async def calls(self, request: Request) -> Response:
        return await self._metric(request, "calls")

    async def errors(self, request: Request) -> Response:
        return await self._metric(request, "errors")

    async def _metric(self, request: Request, measure: Measure) -> Response:
        def work(parameters: Parameters) -> bytes:
            query = parse_metrics_query(measure, parameters, self._clock())
            return dumps(metric_family(query, self._store.metrics(query)), pretty=_pretty(parameters))

        return await self._answer(request, work)

    def _traces_by_id(self, trace_ids: Sequence[int], parameters: Parameters) -> Answer:
        """Return those that are there; those that are not become errors beside them, with status 200."""
        missing = dict.fromkeys(trace_ids)

        def there() -> Iterable[Sequence[SpanRecord]]:
            for spans in self._store.get_traces(list(missing), max_spans=self._views.fetched):
                missing.pop(spans[0].context.trace_id or 0)
                yield spans

        answer = self._traces(there(), parameters)
        if answer.errors:  # full: of those that were not looked at nobody knows
            return answer
        errors = [{"msg": TRACE_NOT_FOUND, "traceID": trace_id_hex(trace_id)} for trace_id in missing]
        return answer._replace(errors=errors or None)

    def _traces(self, traces: Iterable[Sequence[SpanRecord]], parameters: Parameters) -> Answer:
        """Render traces until the answer is full; that the rest was left out becomes an error beside them."""
        parts: list[bytes] = []
        size = 0
        raw, pretty = flag(parameters, "raw"), _pretty(parameters)
        for spans in traces:
            part = dumps(self._views.trace(spans, raw=raw), pretty=pretty)
            size += len(part)
            if parts and size > self._settings.max_answer_bytes:
                reason = f"the answer ends after {len(parts)} traces, at {self._settings.max_answer_bytes} bytes; ask for fewer"
                return Answer(parts, errors=[{"code": 413, "msg": reason}])
            parts.append(part)
        return Answer(parts)

    async def _answer(self, request: Request, work: Callable[[Parameters], Answer | bytes]) -> Response:
        response = await self._workers.run(lambda: self._guard.call(None, _respond, request, work))
        return error(500, STORE_FAILED) if response is None else response


def _respond(request: Request, work: Callable[[Parameters], Answer | bytes]) -> Response:
    parameters = parse_qs(request.url.query, keep_blank_values=True)
    try:
        answer = work(parameters)
    except ParameterError as refused:
        return error(400, str(refused))
    except NotFoundError:
        return error(404, TRACE_NOT_FOUND)
    except RefusedByStoreError as refused:
        return error(500, str(refused))
    if isinstance(answer, bytes):
        return json_response(answer, request)
    return json_response(envelope(answer, answer.errors, pretty=_pretty(parameters)), request)


def _listed(values: Sequence[Any]) -> Answer:
    return Answer([dumps(value) for value in values], total=len(values))


def _pretty(parameters: Parameters) -> bool:
    return first(parameters, "prettyPrint") not in ("", "false")
