"""How a setting's value is read, from a dictionary or from the text of an environment variable: each function returns it or raises ValueError.

The message of the ValueError is the remedy alone; whoever calls knows the setting's name, and whether its value may be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sls_tracing.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.hosts import Hosts

__all__ = [
    "SAMPLER_TYPES",
    "boolean",
    "choice",
    "duration",
    "forwarded_names",
    "header_name",
    "hosts",
    "listed",
    "number",
    "object_with",
    "one_line",
    "port",
    "propagation",
    "sampler_param",
    "sampler_type",
    "seconds",
    "text_mapping",
    "url",
    "value_mapping",
    "whole_number",
]

SAMPLER_TYPES = ("const", "probabilistic", "ratelimiting", "remote")

_TRUE = frozenset(("true", "1", "t", "yes", "on"))
_FALSE = frozenset(("false", "0", "f", "no", "off", "none"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = Pattern(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = Pattern(rf"(?:{_DURATION_PART.expression})+")
_DIGITS = Pattern(r"[0-9]{1,18}")


def one_line(value: object) -> str:
    """Read text that is not empty, without control characters."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("text on one line is needed")
    return value.strip()


def boolean(value: object) -> bool:
    """Read what jaeger-client's ``get_boolean`` and Go's ``ParseBool`` take for a boolean, in any case."""
    word = str(value).strip().lower() if isinstance(value, (bool, int, str)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("write true or false")


def number(value: object) -> float:
    """Read a number; its range is checked by what it is for."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError("a number is needed")


def whole_number(least: int, most: int = 2**31 - 1) -> Callable[[object], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""

    def read(value: object) -> int:
        if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most} is needed")
        return value

    return read


def port(value: object) -> int:
    """Read a port."""
    try:
        return whole_number(1, 65535)(value)
    except ValueError:
        raise ValueError("a port is a whole number from 1 to 65535") from None


def seconds(value: object) -> float:
    """Read a number of seconds above 0: jaeger-client's unit, in its dictionary."""
    read = number(value)
    if not 0 < read <= 86_400:
        raise ValueError("seconds are needed: above 0, at most 86400 (a day)")
    return read


def duration(value: object) -> float:
    """Read a variable's duration as seconds: Go writes ``500ms`` or ``1m30s``, Java and Node a bare number of milliseconds."""
    text = str(value).strip()
    if _DIGITS.fullmatch(text):
        text += "ms"
    if not _DURATION.fullmatch(text):
        raise ValueError("a duration is written 500ms, 1.5s or 1m30s; a number alone means milliseconds")
    read = sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION_PART.findall(text))
    if not 0 < read <= 86_400:
        raise ValueError("a duration above 0, of at most 24h, is needed")
    return read


def choice(*words: str) -> Callable[[object], str]:
    """Return a reader of one of ``words``, in any case."""

    def read(value: object) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in words:
            raise ValueError(f"known are: {', '.join(words)}")
        return word

    return read


def sampler_type(value: object) -> str:
    """Read a sampler's name; ``rate_limiting`` is jaeger-client's other spelling."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word == "rate_limiting":
        return "ratelimiting"
    if word not in SAMPLER_TYPES:
        raise ValueError(f"known samplers are: {', '.join(SAMPLER_TYPES)}")
    return word


def sampler_param(value: object) -> float:
    """Read a number, or the boolean that a const sampler takes in jaeger-client's dictionary."""
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in ("true", "false")):
        return float(boolean(value))
    return number(value)


def propagation(value: object) -> str:
    """Read names of propagations, separated by commas or in a list."""
    from sls_tracing.propagators import propagation_names

    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError("names of formats are needed, such as b3,w3c")  # noqa: TRY004 - as all readers
    return ",".join(propagation_names(value))


def header_name(value: object) -> str:
    """Read the name of a header; its letters are checked by the propagator."""
    return one_line(value)


def listed(value: object) -> tuple[str, ...]:
    """Read a list of texts, or one text with commas."""
    each = value.split(",") if isinstance(value, str) else value
    if not isinstance(each, (list, tuple)) or not all(isinstance(text, str) for text in each):
        raise ValueError("a list is needed, or one text with commas")
    return tuple(text.strip() for text in each if text.strip())


def forwarded_names(value: object) -> tuple[str, ...]:
    """Read names of headers that may be forwarded."""
    from sls_tracing.propagators import MeshPropagator

    names = listed(value)
    MeshPropagator(forward=names)
    return names


def hosts(value: object) -> Hosts:
    """Read patterns of host names."""
    from sls_tracing.hosts import Hosts

    return value if isinstance(value, Hosts) else Hosts(listed(value))


def url(value: object) -> str:
    """Read an HTTP URL."""
    remedy = "a URL is needed, like http://collector:14268/api/traces"
    text = one_line(value)
    from urllib.parse import urlsplit  # 6 ms at import, for those alone who set a URL

    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(remedy) from None
    if not usable:
        raise ValueError(remedy)
    return text


def value_mapping(value: object) -> dict[str, Any]:
    """Read tags: a mapping of names to values of any kind. A copy is returned; jaeger-client changed the caller's own."""
    if not isinstance(value, Mapping):
        raise ValueError("a mapping of names to values is needed")  # noqa: TRY004 - as all readers
    return {str(key): each for key, each in value.items()}


def text_mapping(value: object) -> dict[str, str]:
    """Read a mapping of text to text."""
    read = value_mapping(value)
    if not all(isinstance(each, str) for each in read.values()):
        raise ValueError("a mapping of names to text is needed")
    return read


def object_with(*methods: str) -> Callable[[object], object]:
    """Return a reader of objects that have ``methods``."""

    def read(value: object) -> object:
        if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
            raise ValueError(f"an object with the methods {', '.join(methods)} is needed")
        return value

    return read
