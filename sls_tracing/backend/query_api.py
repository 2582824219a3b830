"""Jaeger's HTTP JSON API (v1) over a trace store: what its UI, Grafana's data source and its API clients ask.

Reading the parameters, asking the store and rendering the answer run in a worker thread: a search may carry tens of megabytes, and
the event loop also receives the agent's datagrams.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.home_page import CONTENT_SECURITY_POLICY, home_page
from sls_tracing.backend.query_params import (
    ParameterError,
    Parameters,
    first,
    flag,
    parse_microseconds,
    parse_trace_id,
    parse_trace_ids,
    parse_trace_query,
)
from sls_tracing.backend.trace_json import trace_id_hex, trace_to_json
from sls_tracing.clock import Clock, wall_clock
from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from sls_tracing.backend.trace_json import JSONObject
    from sls_tracing.log_service import TraceStore
    from sls_tracing.model import SpanRecord

__all__ = ["query_app"]

TRACE_NOT_FOUND = "trace not found"
STORE_FAILED = "the trace store could not answer; the log of this server tells why"

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


def query_app(trace_store: TraceStore, *, clock: Clock = wall_clock) -> Starlette:
    """Return the API as an ASGI application. Its ``trace_store`` is asked from several threads and stays the caller's to close."""
    api = _QueryAPI(trace_store, clock)
    # {service:path} may hold slashes. Between a fixed prefix and a fixed suffix the decoded path stays unambiguous,
    # so "%2F" needs no look at the raw one.
    routes = [
        Route("/api/services", api.services),
        Route("/api/services/{service:path}/operations", api.operation_names),
        Route("/api/operations", api.operations),
        Route("/api/traces", api.search),
        Route("/api/traces/{trace_id}", api.trace),
        Route("/trace/{trace_id}", _trace_page),
        Route("/healthz", _health),
        Route("/", api.home),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})


class _Answer(NamedTuple):
    """What goes into the envelope; ``total`` is set for services and operations only, as in Jaeger."""

    data: Sequence[Any]
    total: int = 0
    errors: Sequence[JSONObject] = ()


class _NotFoundError(Exception):
    """The trace asked for by its id is not there."""


class _QueryAPI:
    def __init__(self, trace_store: TraceStore, clock: Clock) -> None:
        self._store = trace_store
        self._clock = clock
        self._guard = Guard("query")

    async def services(self, request: Request) -> Response:
        def work(parameters: Parameters) -> _Answer:
            services = self._store.services()
            return _Answer(services, total=len(services))

        return await self._answer(request, work)

    async def operation_names(self, request: Request) -> Response:
        def work(parameters: Parameters) -> _Answer:
            operations = self._store.operations(request.path_params["service"])
            names = list(dict.fromkeys(operation.name for operation in operations))
            return _Answer(names, total=len(names))

        return await self._answer(request, work)

    async def operations(self, request: Request) -> Response:
        def work(parameters: Parameters) -> _Answer:
            service = first(parameters, "service")
            if not service:
                raise ParameterError("parameter 'service' is required")
            operations = self._store.operations(service, first(parameters, "spanKind") or None)
            data = [{"name": operation.name, "spanKind": operation.span_kind or ""} for operation in operations]
            return _Answer(data, total=len(data))

        return await self._answer(request, work)

    async def search(self, request: Request) -> Response:
        def work(parameters: Parameters) -> _Answer:
            raw = flag(parameters, "raw")
            trace_ids = parse_trace_ids(parameters)
            if trace_ids:
                return self._traces_by_id(trace_ids, raw=raw)
            traces = self._store.find_traces(parse_trace_query(parameters, self._clock()))
            return _Answer([_render(spans, raw=raw) for spans in traces])

        return await self._answer(request, work)

    async def trace(self, request: Request) -> Response:
        def work(parameters: Parameters) -> _Answer:
            trace_id = parse_trace_id(request.path_params["trace_id"])
            start, end = parse_microseconds(parameters, "start"), parse_microseconds(parameters, "end")
            spans = self._store.get_trace(trace_id, start, end)
            if not spans:
                raise _NotFoundError
            return _Answer([_render(spans, raw=flag(parameters, "raw"))])

        return await self._answer(request, work)

    async def home(self, request: Request) -> Response:
        services = await run_in_threadpool(self._guard.call, None, self._store.services)
        if services is None:
            return PlainTextResponse(STORE_FAILED, 500)
        page = home_page(services, str(request.base_url).rstrip("/"))
        return HTMLResponse(page, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, **_NO_SNIFFING})

    def _traces_by_id(self, trace_ids: Sequence[int], *, raw: bool) -> _Answer:
        """Return those that are there; those that are not become errors beside them, with status 200."""
        found = []
        errors = []
        for trace_id in trace_ids:
            spans = self._store.get_trace(trace_id)
            if spans:
                found.append(_render(spans, raw=raw))
            else:
                errors.append({"msg": TRACE_NOT_FOUND, "traceID": trace_id_hex(trace_id)})
        return _Answer(found, errors=errors)

    async def _answer(self, request: Request, work: Callable[[Parameters], _Answer]) -> Response:
        response = await run_in_threadpool(self._guard.call, None, _respond, request.url.query, work)
        return _error(500, STORE_FAILED) if response is None else response


def _respond(query: str, work: Callable[[Parameters], _Answer]) -> Response:
    parameters = parse_qs(query, keep_blank_values=True)
    try:
        answer = work(parameters)
    except ParameterError as error:
        return _error(400, str(error))
    except _NotFoundError:
        return _error(404, TRACE_NOT_FOUND)
    pretty = first(parameters, "prettyPrint") not in ("", "false")
    body = _dumps(_envelope(answer.data, answer.total, answer.errors), pretty=pretty)
    return Response(body, media_type="application/json", headers=_NO_SNIFFING)


def _render(spans: Sequence[SpanRecord], *, raw: bool) -> JSONObject:
    trace = trace_to_json(spans)
    return trace if raw else adjust(trace)


def _envelope(data: Sequence[Any] | None, total: int, errors: Sequence[JSONObject]) -> JSONObject:
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": list(errors) or None}


def _dumps(value: JSONObject, *, pretty: bool = False) -> bytes:
    """UTF-8 as Go writes it; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    separators = None if pretty else (",", ":")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=4 if pretty else None, separators=separators)
    return text.encode("utf-8", "replace")


def _error(status: int, message: str) -> Response:
    """The envelope as Go's ``http.Error`` sends it: text/plain, no sniffing, a line's end."""
    body = _dumps(_envelope(None, 0, [{"code": status, "msg": message}])) + b"\n"
    return PlainTextResponse(body, status, headers=_NO_SNIFFING)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer what no route takes: in the envelope under /api/, in words elsewhere."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):
        response = _error(error.status_code, f"{error.detail}: {request.method} {request.url.path}")
    else:
        response = PlainTextResponse(f"{error.detail}\n", error.status_code, headers=_NO_SNIFFING)
    response.headers.update(error.headers or {})  # Allow, for one, beside 405
    return response


async def _trace_page(request: Request) -> Response:
    """The address under which Jaeger's UI shows a trace; until there is a page, the trace itself."""
    return RedirectResponse(f"/api/traces/{quote(request.path_params['trace_id'], safe='')}?prettyPrint=true")


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})
