"""What the two encodings share: Jaeger's numbers, the errors, and the interface of an encoder.

The structs themselves are in ``jaeger.thrift``. Field numbers in the encoders refer to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from sls_tracing.exceptions import TracingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.model import Process, SpanRecord

__all__ = ["Batch", "ClientStats", "DecodeError", "EncodeError", "Encoder", "TooMuchError"]

TAG_STRING, TAG_DOUBLE, TAG_BOOL, TAG_LONG, TAG_BINARY = range(5)
REFERENCE_TYPES = {"child_of": 0, "follows_from": 1}
DEBUG_FLAGS = 3
"""Flag 1 is sampled, flag 2 is debug; a debug span is a sampled one, as every Jaeger client sends it."""
FIREHOSE_FLAG = 8
"""Asks the server to keep the span out of its indexes; Go's client passes it on, and so do we."""

LOW_64 = (1 << 64) - 1
MIN_I64, MAX_I64 = -(1 << 63), (1 << 63) - 1

METHOD = "emitBatch"
MESSAGE_ID = 1
"""The message's own number, which nobody reads; jaeger-client starts at 1. ``Batch.seqNo`` is the one that agents count by."""

_LONGEST_DECIMAL = (
    2048  # bits; well under the smallest limit that Python allows for turning an int into text (640 digits)
)


class EncodeError(TracingError, ValueError):
    """A span or a process cannot be written: an id out of range, a time that is no number, a value of an unknown type."""


class DecodeError(TracingError, ValueError):
    """The bytes are no message of ours: truncated, hostile, of another method, or missing a required field."""


class TooMuchError(DecodeError):
    """Well-formed as far as it was read, but more than one message may ask for. The remedy is to send it in parts."""


class ClientStats(NamedTuple):
    """Spans lost since the client started. Cumulative, so that a lost datagram loses no count."""

    full_queue_dropped_spans: int = 0
    too_large_dropped_spans: int = 0
    failed_to_emit_spans: int = 0


class Batch(NamedTuple):
    """One decoded message: whose spans, which, and what the client says of its losses."""

    process: Process
    spans: list[SpanRecord]
    seq_no: int | None = None
    stats: ClientStats | None = None


class Encoder(Protocol):
    """Writes spans apart from the message around them, so that a sender measures before it sends.

    An encoder remembers what it has seen (tags, names), in bounded space; share one among the senders of one thread. A
    span that cannot be encoded leaves nothing behind.
    """

    def span(self, record: SpanRecord) -> bytes:
        """Return a whole ``Span`` struct. Raises :class:`EncodeError`, and then costs nothing but this span."""

    def process(self, process: Process) -> bytes:
        """Return a whole ``Process`` struct. Raises :class:`EncodeError`."""

    def emit_batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return the message ``Agent.emitBatch``: one datagram."""

    def batch(
        self, process: bytes, spans: Sequence[bytes], *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> bytes:
        """Return a bare ``Batch`` struct: the body of a POST to a collector."""

    def envelope_size(
        self, process: bytes, count: int, *, seq_no: int | None = None, stats: ClientStats | None = None
    ) -> int:
        """Return the exact bytes that :meth:`emit_batch` adds to ``count`` spans, the process among them."""


def text_bytes(text: str) -> bytes:
    r"""Return ``text`` in UTF-8, a lone surrogate as the six characters ``\udc80``.

    Such text comes from undecodable file names and WSGI paths. A strict encoder would lose the span for it, and
    ``surrogatepass`` would write what servers reject as invalid UTF-8.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def integer_text(value: int) -> bytes:
    """Return an integer beyond 64 bits as text: decimal, or hexadecimal where Python would refuse or take long."""
    return (str(value) if value.bit_length() <= _LONGEST_DECIMAL else hex(value)).encode()
