"""The command `sls-tracing`: one module a command, imported only when that command is called.

A command's module has ``add_arguments(parser)``, which declares its options, and ``main(args) -> int``, which returns the exit
status: 0 done, 1 failed, 2 a setting is wrong (said on stderr, with the remedy).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]


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

EXTRAS = {
    **dict.fromkeys(
        ("anyio", "duckdb", "jinja2", "prometheus_client", "rich", "sqlglot", "starlette", "uvicorn"), "server"
    ),
    "grpc": "grpc",
}
"""Which extra of this distribution brings a module that a plain install does not have."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The root has flags only, none with a value, so the first word without a dash is the command.
    name = next((word for word in arguments if not word.startswith("-")), "")
    module = importlib.import_module(COMMANDS[name].module) if name in COMMANDS else None
    parser, subparsers = _parsers()
    if module is not None:
        module.add_arguments(subparsers[name])
    args = parser.parse_args(arguments)
    if module is None:
        parser.print_help()
        return 0
    try:
        return int(module.main(args))
    except ConfigurationError as error:
        return _fail(name, str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(name, f"{error.name} is not installed: pip install 'sls-tracing[{extra}]'")
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells count


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


def _fail(name: str, message: str) -> int:
    print(f"sls-tracing {name}: error: {message}", file=sys.stderr)
    return 2
