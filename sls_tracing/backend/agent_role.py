"""The agent on its own: one a machine. Datagrams in, batches out to a collector, sampling strategies for the services of the machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from sls_tracing.backend.agent import Agent
from sls_tracing.backend.client_losses import ClientLosses
from sls_tracing.backend.forwarding import Forwarder
from sls_tracing.backend.role import Role, port_of
from sls_tracing.backend.sampling_http import agent_routes
from sls_tracing.backend.sockets import bind_tcp, bind_udp, udp_drops

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping, Sequence

    from sls_tracing.backend.agent import Protocol
    from sls_tracing.backend.sampling_strategies import StrategyProvider
    from sls_tracing.backend.serving import ServingSettings
    from sls_tracing.backend.spool import Spool
    from sls_tracing.senders.http_poster import HTTPPoster

__all__ = ["AgentRole"]

DRAIN_TIMEOUT = 10.0
"""Seconds that what waits gets at the end to reach a collector."""


class AgentRole(Role):
    """Receives, keeps and forwards; see ``role.py``. ``tags`` are added to every process."""

    def __init__(
        self,
        posters: Sequence[HTTPPoster],
        spool: Spool,
        strategies: StrategyProvider,
        *,
        tags: Mapping[str, str] | None = None,
        restrictions: Mapping[str, Any] | None = None,
        host: str = "127.0.0.1",
        serving: ServingSettings | None = None,
        compact_port: int = 6831,
        binary_port: int = 6832,
        zipkin_port: int = 5775,
        sampling_port: int = 5778,
        admin_port: int = 14271,
    ) -> None:
        super().__init__(host=host, serving=serving)
        self._posters = posters
        self._spool = spool
        self._strategies = strategies
        self._tags = tags or {}
        self._restrictions = restrictions or {}
        self.compact_port = compact_port
        self.binary_port = binary_port
        self.zipkin_port = zipkin_port
        self.sampling_port = sampling_port
        self.admin_port = admin_port
        self.receive_buffer = 0

    def gauges(self) -> Mapping[str, float]:
        """Return what waits, who sends, and what the kernel dropped because nobody read in time."""
        ports = (self.compact_port, self.binary_port, self.zipkin_port)
        return {
            "agent_waiting_bytes": self._forwarder.waiting_bytes,
            "agent_collector_connected": float(self._forwarder.is_connected),
            "agent_connected_clients": self._losses.connected,
            "agent_receive_buffer_bytes": self.receive_buffer,
            "agent_socket_drops": udp_drops(ports),
        }

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        host, enter = self.host, stack.enter_context
        compact = enter(bind_udp(host, self.compact_port, "--compact-port"))
        binary = enter(bind_udp(host, self.binary_port, "--binary-port"))
        zipkin = enter(bind_udp(host, self.zipkin_port, "--zipkin-port"))
        sampling = enter(bind_tcp(host, self.sampling_port, "--sampling-port"))
        admin = enter(bind_tcp(host, self.admin_port, "--admin-port"))
        self.compact_port, self.binary_port, self.zipkin_port = map(port_of, (compact, binary, zipkin))
        self.sampling_port, self.admin_port = port_of(sampling), port_of(admin)

        self._forwarder = Forwarder(self._posters, self._spool, tags=self._tags)
        stack.push_async_callback(asyncio.to_thread, self._forwarder.close, DRAIN_TIMEOUT)
        self._losses = ClientLosses()
        agent = Agent(self._forwarder.submit, losses=self._losses)
        stack.push_async_callback(agent.close)
        protocols: tuple[tuple[Any, Protocol], ...] = ((compact, "compact"), (binary, "binary"), (zipkin, "compact"))
        for sock, protocol in protocols:
            self.receive_buffer = await agent.listen(sock, protocol)
        await self._serve(stack, Starlette(routes=agent_routes(self._strategies, self._restrictions_of)), sampling)
        await self._serve_admin(stack, admin)

    def _restrictions_of(self, service: str) -> Any:
        return self._restrictions.get(service, [])
