"""Shared by all tests. Hypothesis runs without a deadline: the machines are noisy."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from sls_tracing import InMemoryReporter, Tracer
from sls_tracing.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

settings.register_profile("sls", deadline=None, derandomize=False)
settings.load_profile("sls")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def reporter():
    return InMemoryReporter()


@pytest.fixture
def tracer(reporter, clock):
    """A tracer that samples everything, at a time that stands still."""
    return Tracer("tested", reporter=reporter, clock=clock)


class ScriptedServer:
    """A real HTTP server on loopback. Answers 200 with ``body``, or does whatever ``script(handler)`` does; notes every request."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        outer = self
        self.body: object = {}
        self.script: Callable[[BaseHTTPRequestHandler], object] | None = None
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()  # scripts that hang wait for it, so that the server can end

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                with contextlib.suppress(OSError):  # the client may hang up on a bad answer
                    (outer.script or outer.answer)(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server((address, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def scripted_server_ipv6() -> Iterator[ScriptedServer]:
    server = ScriptedServer("::1")
    yield server
    server.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """``wait_until(condition)`` returns as soon as it holds, and fails after 20 seconds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the awaited condition never came to hold"
            time.sleep(0.005)

    return wait
