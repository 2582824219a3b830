"""Zipkin's spans in Thrift, v1: what Brave of old, Finagle and py_zipkin post."""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import sls_tracing.thrift
from sls_tracing.backend.intake import Intake
from sls_tracing.backend.zipkin import span_from_zipkin
from sls_tracing.backend.zipkin_v1 import from_v1
from sls_tracing.thrift.decoding import read_struct
from sls_tracing.thrift.rewriting import binary_from_compact_message
from sls_tracing.thrift.schema import LOW_64, DecodeError
from sls_tracing.thrift.screening import StructShape, binary_from_message, check_binary_struct

__all__ = ["decode_emit_zipkin_batch", "decode_thrift", "is_emit_zipkin_batch"]

_METHOD = "emitZipkinBatch"
_SCREENS = {"compact": binary_from_compact_message, "binary": binary_from_message}
_LIST_FIELD, _STOP = b"\x0f\x00\x01", b"\x00"
_BOOL, _BYTES, _I16, _I32, _I64, _DOUBLE, _STRING = range(7)
_NUMBERS = {_I16: ">h", _I32: ">i", _I64: ">q", _DOUBLE: ">d"}


def decode_thrift(body: bytes, now: float) -> Intake:
    """Return the spans of a bare ``list<Span>`` in the binary protocol. Raises :class:`DecodeError`."""
    if not body:
        raise DecodeError("an empty body, where a list of spans belongs")
    wrapped = _LIST_FIELD + body + _STOP  # as a struct it can be screened and read like any other
    check_binary_struct(wrapped, _spans_struct()[1])
    return _take_all(wrapped, now)


def is_emit_zipkin_batch(datagram: bytes) -> bool:
    """Return whether this looks like a message to Zipkin's method, in either protocol."""
    return _METHOD.encode() in datagram[: len(_METHOD) + 12]


def decode_emit_zipkin_batch(datagram: bytes, protocol: Literal["compact", "binary"], now: float) -> Intake:
    """Return the spans of an ``emitZipkinBatch`` message, as clients of 2016 send to port 5775. Raises :class:`DecodeError`."""
    return _take_all(_SCREENS[protocol](datagram, _spans_struct()[1], _METHOD), now)


def _take_all(screened: bytes, now: float) -> Intake:
    intake = Intake()
    for span in read_struct(_spans_struct()[0], screened).spans or ():
        intake.take(lambda each: [span_from_zipkin(half, now) for half in from_v1(_from_thrift(each))], span)
    return intake


@lru_cache(maxsize=1)
def _spans_struct() -> tuple[Any, StructShape]:
    import thriftpy2

    module = thriftpy2.load(
        str(Path(sls_tracing.thrift.__path__[0], "zipkin.thrift")), "sls_tracing.thrift.zipkin_thrift"
    )
    return module.Spans, StructShape.of(module.Spans)


def _from_thrift(span: Any) -> dict[str, Any]:
    """Return the span as v1's JSON has it."""
    high = (span.trace_id_high or 0) & LOW_64
    return {
        "traceId": f"{high << 64 | (span.trace_id or 0) & LOW_64:032x}",
        "id": f"{(span.id or 0) & LOW_64:016x}",
        "parentId": None if span.parent_id is None else f"{span.parent_id & LOW_64:016x}",
        "name": _utf8(span.name),
        "timestamp": span.timestamp,
        "duration": span.duration,
        "debug": span.debug,
        "annotations": [
            {"timestamp": each.timestamp, "value": _utf8(each.value), "endpoint": _thrift_endpoint(each.host)}
            for each in span.annotations or ()
        ],
        "binaryAnnotations": [
            {"key": _utf8(each.key), "value": _thrift_value(each), "endpoint": _thrift_endpoint(each.host)}
            for each in span.binary_annotations or ()
        ],
    }


def _utf8(value: str | bytes | None) -> str:
    """Return text; thriftpy2 leaves as bytes what is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _thrift_endpoint(host: Any) -> dict[str, Any] | None:
    if host is None:
        return None
    return {
        "serviceName": _utf8(host.service_name),
        "ipv4": str(ipaddress.IPv4Address(host.ipv4 & 0xFFFFFFFF)) if host.ipv4 else None,
        "ipv6": str(ipaddress.IPv6Address(host.ipv6)) if len(host.ipv6 or b"") == 16 else None,
        "port": (host.port or 0) & 0xFFFF,
    }


def _thrift_value(annotation: Any) -> Any:
    kind, value = annotation.annotation_type, annotation.value or b""
    if kind in (_STRING, None):
        return _utf8(value)
    if kind == _BOOL:
        return value not in (b"", b"\0")
    if kind in _NUMBERS and len(value) == struct.calcsize(_NUMBERS[kind]):
        return struct.unpack(_NUMBERS[kind], value)[0]
    return value
