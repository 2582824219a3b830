"""`sls-tracing log-service`: the embedded Log Service behind Log Service's own HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.cli.serving import add_serving_options, port, serve, serving_settings
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import MEMORY
from sls_tracing.log_service.credentials import environment_key
from sls_tracing.log_service.faults import SHARES
from sls_tracing.version import __version__

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--storage", default=MEMORY, metavar="memory:|FILE", help="where logs are kept; %(default)s")
    parser.add_argument("--port", type=port, default=8080, metavar="PORT", help="%(default)s; 0: any free one")
    help_ = "HTTP, health and metrics; by default 8081, or any free one if that is taken"
    parser.add_argument("--admin-port", type=port, default=None, metavar="PORT", help=help_)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=f"fail on purpose: {', '.join(SHARES)} with a share of the requests, throttle=0.1, or delay=0.05 (seconds); repeatable",
    )
    parser.add_argument("--fault-seed", type=int, default=0, metavar="N", help="the same seed, the same faults")
    add_serving_options(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes. The only access key that is let in is the one of ALIBABA_CLOUD_ACCESS_KEY_ID and …_SECRET."""
    from sls_tracing.backend.log_service_role import LogServiceRole
    from sls_tracing.log_service.faults import Faults

    key = environment_key()
    if key is None:
        raise ConfigurationError(
            "no access key: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, to whatever clients shall use"
        )
    serving = serving_settings(args)
    if serving.has_credentials:
        raise ConfigurationError("the access key guards this port; leave out the token and the user")
    path = ":memory:" if args.storage == MEMORY else args.storage
    faults = Faults.read(args.fault, seed=args.fault_seed)
    role = LogServiceRole(
        path, key, faults=faults, host=args.host, serving=serving, port=args.port, admin_port=args.admin_port
    )

    def banner() -> list[str]:
        return [
            f"sls-tracing {__version__} log-service",
            f"  listens  {role.url(role.port)}  Log Service's HTTP API",
            f"  admin    {role.url(role.admin_port)}  /healthz, /readyz, /metrics",
            f"  storage  {args.storage}",
        ]

    return serve("log-service", role, banner, log_format=args.log_format)
