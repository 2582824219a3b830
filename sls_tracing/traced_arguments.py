"""What of a call's arguments enters a span: into its name, where that is a template, and into tags, bounded and without secrets."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from itertools import islice
from string import Formatter
from typing import TYPE_CHECKING, Any

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard
from sls_tracing.values import to_text

# Upwards, against the order of the floors: the list of what is secret is one for the whole library, and it stands there.
from sls_tracing.instrumentation._redaction import REDACTED, is_secret_name, redact_text  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import opentracing

    from sls_tracing.model import TagValue

__all__ = ["Arguments", "known_to"]

MAX_TEXT = 256
"""Characters of one value in a tag."""
MAX_NAME_PART = 64
"""Characters of one value in a span's name."""
_MAX_ITEMS = 10
_MAX_DEPTH = 3
_NOT_GIVEN = object()
_OF_THE_INSTANCE = ("self", "cls")
_PATH = re.compile(r"\w+(\.\w+)*")
_SECRET_IN_TEXT = re.compile(r"""(\w[\w\-]*)(['"]?\s*[=:]\s*)('[^']*'?|"[^"]*"?|[^\s,;&)\]}]+)""")

_guard = Guard("traced")


class Arguments:
    """Which arguments of one function are captured, and the template of its span's name.

    Raises ConfigurationError for what is no parameter of the function: better where it is decorated than never.
    """

    def __init__(self, function: Callable[..., Any], captured: bool | Iterable[str], template: str | None) -> None:
        self._parameters = _parameters(function)
        if captured is True:
            captured = [name for name in self._parameters if name not in _OF_THE_INSTANCE]
        self._captured = [(f"arg.{path}", self._path(function, path)) for path in captured or ()]
        self._parts: list[tuple[str, tuple[str, ...] | None]] = []
        for literal, field in _parse(template or ""):
            self._parts.append((literal, None if field is None else self._path(function, field)))
        self._is_template = any(path is not None for _, path in self._parts)
        self.plain_name = None if self._is_template else "".join(literal for literal, _ in self._parts)

    def name(self, plain: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the template filled in; ``plain`` where it is none, or where the application's own code fails at it."""
        return _guard.call(plain, self._fill_in, args, kwargs) if self._is_template else plain

    def describe(self, span: opentracing.Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Set the captured arguments as tags, unless nobody records the span."""
        # Other tracers do not say; theirs are described.
        if self._captured and getattr(span, "is_recording", True):
            for tag, path in self._captured:
                with _guard:  # one argument that cannot be shown costs itself
                    value = self._value(path, args, kwargs)
                    if value is not _NOT_GIVEN:
                        span.set_tag(tag, value if value is REDACTED else shown(value))

    def _fill_in(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        texts = []
        for literal, path in self._parts:
            value = _NOT_GIVEN if path is None else self._value(path, args, kwargs)
            # Not given: the call is about to fail for it, and says so better.
            texts.append(literal if value is _NOT_GIVEN else literal + to_text(shown(value, MAX_NAME_PART)))
        return "".join(texts)

    def _path(self, function: Callable[..., Any], path: str) -> tuple[str, ...]:
        name = path.partition(".")[0] if isinstance(path, str) and _PATH.fullmatch(path) else None
        if name not in self._parameters:
            called = getattr(function, "__qualname__", repr(function))
            there = ", ".join(self._parameters) or "none"
            raise ConfigurationError(
                f"{path!r} names no parameter of {called} (there are: {there}); braces that are meant in a span's name are doubled"
            )
        return tuple(path.split("."))

    def _value(self, path: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(map(is_secret_name, path)):
            return REDACTED
        value = self._parameters[path[0]](args, kwargs)
        for name in path[1:] if value is not _NOT_GIVEN else ():
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value


def known_to(function: Callable[..., Any], paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``paths`` that begin with a parameter of ``function``."""
    parameters = _parameters(function)
    return tuple(path for path in paths if path.partition(".")[0] in parameters)


def _parameters(function: Callable[..., Any]) -> dict[str, Callable[[tuple[Any, ...], dict[str, Any]], Any]]:
    """Return for each parameter what takes its value out of a call. ``Signature.bind`` does it too, and takes 5 µs."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:  # written in C
        raise ConfigurationError(f"the parameters of {function!r} are not known, so none can be captured") from error
    return {
        name: _taker(name, position, parameter, parameters)
        for position, (name, parameter) in enumerate(parameters.items())
    }


def _taker(
    name: str, position: int, parameter: inspect.Parameter, parameters: Mapping[str, inspect.Parameter]
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda args, kwargs: args[position:]
    if parameter.kind is parameter.VAR_KEYWORD:
        named = {
            name
            for name, other in parameters.items()
            if other.kind in (other.KEYWORD_ONLY, other.POSITIONAL_OR_KEYWORD)
        }
        return lambda args, kwargs: {key: value for key, value in kwargs.items() if key not in named}
    default = _NOT_GIVEN if parameter.default is parameter.empty else parameter.default
    if parameter.kind is parameter.KEYWORD_ONLY:
        return lambda args, kwargs: kwargs.get(name, default)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return lambda args, kwargs: args[position] if len(args) > position else default
    return lambda args, kwargs: args[position] if len(args) > position else kwargs.get(name, default)


def _parse(template: str) -> list[tuple[str, str | None]]:
    """Return the literals of a name's template, each with the field that follows it."""
    try:
        parts = [*Formatter().parse(template)]
    except ValueError as error:
        raise ConfigurationError(
            f"the name {template!r}: {error}; braces that are meant in a span's name are doubled"
        ) from error
    for _, field, spec, conversion in parts:
        if field is not None and (spec or conversion):
            raise ConfigurationError(
                f"the name {template!r}: {{parameter}} and {{parameter.attribute}} only, no formats"
            )
    return [(literal, field) for literal, field, _, _ in parts]


# -- showing a value ---------------------------------------------------------------------------------------------------


def shown(value: object, limit: int = MAX_TEXT) -> TagValue:
    """Return ``value`` as a tag's: numbers and bools as they are, else a text of at most ``limit`` characters, without secrets."""
    if type(value) in (bool, int, float):
        return value  # type: ignore[return-value]
    text = _cut(value) if isinstance(value, str) else _described(value, _MAX_DEPTH)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _described(value: object, depth: int) -> str:
    """Return a text like ``repr``'s, but bounded while it is made: a list of a million items costs ten."""
    if isinstance(value, str):
        return repr(_cut(value))
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return f"{{{_joined((_pair(repr(_cut(to_text(key))), key, item, depth) for key, item in _first(value.items(), depth)), value)}}}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{_joined((_described(item, depth - 1) for item in _first(value, depth)), value)}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        items = ((field.name, getattr(value, field.name)) for field in _first(fields, depth))
        return (
            f"{type(value).__name__}({_joined((_pair(name, name, item, depth, '=') for name, item in items), fields)})"
        )
    return _cut(to_text(value))


def _first(items: Iterable[Any], depth: int) -> Iterable[Any]:
    return islice(items, _MAX_ITEMS if depth > 0 else 0)


def _joined(texts: Iterable[str], whole: Any) -> str:
    parts = list(texts)
    return ", ".join(parts if len(parts) == len(whole) else [*parts, "…"])


def _pair(written: str, key: object, item: object, depth: int, sign: str = ": ") -> str:
    return written + sign + (REDACTED if is_secret_name(to_text(key)) else _described(item, depth - 1))


def _cut(text: str) -> str:
    # Cut first: the expressions below shall not run over megabytes. What is cut within a secret is still found, quotes may stay open.
    return redact_text(_SECRET_IN_TEXT.sub(_redact, text[: MAX_TEXT * 2]))


def _redact(match: re.Match[str]) -> str:
    name, sign, value = match.groups()
    return f"{name}{sign}{REDACTED if is_secret_name(name) else value}"
