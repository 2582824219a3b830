"""`sls-tracing all-in-one`: the whole backend in one process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.cli.grpc_options import add_grpc_port, grpc_line, wants_grpc
from sls_tracing.cli.query_options import add_query_options, query_settings
from sls_tracing.cli.sampling_options import add_sampling_options, sampling_strategies
from sls_tracing.cli.serving import add_serving_options, port, serve, serving_settings
from sls_tracing.cli.storage_options import add_storage_options, hide_secrets, open_and_provision
from sls_tracing.version import __version__

if TYPE_CHECKING:
    import argparse

    from sls_tracing.backend.all_in_one import AllInOne

__all__ = ["add_arguments", "main"]

_DOORS = {
    "collector": "Jaeger's Thrift (14268)",
    "zipkin": "Zipkin (9411)",
    "otlp": "OTLP (4318)",
    "sampling": "strategies for remote samplers (5778)",
    "admin": "health and metrics (14269)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the ports are Jaeger's."""
    add_storage_options(parser)
    add_serving_options(parser)
    parser.add_argument(
        "--agent-compact-port", type=port, default=6831, metavar="PORT", help="UDP, Thrift compact; 6831"
    )
    parser.add_argument("--agent-binary-port", type=port, default=6832, metavar="PORT", help="UDP, Thrift binary; 6832")
    help_ = "UDP, Zipkin in Thrift compact; by default 5775, or any free one if that is taken"
    parser.add_argument("--agent-zipkin-port", type=port, default=None, metavar="PORT", help=help_)
    parser.add_argument("--query-port", type=port, default=16686, metavar="PORT", help="HTTP, the query API; 16686")
    for name, what in _DOORS.items():
        help_ = f"HTTP, {what}; by default the usual one, or any free one if that is taken"
        parser.add_argument(f"--{name}-port", type=port, default=None, metavar="PORT", help=help_)
    add_grpc_port(parser)
    add_query_options(parser)
    add_sampling_options(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes; the queue is stored before the process ends."""
    from sls_tracing.backend.all_in_one import AllInOne

    hide_secrets()
    backend = AllInOne(
        storage=args.storage,
        open_store=lambda: open_and_provision(args),
        host=args.host,
        serving=serving_settings(args),
        strategies=sampling_strategies(args, default_probability=1),
        base_path=args.base_path,
        query_settings=query_settings(args),
        agent_compact_port=args.agent_compact_port,
        agent_binary_port=args.agent_binary_port,
        agent_zipkin_port=args.agent_zipkin_port,
        query_port=args.query_port,
        collector_port=args.collector_port,
        zipkin_port=args.zipkin_port,
        otlp_port=args.otlp_port,
        otlp_grpc=wants_grpc(args),
        otlp_grpc_port=args.otlp_grpc_port,
        sampling_port=args.sampling_port,
        admin_port=args.admin_port,
    )
    return serve("all-in-one", backend, lambda: _banner(backend, args), log_format=args.log_format)


def _banner(backend: AllInOne, args: argparse.Namespace) -> list[str]:
    host = backend.url(0).partition("://")[2].rpartition(":")[0]  # with the brackets of IPv6
    return [
        f"sls-tracing {__version__} all-in-one",
        f"  agent    udp://{host}:{backend.agent_compact_port}  Thrift compact",
        f"  agent    udp://{host}:{backend.agent_binary_port}  Thrift binary",
        f"  agent    udp://{host}:{backend.agent_zipkin_port}  Zipkin, Thrift compact",
        f"           receive buffers of {backend.receive_buffer // 1024} KiB each",
        *_doors(backend),
        *grpc_line(backend, args),
        f"  sampling {backend.url(backend.sampling_port, '/sampling')}",
        f"  query    {backend.query_url}",
        f"  admin    {backend.url(backend.admin_port)}  /healthz, /readyz, /metrics",
        f"  storage  {backend.storage}",
    ]


def _doors(backend: AllInOne) -> list[str]:
    from sls_tracing.backend.all_in_one import COLLECTOR_PORT, OTLP_PORT, ZIPKIN_PORT

    doors = (
        (backend.collector_url, "Jaeger's Thrift", backend.collector_port, COLLECTOR_PORT),
        (backend.zipkin_url, "Zipkin", backend.zipkin_port, ZIPKIN_PORT),
        (backend.otlp_url, "OTLP", backend.otlp_port, OTLP_PORT),
    )
    return [
        f"  collect  {url}  {what}" + (f" (not the usual {usual})" if port != usual else "")
        for url, what, port, usual in doors
    ]
