"""`sls-tracing agent`: one a machine, between its services and a collector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sls_tracing.cli.jaeger_options import HostPort, read_tags
from sls_tracing.cli.serving import add_serving_options, secret, serve, serving_settings
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.version import __version__

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]

MIB = 1 << 20
_TOKEN = "SLS_TRACING_COLLECTOR_TOKEN"  # noqa: S105 - a variable's name


_PORTS = {
    "compact": (6831, "--processor.jaeger-compact.server-host-port", "UDP, Thrift compact"),
    "binary": (6832, "--processor.jaeger-binary.server-host-port", "UDP, Thrift binary"),
    "zipkin": (5775, "--processor.zipkin-compact.server-host-port", "UDP, Zipkin in Thrift compact"),
    "sampling": (5778, "--http-server.host-port", "HTTP, sampling strategies"),
    "admin": (14271, "--admin.http.host-port", "HTTP, health and metrics"),
}
"""Each with the usual number, Jaeger's name for the option, and what is there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the ports are Jaeger's."""
    parser.add_argument(
        "--collector",
        action="append",
        required=True,
        metavar="URL",
        help="http://collector:14268; repeatable, or several with commas",
    )
    parser.add_argument("--collector-token-file", metavar="FILE", help=f"the collector's bearer token; or {_TOKEN}")
    parser.add_argument(
        "--collector-ca", default="", metavar="FILE", help="whom to trust for https, instead of the system's list"
    )
    parser.add_argument(
        "--spool", metavar="DIR", help="keep what waits on disk: it survives a crash, and hours without a collector"
    )
    parser.add_argument(
        "--spool-mib", type=int, default=1024, metavar="N", help="the most that waits on disk; %(default)s"
    )
    parser.add_argument(
        "--buffer-mib", type=int, default=64, metavar="N", help="the most that waits in memory; %(default)s"
    )
    for name, (usual, jaegers, what) in _PORTS.items():
        help_ = f"{what}; {usual}"
        parser.add_argument(f"--{name}-port", jaegers, action=HostPort, default=usual, metavar="PORT", help=help_)
    parser.add_argument(
        "--sampling-strategies", metavar="FILE", help="answer from this file instead of asking the collector"
    )
    parser.add_argument(
        "--baggage-restrictions",
        metavar="FILE",
        help='JSON: {"service": [{"baggageKey": "user", "maxValueLength": 64}]}',
    )
    parser.add_argument(
        "--tags",
        "--agent.tags",
        default="",
        metavar="K=V,…",
        help="tags for the process of every span: zone=a,node=${NODE_NAME:unknown}",
    )
    add_serving_options(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes; what waits goes out before the process ends, or stays on disk."""
    from sls_tracing.backend.agent_role import AgentRole
    from sls_tracing.backend.forwarding import collector_posters
    from sls_tracing.backend.remote_strategies import RemoteStrategies
    from sls_tracing.backend.sampling_strategies import StrategiesFile
    from sls_tracing.backend.spool import DiskSpool, MemorySpool

    if args.buffer_mib < 1 or args.spool_mib < 1:
        raise ConfigurationError("--buffer-mib and --spool-mib must be at least 1")
    urls = [url.strip() for each in args.collector for url in each.split(",") if url.strip()]
    token = secret(args.collector_token_file, _TOKEN)
    role = AgentRole(
        collector_posters(urls, token=token, ca=args.collector_ca),
        DiskSpool(args.spool, args.spool_mib * MIB) if args.spool else MemorySpool(args.buffer_mib * MIB),
        StrategiesFile(args.sampling_strategies)
        if args.sampling_strategies
        else RemoteStrategies(urls, token=token, ca=args.collector_ca),
        tags=read_tags(args.tags),
        restrictions=_restrictions(args.baggage_restrictions),
        host=args.host,
        serving=serving_settings(args),
        compact_port=args.compact_port,
        binary_port=args.binary_port,
        zipkin_port=args.zipkin_port,
        sampling_port=args.sampling_port,
        admin_port=args.admin_port,
    )

    def banner() -> list[str]:
        host = role.url(0).partition("://")[2].rpartition(":")[0]
        return [
            f"sls-tracing {__version__} agent",
            f"  agent    udp://{host}:{role.compact_port}  Thrift compact",
            f"  agent    udp://{host}:{role.binary_port}  Thrift binary",
            f"  agent    udp://{host}:{role.zipkin_port}  Zipkin, Thrift compact",
            f"           receive buffers of {role.receive_buffer // 1024} KiB each",
            f"  sampling {role.url(role.sampling_port, '/sampling')}",
            f"  admin    {role.url(role.admin_port)}  /healthz, /readyz, /metrics",
            f"  forwards to {', '.join(urls)}" + (f", spooling in {args.spool}" if args.spool else ""),
        ]

    return serve("agent", role, banner, log_format=args.log_format)


def _restrictions(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = json.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the baggage restrictions in {file}: {error}") from None
    good = isinstance(found, dict) and all(
        isinstance(rules, list)
        and all(isinstance(rule, dict) and rule.keys() == {"baggageKey", "maxValueLength"} for rule in rules)
        for rules in found.values()
    )
    if not good:
        raise ConfigurationError(f'{file} must hold {{"service": [{{"baggageKey": "user", "maxValueLength": 64}}]}}')
    return dict(found)
