"""Tag and log values as the dialects write them: as text, as Jaeger's JSON key-values, and with their type.

Source: jaegertracing/jaeger ``model.KeyValue`` (AsString) as used by aliyun/aliyun-log-jaeger's converter.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.model import TagValue

__all__ = [
    "as_text",
    "clean",
    "from_key_value",
    "from_time",
    "from_typed",
    "to_json",
    "to_key_value",
    "to_time",
    "to_typed",
    "typed_json",
]

_BINARY_SHOWN = 256
_YEAR_1, _YEAR_9999 = -62_135_596_800, 253_402_300_799  # what RFC 3339 can say
_INT64 = range(-(2**63), 2**63)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")


def clean(text: str) -> str:
    """Return ``text`` as it can be stored: half a surrogate pair, which UTF-8 cannot hold, becomes ``?``."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def as_text(value: TagValue) -> str:
    """Return a value as Jaeger's string form: ``true``, ``200``, ``0.25``, lower-case hex of at most 256 bytes.

    Floats are Go's ``'g'`` with 10 significant digits, which is Python's but for the infinities.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean(value)  # type: ignore[union-attr,return-value,arg-type]
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return format(value, ".10g")
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if isinstance(value, bytes):
        return value.hex() if len(value) <= _BINARY_SHOWN else value[:_BINARY_SHOWN].hex() + "..."
    return clean(str(value))


def to_typed(tags: Mapping[str, TagValue]) -> str:
    """Return the tags that are not text as a JSON object that keeps type and value, empty if all are text, which needs none.

    Written by hand for what almost all of them are: an encoder of ``json`` takes longer to set up than a span's tags to write.
    """
    parts = []
    for key, value in tags.items():
        kind = type(value)
        if kind is str:
            continue
        if kind is int:
            text = str(value)
        elif kind is bool:
            text = "true" if value else "false"
        else:
            text = to_json(_typed(value))
        parts.append(_json_key(key) + text)
    return "{" + ",".join(parts) + "}" if parts else ""


def typed_json(tags: str, process_tags: str) -> str:
    """Return the typed forms of a span's tags and its process's as one JSON object, empty if both are."""
    parts = [f'"{key}":{form}' for key, form in (("tags", tags), ("process.tags", process_tags)) if form]
    return "{" + ",".join(parts) + "}" if parts else ""


@lru_cache(maxsize=4096)
def _json_key(key: str) -> str:
    return to_json(clean(key)) + ":"


def _typed(value: TagValue) -> object:
    if isinstance(value, bytes):
        return {"binary": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": as_text(value)}
    return value


def from_typed(form: object, text: str) -> TagValue:
    """Return the value behind ``text``, which is what the log shows; ``form`` counts only if it is the same value."""
    value: object = form
    if isinstance(form, dict):
        try:
            value = base64.b64decode(form["binary"]) if "binary" in form else float(form["float"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            return text
    if isinstance(value, (bool, int, float, bytes)) and as_text(value) == text:
        return value
    return text


def to_key_value(key: str, value: TagValue) -> dict[str, object]:
    """Return a log field as Jaeger's JSON object. Zero values have no ``v…`` member: Go's encoder leaves them out."""
    field: dict[str, object] = {"key": clean(key)}
    if isinstance(value, bool):
        field["vType"] = "bool"
        if value:
            field["vNum"] = 1
    elif isinstance(value, int) and value in _INT64:
        field["vType"] = "int64"
        if value:
            field["vNum"] = value
    elif isinstance(value, float):
        field["vType"] = "float64"
        bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
        if bits:
            field["vNum"] = bits
    elif isinstance(value, bytes):
        field["vType"] = "binary"
        if value:
            field["vBlob"] = base64.b64encode(value).decode("ascii")
    else:  # text; and integers beyond 64 bits, which the format has no room for
        text = as_text(value)
        field["vType"] = "string"
        if text:
            field["vStr"] = text
    return field


def from_key_value(field: Mapping[str, Any]) -> tuple[str, TagValue]:
    """Read Jaeger's JSON object. Raises ValueError, KeyError or TypeError for what is none."""
    key = str(field["key"])
    kind = str(field.get("vType", "string")).lower()
    if kind == "bool":
        return key, bool(field.get("vNum", 0))
    if kind == "int64":
        return key, int(field.get("vNum", 0))
    if kind == "float64":
        bits = int(field.get("vNum", 0))
        if bits not in _INT64:
            raise ValueError(f"{bits} is not the bits of a float")
        return key, float(struct.unpack("<d", struct.pack("<q", bits))[0])
    if kind == "binary":
        return key, base64.b64decode(field.get("vBlob", ""))
    return key, str(field.get("vStr", ""))


def to_time(seconds: float) -> str:
    """Return a time as RFC 3339 in UTC, with as many fractional digits of a microsecond as it has (Go's RFC3339Nano)."""
    whole, micros = divmod(round(min(max(_YEAR_1, seconds), _YEAR_9999) * 1e6), 1_000_000)
    text = datetime.fromtimestamp(whole, timezone.utc).isoformat()[:19]
    return f"{text}.{micros:06d}".rstrip("0") + "Z" if micros else text + "Z"


def from_time(text: str) -> float:
    """Read RFC 3339 with any offset and up to nanoseconds. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    date, clock, fraction, offset = match.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    nanos = int((fraction or "").ljust(9, "0"))
    return (int(moment.timestamp()) * 1_000_000 + round(nanos / 1000)) / 1e6


to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Compact JSON with text as it is, not escaped to ASCII. Bound once: ``json.dumps`` would make an encoder a call."""
