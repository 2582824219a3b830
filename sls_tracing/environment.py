"""The table of environment variables: names, what they mean, how they are read. Nothing else in the library looks at ``os.environ``.

The names are those of Jaeger's clients. A value that cannot be used is an error that names the variable and the remedy;
an empty value is as good as none.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["VARIABLES", "Variable", "read_environment"]


def _text(value: str, environ: Mapping[str, str]) -> str:
    return value


def _port(value: str, environ: Mapping[str, str]) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        msg = "a port is a whole number from 1 to 65535"
        raise ValueError(msg)
    return int(value)


def _number(value: str, environ: Mapping[str, str]) -> float:
    try:
        return float(value)
    except ValueError:
        msg = "a number is needed"
        raise ValueError(msg) from None


def _sampler_type(value: str, environ: Mapping[str, str]) -> str:
    from sls_tracing.config import SAMPLERS

    if value.lower() not in SAMPLERS:
        msg = f"known samplers are: {', '.join(SAMPLERS)}"
        raise ValueError(msg)
    return value.lower()


def _propagation(value: str, environ: Mapping[str, str]) -> str:
    from sls_tracing.propagators import propagation_names

    return ",".join(propagation_names(value))


def _tags(value: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``key=value,key=${VARIABLE:default}``; split once at the first ``=``, so a value may hold more of them."""
    tags = {}
    for part in filter(None, (each.strip() for each in value.split(","))):
        key, equals, text = part.partition("=")
        if not equals or not key.strip():
            msg = f"tags are written key=value,key=value; {part!r} has no key and value"
            raise ValueError(msg)
        text = text.strip()
        reference = re.fullmatch(r"\$\{([^}:]+):?([^}]*)\}", text)
        tags[key.strip()] = environ.get(reference[1], reference[2]) if reference else text
    return tags


class Variable(NamedTuple):
    """One row: the setting it fills, how its text (beside all other variables) is read, raising ValueError, and what it is for."""

    setting: str
    read: Callable[[str, Mapping[str, str]], Any]
    meaning: str


VARIABLES: dict[str, Variable] = {
    "JAEGER_SERVICE_NAME": Variable("service_name", _text, "the service's name in every trace; required"),
    "JAEGER_AGENT_HOST": Variable("agent_host", _text, "host of the agent that takes spans by UDP; localhost"),
    "JAEGER_AGENT_PORT": Variable("agent_port", _port, "its port for compact Thrift; 6831"),
    "JAEGER_SAMPLER_TYPE": Variable("sampler_type", _sampler_type, "const, probabilistic or ratelimiting; const"),
    "JAEGER_SAMPLER_PARAM": Variable(
        "sampler_param", _number, "0 or 1, a share from 0 to 1, traces a second; 1, 0.001, 1"
    ),
    "JAEGER_TAGS": Variable("tags", _tags, "tags of this process: key=value,key=${VARIABLE:default}"),
    "JAEGER_PROPAGATION": Variable(
        "propagation",
        _propagation,
        "how contexts travel in headers: b3, b3-single, w3c, jaeger, or several with commas; b3",
    ),
}


def read_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the settings that are set, by name. Raises :class:`ConfigurationError`, naming the variable."""
    environ = os.environ if environ is None else environ
    settings = {}
    for name, variable in VARIABLES.items():
        text = str(environ.get(name, "")).strip()
        if not text:
            continue
        try:
            settings[variable.setting] = variable.read(text, environ)
        except ValueError as error:
            msg = f"{name}={text!r} cannot be used: {error}"
            raise ConfigurationError(msg) from None
    return settings
