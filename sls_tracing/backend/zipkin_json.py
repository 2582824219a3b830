"""Zipkin's spans in JSON: v2, which all its clients and Envoy send today, and v1. (Source: openzipkin/zipkin-api, zipkin2-api.yaml.)"""

from __future__ import annotations

from typing import Any

from sls_tracing.backend.intake import Intake, load_json
from sls_tracing.backend.zipkin import span_from_zipkin
from sls_tracing.backend.zipkin_v1 import from_v1
from sls_tracing.thrift.schema import DecodeError

__all__ = ["decode_json_v1", "decode_json_v2"]


def decode_json_v2(body: bytes, now: float) -> Intake:
    """Return the spans of a ``ListOfSpans`` in JSON. Raises :class:`DecodeError` unless it is an array."""
    intake = Intake()
    for span in _array(body):
        intake.take(lambda each: [span_from_zipkin(each, now)], span)
    return intake


def decode_json_v1(body: bytes, now: float) -> Intake:
    """Return the spans of v1's JSON. Raises :class:`DecodeError` unless it is an array."""
    intake = Intake()
    for span in _array(body):
        intake.take(lambda each: [span_from_zipkin(half, now) for half in from_v1(each)], span)
    return intake


def _array(body: bytes) -> list[Any]:
    spans = load_json(body)
    if not isinstance(spans, list):
        raise DecodeError("Zipkin's JSON is an array of spans; this is none")
    return spans
