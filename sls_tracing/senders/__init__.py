"""Senders: bytes out, no policy. When to send, how much may wait and what is dropped then is the reporter's business."""

from sls_tracing.senders.sender import Sender
from sls_tracing.senders.udp import UDPSender

__all__ = ["Sender", "UDPSender"]
