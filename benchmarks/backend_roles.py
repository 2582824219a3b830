"""``python benchmarks/backend_roles.py``: what a span costs each role, when each is a process of its own.

A sender (``backend_ingest.py``) keeps a rate over UDP into an agent, which posts to a collector, which writes to Log Service: the embedded one behind its HTTP API, with signed,
compressed requests as for the real one. Printed are each role's CPU time a span and the most memory that it held, and the bytes of a span: from client to agent,
from agent to collector, and in a PutLogs request, raw (what quotas and prices count) and compressed (what the network carries).

    python benchmarks/backend_roles.py --protocol compact --rate 2000 --seconds 30
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import backend_ingest
from backend_ingest import cpu_seconds, peak_mib

KEY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "bench", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "mark"}
FREE = {
    "log-service": ("--port=0", "--admin-port=0"),
    "collector": ("--thrift-port=0", "--zipkin-port=0", "--otlp-port=0", "--otlp-grpc-port=0", "--admin-port=0"),
    "agent": ("--compact-port=0", "--binary-port=0", "--zipkin-port=0", "--sampling-port=0", "--admin-port=0"),
}


class Role(NamedTuple):
    process: subprocess.Popen[str]
    banner: str

    def url(self, what: str) -> str:
        """Return the URL of the first line of the banner that begins with that word."""
        found = re.search(rf"^ +{what} +(https?://[^\s/]+)", self.banner, re.MULTILINE)
        assert found is not None, self.banner
        return found[1]


def start(name: str, *options: str) -> Role:
    """Start a role; return when it listens."""
    command = [sys.executable, "-m", "sls_tracing", name, *FREE[name], *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **KEY})
    assert process.stdout is not None
    banner = ""
    for line in process.stdout:
        banner += line
        if "Ctrl-C" in line:
            return Role(process, banner)
    raise SystemExit(f"{name} did not start")


def request_bytes(spans: int = 1500) -> tuple[float, float]:
    """Return the bytes of a span in a PutLogs request: raw, and compressed by lz4."""
    from sls_tracing.log_service.dialects import jaeger_legacy
    from sls_tracing.log_service.logstore import LogGroup
    from sls_tracing.log_service.wire import compress, encode_log_group
    from sls_tracing.thrift.decoding import decode_emit_batch

    logs = []
    for datagram in backend_ingest.datagrams("binary", spans // backend_ingest.SPANS_A_DATAGRAM):
        logs += map(jaeger_legacy.to_log, decode_emit_batch(datagram, "binary").spans)
    raw = encode_log_group(LogGroup(logs, source="0.0.0.0"))
    return len(raw) / len(logs), len(compress(raw, "lz4")) / len(logs)


def measure(protocol: str, rate: float, seconds: float) -> dict[str, Any]:
    """Run the chain; return all figures."""
    with tempfile.TemporaryDirectory() as folder:
        roles: dict[str, Role] = {}
        try:
            roles["log-service"] = start("log-service", "--storage", str(Path(folder, "logs.duckdb")))
            roles["collector"] = start(
                "collector",
                "--storage=log-service:",
                "--storage.aliyun_sls.endpoint=cn-test.log.aliyuncs.com",
                "--storage.aliyun_sls.project=bench",
                f"--storage.aliyun_sls.connect={roles['log-service'].url('listens')}",
            )
            roles["agent"] = start("agent", "--collector", roles["collector"].url("collect"))
            ports = [int(port) for port in re.findall(r"udp://\S+:(\d+)", roles["agent"].banner)]
            idle = {name: cpu_seconds(role.process) for name, role in roles.items()}
            sent = backend_ingest.run_sender(
                protocol, dict(zip(("compact", "binary"), ports, strict=False))[protocol], rate, seconds
            )
            # The agent first: it delivers what it has before it ends, the collector then stores what came.
            figures: dict[str, Any] = {}
            for name in ("agent", "collector", "log-service"):
                figures[name] = stop(roles[name].process, idle[name], sent["sent"])
            there = stored(str(Path(folder, "logs.duckdb")))
        finally:
            for role in roles.values():
                role.process.kill()
                role.process.wait()
    raw, compressed = request_bytes()
    return {
        "protocol": protocol,
        "rate": round(sent["sent"] / seconds),
        "sent": sent["sent"],
        "stored": there,
        "roles": figures,
        "bytes": {"datagram": round(sent["bytes"] / sent["sent"]), "put_logs": round(raw), "put_logs_lz4": round(compressed)},
    }  # fmt: skip


def stop(process: subprocess.Popen[str], idle: float, spans: float) -> dict[str, float]:
    """End a role; return its figures until the moment before it was told to."""
    used, peak = cpu_seconds(process) - idle, peak_mib(process)
    process.terminate()
    process.wait(120)
    return {"cpu_us_a_span": round(used / spans * 1e6, 1), "peak_mib": round(peak)}


def stored(path: str) -> int:
    """Return the number of logs in the embedded Log Service's file."""
    from contextlib import closing

    from sls_tracing.log_service.embedded_service import EmbeddedProjects

    with closing(EmbeddedProjects(path)) as projects:
        logstore = projects.project("bench").logstore("jaeger-span")
        return int(logstore.get_logs("* | select count(*) as c from log", 0, 2**32 - 1).logs[0]["c"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=("compact", "binary"), default="compact")
    parser.add_argument("--rate", type=float, default=2000, help="spans a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.protocol, options.rate, options.seconds)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
