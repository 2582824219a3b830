"""The processes of Bookinfo's services: which there are, how each is started, and what its environment tells it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CALLS",
    "REVIEWS_VERSIONS",
    "Service",
    "clean_environment",
    "service_command",
    "service_variables",
    "services",
]

FOLDER = Path(__file__).parent

REVIEWS_VERSIONS: dict[str, dict[str, str]] = {
    "v1": {"ENABLE_RATINGS": "false"},
    "v2": {"ENABLE_RATINGS": "true", "STAR_COLOR": "black"},
    "v3": {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"},
}

CALLS = {"productpage": ("details", "reviews", "ratings"), "reviews": ("ratings",)}
"""Which services a service calls."""


class Service(NamedTuple):
    """A process to start: ``name`` is the service, ``instance`` this process of it, ``port`` the name of its port."""

    name: str
    instance: str
    version: str
    port: str
    environment: dict[str, str]


def services(reviews: str) -> list[Service]:
    """All of them, with this version of reviews, or "all"."""
    found = [Service(name, name, "v1", name, {}) for name in ("details", "ratings", "productpage")]
    for version, environment in REVIEWS_VERSIONS.items():
        if reviews in (version, "all"):
            instance = f"reviews-{version}"
            port = instance if reviews == "all" else "reviews"
            found.append(Service("reviews", instance, version, port, {**environment, "HOSTNAME": instance}))
    return found


def service_command(service: Service, ports: Mapping[str, int]) -> list[str]:
    """The program as it would run untraced, behind ``sls-tracing run``: that is all that tracing asks for."""
    program = [sys.executable, str(FOLDER / f"{service.name}.py"), "--host", HOST, "--port", str(ports[service.port])]
    return [sys.executable, "-m", "sls_tracing", "run", "--service", service.name, *program]


def service_variables(service: Service, ports: Mapping[str, int], *, meshed: bool) -> dict[str, str]:
    """Where the others are, where spans go, and what this version of the service does."""
    variables = {
        "JAEGER_AGENT_HOST": HOST,
        "JAEGER_AGENT_PORT": str(ports["agent-compact"]),
        "JAEGER_SAMPLER_TYPE": "const",
        "JAEGER_SAMPLER_PARAM": "1",
        "JAEGER_TAGS": f"version={service.version}",
        **service.environment,
    }
    if meshed:
        variables["JAEGER_PROPAGATION"] = "mesh"
    for other in CALLS.get(service.name, ()):
        variables[f"{other.upper()}_HOSTNAME"] = HOST
        # In a mesh everything that leaves the service goes through its sidecar.
        variables[f"{other.upper()}_SERVICE_PORT"] = str(ports[f"{service.instance}-outbound" if meshed else other])
    return variables


def clean_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our own environment, less what would change the demonstration behind the reader's back, plus ``variables``."""
    ours = ("FLOOD_FACTOR", "SERVICES_DOMAIN", "SERVICE_VERSION", "PORT", "WERKZEUG_SERVER_FD", "WERKZEUG_RUN_MAIN")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("JAEGER_", "OTEL_"))
    }
    return {**kept, "NO_PROXY": HOST, "no_proxy": HOST, "PYTHONUNBUFFERED": "1", **(variables or {})}
