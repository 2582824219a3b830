"""Senders: bytes out, no policy. When to send, how much may wait and what is dropped then is the reporter's business.

    udp.py  UDPSender      datagram_socket.py   the way of a datagram
    http.py HTTPSender     posting.py           batches, what HTTP and OTLP share    http_poster.py      retries, TLS, life
    otlp.py OTLPSender     otlp_json.py         the encoding                         http_connection.py  exchanges end in time
                           http_target.py       URL, credentials, what may be shown   http_tls.py        certificates
    sender.py              the seam             trimming.py, client_statistics.py    what all of them share

The two over HTTP are loaded when first asked for, and ``requests`` when the first of them is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.senders.sender import Sender
from sls_tracing.senders.udp import UDPSender

if TYPE_CHECKING:
    from sls_tracing.senders.http import HTTPSender
    from sls_tracing.senders.otlp import OTLPSender

__all__ = ["HTTPSender", "OTLPSender", "Sender", "UDPSender"]


def __getattr__(name: str) -> Any:
    if name == "HTTPSender":
        from sls_tracing.senders.http import HTTPSender

        return HTTPSender
    if name == "OTLPSender":
        from sls_tracing.senders.otlp import OTLPSender

        return OTLPSender
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
