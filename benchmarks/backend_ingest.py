"""``python benchmarks/backend_ingest.py``: spans over UDP into the all-in-one and its file, at a steady rate.

The backend is a process of its own, started by its command; the sender is another one, which makes and encodes every span anew (other ids, other times, 8 tags) and keeps
a rate, whatever the backend does. A span counts as stored when the file, opened after the backend has ended, has it. Lost are those the kernel dropped at the
socket (the receive buffer is asked for and printed), those the backend dropped for want of room, and whatever else is missing.

    python benchmarks/backend_ingest.py --protocol binary --rate 12000 --seconds 60
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SPANS_A_DATAGRAM = 30
FREE = (
    *("--agent-compact-port=0", "--agent-binary-port=0", "--agent-zipkin-port=0", "--query-port=0"),
    *(
        "--collector-port=0",
        "--zipkin-port=0",
        "--otlp-port=0",
        "--otlp-grpc-port=0",
        "--sampling-port=0",
        "--admin-port=0",
    ),
)
WATCHED = ("agent_datagrams_received", "agent_datagrams_dropped", "agent_socket_drops", "collector_spans_dropped")


class Backend(NamedTuple):
    process: subprocess.Popen[str]
    ports: dict[str, int]
    admin: str
    receive_buffer: str
    query_url: str


def start_backend(storage: str) -> Backend:
    """Start the all-in-one; return when it listens."""
    command = [sys.executable, "-m", "sls_tracing", "all-in-one", "--storage", storage, *FREE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    banner = ""
    for line in process.stdout:
        banner += line
        if "Ctrl-C" in line:
            break
    else:
        raise SystemExit("the backend did not start")
    compact, binary = (int(port) for port in re.findall(r"udp://\S+:(\d+)  Thrift", banner))
    admin = re.search(r"admin +(\S+)", banner)
    query = re.search(r"query +(\S+)", banner)
    buffer = re.search(r"receive buffers of (.+) each", banner)
    assert admin is not None
    assert buffer is not None
    assert query is not None
    ports = {"compact": compact, "binary": binary}
    return Backend(process, ports, admin[1].rstrip("/"), buffer[1], query[1].rstrip("/"))


def datagrams(protocol: str, number: int | None = None) -> Iterator[bytes]:
    """Yield datagrams of spans that start now, each encoded anew: so many, or for ever."""
    from sls_tracing.context import SpanContext
    from sls_tracing.model import Process, Reference, SpanRecord
    from sls_tracing.thrift.binary import BinaryEncoder
    from sls_tracing.thrift.compact import CompactEncoder

    encoder = {"compact": CompactEncoder, "binary": BinaryEncoder}[protocol]()
    services = [
        encoder.process(Process(name, {"hostname": "host-1", "ip": "10.1.2.3", "jaeger.version": "Python-4.8.0", "client-uuid": f"{n:016x}"}))
        for n, name in enumerate(("productpage", "details", "reviews", "ratings"))
    ]  # fmt: skip
    rng = random.Random(1)
    nothing = Process("")

    def span(trace_id: int) -> bytes:
        number = rng.randrange(1 << 20)
        parent_id = rng.getrandbits(64)
        start = time.time()
        tags = {
            "span.kind": "server", "component": "flask", "http.method": "GET", "http.status_code": 200,
            "http.url": f"http://productpage:9080/product/{number}", "http.route": "/product/<id>",
            "peer.ipv4": f"10.0.{number & 0xFF}.1", "peer.port": number & 0xFFFF,
        }  # fmt: skip
        context = SpanContext(trace_id, rng.getrandbits(64) | 1, parent_id, sampled=True)
        references = (Reference("child_of", trace_id, parent_id),)
        name = f"GET /product/{number % 40}"
        return encoder.span(SpanRecord(name, context, references, start, start + number / 1e7, tags, (), nothing))

    for sequence in itertools.count() if number is None else range(number):
        trace_id = rng.getrandbits(128) | 1 << 127
        spans = [span(trace_id) for _ in range(SPANS_A_DATAGRAM)]
        yield encoder.emit_batch(services[sequence % len(services)], spans, seq_no=sequence)


def send(protocol: str, port: int, rate: float, seconds: float) -> dict[str, float]:
    """Send spans at ``rate`` for ``seconds``; return how many, in how many bytes, and the sender's CPU time."""
    sent = size = 0
    endless = datagrams(protocol)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < seconds:
            while sent < now * rate:
                size += sock.send(next(endless))
                sent += SPANS_A_DATAGRAM
            time.sleep(0.002)
    return {"sent": sent, "bytes": size, "cpu": time.process_time()}


