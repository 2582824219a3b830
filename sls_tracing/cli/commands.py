"""The table of commands, and the parser of their command lines."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "Command", "call"]


class Command(NamedTuple):
    """Where a command lives, and what it does in one line."""

    module: str
    help: str


COMMANDS = {
    "run": Command("sls_tracing.cli.run", "run a program instrumented, without touching its code"),
    "doctor": Command("sls_tracing.cli.doctor", "say what is wrong with tracing here, and what to do about it"),
    "all-in-one": Command("sls_tracing.cli.all_in_one", "agent, collector, store and query API in one process"),
    "agent": Command("sls_tracing.cli.agent", "spans from this machine's services to a collector"),
    "collector": Command("sls_tracing.cli.collector", "spans over HTTP into a trace store"),
    "query": Command("sls_tracing.cli.query", "Jaeger's query API over a trace store"),
    "log-service": Command("sls_tracing.cli.log_service", "the embedded Log Service behind Log Service's own HTTP API"),
    "provision": Command(
        "sls_tracing.cli.provision", "make what traces need in Log Service: project, logstore, index, dashboard"
    ),
    "search": Command("sls_tracing.cli.search", "search and analyse stored spans from a terminal"),
}


def call(name: str, arguments: Sequence[str]) -> int:
    """Parse ``arguments`` and run the command ``name`` among them, or show the help if it is none."""
    module = importlib.import_module(COMMANDS[name].module) if name in COMMANDS else None
    parser, subparsers = _parsers()
    if module is not None:
        module.add_arguments(subparsers[name])
    args = parser.parse_args(arguments)
    if module is None:
        parser.print_help()
        return 0
    return int(module.main(args))


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="sls-tracing",
        description="Tracing for Python services in a mesh, from the application to Log Service.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sls-tracing {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    subparsers = {
        name: commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        for name, command in COMMANDS.items()
    }
    return parser, subparsers
