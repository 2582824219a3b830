"""What stands for the agent and the OTLP collector: they take everything at once and count the spans afterwards."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class UDPSink:
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
        """Return the number of spans that came since the last call."""
        from sls_tracing.thrift.decoding import decode_emit_batch

        datagrams, self._datagrams = self._datagrams, []
        return sum(len(decode_emit_batch(each, "compact" if each[0] == 0x82 else "binary").spans) for each in datagrams)


class HTTPSink:
    """Answers every POST with 200 and keeps the bodies."""

    def __init__(self) -> None:
        bodies: list[bytes] = []
        self._bodies = bodies

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def take(self) -> int:
        """Return the number of spans that came since the last call."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        bodies = list(self._bodies)
        self._bodies.clear()
        return sum(
            len(scope.spans)
            for body in bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
        )
