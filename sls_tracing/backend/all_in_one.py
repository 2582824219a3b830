"""Agent, collector with its three HTTP doors, trace store and query API in one process, on one event loop.

    async with AllInOne(storage="memory:") as backend:
        print(backend.query_url)

or, from code that has no event loop (tests, demonstrations):

    with all_in_one_in_background(query_port=0) as backend:
        requests.get(backend.query_url + "/api/services")
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from sls_tracing.backend.agent import Agent
from sls_tracing.backend.client_losses import ClientLosses
from sls_tracing.backend.collector_role import CollectingRole, Doors
from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.role import port_of
from sls_tracing.backend.sampling_http import agent_routes
from sls_tracing.backend.sampling_strategies import read_strategies
from sls_tracing.backend.sockets import bind_tcp, bind_udp, bind_usual_tcp, bind_usual_udp, udp_drops
from sls_tracing.log_service import open_trace_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sls_tracing.backend.adaptive_sampling import AdaptiveSettings
    from sls_tracing.backend.query_settings import QuerySettings
    from sls_tracing.backend.sampling_strategies import StrategyProvider
    from sls_tracing.backend.serving import ServingSettings
    from sls_tracing.log_service import TraceStore

__all__ = ["AllInOne", "all_in_one_in_background"]

COLLECTOR_PORT, ZIPKIN_PORT, OTLP_PORT, SAMPLING_PORT, ADMIN_PORT = 14268, 9411, 4318, 5778, 14269
"""Where Jaeger's clients, Zipkin's (Envoy among them) and OpenTelemetry's send over HTTP unless told otherwise, where remote samplers ask, and where Prometheus does."""

AGENT_ZIPKIN_PORT = 5775
"""Where clients of 2016 send, over UDP."""

EVERYTHING = read_strategies({"default_strategy": {"type": "probabilistic", "param": 1}})
"""What samplers are told: as Jaeger's all-in-one does, on a laptop every trace is wanted."""


