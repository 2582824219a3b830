"""The tags that describe this process on every batch it sends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sls_tracing.identifiers import random_bits
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from sls_tracing.model import TagValue

__all__ = ["process_tags"]


def process_tags() -> dict[str, TagValue]:
    """Return ``jaeger.version``, ``hostname``, ``ip`` and ``client-uuid``, as Jaeger's clients name them. Asks no name server.

    ``client-uuid`` is text and new in each process: by it an agent counts what a client lost (Jaeger's ``client_metrics.go``).
    """
    import socket  # 3 ms at import, for those alone who make a tracer

    return {
        "jaeger.version": f"sls-tracing-{__version__}",
        "hostname": socket.gethostname(),
        "ip": _local_ip(),
        "client-uuid": f"{random_bits(64):016x}",
    }


def _local_ip() -> str:
    """Return the address that packets to the outside would leave from. Connecting a UDP socket sends nothing."""
    import socket

    # Documentation addresses (RFC 5737, RFC 3849): routed like any other, never a real host.
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"
