"""The way of a datagram to a host by name: addresses, a connected socket, and what errors mean.

A connected UDP socket reports what an unconnected one never hears: that nobody listens (``ECONNREFUSED``). It reports late,
at the next send. So a refusal is told of the datagram before; the current one is sent again at once, to the host's next
address if it has several ("localhost" is often both 127.0.0.1 and ::1 while the agent listens on one).

Names are looked up in the thread that sends, at the first datagram, every ``look_up_every`` seconds and after an error. The socket is
renewed then too: a Kubernetes node keeps sending a known pair of ports to the pod that it once chose, gone or not.

Sending blocks, for :data:`PATIENCE` seconds at most, while the kernel's buffer is full; that is a matter of microseconds on any
working network. A non-blocking socket would lose spans in a burst, just when they matter.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any

from sls_tracing import forks
from sls_tracing.clock import monotonic_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.clock import Clock

__all__ = ["LOOK_UP_EVERY", "DatagramSocket"]

LOOK_UP_EVERY = 30.0
LOOK_UP_AFTER_ERROR = 1.0
"""Seconds until the next look-up after one that failed or a datagram that did."""
PATIENCE = 0.5
_SEND_BUFFER = 1 << 20
_ADDRESS = 4  # where getaddrinfo's tuple holds it


class DatagramSocket:
    """Sends datagrams to ``host`` and ``port``, over addresses of ``family``.

    ``on_refusal`` is called when the datagram before turns out to have reached nobody.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_refusal: Callable[[], object],
        *,
        family: socket.AddressFamily = socket.AF_UNSPEC,
        look_up_every: float = LOOK_UP_EVERY,
        clock: Clock = monotonic_clock,
        look_up: Callable[..., list[Any]] = socket.getaddrinfo,
    ) -> None:
        self._host = host
        # A name in text would go through Python's IDNA codec, which imports itself at the first look-up, in the sending thread; a process
        # forked at that moment could never look up a name again ("unknown encoding: idna").
        self._name = host.encode("ascii") if host.isascii() else host
        self._port = port
        self._on_refusal = on_refusal
        self._family = family
        self._look_up_every = look_up_every
        self._clock = clock
        self._look_up = look_up
        self._addresses: list[Any] = []
        self._socket: socket.socket | None = None
        self._look_up_at = float("-inf")

    def send(self, datagram: bytes) -> None:
        """Hand one datagram to the kernel. Raises OSError: no address, no route, or no room for :data:`PATIENCE` seconds."""
        sock = self._current_socket()
        try:
            try:
                _transmit(sock, datagram)
            except ConnectionRefusedError:
                self._on_refusal()
                if len(self._addresses) > 1:
                    self._addresses.append(self._addresses.pop(0))
                    sock = self._open()
                _transmit(sock, datagram)
        except OSError:
            self._look_up_at = min(self._look_up_at, self._clock() + LOOK_UP_AFTER_ERROR)
            raise

    def close(self) -> None:
        """Close the socket; the next send opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _current_socket(self) -> socket.socket:
        if self._clock() >= self._look_up_at:
            self._renew_addresses()
            return self._open()
        return self._socket or self._open()

    def _renew_addresses(self) -> None:
        try:
            with forks.held():
                found = self._look_up(self._name, self._port, family=self._family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:  # the latter for a name that cannot be one: a label too long, or empty
            if self._addresses:  # the name server may be down while the agent is not
                self._look_up_at = self._clock() + self._look_up_every
                return
            self._look_up_at = self._clock() + LOOK_UP_AFTER_ERROR
            raise OSError(errno.EADDRNOTAVAIL, f"cannot find the address of {self._host!r}: {error}") from error
        # IPv4 first, as Go's client has it; the address in use before all, so that renewing never leaves one that works.
        found.sort(key=lambda each: each[0] != socket.AF_INET)
        current = self._addresses[:1]
        self._addresses = [each for each in current if each in found] + [each for each in found if each not in current]
        self._look_up_at = self._clock() + self._look_up_every

    def _open(self) -> socket.socket:
        """Connect a new socket to the first address that lets us; that address becomes the first."""
        self.close()
        reason = OSError(errno.EADDRNOTAVAIL, "the host has no address")
        for _ in self._addresses:
            family, kind, protocol = self._addresses[0][:3]
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:  # IPv6 is switched off, or the process has no file descriptor left
                reason = error
            else:
                try:
                    sock.connect(self._addresses[0][_ADDRESS])
                except OSError as error:
                    sock.close()
                    reason = error
                else:
                    _configure(sock)
                    self._socket = sock
                    return sock
            self._addresses.append(self._addresses.pop(0))
        raise reason


def _configure(sock: socket.socket) -> None:
    sock.settimeout(PATIENCE)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < _SEND_BUFFER:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # the kernel grants what its limit allows


def _transmit(sock: socket.socket, datagram: bytes) -> None:
    pause = 0.001
    while True:
        try:
            sock.send(datagram)
            return
        except OSError as error:
            # BSD and macOS answer at once where Linux waits for room, and a network card may on Linux.
            if error.errno != errno.ENOBUFS or pause > PATIENCE:
                raise
        time.sleep(pause)
        pause *= 2
