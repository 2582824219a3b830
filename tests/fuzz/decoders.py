"""Every decoder of the backend as one function of bytes, with good inputs to begin from; and what any input must come to."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sls_tracing.backend import otlp_requests, zipkin_json, zipkin_protobuf, zipkin_thrift
from sls_tracing.backend.content_coding import unpack
from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.log_service.logstore import Log, LogGroup, LogServiceError
from sls_tracing.log_service.wire import WireError, decode_log_group, encode_log_group
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.decoding import decode_batch, decode_emit_batch, read_any_batch, read_any_message
from sls_tracing.thrift.schema import ClientStats, DecodeError
from sls_tracing.thrift.usual import NOT_USUAL
from sls_tracing.thrift.usual_binary import read_binary_batch, read_binary_message
from sls_tracing.thrift.usual_compact import read_compact_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = 1_700_000_000.0
MAX_UNPACKED = 1 << 20


class Decoder(NamedTuple):
    """``read`` returns spans or raises :class:`DecodeError`; ``seeds`` are good inputs."""

    read: Callable[[bytes], Sequence[SpanRecord]]
    seeds: Sequence[bytes]


def _message(protocol: str, fast: Callable[[bytes], Any]) -> Callable[[bytes], Sequence[SpanRecord]]:
    def read(data: bytes) -> Sequence[SpanRecord]:
        try:
            usual = fast(data)
        except NOT_USUAL:
            pass
        else:  # the way that is fast says what the general one says
            assert repr(usual) == repr(read_any_message(data, protocol))  # type: ignore[arg-type]
        return decode_emit_batch(data, protocol).spans  # type: ignore[arg-type]

    return read


def _body(data: bytes) -> Sequence[SpanRecord]:
    try:
        usual = read_binary_batch(data)
    except NOT_USUAL:
        pass
    else:
        assert repr(usual) == repr(read_any_batch(data))
    return decode_batch(data).spans


def _log_group(data: bytes) -> Sequence[SpanRecord]:
    group = decode_log_group(data)
    assert decode_log_group(encode_log_group(group)) == group
    spans = []
    for log in group.logs:
        try:
            spans.append(jaeger_legacy.from_log(dict(log.contents)))
        except (ValueError, KeyError):  # what TraceStore counts as unreadable
            continue
    return spans


def _gzip(data: bytes) -> Sequence[SpanRecord]:
    assert len(unpack(data, "gzip", MAX_UNPACKED)) <= MAX_UNPACKED
    return ()


def _deflate(data: bytes) -> Sequence[SpanRecord]:
    assert len(unpack(data, "deflate", MAX_UNPACKED)) <= MAX_UNPACKED
    return ()


_PROCESS = Process("productpage", {"hostname": "h", "ip": "10.0.0.1", "n": 7})
_SPAN = SpanRecord(
    "GET /",
    SpanContext(0xABC << 80 | 5, 0xFEDCBA9876543210, 0x1234, sampled=True, debug=True),
    (Reference("child_of", 0xABC << 80 | 5, 0x1234), Reference("follows_from", 1, 2)),
    1_700_000_000.25,
    1_700_000_000.5,
    {"s": "ü", "b": True, "i": -5, "f": 0.5, "raw": b"\xff", "span.kind": "server"},
    (LogRecord(1_700_000_000.3, {"event": "error", "n": 3}),),
    _PROCESS,
)
_ZIPKIN_1 = {
    "traceId": "abc", "id": "1", "parentId": "2", "name": "get", "timestamp": 1_700_000_000_000_000, "duration": 5, "debug": True,
    "annotations": [{"timestamp": 1_700_000_000_000_000, "value": "sr", "endpoint": {"serviceName": "s", "ipv4": "10.0.0.1", "port": 80}}],
    "binaryAnnotations": [{"key": "http.path", "value": "/", "endpoint": {"serviceName": "s"}}, {"key": "sa", "value": True}],
}  # fmt: skip
_ZIPKIN_2 = {
    "traceId": "463ac35c9f6413ad48485a3953bb6124", "id": "1", "parentId": "2", "kind": "CLIENT", "name": "get", "shared": True, "debug": False,
    "timestamp": 1_700_000_000_000_000, "duration": 5, "localEndpoint": {"serviceName": "s", "ipv6": "::1", "port": 80},
    "remoteEndpoint": {"serviceName": "t"}, "annotations": [{"timestamp": 1_700_000_000_000_000, "value": "x"}], "tags": {"error": "no", "a": "b"},
}  # fmt: skip
_OTLP = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "lib", "version": "1"},
                    "spans": [
                        {
                            "traceId": "463ac35c9f6413ad48485a3953bb6124",
                            "spanId": "48485a3953bb6124",
                            "parentSpanId": "48485a3953bb6125",
                            "name": "get",
                            "kind": 2,
                            "startTimeUnixNano": "1700000000000000000",
                            "endTimeUnixNano": "1700000000500000000",
                            "attributes": [
                                {"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 0.5}]}}},
                                {"key": "b", "value": {"kvlistValue": {"values": [{"key": "c", "value": {"boolValue": True}}]}}},
                            ],
                            "events": [{"timeUnixNano": "1700000000100000000", "name": "e", "attributes": []}],
                            "links": [{"traceId": "463ac35c9f6413ad48485a3953bb6125", "spanId": "48485a3953bb6126"}],
                            "status": {"code": 2, "message": "no"},
                        }
                    ],
                }
            ],
        }
    ]
}  # fmt: skip


def _otlp_protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name, span.kind = b"\1" * 16, b"\2" * 8, "get", 2
    span.start_time_unix_nano, span.end_time_unix_nano = 1_700_000_000 * 10**9, 1_700_000_001 * 10**9
    attribute = span.attributes.add()
    attribute.key, attribute.value.string_value = "a", "b"
    request.resource_spans[0].resource.attributes.add().key = "service.name"
    return bytes(request.SerializeToString())


def _thrift(encoder: CompactEncoder | BinaryEncoder) -> list[bytes]:
    process, span = encoder.process(_PROCESS), encoder.span(_SPAN)
    plain = encoder.span(_SPAN._replace(tags={}, logs=(), references=()))
    return [
        encoder.emit_batch(process, [span, plain], seq_no=3, stats=ClientStats(1, 2, 3)),
        encoder.emit_batch(process, [plain]),
    ]


def _zipkin_protobuf() -> bytes:
    span = b"\x0a\x08" + b"\1" * 8 + b"\x12\x08" + b"\2" * 8 + b"\x1a\x08" + b"\3" * 8 + b"\x20\x02\x2a\x03get"
    span += (
        b"\x31"
        + (1_700_000_000_000_000).to_bytes(8, "little")
        + b"\x38\x05\x42\x03\x0a\x01s\x52\x0b\x09"
        + bytes(8)
        + b"\x12\x00"
    )
    span += b"\x5a\x06\x0a\x01a\x12\x01b"
    return b"\x0a" + bytes((len(span),)) + span


_ZIPKIN_THRIFT = (
    b"\x0c\0\0\0\1" + b"\x0a\0\1" + (0xABC).to_bytes(8, "big") + b"\x0b\0\3\0\0\0\3get" + b"\x0a\0\4" + (1).to_bytes(8, "big")
    + b"\x0f\0\6\x0c\0\0\0\1" + b"\x0a\0\1" + (1_700_000_000_000_000).to_bytes(8, "big") + b"\x0b\0\2\0\0\0\2sr" + b"\0"
    + b"\x0f\0\x08\x0c\0\0\0\1" + b"\x0b\0\1\0\0\0\1k\x0b\0\2\0\0\0\1v\x08\0\3\0\0\0\6" + b"\0" + b"\0"
)  # fmt: skip
_EMIT_ZIPKIN = b"\x82\x81\x01\x0femitZipkinBatch\x19\x1c\x16\x02\x28\x03get\x16\x02\x29\x1c\x16\x02\x18\x02sr\x1c\x15\x02\x14\x02\x18\x01s\0\0\0\0"

DECODERS: dict[str, Decoder] = {
    "thrift compact": Decoder(_message("compact", read_compact_message), _thrift(CompactEncoder())),
    "thrift binary": Decoder(_message("binary", read_binary_message), _thrift(BinaryEncoder())),
    "thrift body": Decoder(
        _body, [BinaryEncoder().batch(BinaryEncoder().process(_PROCESS), [BinaryEncoder().span(_SPAN)])]
    ),
    "zipkin compact": Decoder(
        lambda data: zipkin_thrift.decode_emit_zipkin_batch(data, "compact", NOW).spans, [_EMIT_ZIPKIN]
    ),
    "zipkin binary": Decoder(
        lambda data: zipkin_thrift.decode_emit_zipkin_batch(data, "binary", NOW).spans,
        [b"\x80\1\0\4\0\0\0\x0femitZipkinBatch\0\0\0\1\x0f\0\1" + _ZIPKIN_THRIFT + b"\0"],
    ),
    "zipkin thrift": Decoder(lambda data: zipkin_thrift.decode_thrift(data, NOW).spans, [_ZIPKIN_THRIFT]),
    "zipkin json 1": Decoder(
        lambda data: zipkin_json.decode_json_v1(data, NOW).spans, [json.dumps([_ZIPKIN_1]).encode()]
    ),
    "zipkin json 2": Decoder(
        lambda data: zipkin_json.decode_json_v2(data, NOW).spans, [json.dumps([_ZIPKIN_2]).encode()]
    ),
    "zipkin protobuf": Decoder(lambda data: zipkin_protobuf.decode_protobuf(data, NOW).spans, [_zipkin_protobuf()]),
    "otlp protobuf": Decoder(lambda data: otlp_requests.decode_protobuf(data, NOW).spans, [_otlp_protobuf()]),
    "otlp json": Decoder(lambda data: otlp_requests.decode_json(data, NOW).spans, [json.dumps(_OTLP).encode()]),
    "log group": Decoder(
        _log_group,
        [encode_log_group(LogGroup([jaeger_legacy.to_log(_SPAN), Log(1, [("a", "b")])], source="0", topic="t"))],
    ),
    "gzip": Decoder(_gzip, [gzip.compress(b"spans" * 100, mtime=0)]),
    "deflate": Decoder(_deflate, [gzip.zlib.compress(b"spans" * 100)]),  # type: ignore[attr-defined]
}


def check(name: str, data: bytes) -> int:
    """Decode; return the number of spans, 0 for what is refused. Spans must be such that they can be stored, or are refused as the store refuses them.

    Anything else that is raised is a defect.
    """
    try:
        spans = DECODERS[name].read(data)
    except (DecodeError, LogServiceError, WireError):
        return 0
    for span in spans:
        try:
            log = jaeger_legacy.to_log(span)
        except (
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            KeyError,
        ):  # what TraceStore.write counts as unwritable
            continue
        assert all(type(key) is str and type(value) is str for key, value in log.contents)
        encode_log_group(LogGroup([log]))
        jaeger_legacy.from_log(dict(log.contents))
    return len(spans)
