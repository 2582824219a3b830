"""Sampling strategies over HTTP: the collector's ``/api/sampling`` and the agent's port 5778, as Jaeger's clients ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sls_tracing.exceptions import TracingError
from sls_tracing.metrics import counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from sls_tracing.backend.sampling_strategies import StrategyProvider

__all__ = ["agent_routes", "sampling_routes"]

_LEGACY_TYPES = {"PROBABILISTIC": 0, "RATE_LIMITING": 1}


def sampling_routes(strategies: StrategyProvider) -> list[Route]:
    """Return the collector's route, ``/api/sampling``."""
    return [Route("/api/sampling", _answering("sampling", strategies.strategy))]


def agent_routes(strategies: StrategyProvider, restrictions: Callable[[str], Any]) -> list[Route]:
    """Return the agent's routes: ``/sampling``, ``/`` with the numbers that older clients read, and ``/baggageRestrictions``."""

    def legacy(service: str) -> Any:
        strategy = strategies.strategy(service)
        kind = strategy.get("strategyType")
        return {**strategy, "strategyType": _LEGACY_TYPES.get(str(kind), kind)}

    return [
        Route("/sampling", _answering("sampling", strategies.strategy)),
        Route("/", _answering("sampling_legacy", legacy)),
        Route("/baggageRestrictions", _answering("baggage", restrictions)),
    ]


def _answering(kind: str, find: Callable[[str], Any]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        counters.add(f"http_{kind}_requests")
        services = request.query_params.getlist("service")
        if len(services) != 1:
            return PlainTextResponse("'service' parameter must be provided once\n", 400)
        try:
            return JSONResponse(await run_in_threadpool(find, services[0]))
        except TracingError as error:
            counters.add(f"http_{kind}_failed")
            return PlainTextResponse(f"collector error: {error}\n", 500)

    return answer
