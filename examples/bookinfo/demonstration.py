"""Bookinfo, running: the backend that keeps the traces, and the services, each its own process."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests
from balancer import Balancer
from expected import ROOT, problems
from ports import HOST
from processes import BookinfoError, Child, ProcessGroup, wait_until_ready
from traces import find_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from traces import Trace

__all__ = ["REVIEWS_VERSIONS", "Running", "names_of_ports", "running"]

FOLDER = Path(__file__).parent

REVIEWS_VERSIONS: dict[str, dict[str, str]] = {
    "v1": {"ENABLE_RATINGS": "false"},
    "v2": {"ENABLE_RATINGS": "true", "STAR_COLOR": "black"},
    "v3": {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"},
}

BACKEND_PORTS = ("agent-compact", "agent-binary", "collector", "zipkin", "otlp", "query")

TRACE_DEADLINE = 30.0
"""Seconds until every trace must be complete. A span is on its way for about one: the reporter sends once a second."""


class Service(NamedTuple):
    """A process to start: ``name`` is the service, ``instance`` this process of it."""

    name: str
    instance: str
    version: str
    port: int
    environment: dict[str, str]


class Running:
    """The running demonstration. ``start`` is when it began, in µs since the epoch: older traces in the store are none of ours."""

    def __init__(self, ports: Mapping[str, int], backend: Child, services: list[Child]) -> None:
        self.page_url = f"http://{HOST}:{ports['productpage']}/productpage"
        self.query_url = f"http://{HOST}:{ports['query']}"
        self.backend = backend
        self.services = services
        self.start = int(time.time() * 1e6)

    def send_requests(self, times: int) -> list[str]:
        """Ask for the page ``times`` times, one after the other; what went wrong, a sentence each."""
        failed = []
        with requests.Session() as session:
            session.trust_env = False
            for number in range(1, times + 1):
                try:
                    status = session.get(self.page_url, timeout=60).status_code
                except requests.RequestException as error:
                    failed.append(f"request {number} of {times} failed: {error}")
                else:
                    if status != 200:
                        failed.append(f"request {number} of {times} was answered with status {status}")
        return failed

    def wait_for_traces(self, count: int) -> list[Trace]:
        """The traces of ``count`` requests, as soon as all are complete, or as they are after ``TRACE_DEADLINE``.

        Raises ``BookinfoError`` if the query API cannot be asked.
        """
        deadline = time.monotonic() + TRACE_DEADLINE
        while True:
            try:
                traces = find_traces(
                    self.query_url,
                    service=ROOT.service,
                    operation=ROOT.operation,
                    since=self.start,
                    limit=count + 1,
                )
            except requests.RequestException as error:
                raise BookinfoError(f"the query API does not answer: {error}{self.backend.last_words()}") from error
            complete = len(traces) == count and not any(problems(trace) for trace in traces)
            if complete or time.monotonic() > deadline:
                return traces
            time.sleep(0.1)


def names_of_ports(reviews: str) -> list[str]:
    """The ports that ``running`` needs (see ``ports.USUAL``) with this version of reviews, or "all"."""
    names = [*BACKEND_PORTS, "productpage", "details", "ratings", "reviews"]
    return names + [f"reviews-{version}" for version in REVIEWS_VERSIONS] if reviews == "all" else names


@contextlib.contextmanager
def running(
    ports: Mapping[str, int],
    reviews: str,
    storage: str | None,
    logs: Path,
    hold: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[Running]:
    """Start everything and wait until it is ready; stop everything at the end: the services first, so that their last spans are kept.

    Raises ``BookinfoError`` with the end of the log of a process that does not start.
    """
    with ProcessGroup(logs, hold) as backend_group:
        backend = backend_group.start("all-in-one", _all_in_one_command(ports, storage), _environment())
        wait_until_ready(backend, f"http://{HOST}:{ports['query']}/healthz")
        with contextlib.ExitStack() as stack:
            group = stack.enter_context(ProcessGroup(logs, hold))
            services = _services(ports, reviews)
            children = [
                group.start(service.instance, _service_command(service), _environment(_variables(service, ports)))
                for service in services
            ]
            if reviews == "all":
                backends = [ports[f"reviews-{version}"] for version in REVIEWS_VERSIONS]
                stack.enter_context(Balancer(ports["reviews"], backends))
            for service, child in zip(services, children, strict=True):
                wait_until_ready(child, f"http://{HOST}:{service.port}/health")
            yield Running(ports, backend, children)


def _services(ports: Mapping[str, int], reviews: str) -> list[Service]:
    services = [
        Service("details", "details", "v1", ports["details"], {}),
        Service("ratings", "ratings", "v1", ports["ratings"], {}),
        Service("productpage", "productpage", "v1", ports["productpage"], {}),
    ]
    for version, environment in REVIEWS_VERSIONS.items():
        if reviews in (version, "all"):
            instance = f"reviews-{version}"
            port = ports[instance if reviews == "all" else "reviews"]
            services.append(Service("reviews", instance, version, port, {**environment, "HOSTNAME": instance}))
    return services


def _all_in_one_command(ports: Mapping[str, int], storage: str | None) -> list[str]:
    command = [sys.executable, "-m", "sls_tracing", "all-in-one", "--host", HOST]
    for name in BACKEND_PORTS:
        command += [f"--{name}-port", str(ports[name])]
    return [*command, "--storage", storage] if storage else command


def _service_command(service: Service) -> list[str]:
    """The program as it would run untraced, behind ``sls-tracing run``: that is all that tracing asks for."""
    program = [sys.executable, str(FOLDER / f"{service.name}.py"), "--host", HOST, "--port", str(service.port)]
    return [sys.executable, "-m", "sls_tracing", "run", "--service", service.name, *program]


def _variables(service: Service, ports: Mapping[str, int]) -> dict[str, str]:
    """Where the others are, where spans go, and what this version of the service does."""
    addresses = {}
    for other in ("details", "reviews", "ratings"):
        addresses[f"{other.upper()}_HOSTNAME"] = HOST
        addresses[f"{other.upper()}_SERVICE_PORT"] = str(ports[other])
    return {
        **addresses,
        "JAEGER_AGENT_HOST": HOST,
        "JAEGER_AGENT_PORT": str(ports["agent-compact"]),
        "JAEGER_SAMPLER_TYPE": "const",
        "JAEGER_SAMPLER_PARAM": "1",
        "JAEGER_TAGS": f"version={service.version}",
        **service.environment,
    }


def _environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our own environment, less what would change the demonstration behind the reader's back, plus ``variables``."""
    ours = ("FLOOD_FACTOR", "SERVICES_DOMAIN", "SERVICE_VERSION", "PORT", "WERKZEUG_SERVER_FD", "WERKZEUG_RUN_MAIN")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("JAEGER_", "OTEL_"))
    }
    return {**kept, "NO_PROXY": HOST, "no_proxy": HOST, "PYTHONUNBUFFERED": "1", **(variables or {})}
