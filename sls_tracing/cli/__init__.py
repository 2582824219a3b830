"""The command `sls-tracing`: one module a command, imported only when that command is called.

A command's module has ``add_arguments(parser)``, which declares its options, and ``main(args) -> int``, which returns the exit
status: 0 done, 1 failed, 2 a setting is wrong (said on stderr, with the remedy). The table of commands is in ``commands.py``.
"""

from __future__ import annotations

import sys

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.lazy import lazily

TYPE_CHECKING = False  # as in sls_tracing/__init__
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.cli.commands import COMMANDS

__all__ = ["COMMANDS", "main"]

__getattr__ = lazily(__name__, {"COMMANDS": "sls_tracing.cli.commands"})

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
    try:
        if arguments[:1] == ["run"]:
            # Each start of a service comes by here. Its usual command line needs no argparse, which takes longer to load than all the rest.
            from sls_tracing.cli import run

            usual = run.usual_arguments(arguments[1:])
            if usual is not None:
                return run.become(*usual)
        from sls_tracing.cli.commands import call

        return call(name, arguments)
    except ConfigurationError as error:
        return _fail(name, str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(name, f"{error.name} is not installed: pip install 'sls-tracing[{extra}]'")
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells count


def _fail(name: str, message: str) -> int:
    print(f"sls-tracing {name}: error: {message}", file=sys.stderr)
    return 2
