"""The table of environment variables: names, which setting each one fills, how it is read. Nothing else in the library looks at ``os.environ``.

The names are those of Jaeger's clients: the union of what the Go and Java clients read, with what Node's and Python's add; what they have no
word for begins with ``SLS_TRACING_``. A value that
cannot be used is an error that names the variable and the remedy; an empty value is as good as none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing import setting_values as values
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.patterns import Pattern
from sls_tracing.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["VARIABLES", "Variable", "read_environment", "read_texts"]


class Variable(NamedTuple):
    """One row: the setting it fills, and how its text is read (raising ValueError) where that is not the setting's own way."""

    setting: str
    own_read: Callable[[str], Any] | None = None

    @property
    def meaning(self) -> str:
        """What it is for."""
        return SETTINGS[self.setting].meaning

    def read(self, text: str) -> Any:
        """Return the setting's value."""
        return (self.own_read or SETTINGS[self.setting].read)(text)


def _opposite(text: str) -> bool:
    return not values.boolean(text)


def _seldom(text: str) -> float | None:
    """Read Go's switch against looking a name up again; once a day is as good as never."""
    return 86_400.0 if values.boolean(text) else None


def _host_and_port(text: str) -> str:
    """Read ``host:port`` as Java and Node do, or the URL that Go takes it for."""
    return values.url(text if "://" in text else f"http://{text}/sampling")


# Of two that fill one setting the first in this table wins.
VARIABLES: dict[str, Variable] = {
    "JAEGER_SERVICE_NAME": Variable("service_name"),
    "JAEGER_DISABLED": Variable("enabled", _opposite),
    "SLS_TRACING_MODE": Variable("mode"),
    "JAEGER_TAGS": Variable("tags"),
    "JAEGER_TRACEID_128BIT": Variable("generate_128bit_trace_id"),
    "JAEGER_PROPAGATION": Variable("propagation"),
    "JAEGER_PROPAGATION_INJECT": Variable("propagation_inject"),
    "SLS_TRACING_FORWARD_HEADERS": Variable("forward_headers"),
    "SLS_TRACING_FORWARD_HEADERS_TO": Variable("forward_headers_to"),
    "JAEGER_SAMPLER_TYPE": Variable("sampler.type"),
    "JAEGER_SAMPLER_PARAM": Variable("sampler.param"),
    "JAEGER_SAMPLING_ENDPOINT": Variable("sampler.url"),
    "JAEGER_SAMPLER_MANAGER_HOST_PORT": Variable("sampler.url", _host_and_port),
    "JAEGER_SAMPLER_REFRESH_INTERVAL": Variable("sampling_refresh_interval", values.duration),
    "JAEGER_SAMPLER_MAX_OPERATIONS": Variable("max_operations"),
    "JAEGER_AGENT_HOST": Variable("local_agent.reporting_host"),
    "JAEGER_AGENT_PORT": Variable("local_agent.reporting_port"),
    "JAEGER_AGENT_SOCKET_TYPE": Variable("local_agent.socket_type"),
    "JAEGER_REPORTER_ATTEMPT_RECONNECTING_DISABLED": Variable("local_agent.look_up_every", _seldom),
    "JAEGER_REPORTER_ATTEMPT_RECONNECT_INTERVAL": Variable("local_agent.look_up_every", values.duration),
    "JAEGER_ENDPOINT": Variable("collector.endpoint"),
    "JAEGER_USER": Variable("collector.user"),
    "JAEGER_PASSWORD": Variable("collector.password"),
    "JAEGER_AUTH_TOKEN": Variable("collector.auth_token"),
    "JAEGER_REPORTER_TIMEOUT": Variable("collector.timeout", values.duration),
    "SLS_TRACING_LOG_SERVICE": Variable("log_service.enabled"),
    "JAEGER_REPORTER_LOG_SPANS": Variable("logging"),
    "JAEGER_REPORTER_MAX_QUEUE_SIZE": Variable("reporter_queue_size"),
    "JAEGER_REPORTER_FLUSH_INTERVAL": Variable("reporter_flush_interval", values.duration),
    "JAEGER_RPC_METRICS": Variable("rpc_metrics"),
}


_REFERENCE = Pattern(r"\$\{([^}:]+):?([^}]*)\}")


def read_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the settings that are set, by name. Raises :class:`ConfigurationError`, naming the variable."""
    environ = os.environ if environ is None else environ
    settings: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        text = str(environ.get(name, "")).strip()
        if not text:
            continue
        try:
            value = _tags(text, environ) if variable.setting == "tags" else variable.read(text)
        except ValueError as error:
            shown = "" if SETTINGS[variable.setting].secret else f"={text!r:.200}"
            raise ConfigurationError(f"{name}{shown} cannot be used: {error}") from None
        if value is not None:
            settings.setdefault(variable.setting, value)
    return settings


def read_texts(names: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the texts of those variables that are set, for tables that others keep (the instrumentation's options)."""
    environ = os.environ if environ is None else environ
    texts = {name: str(environ.get(name, "")).strip() for name in names}
    return {name: text for name, text in texts.items() if text}


def _tags(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``key=value,key=${VARIABLE:default}``; split once at the first ``=``, so a value may hold more of them."""
    tags = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"tags are written key=value,key=value; {part!r} has no key and value")
        value = value.strip()
        reference = _REFERENCE.fullmatch(value)
        tags[key.strip()] = environ.get(reference[1], reference[2]) if reference else value
    return tags
