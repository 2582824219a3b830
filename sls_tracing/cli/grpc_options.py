"""The door for OTLP over gRPC: open when the extra ``grpc`` is installed, or demanded by its port."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from sls_tracing.cli.serving import port

if TYPE_CHECKING:
    import argparse

    from sls_tracing.backend.collector_role import CollectingRole

__all__ = ["add_grpc_port", "grpc_line", "wants_grpc"]

USUAL = 4317


def add_grpc_port(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    help_ = f"OTLP over gRPC, with the extra grpc; {USUAL}, or any free one if that is taken"
    parser.add_argument("--otlp-grpc-port", type=port, default=None, metavar="PORT", help=help_)


def wants_grpc(args: argparse.Namespace) -> bool:
    """Whether to open the door. A port that was named is demanded: without the package the command then ends, and says what to install."""
    return args.otlp_grpc_port is not None or importlib.util.find_spec("grpc") is not None


def grpc_line(role: CollectingRole, args: argparse.Namespace) -> list[str]:
    """Return the banner's line. gRPC has no path."""
    if not wants_grpc(args):
        return []
    unusual = "" if role.otlp_grpc_port == USUAL else f" (not the usual {USUAL})"
    return [f"  collect  {role.url(role.otlp_grpc_port)}  OTLP over gRPC{unusual}"]