def run_sender(protocol: str, port: int, rate: float, seconds: float) -> dict[str, Any]:
    """Run :func:`send` in a process of its own."""
    command = [sys.executable, __file__, "--send-to", str(port), "--protocol", protocol]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    sent: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return sent


def metrics(backend: Backend) -> dict[str, float]:
    """Return what the backend says of itself."""
    with urllib.request.urlopen(backend.admin + "/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    found = (line.split() for line in lines if line.startswith("sls_tracing_"))
    return {name.removeprefix("sls_tracing_").removesuffix("_total"): float(value) for name, value in found}


def peak_mib(process: subprocess.Popen[str]) -> float:
    """Return the most memory that the process ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored(storage: str) -> int:
    """Return the number of logs in the file."""
    from sls_tracing.log_service import open_trace_store

    with contextlib.closing(open_trace_store(storage)) as store:
        return int(store.logstore.get_logs("* | select count(*) as c from log", 0, 2**32 - 1).logs[0]["c"])


def measure(protocol: str, rate: float, seconds: float) -> dict[str, Any]:
    """Run backend and sender; return all figures."""
    with tempfile.TemporaryDirectory() as folder:
        storage = str(Path(folder, "spans.duckdb"))
        backend = start_backend(storage)
        try:
            idle = cpu_seconds(backend.process)
            sent = run_sender(protocol, backend.ports[protocol], rate, seconds)
            at_end = metrics(backend)
            cpu, peak = cpu_seconds(backend.process) - idle, peak_mib(backend.process)
            backend.process.terminate()
            backend.process.wait(120)
        finally:
            backend.process.kill()
            backend.process.wait()
        return {
            "protocol": protocol,
            "rate": round(sent["sent"] / seconds),
            "bytes_a_span": round(sent["bytes"] / sent["sent"]),
            "sent": sent["sent"],
            "stored_at_end_of_sending": int(at_end.get("collector_spans_stored", 0)),
            "stored": (there := stored(storage)),
            "lost": sent["sent"] - there,
            **{name: int(at_end.get(name, 0)) for name in WATCHED},
            "receive_buffer": backend.receive_buffer,
            "peak_mib": round(peak),
            "cpu_us_a_span": round(cpu / sent["sent"] * 1e6, 1),
            "file_bytes_a_span": round(Path(storage).stat().st_size / max(1, there)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=("compact", "binary"), action="append")
    parser.add_argument("--rate", type=float, help="spans a second; 12,000 of binary, 8,000 of compact")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--send-to", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send_to:
        print(json.dumps(send(options.protocol[0], options.send_to, options.rate, options.seconds)))
        return
    results = [
        measure(protocol, options.rate or {"binary": 12_000, "compact": 8_000}[protocol], options.seconds)
        for protocol in options.protocol or ("binary", "compact")
    ]
    for result in results:
        print(f"\n{result['protocol']}, {result['rate']:,} spans/s for {options.seconds:g} s")
        for name, value in result.items():
            print(
                f"  {name.replace('_', ' '):<26} {value:>12,}"
                if isinstance(value, int)
                else f"  {name.replace('_', ' '):<26} {value!s:>12}"
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
