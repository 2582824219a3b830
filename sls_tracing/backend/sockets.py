"""Listening sockets, bound before anything starts: a port that is taken is a setting to change, not a crash half-way."""

from __future__ import annotations

import errno
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["bind_tcp", "bind_udp", "bind_usual_tcp", "bind_usual_udp", "udp_drops"]

logger = logging.getLogger("sls_tracing")

_REMEDIES = {
    errno.EADDRINUSE: "it is already in use; stop the program that holds it, or choose another with {option} (0: any free one)",
    errno.EACCES: "the system does not permit it; choose one above 1023 with {option}",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another with --host",
}


def bind_tcp(host: str, port: int, option: str) -> socket.socket:
    """Return a listening TCP socket; port 0 takes any free one. ``option`` is the setting that an error names."""
    return _bind(host, port, option, socket.SOCK_STREAM)


def bind_usual_tcp(host: str, port: int | None, usual: int, option: str) -> socket.socket:
    """Return a listening TCP socket on ``port``; if that is None, on the usual one, or on any free one if that is taken.

    For doors that not every user asked for: that one of them is taken by another program must not keep the rest from starting.
    """
    return _bind_usual(bind_tcp, host, port, usual, option)


def bind_usual_udp(host: str, port: int | None, usual: int, option: str) -> socket.socket:
    """Return a bound UDP socket; as :func:`bind_usual_tcp`."""
    return _bind_usual(bind_udp, host, port, usual, option)


def _bind_usual(
    bind: Callable[[str, int, str], socket.socket], host: str, port: int | None, usual: int, option: str
) -> socket.socket:
    if port is not None:
        return bind(host, port, option)
    try:
        return bind(host, usual, option)
    except ConfigurationError as error:
        sock = bind(host, 0, option)  # raises if it is the host that is wrong
        logger.warning("%s; taking port %d instead", error, sock.getsockname()[1])
        return sock


def bind_udp(host: str, port: int, option: str) -> socket.socket:
    """Return a bound UDP socket; as :func:`bind_tcp`."""
    return _bind(host, port, option, socket.SOCK_DGRAM)


def _bind(host: str, port: int, option: str, kind: socket.SocketKind) -> socket.socket:
    family, address = _resolve(host, port, kind)
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # Only for TCP, where it skips the minute after a restart. For UDP it would let two agents share a port in silence.
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(128)
        else:
            sock.bind(address)
    except OSError as error:
        sock.close()
        remedy = _REMEDIES.get(error.errno or 0, f"{error.strerror}; choose another with {{option}}").format(
            option=option
        )
        transport = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise ConfigurationError(f"cannot listen on {transport} port {port} of {host}: {remedy}") from error
    sock.setblocking(False)
    return sock


def _resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Return family and address, IPv4 first: of "localhost" clients mean 127.0.0.1 far more often than ::1."""
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        remedy = "give --host an address such as 127.0.0.1"
        raise ConfigurationError(f"cannot resolve the host {host!r} ({error}); {remedy}") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def udp_drops(ports: Iterable[int]) -> int:
    """Return how many datagrams the kernel dropped at our UDP ports because the receive buffer was full; 0 where it does not tell (Linux does)."""
    wanted = set(ports)
    drops = 0
    for table in ("/proc/self/net/udp", "/proc/self/net/udp6"):
        try:
            lines = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) in wanted:
                drops += int(fields[-1])
    return drops
