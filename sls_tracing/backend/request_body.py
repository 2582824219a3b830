"""Bodies of requests from anyone: read, unpacked and decoded within bounds that no sender can move.

Three bounds stand one behind the other. A body's bytes are counted while they come, whether or not its length was declared; so are those of
all bodies in progress together; and those that come out when it is unpacked. One body is decoded at a time: decoding holds the GIL, so a
second one would add nothing but its memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from sls_tracing.backend.content_coding import CODINGS, unpack
from sls_tracing.thrift.schema import DecodeError, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

__all__ = ["BodyReader", "RefusedError", "busy"]

T = TypeVar("T")

MIB = 1 << 20
RETRY_AFTER = "2"
"""Seconds that a client is asked to wait; what is queued is worked off in about one."""


class RefusedError(Exception):
    """The request cannot be served: the status that says so, and why. ``kind`` is for the counters."""

    def __init__(self, status: int, kind: str, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason
        self.headers = headers or {}


def busy(reason: str) -> RefusedError:
    """Return what tells the client to come back: 503, which Jaeger's, Zipkin's and OTLP's clients all retry."""
    return RefusedError(503, "busy", reason, {"Retry-After": RETRY_AFTER})


class BodyReader:
    """Reads and decodes the bodies of any number of requests on one event loop.

    ``max_bytes`` is what one body may have as it is sent, ``max_unpacked`` what may come out of it, ``max_in_progress`` what all may
    hold together; ``timeout`` is in seconds, for a whole body.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 16 * MIB,
        max_unpacked: int = 32 * MIB,
        max_in_progress: int = 64 * MIB,
        timeout: float = 30.0,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_unpacked = max_unpacked
        self.max_in_progress = max_in_progress
        self.timeout = timeout
        self._in_progress = 0
        self._turn = asyncio.Semaphore(1)

    async def decode(self, request: Request, decode: Callable[[bytes], T]) -> T:
        """Return what ``decode`` makes of the body; it runs in a worker thread. Raises :class:`RefusedError`."""
        coding = _coding(request)
        body = bytearray()
        try:
            await self._read_in_time(request, body)
            return await self._in_turn(lambda: self._unpack_and_decode(body, coding, decode))
        finally:
            self._forget(body)

    async def decode_whole(self, body: bytes, decode: Callable[[bytes], T]) -> T:
        """As :meth:`decode`, for a body that another server has read and unpacked (gRPC's), within bounds of its own."""
        if self._in_progress + len(body) > self.max_in_progress:
            raise _too_many()
        self._in_progress += len(body)
        try:
            return await self._in_turn(lambda: decode(body))
        finally:
            self._in_progress -= len(body)

    async def _in_turn(self, decode: Callable[[], T]) -> T:
        try:
            async with self._turn:
                return await run_in_threadpool(decode)
        except TooMuchError as error:
            raise RefusedError(413, "too_large", str(error)) from None
        except DecodeError as error:
            raise RefusedError(400, "malformed", str(error)) from None

    async def _read_in_time(self, request: Request, body: bytearray) -> None:
        try:
            await asyncio.wait_for(self._read(request, body), self.timeout)
        except asyncio.TimeoutError:
            raise RefusedError(408, "timed_out", f"the body did not arrive within {self.timeout:g} seconds") from None
        except ClientDisconnect:
            raise RefusedError(400, "disconnected", "the client left before its body was complete") from None

    async def _read(self, request: Request, body: bytearray) -> None:
        declared = request.headers.get("content-length", "")
        refused = self._too_large() if declared.isdecimal() and int(declared) > self.max_bytes else None
        if refused and request.headers.get("expect", "").lower() == "100-continue":
            raise refused  # the client waits for leave to send; without it, it does not
        async for chunk in request.stream():
            if refused:
                continue  # read on and keep nothing: closed with bytes unread, a connection is reset, and the client never learns why
            if len(body) + len(chunk) > self.max_bytes:
                refused = self._too_large()
            elif self._in_progress + len(chunk) > self.max_in_progress:
                refused = _too_many()
            else:
                self._in_progress += len(chunk)
                body += chunk
                continue
            self._forget(body)
        if refused:
            raise refused

    def _too_large(self) -> RefusedError:
        return RefusedError(413, "too_large", f"a body of more than {self.max_bytes} bytes; send the spans in several")

    def _forget(self, body: bytearray) -> None:
        self._in_progress -= len(body)
        body.clear()

    def _unpack_and_decode(self, body: bytearray, coding: str, decode: Callable[[bytes], T]) -> T:
        return decode(unpack(bytes(body), coding, self.max_unpacked) if coding else bytes(body))


def _too_many() -> RefusedError:
    return busy("too many bodies at once; send this one again later")


def _coding(request: Request) -> str:
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return ""
    if coding not in CODINGS:
        reason = f"unsupported content encoding {coding[:40]!r}; supported: gzip, deflate"
        raise RefusedError(415, "unsupported", reason, {"Accept-Encoding": "gzip, deflate"})
    return coding
