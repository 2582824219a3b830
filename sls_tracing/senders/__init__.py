"""Senders: bytes out, no policy. When to send, how much may wait and what is dropped then is the reporter's business.

    udp.py  UDPSender      datagram_socket.py   the way of a datagram
    http.py HTTPSender     posting.py           batches, what HTTP and OTLP share    http_poster.py      retries, TLS, life
    log_service.py LogServiceSender   straight into Log Service; what it stands on is in log_service/
    otlp.py OTLPSender     otlp_json.py         the encoding                         http_connection.py  exchanges end in time
                           http_target.py       URL, credentials, what may be shown   http_tls.py        certificates
    sender.py              the seam             trimming.py, client_statistics.py    what all of them share

Each sender is loaded when it is first asked for, and ``requests`` when the first one over HTTP is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.lazy import lazily
from sls_tracing.senders.sender import Sender

if TYPE_CHECKING:
    from sls_tracing.senders.http import HTTPSender
    from sls_tracing.senders.log_service import LogServiceSender
    from sls_tracing.senders.otlp import OTLPSender
    from sls_tracing.senders.udp import UDPSender

__all__ = ["HTTPSender", "LogServiceSender", "OTLPSender", "Sender", "UDPSender"]

__getattr__ = lazily(
    __name__,
    {
        "HTTPSender": "sls_tracing.senders.http",
        "LogServiceSender": "sls_tracing.senders.log_service",
        "OTLPSender": "sls_tracing.senders.otlp",
        "UDPSender": "sls_tracing.senders.udp",
    },
)
