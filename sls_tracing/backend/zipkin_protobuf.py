"""Zipkin's spans in protobuf, v2. (Source: openzipkin/zipkin-api, zipkin.proto.)"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, TypeAlias

from sls_tracing.backend.intake import Intake
from sls_tracing.backend.protobuf_wire import Value, fields, text
from sls_tracing.backend.zipkin import span_from_zipkin
from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decode_protobuf"]

_Table: TypeAlias = "dict[int, tuple[str, Callable[[Value], Any]]]"

_PROTOBUF_KINDS = (None, "CLIENT", "SERVER", "PRODUCER", "CONSUMER")


def decode_protobuf(body: bytes, now: float) -> Intake:
    """Return the spans of a ``ListOfSpans`` in protobuf. Raises :class:`DecodeError`."""
    intake = Intake()
    for number, value in fields(body):
        if number == 1:
            intake.take(lambda each: [span_from_zipkin(_message(each, _SPAN), now)], value)
    return intake


def _message(value: Value, table: _Table) -> dict[str, Any]:
    """Return a message as the object that JSON would have for it; repeated fields collect in a list, map entries in an object."""
    found: dict[str, Any] = {}
    for number, each in fields(_bytes(value)):
        if number not in table:
            continue
        name, read = table[number]
        if name == "annotations":
            found.setdefault(name, []).append(read(each))
        elif name == "tags":
            entry = read(each)
            found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        else:
            found[name] = read(each)
    return found


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise DecodeError("a protobuf number where a message or bytes belong")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise DecodeError("protobuf bytes where a number belongs")
    return value


def _hexadecimal(value: Value) -> str:
    return _bytes(value).hex()


def _kind(value: Value) -> str | None:
    number = _number(value)
    return _PROTOBUF_KINDS[number] if number < len(_PROTOBUF_KINDS) else None


def _flag(value: Value) -> bool:
    return bool(_number(value))


def _address(value: Value) -> str:
    try:
        return str(ipaddress.ip_address(_bytes(value)))
    except ValueError:
        raise DecodeError("a Zipkin address that has neither 4 nor 16 bytes") from None


_ENDPOINT: _Table = {
    1: ("serviceName", text),
    2: ("ipv4", _address),
    3: ("ipv6", _address),
    4: ("port", _number),
}
_ANNOTATION: _Table = {1: ("timestamp", _number), 2: ("value", text)}
_TAG: _Table = {1: ("key", text), 2: ("value", text)}
_SPAN: _Table = {
    1: ("traceId", _hexadecimal),
    2: ("parentId", _hexadecimal),
    3: ("id", _hexadecimal),
    4: ("kind", _kind),
    5: ("name", text),
    6: ("timestamp", _number),
    7: ("duration", _number),
    8: ("localEndpoint", lambda value: _message(value, _ENDPOINT)),
    9: ("remoteEndpoint", lambda value: _message(value, _ENDPOINT)),
    10: ("annotations", lambda value: _message(value, _ANNOTATION)),
    11: ("tags", lambda value: _message(value, _TAG)),
    12: ("debug", _flag),
    13: ("shared", _flag),
}
