"""Bookinfo's mesh: a gateway, and a sidecar for each running instance of a service. The services themselves know nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envoy_config import Fault, Listener, Proxy, Route, Tracing
from services import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services import Service

__all__ = ["FAULTS", "GATEWAY", "GATEWAY_NAMESPACE", "NO_MESH", "PROVIDERS", "MeshSettings", "proxies", "proxy_ports"]

GATEWAY = "istio-ingressgateway"
GATEWAY_NAMESPACE = "istio-system"

PAGES = ("/productpage", "/login", "/logout", "/api/v1/products", "/")
"""What the gateway lets in, as Bookinfo's VirtualService has it, and the index. The first prefix that fits names the span."""

PROVIDERS = {"zipkin": "zipkin", "otel": "otlp"}
"""The mesh's tracing providers, and the backend's port that each reports to."""

FAULTS = {"delay": Fault(delay=2.0), "abort": Fault(abort=503)}
"""Istio's two faults, which the gateway injects into every request."""


class MeshSettings(NamedTuple):
    """``provider`` is a name in ``PROVIDERS``, or "none": no mesh at all. ``sampling`` is in percent, ``fault`` a name in ``FAULTS``."""

    provider: str
    sampling: float = 100.0
    fault: str | None = None


NO_MESH = MeshSettings("none")


def proxy_ports(services: Iterable[Service]) -> list[str]:
    """The names of the ports that the proxies need beside the services' own."""
    names = ["gateway"]
    for service in services:
        names.append(f"{service.instance}-inbound")
        if service.name in CALLS:
            names.append(f"{service.instance}-outbound")
    return names


def proxies(settings: MeshSettings, services: Sequence[Service], ports: Mapping[str, int]) -> dict[str, Proxy]:
    """Each proxy by the name of its process, the gateway first."""
    tracing = Tracing(settings.provider, ports[PROVIDERS[settings.provider]], settings.sampling)
    inbound: dict[str, tuple[int, ...]] = {}
    for service in services:
        inbound[service.name] = (*inbound.get(service.name, ()), ports[f"{service.instance}-inbound"])
    pages = tuple(Route(path, "productpage", inbound["productpage"]) for path in PAGES)
    entrance = Listener("gateway", ports["gateway"], "OUTBOUND", pages)
    fault = FAULTS[settings.fault] if settings.fault else None
    found = {"gateway": Proxy(GATEWAY, (entrance,), tracing, "router", fault, GATEWAY_NAMESPACE)}
    for service in services:
        found[f"{service.instance}-sidecar"] = Proxy(service.name, tuple(_listeners(service, inbound, ports)), tracing)
    return found


def _listeners(
    service: Service, inbound: Mapping[str, tuple[int, ...]], ports: Mapping[str, int]
) -> Iterable[Listener]:
    into_service = (Route("/", service.name, (ports[service.port],)),)
    yield Listener("inbound", ports[f"{service.instance}-inbound"], "INBOUND", into_service)
    if service.name in CALLS:
        # Istio tells the destinations apart by host. Here all of them are 127.0.0.1, so the path does.
        routes = tuple(Route(f"/{callee}", callee, inbound[callee]) for callee in CALLS[service.name])
        yield Listener("outbound", ports[f"{service.instance}-outbound"], "OUTBOUND", routes)
