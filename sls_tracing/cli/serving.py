"""What the commands that serve share: options of guarding and logging, and serving until a signal comes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.backend.role import Role
    from sls_tracing.backend.serving import ServingSettings

__all__ = [
    "SWITCH_INTERVAL",
    "add_base_path",
    "add_serving_options",
    "exposed",
    "port",
    "secret",
    "serve",
    "serving_settings",
    "set_up_logging",
]

logger = logging.getLogger("sls_tracing")

SWITCH_INTERVAL = 0.0005
"""Seconds after which the thread that decodes lets the event loop at a socket; Python's 5 ms overflow a receive buffer of Linux's default
size. Lost of 10,000 datagrams a second with one span each: 6 % with 5 ms, 0.05 % with this, for the same CPU time."""

GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""When Python looks for cycles (``gc.set_threshold``). Spans on their way are hundreds of thousands of objects without a cycle among them; with Python's own
thresholds, which look after every 700 (every 2,000 from 3.12 on), a third of the time of a busy collector goes into that."""

_TOKEN, _PASSWORD = "SLS_TRACING_SERVER_TOKEN", "SLS_TRACING_SERVER_PASSWORD"


def port(text: str) -> int:
    """Read a port, for argparse."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 (any free one) to 65535")
    return int(text)


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Declare who may reach the HTTP ports, and how the log looks."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 for all")
    guard = parser.add_argument_group(
        "guarding", f"secrets come from files, or from {_TOKEN} and {_PASSWORD}, never from the command line"
    )
    guard.add_argument("--auth-token-file", metavar="FILE", help="requests need this bearer token")
    guard.add_argument(
        "--auth-user", default="", metavar="NAME", help="requests need this user and a password (basic auth)"
    )
    guard.add_argument("--auth-password-file", metavar="FILE", help="the password of --auth-user")
    guard.add_argument("--tls-cert", default="", metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    guard.add_argument("--tls-key", default="", metavar="FILE", help="its key, if it is not in the same file")
    guard.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages of this origin may ask; repeatable",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="json: one object a line")


def add_base_path(parser: argparse.ArgumentParser) -> None:
    """Declare where the query API stands behind a proxy that passes paths on as they are."""
    parser.add_argument(
        "--base-path",
        "--query.base-path",
        dest="base_path",
        default="",
        metavar="/PATH",
        help="serve the query API under this path",
    )


def serving_settings(args: argparse.Namespace) -> ServingSettings:
    """Return what the options of :func:`add_serving_options` say. Raises ConfigurationError."""
    from sls_tracing.backend.serving import ServingSettings

    return ServingSettings(
        token=secret(args.auth_token_file, "" if args.auth_user else _TOKEN),
        user=args.auth_user,
        password=secret(args.auth_password_file, _PASSWORD) if args.auth_user else "",
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        cors_origins=args.cors_origin,
    )


def secret(file: str | None, variable: str) -> str:
    """Return the secret in ``file``, or in the variable if no file is named; empty if neither is set. Raises ConfigurationError."""
    if file is None:
        return os.environ.get(variable, "") if variable else ""
    try:
        found = Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read the secret in {file}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not found:
        raise ConfigurationError(f"the secret in {file} is empty")
    return found


def set_up_logging(form: str) -> None:
    """Log to stderr, as text or as one JSON object a line."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JSONLines() if form == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # our banner says what its start messages say


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def serve(name: str, role: Role, banner: Callable[[], list[str]], *, log_format: str = "text") -> int:
    """Run ``role`` until SIGTERM or Ctrl-C, then drain. ``banner``, called when it has started, says in lines where it is."""
    set_up_logging(log_format)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    asyncio.run(_serve(name, role, banner))
    return 0


async def _serve(name: str, role: Role, banner: Callable[[], list[str]]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the loop by KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    async with role:
        gc.freeze()  # what is there by now, modules above all, is there to stay: no need to look through it again
        print("\n".join([*banner(), *exposed(role), "Stop with Ctrl-C."]), flush=True)
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(role.ended())]
        ended, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in ended:
            task.result()  # raises if it was the server that failed
        logger.info("sls-tracing %s: storing what is queued, then stopping", name)


def exposed(role: Role) -> list[str]:
    """Return a line of warning if anyone can reach the ports."""
    if _is_loopback(role.host) or role.serving.has_credentials:
        return []
    return ["  Anyone who reaches these ports can read and write traces: there is no authentication."]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
