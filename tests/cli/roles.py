"""The commands that serve, as processes of their own, and spans for them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from sls_tracing.context import SpanContext
from sls_tracing.model import Process, SpanRecord
from sls_tracing.thrift.binary import BinaryEncoder

PROGRAM = [sys.executable, "-m", "sls_tracing"]
FREE = {
    "collector": ["--thrift-port=0", "--zipkin-port=0", "--otlp-port=0", "--otlp-grpc-port=0", "--admin-port=0"],
    "query": ["--query-port=0", "--admin-port=0"],
    "agent": ["--compact-port=0", "--binary-port=0", "--zipkin-port=0", "--sampling-port=0", "--admin-port=0"],
    "log-service": ["--port=0", "--admin-port=0"],
    "all-in-one": [
        *("--agent-compact-port=0", "--agent-binary-port=0", "--agent-zipkin-port=0", "--query-port=0"),
        *("--collector-port=0", "--zipkin-port=0"),
        *("--otlp-port=0", "--otlp-grpc-port=0", "--sampling-port=0", "--admin-port=0"),
    ],
}
THRIFT = {"Content-Type": "application/x-thrift"}


def span(number, start=1.7e9, tags=None):
    context = SpanContext(trace_id=number, span_id=number, sampled=True)
    return SpanRecord("op", context, [], start, start + 0.01, tags or {}, (), Process("svc"))


def body(*spans):
    encoder = BinaryEncoder()
    return encoder.batch(encoder.process(Process("svc")), [encoder.span(each) for each in spans])


class Running:
    """A command in a process of its own; ``urls`` and ``udp_ports`` are those of its banner."""

    def __init__(self, name, *arguments, environment=None):
        self.process = subprocess.Popen(
            [*PROGRAM, name, *FREE[name], *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.banner = ""
        for line in self.process.stdout:
            self.banner += line
            if "Ctrl-C" in line:
                break
        else:
            raise AssertionError(self.process.communicate()[1])
        told = self.banner.partition("forwards to")[0]
        urls = [url.rstrip(",") for url in re.findall(r"https?://\S+", told)]
        self.udp_ports = [int(port) for port in re.findall(r"udp://\S+:(\d+)", told)]
        names = {
            "collector": ("thrift", "zipkin", "otlp", "grpc", "admin"),
            "query": ("query", "admin"),
            "agent": ("sampling", "admin"),
            "log-service": ("log-service", "admin"),
            "all-in-one": ("thrift", "zipkin", "otlp", "grpc", "sampling", "query", "admin"),
        }
        self.urls = dict(zip(names[name], urls, strict=True))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """Return status and errors after SIGTERM."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors
