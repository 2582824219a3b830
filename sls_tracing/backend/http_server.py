"""uvicorn inside an event loop that is ours: no signal handlers of its own, no logging setup, a socket that is already bound."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from sls_tracing.backend.serving import ServingSettings

__all__ = ["HTTPServer"]

GRACE = 5
"""Seconds that requests in progress get to finish when the server stops."""

LONGEST_HEAD = 64 * 1024
"""Bytes of a request's first line and headers: a search names its tags in its URL."""


class HTTPServer:
    """Serves one ASGI application on one listening socket, from :meth:`start` to :meth:`stop`. Of ``settings`` it takes TLS."""

    def __init__(self, app: ASGIApp, sock: socket.socket, settings: ServingSettings | None = None) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            ssl_certfile=(settings and settings.tls_cert) or None,
            ssl_keyfile=(settings and settings.tls_key) or None,
        )
        self._server = _Server(config)
        self._sock = sock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are taken."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._sock]), name="http-server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((self._task, listening), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            await self._task  # raises what kept it from starting

    async def ended(self) -> None:
        """Return when the server ends by itself, which it should not; raise what ended it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Finish the requests in progress, then close."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.wait((self._task,))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # the signals belong to who runs the loop
        yield
