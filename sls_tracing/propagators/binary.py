"""The BINARY format: the layout of Jaeger's Go client (propagation.go), big-endian.

    trace id high u64 · trace id low u64 · span id u64 · parent id u64 · flags u8 · baggage count i32 ·
    then for each item: key length i32, key, value length i32, value (UTF-8)

Flags: 1 sampled, 2 debug. Go takes at most 180 items of at most 4096 bytes and refuses the whole context for one more, so what goes beyond
that is left out here and counted as ``propagation_baggage_dropped``. A decision that is still open cannot be told in this format and is written as not sampled.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.context import SpanContext
from sls_tracing.metrics import counters

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BinaryPropagator"]

_HEAD = struct.Struct(">QQQQBi")
_LENGTH = struct.Struct(">i")
_LOW_64 = (1 << 64) - 1
_MAX_ITEMS, _MAX_ITEM_BYTES = 180, 4096  # the Go client's bounds: items, and bytes of one item's key and value together


class BinaryPropagator:
    """Appends to and reads from a ``bytearray``."""

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Append ``context``; one without ids appends nothing."""
        if not isinstance(carrier, bytearray):
            msg = f"the binary format is written into a bytearray, not into {type(carrier).__name__}"
            raise opentracing.InvalidCarrierException(msg)
        if context.trace_id is None or context.span_id is None:
            return
        flags = (1 if context.sampled else 0) | (3 if context.debug else 0) | (8 if context.firehose else 0)
        items = _encode_baggage(context.baggage)
        try:
            head = _HEAD.pack(
                context.trace_id >> 64,
                context.trace_id & _LOW_64,
                context.span_id,
                context.parent_id or 0,
                flags,
                len(items),
            )
        except struct.error as error:
            msg = f"ids of 128 and 64 bits cannot hold those of {context!r}"
            raise opentracing.SpanContextCorruptedException(msg) from error
        carrier += head + b"".join(items)

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context; None from an empty carrier. Raises ``SpanContextCorruptedException`` for anything else unreadable."""
        if not isinstance(carrier, (bytes, bytearray, memoryview)):
            msg = f"the binary format is read from a bytearray or bytes, not from {type(carrier).__name__}"
            raise opentracing.InvalidCarrierException(msg)
        data = bytes(carrier)
        if not data:
            return None
        try:
            high, low, span_id, parent_id, flags, count = _HEAD.unpack_from(data)
            baggage = _read_baggage(data, count)
        except (struct.error, ValueError) as error:
            msg = f"not a span context in the binary format: {error}"
            raise opentracing.SpanContextCorruptedException(msg) from error
        trace_id = high << 64 | low
        if not trace_id or not span_id:
            msg = "a span context in the binary format has a zero id"
            raise opentracing.SpanContextCorruptedException(msg)
        debug = bool(flags & 2)
        sampled, firehose = debug or bool(flags & 1), bool(flags & 8)
        return SpanContext(trace_id, span_id, parent_id or None, sampled, debug, baggage, high != 0, firehose=firehose)


def _encode_baggage(baggage: Mapping[str, str]) -> list[bytes]:
    items: list[bytes] = []
    for key, value in baggage.items():
        key_bytes, value_bytes = key.encode("utf-8", "replace"), value.encode("utf-8", "replace")
        if len(key_bytes) + len(value_bytes) <= _MAX_ITEM_BYTES and len(items) < _MAX_ITEMS:
            items.append(_LENGTH.pack(len(key_bytes)) + key_bytes + _LENGTH.pack(len(value_bytes)) + value_bytes)
        else:
            counters.add("propagation_baggage_dropped")
    return items


def _read_baggage(data: bytes, count: int) -> dict[str, str]:
    """Read ``count`` items; every declared length is checked against the bytes that are there before anything is taken."""
    if not 0 <= count <= _MAX_ITEMS:
        msg = f"{count} baggage items"
        raise ValueError(msg)
    texts = []
    at = _HEAD.size
    for _ in range(2 * count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if not 0 <= length <= min(_MAX_ITEM_BYTES, len(data) - at):
            msg = f"a baggage text of {length} bytes"
            raise ValueError(msg)
        texts.append(data[at : at + length].decode("utf-8"))
        at += length
    return dict(zip(texts[::2], texts[1::2], strict=True))
