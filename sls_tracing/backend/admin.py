"""The port of who runs a role: ``/healthz`` (it lives), ``/readyz`` (it takes work), ``/metrics`` (for Prometheus).

Metrics are the process's counters (``sls_tracing_<name>_total``), the gauges that a role has (``sls_tracing_<name>``), and the process's own memory
and CPU time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

__all__ = ["admin_app"]


def admin_app(
    is_ready: Callable[[], bool],
    gauges: Callable[[], Mapping[str, float]] = dict,
    *,
    counters: Counters = counters,
) -> Starlette:
    """Return the application. ``is_ready`` and ``gauges`` are asked with each request and must not wait."""
    registry = CollectorRegistry()
    registry.register(_Figures(counters, gauges))
    ProcessCollector(registry=registry)

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "Server available"})

    async def ready(request: Request) -> Response:
        if is_ready():
            return JSONResponse({"status": "Server available"})
        return JSONResponse({"status": "Server not available"}, 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    # Jaeger's roles answer health at the root.
    return Starlette(
        routes=[Route("/", ready), Route("/healthz", healthy), Route("/readyz", ready), Route("/metrics", metrics)]
    )


class _Figures:
    def __init__(self, counters: Counters, gauges: Callable[[], Mapping[str, float]]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for name, value in self._counters.snapshot().items():
            yield CounterMetricFamily(f"sls_tracing_{name}", name.replace("_", " "), value=value)
        for gauge, amount in self._gauges().items():
            yield GaugeMetricFamily(f"sls_tracing_{gauge}", gauge.replace("_", " "), value=amount)
