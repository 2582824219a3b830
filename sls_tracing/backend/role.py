"""A role of the backend on an event loop: what starts and stops together.

A subclass says in ``_start`` what it is made of, in the order of the data; leaving stops it in the opposite order, so that whoever sends is
gone before whoever stores.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import TYPE_CHECKING

from sls_tracing.backend.admin import admin_app
from sls_tracing.backend.http_server import HTTPServer
from sls_tracing.backend.serving import ServingSettings, guarded, under

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from starlette.types import ASGIApp
    from typing_extensions import Self

__all__ = ["Role", "port_of"]


class Role(abc.ABC):
    """Entering binds every port and starts; leaving drains, then closes.

    Raises :class:`~sls_tracing.exceptions.ConfigurationError` with a remedy for a port that is taken or a host that is not this machine's.
    """

    def __init__(self, *, host: str = "127.0.0.1", serving: ServingSettings | None = None) -> None:
        self.host = host
        self.serving = serving or ServingSettings()
        self._servers: list[HTTPServer] = []
        self._ready = False

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        self._ready = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ready = False
        await self._stack.aclose()

    @abc.abstractmethod
    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start all parts; ``stack`` stops them."""

    def is_ready(self) -> bool:
        """Return whether work is taken."""
        return self._ready

    def gauges(self) -> Mapping[str, float]:
        """Return what ``/metrics`` shows besides the counters."""
        return {}

    def url(self, port: int | None, path: str = "") -> str:
        """Return the URL of one of this role's HTTP ports."""
        return f"{self.serving.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{port}{path}"

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

    async def _serve(
        self, stack: contextlib.AsyncExitStack, app: ASGIApp, sock: socket.socket, *, base_path: str = ""
    ) -> None:
        """Serve ``app`` on a bound socket, guarded as the settings say; under ``base_path`` if a proxy passes it on."""
        server = HTTPServer(guarded(under(base_path, app), self.serving), sock, self.serving)
        stack.push_async_callback(server.stop)
        await server.start()
        self._servers.append(server)

    async def _serve_admin(self, stack: contextlib.AsyncExitStack, sock: socket.socket) -> None:
        await self._serve(stack, admin_app(self.is_ready, self.gauges), sock)


def port_of(sock: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return int(sock.getsockname()[1])