class AllInOne(CollectingRole):
    """The whole backend. Entering it binds every port, then opens the store; leaving it drains, then closes.

    ``storage`` is what :func:`sls_tracing.log_service.open_trace_store` takes. A port 0 takes any free one, None the usual one or, if
    that is taken, any free one; the attributes of the same names hold the real ones after entering. Raises :class:`~sls_tracing.exceptions.ConfigurationError` with a remedy for a
    port that is taken, a host that is not this machine's, or a storage that cannot be opened.
    """

    drain_timeout = 10.0

    def __init__(
        self,
        *,
        storage: str = "memory:",
        host: str = "127.0.0.1",
        agent_compact_port: int = 6831,
        agent_binary_port: int = 6832,
        agent_zipkin_port: int | None = None,
        query_port: int = 16686,
        collector_port: int | None = None,
        zipkin_port: int | None = None,
        otlp_port: int | None = None,
        otlp_grpc: bool = False,
        otlp_grpc_port: int | None = None,
        sampling_port: int | None = None,
        admin_port: int | None = None,
        base_path: str = "",
        query_settings: QuerySettings | None = None,
        open_store: Callable[[], TraceStore] | None = None,
        strategies: StrategyProvider | AdaptiveSettings = EVERYTHING,
        serving: ServingSettings | None = None,
    ) -> None:
        open_store = open_store or (lambda: open_trace_store(storage))
        super().__init__(
            open_store,
            strategies,
            host=host,
            serving=serving,
            otlp_grpc=otlp_grpc,
            otlp_grpc_port=otlp_grpc_port,
        )
        self.storage = storage
        self.agent_compact_port = agent_compact_port
        self.agent_binary_port = agent_binary_port
        self.agent_zipkin_port = agent_zipkin_port
        self.query_port = query_port
        self.collector_port = collector_port
        self.zipkin_port = zipkin_port
        self.otlp_port = otlp_port
        self.sampling_port = sampling_port
        self.admin_port = admin_port
        self.base_path = base_path
        self.query_settings = query_settings
        self.receive_buffer = 0
        """Bytes that the kernel granted to each of the agent's sockets."""

    @property
    def query_url(self) -> str:
        """Where the query API answers, without a slash at its end."""
        return self.url(self.query_port, self.base_path)

    @property
    def collector_url(self) -> str:
        """Where Jaeger's clients post Thrift."""
        return self.url(self.collector_port) + "/api/traces"

    @property
    def zipkin_url(self) -> str:
        """Where Zipkin's clients and Envoy post."""
        return self.url(self.zipkin_port) + "/api/v2/spans"

    @property
    def otlp_url(self) -> str:
        """Where OpenTelemetry's exporters post."""
        return self.url(self.otlp_port) + "/v1/traces"

    def gauges(self) -> Mapping[str, float]:
        """Return the queue's bytes, the receive buffer's, and how many clients report what they lost."""
        udp = (self.agent_compact_port, self.agent_binary_port, self.agent_zipkin_port or 0)
        return {
            **super().gauges(),
            "agent_receive_buffer_bytes": self.receive_buffer,
            "agent_connected_clients": self._losses.connected,
            "agent_socket_drops": udp_drops(udp),
        }

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every span that the agent has decoded is stored; False after ``timeout`` seconds. Blocks."""
        return self._collector.flush(timeout)

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start in the order of the data, so that the stack stops in the opposite one: who asks, who sends, who writes, the store."""
        host, enter = self.host, stack.enter_context
        compact = enter(bind_udp(host, self.agent_compact_port, "--agent-compact-port"))
        binary = enter(bind_udp(host, self.agent_binary_port, "--agent-binary-port"))
        zipkin = enter(bind_usual_udp(host, self.agent_zipkin_port, AGENT_ZIPKIN_PORT, "--agent-zipkin-port"))
        query = enter(bind_tcp(host, self.query_port, "--query-port"))
        doors = Doors(
            thrift=enter(bind_usual_tcp(host, self.collector_port, COLLECTOR_PORT, "--collector-port")),
            zipkin=enter(bind_usual_tcp(host, self.zipkin_port, ZIPKIN_PORT, "--zipkin-port")),
            otlp=enter(bind_usual_tcp(host, self.otlp_port, OTLP_PORT, "--otlp-port")),
        )
        sampling = enter(bind_usual_tcp(host, self.sampling_port, SAMPLING_PORT, "--sampling-port"))
        admin = enter(bind_usual_tcp(host, self.admin_port, ADMIN_PORT, "--admin-port"))
        self.agent_compact_port, self.agent_binary_port, self.query_port = map(port_of, (compact, binary, query))
        self.agent_zipkin_port = port_of(zipkin)
        self.collector_port, self.zipkin_port, self.otlp_port = map(port_of, doors)
        self.sampling_port, self.admin_port = port_of(sampling), port_of(admin)

        store = await self._start_collector(stack)
        strategies = self._start_strategies(stack, store)
        self._losses = ClientLosses()
        # When the store is slow the agent waits, and datagrams wait as bytes in its own queue: a seventh of what their spans take.
        agent = Agent(partial(self._collector.submit, wait=self.drain_timeout), losses=self._losses)
        stack.push_async_callback(agent.close)
        await agent.listen(zipkin, "compact")
        await agent.listen(compact, "compact")
        self.receive_buffer = await agent.listen(binary, "binary")
        await self._open_doors(stack, strategies, doors)
        await self._serve(stack, query_app(store, settings=self.query_settings), query, base_path=self.base_path)
        await self._serve(stack, Starlette(routes=agent_routes(strategies, _unrestricted)), sampling)
        await self._serve_admin(stack, admin)


def _unrestricted(service: str) -> list[Any]:
    """Return no restrictions of baggage."""
    return []


@contextlib.contextmanager
def all_in_one_in_background(
    *,
    storage: str = "memory:",
    host: str = "127.0.0.1",
    agent_compact_port: int = 0,
    agent_binary_port: int = 0,
    agent_zipkin_port: int | None = 0,
    query_port: int = 0,
    collector_port: int | None = 0,
    zipkin_port: int | None = 0,
    otlp_port: int | None = 0,
    sampling_port: int | None = 0,
    admin_port: int | None = 0,
) -> Iterator[AllInOne]:
    """Run :class:`AllInOne` on an event loop in a thread of its own for the length of the block. Ports are any free ones."""
    backend = AllInOne(
        storage=storage,
        host=host,
        agent_compact_port=agent_compact_port,
        agent_binary_port=agent_binary_port,
        agent_zipkin_port=agent_zipkin_port,
        query_port=query_port,
        collector_port=collector_port,
        zipkin_port=zipkin_port,
        otlp_port=otlp_port,
        sampling_port=sampling_port,
        admin_port=admin_port,
    )
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with backend:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    with ThreadPoolExecutor(1, "sls-tracing-all-in-one") as executor:
        ended = executor.submit(lambda: asyncio.run(serve()))
        either: tuple[Future[Any], ...] = (started, ended)
        wait(either, return_when=FIRST_COMPLETED)
        if not started.done():
            ended.result()  # raises what kept it from starting
        loop, stop = started.result()
        try:
            yield backend
        finally:
            loop.call_soon_threadsafe(stop.set)
            ended.result()
