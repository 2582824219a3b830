"""The query service as one ASGI application: Jaeger's JSON API (v1), its successor (v3), and pages for people.

query_v1       /api/…          query_params   trace_json   adjusters   metric_families   uploads
query_v3       /api/v3/…       query_params_v3   otlp_json
openapi        /api/openapi.json
ui             the pages that come with this server; or jaeger_ui, a build of Jaeger's own
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sls_tracing.backend.jaeger_ui import jaeger_ui_routes
from sls_tracing.backend.openapi import openapi_routes
from sls_tracing.backend.query_answers import NO_SNIFFING, Workers, error
from sls_tracing.backend.query_settings import QuerySettings
from sls_tracing.backend.query_v1 import v1_routes
from sls_tracing.backend.query_v3 import v3_error, v3_routes
from sls_tracing.backend.ui import ui_routes
from sls_tracing.clock import Clock, wall_clock

if TYPE_CHECKING:
    from starlette.requests import Request

    from sls_tracing.log_service import TraceStore

__all__ = ["query_app"]


def query_app(
    trace_store: TraceStore, *, clock: Clock = wall_clock, settings: QuerySettings | None = None
) -> Starlette:
    """Return the application. Its ``trace_store`` is asked from several threads and stays the caller's to close.

    Raises :class:`~sls_tracing.exceptions.ConfigurationError` for a ``ui_dir`` or ``ui_config`` that cannot be served.
    """
    settings = settings or QuerySettings()
    workers = Workers()
    routes: list[BaseRoute] = [
        *openapi_routes(),
        *v3_routes(trace_store, settings, workers),
        *v1_routes(trace_store, clock, settings, workers),
        Route("/healthz", _health),
    ]
    if settings.ui_dir:
        routes += jaeger_ui_routes(settings.ui_dir, settings.ui_config, has_archive=trace_store.has_archive)
    else:
        routes += ui_routes(trace_store)
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})


async def _http_error(request: Request, failed: Exception) -> Response:
    """Answer what no route takes: as the APIs say errors under /api/, in words elsewhere."""
    assert isinstance(failed, HTTPException)
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    reason = f"{failed.detail}: {request.method} {path}"
    if f"{path}/".startswith("/api/v3/"):
        response = v3_error(failed.status_code, reason)
    elif f"{path}/".startswith("/api/"):
        response = error(failed.status_code, reason)
    else:
        response = PlainTextResponse(f"{failed.detail}\n", failed.status_code, headers=NO_SNIFFING)
    response.headers.update(failed.headers or {})  # Allow, for one, beside 405
    return response


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})
