"""Bookinfo, running: the backend that keeps the traces, the services, each its own process, and their mesh."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import requests
from balancer import Balancer
from expected import problems, root_of
from mesh import NO_MESH, proxies, proxy_ports
from ports import HOST
from processes import BookinfoError, Child, ProcessGroup, wait_until_ready
from services import REVIEWS_VERSIONS, clean_environment, service_command, service_variables, services
from sidecars import Sidecar, start_sidecar
from traces import find_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mesh import MeshSettings
    from traces import Trace

__all__ = ["Running", "names_of_ports", "running"]

BACKEND_PORTS = ("agent-compact", "agent-binary", "query", "collector", "zipkin", "otlp")

TRACE_DEADLINE = 30.0
"""Seconds until every trace must be complete. A span is on its way for about one: the reporter sends once a second."""


class Running:
    """The running demonstration. ``start`` is when it began, in µs since the epoch: older traces in the store are none of ours."""

    def __init__(
        self,
        ports: Mapping[str, int],
        mesh: MeshSettings,
        backend: Child,
        services: list[Child],
        sidecars: list[Sidecar],
    ) -> None:
        self.page_url = f"http://{HOST}:{ports['gateway' if sidecars else 'productpage']}/productpage"
        self.query_url = f"http://{HOST}:{ports['query']}"
        self.mesh = mesh
        self.backend = backend
        self.services = services
        self.sidecars = sidecars
        self.start = int(time.time() * 1e6)

    def send_requests(self, times: int) -> list[str]:
        """Ask for the page ``times`` times, one after the other; what went wrong, a sentence each."""
        failed = []
        expected = 503 if self.mesh.fault == "abort" else 200
        with requests.Session() as session:
            session.trust_env = False
            for number in range(1, times + 1):
                try:
                    status = session.get(self.page_url, timeout=60).status_code
                except requests.RequestException as error:
                    failed.append(f"request {number} of {times} failed: {error}")
                else:
                    if status != expected:
                        failed.append(f"request {number} of {times} was answered with status {status}, not {expected}")
        return failed

    def sampled(self, times: int) -> int:
        """How many of ``times`` requests have a trace: all, or as many as the gateway says that it chose."""
        if not self.sidecars:
            return times
        return self.sidecars[0].counter("http.gateway.tracing.random_sampling")

    def wait_for_traces(self, count: int) -> list[Trace]:
        """The traces of ``count`` requests, as soon as all are complete, or as they are after ``TRACE_DEADLINE``.

        Raises ``BookinfoError`` if the query API cannot be asked.
        """
        deadline = time.monotonic() + TRACE_DEADLINE
        root = root_of(self.mesh)
        while True:
            try:
                traces = find_traces(
                    self.query_url,
                    service=root.service,
                    operation=root.operation,
                    since=self.start,
                    limit=count + 1,
                )
            except requests.RequestException as error:
                raise BookinfoError(f"the query API does not answer: {error}{self.backend.last_words()}") from error
            complete = len(traces) == count and not any(problems(trace, self.mesh) for trace in traces)
            if complete or time.monotonic() > deadline:
                return traces
            time.sleep(0.1)


def names_of_ports(reviews: str, mesh: MeshSettings = NO_MESH) -> list[str]:
    """The ports that ``running`` needs (see ``ports.USUAL``) with this version of reviews, or "all", and this mesh."""
    found = services(reviews)
    names = {*BACKEND_PORTS, "reviews", *(service.port for service in found)}
    return sorted(names if mesh == NO_MESH else names.union(proxy_ports(found)))


@contextlib.contextmanager
def running(
    ports: Mapping[str, int],
    reviews: str,
    storage: str | None,
    logs: Path,
    hold: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    mesh: MeshSettings = NO_MESH,
) -> Iterator[Running]:
    """Start everything and wait until it is ready; stop everything at the end: the services first, so that their last spans are kept.

    Raises ``BookinfoError`` with the end of the log of a process that does not start.
    """
    with ProcessGroup(logs, hold) as backend_group, contextlib.ExitStack() as stack:
        backend = backend_group.start("all-in-one", _all_in_one_command(ports, storage), clean_environment())
        proxy_group = stack.enter_context(ProcessGroup(logs, hold))
        service_group = stack.enter_context(ProcessGroup(logs, hold))
        # All at once: each takes its time to start, and none needs another one to do so.
        found = services(reviews)
        sidecars = [
            start_sidecar(proxy_group, name, proxy, logs, clean_environment())
            for name, proxy in (proxies(mesh, found, ports) if mesh != NO_MESH else {}).items()
        ]
        children = [
            service_group.start(service.instance, service_command(service, ports), clean_environment(variables))
            for service in found
            for variables in [service_variables(service, ports, meshed=mesh != NO_MESH)]
        ]
        if reviews == "all" and mesh == NO_MESH:
            stack.enter_context(
                Balancer(ports["reviews"], [ports[f"reviews-{version}"] for version in REVIEWS_VERSIONS])
            )
        wait_until_ready(backend, f"http://{HOST}:{ports['query']}/healthz")
        for service, child in zip(found, children, strict=True):
            wait_until_ready(child, f"http://{HOST}:{ports[service.port]}/health")
        for sidecar in sidecars:
            sidecar.wait_until_ready()
        yield Running(ports, mesh, backend, children, sidecars)


def _all_in_one_command(ports: Mapping[str, int], storage: str | None) -> list[str]:
    command = [sys.executable, "-m", "sls_tracing", "all-in-one", "--host", HOST]
    for name in BACKEND_PORTS:
        command += [f"--{name}-port", str(ports[name])]
    return [*command, "--storage", storage] if storage else command
