"""Where the proxies of these tests report to: Zipkin's JSON v2 and OTLP/HTTP, decoded here and not by the code under test."""

from __future__ import annotations

import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ReportSink", "SeenSpan"]


class SeenSpan(NamedTuple):
    """A span that somebody reported: a proxy, or the library in an application. Ids are hex as they were reported."""

    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    service: str
    name: str
    tags: dict[str, Any]
    shared: bool = False
    flags: int = 0

    @property
    def key(self) -> str:
        """The request it belongs to: the last part of every path in these tests. Found without any id, hence right even if ids are wrong."""
        return str(self.tags.get("http.url", "")).partition("?")[0].rpartition("/")[2]


class ReportSink:
    """A server on loopback that takes reports; ``spans`` holds them all by key, ``changed`` is notified."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.spans: dict[str, list[SeenSpan]] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self._body()
                is_zipkin = self.path == "/api/v2/spans"
                sink.take(read_zipkin(json.loads(body)) if is_zipkin else read_otlp(body))
                self.send_response(
                    202 if is_zipkin else 200
                )  # Envoy takes any other status than 202 for a refusal (Zipkin)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, spans: list[SeenSpan]) -> None:
        with self.changed:
            for span in spans:
                self.spans.setdefault(span.key, []).append(span)
            self.changed.notify_all()

    def of(self, key: str) -> list[SeenSpan]:
        """The spans of the request ``key`` that have come."""
        with self.changed:
            return list(self.spans.get(key, ()))

    def wait_for(self, key: str, count: int, timeout: float = 20) -> list[SeenSpan]:
        """The spans of the request ``key``, as soon as there are ``count``, or what came until ``timeout``."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.spans.get(key, ())) >= count, timeout)
            return list(self.spans.get(key, ()))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def read_zipkin(report: list[dict[str, Any]]) -> list[SeenSpan]:
    """Zipkin's JSON, version 2 (https://zipkin.io/zipkin-api/#/default/post_spans)."""
    return [
        SeenSpan(
            trace_id=span["traceId"],
            span_id=span["id"],
            parent_id=span.get("parentId"),
            kind=span.get("kind", "INTERNAL"),
            service=span["localEndpoint"]["serviceName"],
            name=span["name"],
            tags=span.get("tags", {}),
            shared=span.get("shared", False),
        )
        for span in report
    ]


OTLP_KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}


def read_otlp(report: bytes) -> list[SeenSpan]:
    """ExportTraceServiceRequest of opentelemetry-proto: resource_spans 1 {resource 1, scope_spans 2 {spans 2}}."""
    found = []
    for resource_spans in _all(report, 1):
        resource = _attributes(_one(resource_spans, 1) or b"", 1)
        for scope_spans in _all(resource_spans, 2):
            for span in _all(scope_spans, 2):
                parent = _one(span, 4)
                found.append(
                    SeenSpan(
                        trace_id=_one(span, 1).hex(),
                        span_id=_one(span, 2).hex(),
                        parent_id=parent.hex() if parent else None,
                        kind=OTLP_KINDS[_one(span, 6)],
                        service=resource["service.name"],
                        name=_one(span, 5).decode(),
                        tags=_attributes(span, 9),
                        flags=_one(span, 16) or 0,
                    )
                )
    return found


def _attributes(message: bytes, number: int) -> dict[str, Any]:
    """Repeated KeyValue {key 1, value 2 {string_value 1}}; values of other types read as None."""
    return {
        _one(pair, 1).decode(): value.decode() if isinstance(value := _one(_one(pair, 2), 1), bytes) else None
        for pair in _all(message, number)
    }


def _one(message: bytes, number: int) -> Any:
    return next(_all(message, number), None)


def _all(message: bytes, number: int) -> Iterator[Any]:
    return (value for found, value in _fields(message) if found == number)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Protobuf's wire format: (field number, value)."""
    position = 0

    def varint() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = message[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while position < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value: Any = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value = message[position : position + size]
            position += size
            if kind != 2:
                value = struct.unpack("<Q" if kind == 1 else "<I", value)[0]
        yield tag >> 3, value
