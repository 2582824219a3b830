"""Shared by all tests. Hypothesis runs without a deadline: the machines are noisy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import opentracing
import pytest
from hypothesis import settings

from sls_tracing import InMemoryReporter, Tracer
from sls_tracing.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NODE_PACKAGE = "jaeger-client@3.19.0"

settings.register_profile("sls", deadline=None)
# For a run that must say the same twice (tox): the examples follow from the test, not from chance.
settings.register_profile("repeatable", settings.get_profile("sls"), derandomize=True)
settings.load_profile("sls")


@pytest.fixture(autouse=True)
def _global_tracer_of_its_own():
    """What a test sets for OpenTracing's global tracer ends with the test: files share a process in an order of their own."""
    before = opentracing.tracer, opentracing.is_tracer_registered
    opentracing.tracer, opentracing.is_tracer_registered = opentracing.Tracer(), False
    yield
    opentracing.tracer, opentracing.is_tracer_registered = before


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


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory) -> Path:
    """The package and what it needs, installed by npm for this session."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here; where there is one, it has to work")
    folder = tmp_path_factory.mktemp("node")
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", NODE_PACKAGE],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "node_modules"


@pytest.fixture
def eventually():
    """A function that calls a predicate until it is true, and returns what it returned; fails after 20 seconds."""

    def poll(predicate):
        deadline = time.monotonic() + 20
        while True:
            result = predicate()
            if result:
                return result
            assert time.monotonic() < deadline, f"still {result!r}"
            time.sleep(0.01)

    return poll


@pytest.fixture
def serve():
    """A function that serves an ASGI application over HTTP on this machine and returns its URL."""
    from sls_tracing.backend.http_server import HTTPServer
    from sls_tracing.backend.sockets import bind_tcp

    with ExitStack() as stack:

        def start(app):
            sock = bind_tcp("127.0.0.1", 0, "--test")
            started = Future()

            async def run():
                server = HTTPServer(app, sock)
                stop = asyncio.Event()
                await server.start()
                started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()
                await server.stop()

            thread = threading.Thread(target=lambda: asyncio.run(run()))
            thread.start()
            loop, stop = started.result(10)
            stack.callback(thread.join)
            stack.callback(loop.call_soon_threadsafe, stop.set)
            return f"http://127.0.0.1:{sock.getsockname()[1]}"

        yield start
