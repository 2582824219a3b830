"""Zipkin's first span model in terms of its second.

In v1 a span has no kind: the annotations ``cs`` and ``cr`` (client send, client receive), ``sr`` and ``ss`` (server), ``ms`` and ``mr``
(message) say whose side it is, and one span may hold both sides of a call. Endpoints hang on annotations, addresses of the other
side on the binary annotations ``sa``, ``ca`` and ``ma``. (Source: Zipkin's thrift/zipkinCore.thrift and its documentation of v1's JSON.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sls_tracing.backend.zipkin import microseconds
from sls_tracing.thrift.schema import DecodeError

__all__ = ["from_v1"]


class _Side(NamedTuple):
    """What marks one side of a call, and where that side says who the other one is."""

    kind: str
    begin: str
    end: str
    peer: str


_SIDES = (
    _Side("CLIENT", "cs", "cr", "sa"),
    _Side("SERVER", "sr", "ss", "ca"),
    _Side("PRODUCER", "ms", "ws", "ma"),
    _Side("CONSUMER", "mr", "wr", "ma"),
)
_CORE = {name for side in _SIDES for name in (side.begin, side.end)}
_ADDRESSES = {side.peer for side in _SIDES}
_LOCAL = "lc"
"""The binary annotation of a span that is no call at all: its value names the component, its endpoint the service."""


def from_v1(span: Any) -> list[dict[str, Any]]:
    """Return a v1 span as one of v2, or as two that share an id if it holds both sides of a call. Raises :class:`DecodeError`."""
    if not isinstance(span, dict):
        raise DecodeError("a Zipkin span that is no object")
    annotations = _objects(span, "annotations")
    binary = _objects(span, "binaryAnnotations")
    sides = [side for side in _SIDES if any(each.get("value") in (side.begin, side.end) for each in annotations)]
    if not sides:
        return [_with_rest(_base(span), annotations, binary, _first_endpoint(annotations, binary))]
    halves = [_half(span, side, annotations, binary, alone=len(sides) == 1) for side in sides]
    for half, rest in zip(halves, _shares(halves, annotations, binary), strict=True):
        _with_rest(half, *rest, half.get("localEndpoint"))
    return halves


def _objects(span: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = span.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise DecodeError(f"Zipkin {key} that are no array of objects")
    for each in found:
        if isinstance(each.get("value"), (list, dict)) or not isinstance(each.get("key", ""), str):
            raise DecodeError(f"Zipkin {key} with a key or a value of a type that they cannot have")
    return found


def _base(span: dict[str, Any]) -> dict[str, Any]:
    return {key: span.get(key) for key in ("traceId", "parentId", "id", "name", "timestamp", "duration", "debug")}


def _half(
    span: dict[str, Any],
    side: _Side,
    annotations: list[dict[str, Any]],
    binary: list[dict[str, Any]],
    *,
    alone: bool,
) -> dict[str, Any]:
    """Return one side of a call, with its own times: those of the span belong to who started it, which is the first side."""
    begin, end = _annotation(annotations, side.begin), _annotation(annotations, side.end)
    half = {**_base(span), "kind": side.kind}
    begins, ends = (microseconds(each.get("timestamp"), "annotation's timestamp") for each in (begin, end))
    if not alone or not half["timestamp"]:
        half["timestamp"] = begins or half["timestamp"] or ends
    if not alone or half["duration"] is None:
        half["duration"] = ends - begins if begins and ends else half["duration"] if alone else None
    half["localEndpoint"] = begin.get("endpoint") or end.get("endpoint")
    half["remoteEndpoint"] = next((each.get("endpoint") for each in binary if each.get("key") == side.peer), None)
    return half


def _annotation(annotations: list[dict[str, Any]], value: str) -> dict[str, Any]:
    return next((each for each in annotations if each.get("value") == value), {})


_Annotations = list[dict[str, Any]]


def _shares(
    halves: list[dict[str, Any]], annotations: _Annotations, binary: _Annotations
) -> list[tuple[_Annotations, _Annotations]]:
    """Return for each half the annotations that are its own: those with its endpoint; what no half claims is the first one's."""
    shares: list[tuple[_Annotations, _Annotations]] = [([], []) for _ in halves]
    for index, group in enumerate((annotations, binary)):
        for each in group:
            endpoint = each.get("endpoint")
            owner = next((i for i, half in enumerate(halves) if half["localEndpoint"] == endpoint), 0)
            shares[owner][index].append(each)
    return shares


def _with_rest(span: dict[str, Any], annotations: _Annotations, binary: _Annotations, endpoint: Any) -> dict[str, Any]:
    """Add to ``span`` what is no mark of a side: plain annotations, and binary ones as tags."""
    span["localEndpoint"] = endpoint
    span["annotations"] = [each for each in annotations if each.get("value") not in _CORE]
    span["tags"] = {}
    for each in binary:
        key = each.get("key", "")
        if key == _LOCAL:
            key = "component"
        if key and not (key in _ADDRESSES and each.get("endpoint")):
            span["tags"][key] = each.get("value")
    return span


def _first_endpoint(annotations: _Annotations, binary: _Annotations) -> Any:
    local = [each for each in binary if each.get("key") == _LOCAL]
    own = [each for each in binary if each.get("key") not in _ADDRESSES]
    return next((each["endpoint"] for each in (*local, *annotations, *own) if each.get("endpoint")), None)
