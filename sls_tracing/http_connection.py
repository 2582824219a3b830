"""HTTP connections whose exchanges end in time, whatever the server does, and can be cut from another thread.

``requests`` bounds each single read: a server that drips a byte a second holds its caller for ever. Here every read and write
waits for :data:`SLICE` seconds at most and then asks the limit whether to go on. That needs no thread of its own (none can be started
while the interpreter exits, which is when the last spans leave), no second descriptor, and no foreign hand on a socket in use.

Bounded so are sending, the answer's head and its body. The look-up of a name is not (nothing can interrupt it), and connecting gets
the whole time for each of the host's addresses.
"""

from __future__ import annotations

import errno
import http.client
import io
import time
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from sls_tracing.forks import held

if TYPE_CHECKING:
    import logging
    import socket

__all__ = ["TimeLimit", "exchanging", "make_adapter", "quieten_urllib3"]

SLICE = 0.2
"""Seconds until a change of the limit is noticed."""

_PIECE = 1 << 16

exchanging: ContextVar[bool] = ContextVar("sls_tracing_exchanging", default=False)
"""Whether this thread is in an exchange of ours; see :func:`quieten_urllib3`."""


class TimeLimit:
    """Until when an exchange may last. One thread at a time is bound by it; any thread may shorten it."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._deadline = float("-inf")
        self.stop_at = float("inf")
        """No exchange lasts longer than until then, in seconds of ``time.monotonic``."""
        self.cut = False
        """Set it to end the exchange that is going on, and every later one."""

    def start(self, seconds: float) -> None:
        """Give the exchange that begins now so many seconds."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left. Raises OSError when there are none."""
        if self.cut:
            raise ConnectionAbortedError(errno.ECONNABORTED, "closed")
        now = time.monotonic()
        if now >= self.stop_at:
            raise TimeoutError(errno.ETIMEDOUT, "no complete answer before the end")
        if now >= self._deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"no complete answer within {self._seconds:g} seconds")
        return min(self._deadline, self.stop_at) - now

    def send(self, sock: socket.socket, data: Any) -> None:
        """Send all of ``data``, in time."""
        rest = memoryview(data).cast("B")
        while rest:
            sock.settimeout(min(self.left(), SLICE))
            try:
                sent = sock.send(rest[:_PIECE])
            except TimeoutError:  # TLS may want the very same bytes again, and gets them
                continue
            rest = rest[sent:]


class _Reader(io.RawIOBase):
    """What arrives at a socket, in time. Like the file that it replaces, it keeps the socket open until it is closed itself."""

    def __init__(self, sock: socket.socket, limit: TimeLimit) -> None:
        self._socket = sock
        self._hold = sock.makefile("rb", buffering=0)
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._socket.settimeout(min(self._limit.left(), SLICE))
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                continue

    def close(self) -> None:
        if not self.closed:
            self._hold.close()
        super().close()


class _Readable:
    """As much of a socket as ``http.client`` asks for when it begins to read an answer."""

    def __init__(self, sock: socket.socket, limit: TimeLimit) -> None:
        self._socket = sock
        self._limit = limit

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._limit))


def make_adapter(limit: TimeLimit) -> Any:
    """Return an adapter for a ``requests`` session, bound by ``limit``. Never shared between threads."""
    return _adapter_class()(limit)


@cache
def _adapter_class() -> Any:
    # Late, as `requests` itself; not at the first exchange, which is made by a background thread (see http_fetch.py).
    import requests.adapters
    import urllib3.connection
    import urllib3.connectionpool

    class Adapter(requests.adapters.HTTPAdapter):
        def __init__(self, limit: TimeLimit) -> None:
            class Answer(http.client.HTTPResponse):
                def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
                    super().__init__(_Readable(sock, limit), *args, **options)  # type: ignore[arg-type]

            class Bounded:
                response_class = Answer
                debuglevel = 0  # an application's http.client.HTTPConnection.debuglevel would print our credentials

                def _new_conn(self) -> Any:
                    with held():  # it looks the name up
                        return super()._new_conn()  # type: ignore[misc]

                def send(self: Any, data: Any) -> None:
                    if self.sock is None:
                        self.connect()
                    limit.send(self.sock, data)

            class Connection(Bounded, urllib3.connection.HTTPConnection):  # type: ignore[misc]
                pass

            class SecureConnection(Bounded, urllib3.connection.HTTPSConnection):  # type: ignore[misc]
                pass

            class Pool(urllib3.connectionpool.HTTPConnectionPool):
                ConnectionCls = Connection

            class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
                ConnectionCls = SecureConnection

            self._pools = {"http": Pool, "https": SecurePool}
            super().__init__(pool_connections=1, pool_maxsize=1)
            self.poolmanager.pool_classes_by_scheme = self._pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options)
            manager.pool_classes_by_scheme = self._pools
            return manager

    return Adapter


@cache
def quieten_urllib3() -> None:
    """Keep urllib3 from logging our exchanges: at level DEBUG, and where a header is malformed, it writes URLs whole, tokens included."""
    import logging

    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.response"):
        logging.getLogger(name).addFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not exchanging.get()
