"""What stands for agents and collectors: they take everything at once and count the spans afterwards, in a process of their own.

with Sinks() as sinks:
    sinks.udp, sinks.http     # ports
    sinks.take()              # spans since the last call
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Sinks:
    def __enter__(self) -> Sinks:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self.udp, self.http = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("stop")
        self._process.join(10)

    def take(self) -> int:
        """Return the number of spans that came since the last call."""
        self._pipe.send("take")
        count: int = self._pipe.recv()
        return count


def _serve(pipe: Connection) -> None:
    datagrams, posts = _Datagrams(), _Posts()
    pipe.send((datagrams.port, posts.port))
    while pipe.recv() == "take":
        pipe.send(datagrams.take() + posts.take())


class _Datagrams:
    """Keeps every datagram; a large receive buffer, so that the network loses nothing that the tracer did not."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (getattr(socket, "SO_RCVBUFFORCE", socket.SO_RCVBUF), socket.SO_RCVBUF):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
                break
            except PermissionError:
                continue
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._datagrams: list[bytes] = []
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        while True:
            datagram = self._socket.recv(65536)
            self._datagrams.append(datagram)  # looked up after the wait: take() replaces the list meanwhile

    def take(self) -> int:
        from sls_tracing.thrift.decoding import decode_emit_batch

        datagrams, self._datagrams = self._datagrams, []
        return sum(len(decode_emit_batch(each, "compact" if each[0] == 0x82 else "binary").spans) for each in datagrams)


class _Posts:
    """Answers every request with 200 and keeps the bodies."""

    def __init__(self) -> None:
        posts: list[tuple[str, Any, bytes]] = []
        self._posts = posts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                posts.append((self.path, self.headers, self._body()))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_PUT = do_POST  # noqa: N815

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                else:
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def take(self) -> int:
        posts = self._posts[:]
        del self._posts[: len(posts)]
        return sum(_spans_in(*post) for post in posts)


def _spans_in(path: str, headers: Any, body: bytes) -> int:
    if path.startswith("/api/traces"):
        from sls_tracing.thrift.decoding import decode_batch

        return len(decode_batch(body).spans)
    if path.startswith("/api/v2/spans"):
        return len(json.loads(body))
    if path.startswith("/v1/traces"):
        if "json" in headers["Content-Type"]:
            resources = json.loads(body)["resourceSpans"]
            return sum(len(scope["spans"]) for resource in resources for scope in resource["scopeSpans"])
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(body)
        return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    return int(headers.get("X-Datadog-Trace-Count", 0))  # a trace is one span, in the works that send
