"""A collector that listens for real, on HTTP or HTTPS, and misbehaves as told."""

from __future__ import annotations

import contextlib
import gzip
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.guard import LimitedLog
from sls_tracing.metrics import Counters
from sls_tracing.model import Process, Reference, SpanRecord

if TYPE_CHECKING:
    import ssl

PROCESS = Process("productpage", {"hostname": "host-1"})


@pytest.fixture
def make_span():
    def make(number: int = 1, *, process: Process = PROCESS, **changes) -> SpanRecord:
        return SpanRecord(
            operation_name="GET /productpage",
            context=SpanContext(0xABC << 100 | number, number, 7),
            references=(Reference("child_of", 0xABC << 100 | number, 7),),
            start_time=1_600_000_000.25,
            finish_time=1_600_000_000.5,
            tags={"http.method": "GET", "http.status_code": 200},
            logs=(),
            process=process,
        )._replace(**changes)

    return make


class Request:
    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.sent = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.body = gzip.decompress(self.sent) if self.headers.get("content-encoding") == "gzip" else self.sent
        self.port = handler.client_address[1]


class Collector:
    """Answers with what `answers` yields in turn (a status, or a function of the handler), then with 202 for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        outer = self
        self.requests: list[Request] = []
        self.answers: list = []
        self.always = 202
        self.released = threading.Event()  # scripts that hang wait for it, so that the server can end

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                with contextlib.suppress(OSError):
                    request = Request(self)
                    answer = outer.answers.pop(0) if outer.answers else outer.always
                    outer.requests.append(request)
                    if callable(answer):
                        answer(self)
                    else:
                        outer.answer(self, answer)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            tls_context = tls

            def handle_error(self, *args: object) -> None:
                pass

            def finish_request(self, request, client_address) -> None:
                with contextlib.suppress(OSError):
                    if tls is not None:
                        request = tls.wrap_socket(request, server_side=True)
                    super().finish_request(request, client_address)

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def saying(self, status: int, body: bytes = b"", **headers: str):
        return lambda handler: self.answer(handler, status, body, **headers)

    def dripping(self, first: bytes, drop: bytes = b"x"):
        """A byte now and then, for ever: each one satisfies a timeout between two reads."""

        def script(handler: BaseHTTPRequestHandler) -> None:
            handler.close_connection = True
            handler.wfile.write(first)
            while not self.released.wait(0.05):
                handler.wfile.write(drop)

        return script

    def cutting(self, handler: BaseHTTPRequestHandler) -> None:
        """Take the request and hang up."""
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def start_collector():
    """Start further ones, on a port or with TLS."""
    started = []

    def start(**options) -> Collector:
        started.append(Collector(**options))
        return started[-1]

    yield start
    for collector in started:
        collector.close()


@pytest.fixture
def free_port():
    """A port at which nobody listens: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, with its key; `.pem` of both, `.crt`, `.key`."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            "a.key",
            "-out",
            "a.crt",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "a.pem").write_bytes((folder / "a.crt").read_bytes() + (folder / "a.key").read_bytes())
    return folder / "a.pem"


@pytest.fixture
def counts():
    return Counters()


@pytest.fixture
def make(counts):
    """`make(HTTPSender, url, …)`: a sender that counts apart, logs apart, and is closed at the end."""
    senders = []

    def make_sender(kind, *args, **options):
        senders.append(kind(*args, counters=counts, log=LimitedLog(), **options))
        return senders[-1]

    yield make_sender
    for sender in senders:
        sender.close()


@pytest.fixture
def no_pauses(monkeypatch):
    """Retries follow at once."""
    monkeypatch.setattr("sls_tracing.senders.http_poster.FIRST_PAUSE", 0.001)
