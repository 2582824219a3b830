"""Tag and log values as they can be stored: text, bool, int, float, bytes.

Anything else becomes text **when it is set**, in the application's thread: the object may be bound to that thread (a Flask
proxy, a database row) or change later, and a background thread must never run an application's ``__str__``.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.clock import Clock
    from sls_tracing.model import TagValue

__all__ = ["PLAIN_TYPES", "error_fields", "to_fields", "to_seconds", "to_tags", "to_text", "to_value"]

PLAIN_TYPES = frozenset((str, bool, int, float, bytes))
"""Exact types that need no conversion: ``type(value) in PLAIN_TYPES`` is the hot path's test."""

_MAX_SECONDS = 2.0**63 / 1e6
"""What the wire's microseconds, 64 bits with a sign, can hold."""

_guard = Guard("values")


def to_value(value: object) -> TagValue:
    """Return ``value`` as one of the plain types. Never raises: what cannot be shown is named by its type."""
    if type(value) in PLAIN_TYPES:
        return value  # type: ignore[return-value]
    return _guard.call(f"<unprintable {type(value).__name__}>", _convert, value)


def _convert(value: object) -> TagValue:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    # Subclasses become their plain base: markupsafe.Markup, enum.IntEnum, numpy.float64, …
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, type):
        return _type_name(value)
    if isinstance(value, TracebackType):
        import traceback

        return "".join(traceback.format_tb(value))
    text = str(value)
    return text if type(text) is str else str.__str__(text)


def to_text(value: object) -> str:
    """Return ``value`` as plain text, for names and keys. Never raises; bytes are read as UTF-8."""
    return (
        value if type(value) is str else _guard.call(f"<unprintable {type(value).__name__}>", _convert_to_text, value)
    )


def _convert_to_text(value: object) -> str:
    plain = _convert(value)
    # str() of bytes is an error under `python -bb`, and str() of an int of more than 4300 digits is one since Python 3.11.
    return plain.decode("utf-8", "backslashreplace") if isinstance(plain, bytes) else str(plain)


def to_seconds(time: object, clock: Clock) -> float:
    """Return a time that the application gave, in seconds; the clock's if it is no finite number that the wire can hold.

    Checked where it is given: a reporter's thread could only drop the span.
    """
    if type(time) is float and -_MAX_SECONDS < time < _MAX_SECONDS:
        return time
    seconds = _guard.call(None, _convert_to_seconds, time)
    return clock() if seconds is None else seconds


def _convert_to_seconds(time: Any) -> float:
    seconds = float(time)
    if isinstance(time, (str, bytes, bytearray)) or not -_MAX_SECONDS < seconds < _MAX_SECONDS:
        msg = f"not a time in seconds: {time!r}"
        raise ValueError(msg)
    return seconds


def to_tags(tags: Mapping[Any, Any]) -> dict[str, TagValue]:
    """Return a new dict with keys as text and values as plain types; the caller's dict stays his."""
    return {to_text(key): value if type(value) in PLAIN_TYPES else to_value(value) for key, value in tags.items()}


def to_fields(key_values: Mapping[Any, Any]) -> dict[str, TagValue]:
    """Like :func:`to_tags`, for a log: an exception under ``error.object`` also yields a readable stack.

    OpenTracing's helper passes the traceback object itself as ``stack`` and the class as ``error.kind``; both become text here, the
    stack with its chain of causes and in full.
    """
    error = key_values.get("error.object")
    fields = to_tags(key_values)
    if isinstance(error, BaseException) and isinstance(key_values.get("stack"), (TracebackType, type(None))):
        fields["stack"] = _stack_text(error)
    return fields


def error_fields(error: BaseException) -> dict[str, TagValue]:
    """Return OpenTracing's standard log fields for an exception: event, message, error.kind, error.object, stack."""
    text = to_value(error)
    return {
        "event": "error",
        "message": text,
        "error.kind": _type_name(type(error)),
        "error.object": text,
        "stack": _stack_text(error),
    }


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _stack_text(error: BaseException) -> str:
    """Return the traceback with its chain of causes."""
    # Guarded: `traceback` copes with a __str__ that raises, but not with every attribute that an exception may have forged, and this
    # runs while the application's exception is on its way out.
    import traceback  # 6 ms at import; whoever logs an error has loaded it

    lines = _guard.call(None, traceback.format_exception, type(error), error, error.__traceback__)
    return f"<no stack: unprintable {type(error).__name__}>" if lines is None else "".join(lines)
