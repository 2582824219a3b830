"""OTLP/HTTP's bodies: the request in protobuf or JSON, the answer in the same. (Source: OTLP specification 1.x, "OTLP/HTTP".)

Envelopes (resources, scopes) are walked here and spans decoded one by one, so that a span that cannot be read costs itself only and
is told to the sender as a partial success, and no body becomes a multiple of its size at once.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sls_tracing.backend.intake import Intake, load_json
from sls_tracing.backend.otlp import process_from_resource, scope_tags, span_from_otlp
from sls_tracing.backend.protobuf_wire import Value, fields, varint
from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

__all__ = ["answer_json", "answer_protobuf", "decode_json", "decode_protobuf", "status_json", "status_protobuf"]

M = TypeVar("M", bound="Message")

_ID_KEYS = ("traceId", "spanId", "parentSpanId")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2})*")
_MAX_SHOWN = 200
_MAX_MESSAGE = 1 << 20
"""Bytes of one span, resource or scope: an empty event takes two of them, and some 300 once it is an object."""


def decode_protobuf(body: bytes, now: float) -> Intake:
    """Return the spans of an ``ExportTraceServiceRequest``. Raises :class:`DecodeError`."""
    intake = Intake()
    for resource_spans in _submessages(body, 1):
        intake.count()
        process = process_from_resource(_parse(Resource, _last(resource_spans, 1)))
        for scope_spans in _submessages(resource_spans, 2):
            intake.count()
            scope = scope_tags(_parse(InstrumentationScope, _last(scope_spans, 1)))
            for span in _submessages(scope_spans, 2):
                intake.take(lambda each: [span_from_otlp(_parse(Span, each), process, scope, now)], span)  # noqa: B023 - called at once
    return intake


def _submessages(message: bytes, number: int) -> Iterator[bytes]:
    return (_bytes(value) for each, value in fields(message) if each == number)


def _last(message: bytes, number: int) -> bytes:
    """Return the last field of that number, as protobuf reads one that should be there once; empty if there is none."""
    found = b""
    for found in _submessages(message, number):  # noqa: B007 - the last one is what we want
        pass
    return found


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise DecodeError("not an ExportTraceServiceRequest: a number where a message belongs")
    return value


def _parse(kind: type[M], message: bytes) -> M:
    if len(message) > _MAX_MESSAGE:
        raise DecodeError(f"a {kind.__name__} of {len(message)} bytes; {_MAX_MESSAGE} is the most")
    try:
        parsed: M = kind.FromString(message)
    except ProtobufError as error:
        raise DecodeError(f"not a {kind.__name__} of OTLP: {error}"[:_MAX_SHOWN]) from None
    return parsed


def decode_json(body: bytes, now: float) -> Intake:
    """Return the spans of an ``ExportTraceServiceRequest`` in JSON. Raises :class:`DecodeError`.

    OTLP's JSON is protobuf's with one difference, ids in hexadecimal instead of base64; so the ids are changed and the library does the rest.
    """
    request = load_json(body)
    if not isinstance(request, dict):
        raise DecodeError("OTLP's JSON is an object; this is none")
    intake = Intake()
    for resource_spans in _objects(request, "resourceSpans"):
        intake.count()
        process = process_from_resource(_from_json(Resource, resource_spans.get("resource")))
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            intake.count()
            scope = scope_tags(_from_json(InstrumentationScope, scope_spans.get("scope")))
            for span in _objects(scope_spans, "spans"):
                intake.take(
                    lambda each: [span_from_otlp(_from_json(Span, _with_base64_ids(each)), process, scope, now)],  # noqa: B023 - called at once
                    span,
                )
    return intake


def _objects(container: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = container.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise DecodeError(f"{key} is no array of objects")
    return found


def _from_json(kind: type[M], value: Any) -> M:
    try:
        parsed: M = ParseDict({} if value is None else value, kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # All but the first escape the library on values of a type that it does not expect.
        raise DecodeError(f"not a {kind.__name__} of OTLP: {error}"[:_MAX_SHOWN]) from None
    return parsed


def _with_base64_ids(span: dict[str, Any]) -> dict[str, Any]:
    span = {**span, **{key: _base64_of(span[key]) for key in _ID_KEYS if span.get(key) is not None}}
    if isinstance(span.get("links"), list):
        span["links"] = [_with_base64_ids(each) if isinstance(each, dict) else each for each in span["links"]]
    return span


def _base64_of(hexadecimal: Any) -> str:
    if not isinstance(hexadecimal, str) or not _HEXADECIMAL.fullmatch(hexadecimal):
        raise DecodeError("an OTLP id that is not hexadecimal")
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode("ascii")


# -- answers -----------------------------------------------------------------------------------------------------------------------


def answer_protobuf(rejected: int, reason: str) -> bytes:
    """Return an ``ExportTraceServiceResponse``; empty when all spans were taken."""
    if not rejected:
        return b""
    partial = b"\x08" + varint(rejected) + _text_field(2, reason)
    return b"\x0a" + varint(len(partial)) + partial


def answer_json(rejected: int, reason: str) -> bytes:
    """Return the same in JSON."""
    if not rejected:
        return b"{}"
    return json.dumps({"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": reason}}).encode()


def status_protobuf(code: int, message: str) -> bytes:
    """Return a ``google.rpc.Status``, OTLP's body of every answer that is none of success; ``code`` is gRPC's."""
    return b"\x08" + varint(code) + _text_field(2, message)


def status_json(code: int, message: str) -> bytes:
    """Return the same in JSON."""
    return json.dumps({"code": code, "message": message}).encode()


def _text_field(number: int, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return bytes((number << 3 | 2,)) + varint(len(data)) + data
