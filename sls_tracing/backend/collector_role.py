"""The collector on its own: doors for every client, sampling strategies, a trace store. Any number of them may share one Log Service."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from starlette.applications import Starlette
from starlette.routing import Mount

from sls_tracing.backend.adaptive_sampling import AdaptiveSampling, AdaptiveSettings
from sls_tracing.backend.collector import Collector
from sls_tracing.backend.collector_http import CollectorHTTP
from sls_tracing.backend.role import Role, port_of
from sls_tracing.backend.sampling_http import sampling_routes
from sls_tracing.backend.sockets import bind_tcp

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from sls_tracing.backend.sampling_strategies import StrategyProvider
    from sls_tracing.backend.serving import ServingSettings
    from sls_tracing.log_service import TraceStore

__all__ = ["CollectingRole", "CollectorRole", "Doors"]


class Doors(NamedTuple):
    """The bound sockets of the three HTTP doors."""

    thrift: socket.socket
    zipkin: socket.socket
    otlp: socket.socket


class CollectingRole(Role):
    """What the collector on its own and the all-in-one share: from the doors to the store.

    ``open_store`` is called in a thread; what it opens is closed at the end. ``strategies`` answer remote samplers; settings instead of a provider
    ask for probabilities computed from what is stored. ``otlp_grpc`` opens the door for gRPC (extra ``grpc``), on ``otlp_grpc_port`` or, if that is None, on
    the usual one, or any free one if that is taken.
    """

    drain_timeout = 30.0
    """Seconds that the collector gets at the end to store what is queued."""

    def __init__(
        self,
        open_store: Callable[[], TraceStore],
        strategies: StrategyProvider | AdaptiveSettings,
        *,
        host: str,
        serving: ServingSettings | None,
        otlp_grpc: bool,
        otlp_grpc_port: int | None,
    ) -> None:
        super().__init__(host=host, serving=serving)
        self._open_store = open_store
        self._strategies = strategies
        self._otlp_grpc = otlp_grpc
        self.otlp_grpc_port = otlp_grpc_port

    def gauges(self) -> Mapping[str, float]:
        """Return the bytes that wait to be stored."""
        return {"collector_queued_bytes": self._collector.queued_bytes}

    async def _start_collector(self, stack: contextlib.AsyncExitStack) -> TraceStore:
        """Open the store and start to write."""
        store = stack.enter_context(contextlib.closing(await asyncio.to_thread(self._open_store)))
        self._collector = Collector(store)
        stack.push_async_callback(asyncio.to_thread, self._collector.close, self.drain_timeout)
        return store

    def _start_strategies(self, stack: contextlib.AsyncExitStack, store: TraceStore) -> StrategyProvider:
        if not isinstance(self._strategies, AdaptiveSettings):
            return self._strategies
        sampling = AdaptiveSampling(store, self._strategies)
        stack.push_async_callback(asyncio.to_thread, sampling.close)
        sampling.start()
        return sampling

    async def _open_doors(self, stack: contextlib.AsyncExitStack, strategies: StrategyProvider, sockets: Doors) -> None:
        doors = CollectorHTTP(self._collector.submit_and_tell)
        thrift = Starlette(routes=[*sampling_routes(strategies), Mount("/", doors.thrift_app())])
        for app, sock in zip((thrift, doors.zipkin_app(), doors.otlp_app()), sockets, strict=True):
            await self._serve(stack, app, sock)
        if not self._otlp_grpc:
            return
        from sls_tracing.backend.otlp_grpc import OTLPGRPCServer

        server = OTLPGRPCServer(doors.store, doors.reader, self.serving)
        stack.push_async_callback(server.stop)
        self.otlp_grpc_port = await server.start(self.host, self.otlp_grpc_port, "--otlp-grpc-port")


class CollectorRole(CollectingRole):
    """Takes spans over HTTP and gRPC and stores them; see ``role.py``."""

    def __init__(
        self,
        open_store: Callable[[], TraceStore],
        strategies: StrategyProvider | AdaptiveSettings,
        *,
        host: str = "127.0.0.1",
        serving: ServingSettings | None = None,
        thrift_port: int = 14268,
        zipkin_port: int = 9411,
        otlp_port: int = 4318,
        otlp_grpc: bool = False,
        otlp_grpc_port: int | None = None,
        admin_port: int = 14269,
    ) -> None:
        super().__init__(
            open_store,
            strategies,
            host=host,
            serving=serving,
            otlp_grpc=otlp_grpc,
            otlp_grpc_port=otlp_grpc_port,
        )
        self.thrift_port = thrift_port
        self.zipkin_port = zipkin_port
        self.otlp_port = otlp_port
        self.admin_port = admin_port

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        enter = stack.enter_context
        doors = Doors(
            thrift=enter(bind_tcp(self.host, self.thrift_port, "--thrift-port")),
            zipkin=enter(bind_tcp(self.host, self.zipkin_port, "--zipkin-port")),
            otlp=enter(bind_tcp(self.host, self.otlp_port, "--otlp-port")),
        )
        admin = enter(bind_tcp(self.host, self.admin_port, "--admin-port"))
        store = await self._start_collector(stack)
        await self._open_doors(stack, self._start_strategies(stack, store), doors)
        await self._serve_admin(stack, admin)
        self.thrift_port, self.zipkin_port, self.otlp_port = map(port_of, doors)
        self.admin_port = port_of(admin)
