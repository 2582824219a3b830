"""The agent: Thrift datagrams in, spans out.

The event loop only moves datagrams from the socket to a bounded queue; one thread decodes them. Decoding takes far longer than
receiving, and a loop that decodes would let the kernel's buffer overflow, where nothing is counted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Literal, TypeAlias

from sls_tracing.backend.bounded_queue import BoundedQueue
from sls_tracing.backend.zipkin_thrift import decode_emit_zipkin_batch, is_emit_zipkin_batch
from sls_tracing.clock import Clock, wall_clock
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.thrift.decoding import DecodeError, decode_emit_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sls_tracing.backend.client_losses import ClientLosses
    from sls_tracing.model import SpanRecord

__all__ = ["Agent", "Protocol"]

Protocol: TypeAlias = Literal["compact", "binary"]

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel for each socket. The default (208 KiB on Linux) holds three full datagrams (jaeger#2331)."""

MAX_DATAGRAM = 65_535
"""Bytes; Jaeger reads 65,000 and loses the tail of what is longer."""

TAKE_BYTES = 1024 * 1024
"""Bytes of datagrams decoded between two visits to the queue."""

LAST_DATAGRAMS = 10_000
"""Datagrams read from a socket's buffer at the end: a sender that goes on must not keep the agent from stopping."""

logger = logging.getLogger("sls_tracing")


class Agent:
    """Receives ``Agent.emitBatch`` on any number of UDP sockets and passes the spans of each datagram to ``submit``.

    Nothing is ever sent back. Counts ``agent_datagrams_received``, and of those ``…_dropped`` (no room in the queue of ``queue_bytes``)
    and ``…_malformed``; what the kernel drops before is counted by it (``sockets.py``). ``losses`` is told of each batch.

    Every port takes Zipkin's ``emitZipkinBatch`` too, as Jaeger's agent does (v1.65.0 cmd/agent/app/builder.go: one handler for all); spans of it that
    cannot be read are counted as ``agent_spans_rejected``.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[SpanRecord], int], bool],
        *,
        losses: ClientLosses | None = None,
        queue_bytes: int = 64 * 1024 * 1024,
        clock: Clock = wall_clock,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._submit = submit
        self._losses = losses
        self._clock = clock
        self._queue: BoundedQueue[tuple[bytes, Protocol]] = BoundedQueue(queue_bytes)
        self._counters = counters
        self._log = log
        self._guard = Guard("agent", counters=counters, log=log)
        self._endpoints: list[_Endpoint] = []
        self._worker = threading.Thread(target=self._work, name="sls-tracing-agent", daemon=True)
        self._worker.start()

    async def listen(self, sock: socket.socket, protocol: Protocol) -> int:
        """Receive from a bound UDP socket, which the agent owns from now on; return the receive buffer granted, in bytes."""
        granted = _raise_receive_buffer(sock)
        endpoint = _Endpoint(sock, protocol, self._receive)
        await endpoint.open()
        self._endpoints.append(endpoint)
        return granted

    async def close(self, timeout: float = 5.0) -> bool:
        """Stop listening, decode and submit all that has arrived; False if ``timeout`` seconds were too few."""
        for endpoint in self._endpoints:
            endpoint.close()
        self._endpoints.clear()
        self._queue.close()
        await asyncio.to_thread(self._worker.join, timeout)
        if self._worker.is_alive():
            self._log.warning("agent_close", "agent: %d bytes were not decoded within %s s", len(self._queue), timeout)
            return False
        return True

    def _receive(self, datagram: bytes, protocol: Protocol) -> None:
        self._counters.add("agent_datagrams_received")
        if not self._queue.put((datagram, protocol), len(datagram) or 1):
            self._counters.add("agent_datagrams_dropped")
            self._log.warning(
                "agent_full", "agent: queue of %d bytes is full, dropped a datagram", self._queue.capacity
            )

    def _work(self) -> None:
        while datagrams := self._queue.take(TAKE_BYTES):
            for datagram, protocol in datagrams:
                with self._guard:
                    self._decode(datagram, protocol)
            self._queue.done()

    def _decode(self, datagram: bytes, protocol: Protocol) -> None:
        try:
            if is_emit_zipkin_batch(datagram):
                intake = decode_emit_zipkin_batch(datagram, protocol, self._clock())
                spans = intake.spans
                if intake.rejected:
                    self._counters.add("agent_spans_rejected", intake.rejected)
                    self._log.warning(
                        "agent_spans",
                        "agent: %d spans of a datagram cannot be read: %s",
                        intake.rejected,
                        intake.reason,
                    )
            else:
                batch = decode_emit_batch(datagram, protocol)
                spans = batch.spans
                if self._losses is not None:
                    self._losses.saw(batch)
        except DecodeError as error:
            self._counters.add("agent_datagrams_malformed")
            self._log.warning(
                "agent_malformed", "agent: malformed datagram of %d bytes (%s): %s", len(datagram), protocol, error
            )
        else:
            self._submit(spans, len(datagram))


class _Endpoint(asyncio.DatagramProtocol):
    """One socket on the event loop."""

    def __init__(self, sock: socket.socket, protocol: Protocol, receive: Callable[[bytes, Protocol], None]) -> None:
        # The transport hands out one datagram a turn of the loop and takes its socket with it when it is closed. The
        # duplicate reaches what the kernel still holds then.
        self._sock = sock
        self._rest = sock.dup()
        self._protocol = protocol
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._sock)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._receive(data, self._protocol)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        with self._rest as rest:
            rest.setblocking(False)
            for _ in range(LAST_DATAGRAMS):
                try:
                    datagram = rest.recv(MAX_DATAGRAM)
                except OSError:  # BlockingIOError: the buffer is empty
                    break
                self._receive(datagram, self._protocol)


def _raise_receive_buffer(sock: socket.socket) -> int:
    """Ask for :data:`RECEIVE_BUFFER`. Linux grants at most ``net.core.rmem_max``, and reports twice what it grants."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    except OSError as error:  # some systems refuse instead of granting less
        logger.info("agent: receive buffer of %d bytes refused: %s", RECEIVE_BUFFER, error)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
