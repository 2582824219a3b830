"""What can be set about HTTP, for every library alike: requests that are ignored, hosts that get trace headers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sls_tracing.environment import read_texts
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.hosts import ANY_HOST, Hosts
from sls_tracing.setting_values import boolean, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["HTTP_VARIABLES", "PROBE_AGENTS", "PROBE_PATHS", "HTTPOptions"]

PROBE_PATHS = (
    "/health",
    "/health/*",
    "/healthz",
    "/healthz/*",
    "/livez",
    "/livez/*",
    "/readyz",
    "/readyz/*",
    "/metrics",
)
"""Where Kubernetes and Prometheus ask. Not ``/health*``: a shop may sell ``/healthcare``."""

PROBE_AGENTS = ("kube-probe/",)


@dataclass(frozen=True, kw_only=True)
class HTTPOptions:
    """Options of ``instrumentation.install(http=…)``. Each is a sequence; one text alone is taken as one of them.

    - ``ignore_paths``: paths of requests that make no server span, in which ``*`` stands for anything; a mounted application's with its mount point.
    - ``ignore_user_agents``: how the ``User-Agent`` of such requests begins.
    - ``ignore_sampled``: ignore them also when they come with a sampled trace. Otherwise those are traced: somebody wants to see them, and the
      sidecar's spans would be there without ours.
    - ``propagate_to``, ``no_propagate_to``: hosts that get trace headers, as patterns of :class:`~sls_tracing.hosts.Hosts`; the second wins. A host
      without them gets nothing from the tracer: no ids, no decision, no baggage, no ``x-request-id``.

    What an ignored request calls is not sampled, and says so: neither the next service nor its sidecar begins a trace for a probe.
    Raises :class:`ConfigurationError`.
    """

    ignore_paths: Iterable[str] = PROBE_PATHS
    ignore_user_agents: Iterable[str] = PROBE_AGENTS
    ignore_sampled: bool = False
    propagate_to: Iterable[str] | Hosts = field(default=ANY_HOST)
    no_propagate_to: Iterable[str] | Hosts = field(default=Hosts())

    def __post_init__(self) -> None:
        paths, agents = _texts("ignore_paths", self.ignore_paths), _texts("ignore_user_agents", self.ignore_user_agents)
        for path in paths:
            if not path.startswith(("/", "*")):
                raise ConfigurationError(f"ignore_paths: {path!r} is no path; it begins with / or *")
        fields = {
            "ignore_paths": paths,
            "ignore_user_agents": agents,
            "propagate_to": _hosts(self.propagate_to),
            "no_propagate_to": _hosts(self.no_propagate_to),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # frozen for everybody else

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> HTTPOptions:
        """Return what the variables of ``HTTP_VARIABLES`` say (``os.environ`` if None). Raises :class:`ConfigurationError`."""
        options: dict[str, Any] = {}
        for name, text in read_texts(HTTP_VARIABLES, environ).items():
            option, read = HTTP_VARIABLES[name]
            try:
                options[option] = read(text)
                cls(**{option: options[option]})
            except ValueError as error:
                raise ConfigurationError(f"{name}={text!r:.200} cannot be used: {error}") from None
        return cls(**options)

    def ignores(self, path: str, user_agent: str) -> bool:
        """Whether a request is noise."""
        return self._ignored_path(path) is not None or user_agent.startswith(self.ignore_user_agents)  # type: ignore[arg-type]

    def propagates_to(self, host: str) -> bool:
        """Whether ``host`` (in lower case, without port) gets trace headers."""
        return host in self.propagate_to and host not in self.no_propagate_to

    @cached_property
    def _ignored_path(self) -> Callable[[str], re.Match[str] | None]:
        patterns = (".*".join(map(re.escape, path.split("*"))) for path in self.ignore_paths)
        return re.compile("|".join(patterns) or r"(?!)", re.DOTALL).fullmatch


def _texts(option: str, value: Any) -> tuple[str, ...]:
    try:
        return listed([value] if isinstance(value, str) else tuple(value))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{option} must be a sequence of texts, not {value!r:.100}") from None


def _hosts(value: Iterable[str] | Hosts) -> Hosts:
    return value if isinstance(value, Hosts) else Hosts(value)


def _listed_or_none(text: str) -> tuple[str, ...]:
    return () if text.lower() == "none" else listed(text)


HTTP_VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "SLS_TRACING_HTTP_IGNORE_PATHS": ("ignore_paths", _listed_or_none),
    "SLS_TRACING_HTTP_IGNORE_USER_AGENTS": ("ignore_user_agents", _listed_or_none),
    "SLS_TRACING_HTTP_IGNORE_SAMPLED": ("ignore_sampled", boolean),
    "SLS_TRACING_HTTP_PROPAGATE_TO": ("propagate_to", _listed_or_none),
    "SLS_TRACING_HTTP_NO_PROPAGATE_TO": ("no_propagate_to", _listed_or_none),
}
"""Variables, the option that each one fills, and how it is read: several with commas, ``none`` for none."""
