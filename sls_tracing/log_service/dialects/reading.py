"""What the readers of all dialects have in common: ids of any padding, SQL's ``null``, microseconds or nanoseconds, JSON element by element."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ABSENT",
    "NANOSECONDS_FROM",
    "SPAN_ID",
    "TRACE_ID",
    "TYPED_TAGS",
    "json_list",
    "json_object",
    "read_id",
    "read_number",
    "read_times",
    "typed_forms",
]

TYPED_TAGS = "typedTags"
"""The field that keeps the types of tags which a dialect writes as text; other readers skip it as they skip every key that they do not know."""

ABSENT = frozenset(("", "null"))
"""How a log says that it lacks a value; an analysis gives NULL as ``null``."""

TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
SPAN_ID = re.compile(r"[0-9a-fA-F]{1,16}")

NANOSECONDS_FROM = 10**17
"""A start of this size or more is in nanoseconds, a smaller one in microseconds: as such it would be in the year 5138, as nanoseconds in 1973.

Jaeger on Log Service before 0.1.9 wrote nanoseconds, and so does Log Service's trace application by its Chinese manual; everybody else writes
microseconds.
"""

_NUMBER = re.compile(r"-?[0-9]{1,19}")


def read_id(contents: Mapping[str, Any], key: str, form: re.Pattern[str]) -> int:
    """Return an id, 0 for none; raise ValueError for what is no id."""
    text = str(contents.get(key, ""))
    if text in ABSENT:
        return 0
    if not form.fullmatch(text):
        raise ValueError(f"{key} {text[:40]!r} is not a hexadecimal id")
    return int(text, 16)


def read_number(text: str | None, default: int) -> int:
    """Return a whole number, ``default`` for what is none."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else default


def read_times(contents: Mapping[str, str], start_key: str) -> tuple[float, float]:
    """Return start and end in seconds; the log's own time stands in for a missing start. Raises ValueError."""
    text = contents.get(start_key, "")
    if text in ABSENT and "__time__" in contents:
        text = contents["__time__"] + "000000"
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{start_key} {text[:40]!r} is not a number of microseconds")
    start = int(text)
    duration = max(0, read_number(contents.get("duration"), read_number(contents.get("end"), start) - start))
    unit = 1e9 if start >= NANOSECONDS_FROM else 1e6
    return start / unit, (start + duration) / unit


def json_list(contents: Mapping[str, str], key: str, read: Callable[[Any], Any], warnings: list[str]) -> list[Any]:
    """Read a JSON array element by element; an unreadable one costs itself and leaves a warning."""
    text = contents.get(key, "")
    if text in ABSENT:
        return []
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError):
        elements = None
    if not isinstance(elements, list):
        warnings.append(f"unreadable {key}: {text[:100]}")
        return []
    found: list[Any] = []
    for element in elements:
        try:
            found.append(read(element))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            warnings.append(f"unreadable {key}: {str(element)[:100]}")
    return found


def json_object(contents: Mapping[str, str], key: str, warnings: list[str]) -> dict[str, Any]:
    """Read a JSON object; an unreadable one is empty and leaves a warning."""
    text = contents.get(key, "")
    if text in ABSENT:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    warnings.append(f"unreadable {key}: {text[:100]}")
    return {}


def typed_forms(contents: Mapping[str, str], warnings: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what :data:`TYPED_TAGS` keeps of tags and of process tags."""
    if contents.get(TYPED_TAGS, "") in ABSENT:
        return {}, {}
    try:
        typed = json.loads(contents[TYPED_TAGS])
        return dict(typed.get("tags", {})), dict(typed.get("process.tags", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        warnings.append(f"unreadable {TYPED_TAGS}: every tag is text")
        return {}, {}
