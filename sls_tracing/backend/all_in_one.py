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
from typing import TYPE_CHECKING, Any

from sls_tracing.backend.agent import Agent
from sls_tracing.backend.collector import Collector
from sls_tracing.backend.collector_http import CollectorHTTP
from sls_tracing.backend.http_server import HTTPServer
from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.sockets import bind_tcp, bind_udp, bind_usual_tcp
from sls_tracing.log_service import open_trace_store

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from typing_extensions import Self

__all__ = ["AllInOne", "all_in_one_in_background"]

COLLECTOR_PORT, ZIPKIN_PORT, OTLP_PORT = 14268, 9411, 4318
"""Where Jaeger's clients, Zipkin's (Envoy among them) and OpenTelemetry's send over HTTP unless told otherwise."""

DRAIN_TIMEOUT = 10.0
"""Seconds that the collector gets at the end to store what is queued."""


class AllInOne:
    """The whole backend. Entering it binds every port, then opens the store; leaving it drains, then closes.

    ``storage`` is what :func:`sls_tracing.log_service.open_trace_store` takes. A port 0 takes any free one, None the usual one or, if
    that is taken, any free one; the attributes of the same names hold the real ones after entering. Raises :class:`~sls_tracing.exceptions.ConfigurationError` with a remedy for a
    port that is taken, a host that is not this machine's, or a storage that cannot be opened.
    """

    def __init__(
        self,
        *,
        storage: str = "memory:",
        host: str = "127.0.0.1",
        agent_compact_port: int = 6831,
        agent_binary_port: int = 6832,
        query_port: int = 16686,
        collector_port: int | None = None,
        zipkin_port: int | None = None,
        otlp_port: int | None = None,
    ) -> None:
        self.storage = storage
        self.host = host
        self.agent_compact_port = agent_compact_port
        self.agent_binary_port = agent_binary_port
        self.query_port = query_port
        self.collector_port = collector_port
        self.zipkin_port = zipkin_port
        self.otlp_port = otlp_port
        self.receive_buffer = 0
        """Bytes that the kernel granted to each of the agent's sockets."""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def query_url(self) -> str:
        """Where the query API answers, without a slash at its end."""
        return self._url(self.query_port)

    @property
    def collector_url(self) -> str:
        """Where Jaeger's clients post Thrift."""
        return self._url(self.collector_port) + "/api/traces"

    @property
    def zipkin_url(self) -> str:
        """Where Zipkin's clients and Envoy post."""
        return self._url(self.zipkin_port) + "/api/v2/spans"

    @property
    def otlp_url(self) -> str:
        """Where OpenTelemetry's exporters post."""
        return self._url(self.otlp_port) + "/v1/traces"

    def _url(self, port: int | None) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"

    async def ended(self) -> None:
        """Return only if one of the HTTP servers ends by itself; raises what ended it."""
        waiting = [asyncio.ensure_future(server.ended()) for server in self._servers]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        for task in done:
            task.result()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every span that the agent has decoded is stored; False after ``timeout`` seconds. Blocks."""
        return self._collector.flush(timeout)

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start in the order of the data, so that the stack stops in the opposite one: who asks, who sends, who writes, the store."""
        host, enter = self.host, stack.enter_context
        compact = enter(bind_udp(host, self.agent_compact_port, "--agent-compact-port"))
        binary = enter(bind_udp(host, self.agent_binary_port, "--agent-binary-port"))
        query = enter(bind_tcp(host, self.query_port, "--query-port"))
        thrift = enter(bind_usual_tcp(host, self.collector_port, COLLECTOR_PORT, "--collector-port"))
        zipkin = enter(bind_usual_tcp(host, self.zipkin_port, ZIPKIN_PORT, "--zipkin-port"))
        otlp = enter(bind_usual_tcp(host, self.otlp_port, OTLP_PORT, "--otlp-port"))
        store = enter(contextlib.closing(open_trace_store(self.storage)))

        self._collector = Collector(store)
        stack.push_async_callback(asyncio.to_thread, self._collector.close, DRAIN_TIMEOUT)
        agent = Agent(self._collector.submit)
        stack.push_async_callback(agent.close)
        await agent.listen(compact, "compact")
        self.receive_buffer = await agent.listen(binary, "binary")
        doors = CollectorHTTP(self._collector.submit)
        self._servers: list[HTTPServer] = []
        for app, sock in (
            (doors.thrift_app(), thrift),
            (doors.zipkin_app(), zipkin),
            (doors.otlp_app(), otlp),
            (query_app(store), query),
        ):
            server = HTTPServer(app, sock)
            stack.push_async_callback(server.stop)
            await server.start()
            self._servers.append(server)

        self.agent_compact_port, self.agent_binary_port, self.query_port = map(_port, (compact, binary, query))
        self.collector_port, self.zipkin_port, self.otlp_port = map(_port, (thrift, zipkin, otlp))


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


@contextlib.contextmanager
def all_in_one_in_background(
    *,
    storage: str = "memory:",
    host: str = "127.0.0.1",
    agent_compact_port: int = 0,
    agent_binary_port: int = 0,
    query_port: int = 0,
    collector_port: int | None = 0,
    zipkin_port: int | None = 0,
    otlp_port: int | None = 0,
) -> Iterator[AllInOne]:
    """Run :class:`AllInOne` on an event loop in a thread of its own for the length of the block. Ports are any free ones."""
    backend = AllInOne(
        storage=storage,
        host=host,
        agent_compact_port=agent_compact_port,
        agent_binary_port=agent_binary_port,
        query_port=query_port,
        collector_port=collector_port,
        zipkin_port=zipkin_port,
        otlp_port=otlp_port,
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
