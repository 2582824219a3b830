"""`sls-tracing collector`: spans over HTTP into a trace store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.cli.grpc_options import add_grpc_port, grpc_line, wants_grpc
from sls_tracing.cli.jaeger_options import HostPort
from sls_tracing.cli.sampling_options import add_sampling_options, sampling_strategies
from sls_tracing.cli.serving import add_serving_options, serve, serving_settings
from sls_tracing.cli.storage_options import add_storage_options, hide_secrets, open_and_provision
from sls_tracing.version import __version__

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


_PORTS = {
    "thrift": (14268, "--collector.http-server.host-port", "Jaeger's Thrift"),
    "zipkin": (9411, "--collector.zipkin.host-port", "Zipkin"),
    "otlp": (4318, "--collector.otlp.http.host-port", "OTLP"),
    "admin": (14269, "--admin.http.host-port", "health and metrics"),
}
"""Each with the usual number, Jaeger's name for the option, and what is there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the ports are Jaeger's."""
    add_storage_options(parser)
    for name, (usual, jaegers, what) in _PORTS.items():
        help_ = f"HTTP, {what}; {usual}"
        parser.add_argument(f"--{name}-port", jaegers, action=HostPort, default=usual, metavar="PORT", help=help_)
    add_grpc_port(parser)
    add_sampling_options(parser)
    add_serving_options(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes; the queue is stored before the process ends."""
    from sls_tracing.backend.collector_role import CollectorRole

    hide_secrets()
    role = CollectorRole(
        lambda: open_and_provision(args),
        sampling_strategies(args),
        host=args.host,
        serving=serving_settings(args),
        thrift_port=args.thrift_port,
        zipkin_port=args.zipkin_port,
        otlp_port=args.otlp_port,
        otlp_grpc=wants_grpc(args),
        otlp_grpc_port=args.otlp_grpc_port,
        admin_port=args.admin_port,
    )

    def banner() -> list[str]:
        return [
            f"sls-tracing {__version__} collector",
            f"  collect  {role.url(role.thrift_port, '/api/traces')}  Jaeger's Thrift",
            f"  collect  {role.url(role.zipkin_port, '/api/v2/spans')}  Zipkin",
            f"  collect  {role.url(role.otlp_port, '/v1/traces')}  OTLP",
            *grpc_line(role, args),
            f"  admin    {role.url(role.admin_port)}  /healthz, /readyz, /metrics",
            f"  storage  {args.storage}",
        ]

    return serve("collector", role, banner, log_format=args.log_format)
