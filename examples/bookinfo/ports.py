"""Which ports the demonstration uses: those that were asked for, the usual ones if they are free, any free one else."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["USUAL", "PortTakenError", "choose_ports"]

HOST = "127.0.0.1"

USUAL = {
    "agent-compact": 6831,
    "agent-binary": 6832,
    "collector": 14268,
    "zipkin": 9411,
    "otlp": 4318,
    "query": 16686,
    "gateway": 8080,
    "productpage": 9080,
    "details": 9081,
    "ratings": 9082,
    "reviews": 9083,
    "reviews-v1": 9084,
    "reviews-v2": 9085,
    "reviews-v3": 9086,
}
"""Those that people type. Sidecars have none: only the demonstration itself calls them."""

UDP = {"agent-compact", "agent-binary"}

FREE = range(20_000, 32_000)
"""Where free ports are looked for: below those that the system gives to connections, which would take one between choice and use."""


class PortTakenError(Exception):
    """A port that was asked for is not free; the text names it and the remedy."""


def choose_ports(names: Iterable[str], wanted: Mapping[str, int | None], *, prefer_usual: bool) -> dict[str, int]:
    """A port for each of ``names``, all different.

    ``wanted`` holds the ports that the user named (None: he did not). Raises ``PortTakenError`` if one of these is taken. Another program may
    take a port between this choice and its use; whoever loses that race ends with a clear message, so we do not guard against it.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for name in sorted(names, key=lambda name: wanted.get(name) is None):
            asked = wanted.get(name)
            free = random.sample(FREE, 50)
            for candidate in [asked] if asked else [USUAL.get(name, free[0]), *free] if prefer_usual else free:
                port = _hold(held, name, candidate)
                if port is not None and port not in chosen.values():
                    chosen[name] = port
                    break
            else:
                raise PortTakenError(
                    f"port {asked} (--{name}-port) is taken: name another one, or leave the option out to have a free one chosen"
                )
    return chosen


def _hold(held: contextlib.ExitStack, name: str, port: int) -> int | None:
    """Bind ``port`` until ``held`` closes; None if it is taken."""
    holder = held.enter_context(socket.socket(type=socket.SOCK_DGRAM if name in UDP else socket.SOCK_STREAM))
    if name not in UDP:
        # As the servers do: connections of an earlier run that linger in TIME_WAIT are no reason to avoid its port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((HOST, port))
        if name not in UDP:
            holder.listen(1)  # with SO_REUSEADDR, only listening finds out about another listener on all addresses
    except (OSError, OverflowError):
        return None
    return int(holder.getsockname()[1])
