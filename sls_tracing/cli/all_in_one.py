"""`sls-tracing all-in-one`: the whole backend in one process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import signal
import sys
from typing import TYPE_CHECKING

from sls_tracing.version import __version__

if TYPE_CHECKING:
    from sls_tracing.backend.all_in_one import AllInOne

__all__ = ["add_arguments", "main"]

SWITCH_INTERVAL = 0.0005
"""Seconds after which the thread that decodes lets the event loop at a socket; Python's 5 ms overflow a receive buffer of Linux's default
size. Lost of 10,000 datagrams a second with one span each: 6 % with 5 ms, 0.05 % with this, for the same CPU time."""


_DOORS = {"collector": "Jaeger's Thrift (14268)", "zipkin": "Zipkin (9411)", "otlp": "OTLP (4318)"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the ports are Jaeger's."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--storage", default="memory:", metavar="memory:|FILE", help="where spans are kept")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; there is no authentication")
    parser.add_argument("--agent-compact-port", type=_port, default=6831, metavar="PORT", help="UDP, Thrift compact")
    parser.add_argument("--agent-binary-port", type=_port, default=6832, metavar="PORT", help="UDP, Thrift binary")
    parser.add_argument("--query-port", type=_port, default=16686, metavar="PORT", help="HTTP, the query API")
    for name, what in _DOORS.items():
        help_ = f"HTTP, {what}; by default the usual one, or any free one if that is taken"
        parser.add_argument(f"--{name}-port", type=_port, default=None, metavar="PORT", help=help_)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes; the queue is stored before the process ends."""
    from sls_tracing.backend.all_in_one import AllInOne

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # our banner says what its start messages say
    sys.setswitchinterval(SWITCH_INTERVAL)
    backend = AllInOne(
        storage=args.storage,
        host=args.host,
        agent_compact_port=args.agent_compact_port,
        agent_binary_port=args.agent_binary_port,
        query_port=args.query_port,
        collector_port=args.collector_port,
        zipkin_port=args.zipkin_port,
        otlp_port=args.otlp_port,
    )
    asyncio.run(_serve(backend))
    return 0


async def _serve(backend: AllInOne) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the loop by KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    async with backend:
        print(_banner(backend), flush=True)
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(backend.ended())]
        ended, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in ended:
            task.result()  # raises if it was the server that failed
        print("sls-tracing all-in-one: storing what is queued, then stopping", file=sys.stderr, flush=True)


def _banner(backend: AllInOne) -> str:
    host = backend.query_url.removeprefix("http://").rpartition(":")[0]  # with the brackets of IPv6
    lines = [
        f"sls-tracing {__version__} all-in-one",
        f"  agent    udp://{host}:{backend.agent_compact_port}  Thrift compact",
        f"  agent    udp://{host}:{backend.agent_binary_port}  Thrift binary",
        f"           receive buffers of {backend.receive_buffer // 1024} KiB each",
        *_doors(backend),
        f"  query    {backend.query_url}",
        f"  storage  {backend.storage}",
    ]
    if not _is_loopback(backend.host):
        lines.append("  Anyone who reaches these ports can read and write traces: there is no authentication.")
    return "\n".join([*lines, "Stop with Ctrl-C."])


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 (any free one) to 65535")
    return int(text)
