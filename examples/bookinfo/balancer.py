"""One address for several versions of a service: each new connection goes to the next one, as a Kubernetes Service would have it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

__all__ = ["Balancer"]


class Balancer:
    """Forwards bytes from ``port`` to ``backends`` (ports) in turn, on a thread of its own, while entered.

    It knows nothing of HTTP, so a connection stays with its backend. productpage opens one a call, hence one request is one turn.
    """

    def __init__(self, port: int, backends: Sequence[int], host: str = "127.0.0.1") -> None:
        self._port = port
        self._host = host
        self._turns = itertools.cycle(backends)
        self._listening = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="balancer", daemon=True)

    def __enter__(self) -> Self:
        """Listen. Raises OSError if the port is taken."""
        self._thread.start()
        self._listening.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        try:
            server = await asyncio.start_server(self._forward, self._host, self._port)
        except OSError as error:
            self._error = error
            return
        finally:
            self._listening.set()
        await self._over.wait()
        server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection(self._host, next(self._turns))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
