"""`sls-tracing query`: Jaeger's query API over a trace store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.cli.query_options import add_query_options, query_settings
from sls_tracing.cli.serving import add_serving_options, port, serve, serving_settings
from sls_tracing.cli.storage_options import add_storage_options, hide_secrets, open_storage
from sls_tracing.version import __version__

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the ports are Jaeger's."""
    add_storage_options(parser)
    parser.add_argument(
        "--query-port", type=port, default=16686, metavar="PORT", help="HTTP, the query API; %(default)s"
    )
    parser.add_argument(
        "--admin-port", type=port, default=16687, metavar="PORT", help="HTTP, health and metrics; %(default)s"
    )
    add_query_options(parser)
    add_serving_options(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from sls_tracing.backend.query_role import QueryRole

    hide_secrets()
    role = QueryRole(
        lambda: open_storage(args),
        host=args.host,
        serving=serving_settings(args),
        query_port=args.query_port,
        admin_port=args.admin_port,
        base_path=args.base_path,
        query_settings=query_settings(args),
    )

    def banner() -> list[str]:
        return [
            f"sls-tracing {__version__} query",
            f"  query    {role.url(role.query_port, args.base_path)}",
            f"  admin    {role.url(role.admin_port)}  /healthz, /readyz, /metrics",
            f"  storage  {args.storage}",
        ]

    return serve("query", role, banner, log_format=args.log_format)
