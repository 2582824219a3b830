"""A receiver that stands for the agent, and programs that are run as users run them: in processes of their own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sls_tracing.thrift.decoding import decode_emit_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sls_tracing.model import SpanRecord

sys.path.append(str(Path(__file__).parent))  # importlib mode puts no test folder on the path
BIN = Path(sys.executable).parent


class Receiver:
    """An agent's UDP port: a thread takes datagrams and keeps them; they are decoded when somebody asks."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._datagrams: list[bytes] = []
        self._spans: list[SpanRecord] = []
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while datagram := self._socket.recv(65_535):
            self._datagrams.append(datagram)

    def spans(self) -> list[SpanRecord]:
        """What has arrived until now."""
        while self._datagrams:
            self._spans += decode_emit_batch(self._datagrams.pop(0), "compact").spans
        return self._spans

    def wait_for(self, number: int, seconds: float = 20.0) -> list[SpanRecord]:
        """Return the spans when at least ``number`` have arrived; after ``seconds`` whatever there is, for the test to compare."""
        deadline = time.monotonic() + seconds
        while len(self.spans()) < number and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.spans()

    def names(self) -> Counter[str]:
        return Counter(span.operation_name for span in self.spans())

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def environ(receiver) -> dict[str, str]:
    """A clean environment for a program: its agent is the receiver."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("JAEGER_", "PYTHON", "SLS_"))}
    return {
        **keep,
        "PATH": os.pathsep.join([str(BIN), keep.get("PATH", "")]),
        "JAEGER_SERVICE_NAME": "tested",
        "JAEGER_AGENT_HOST": "127.0.0.1",
        "JAEGER_AGENT_PORT": str(receiver.port),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def run_program(environ, tmp_path):
    """``run_program(code)`` runs it as a script to its end, which it must reach within 60 seconds, and returns the completed process."""

    def run(code: str, *, returncode: int = 0, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, "program.py"],
            env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == returncode, done.stderr
        return done

    return run


class Server:
    """A running server: its process, its address, and what it has printed until now."""

    def __init__(self, process: subprocess.Popen[str], pattern: str) -> None:
        self.process = process
        self.output: list[str] = []
        self.url = ""
        self._found = threading.Event()
        self._pattern = pattern
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._found.wait(30), "".join(self.output)
        assert self.url, "".join(self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            found = re.search(self._pattern, line)
            if found and not self.url:
                self.url = found[1] if found[1].startswith("http") else f"http://{found[1]}"
                self._found.set()
        self._found.set()

    def get(self, path: str, seconds: float = 20.0) -> str:
        """Fetch ``path``; again, if the connection was refused or cut, as a client of a restarting server does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(self.url + path, timeout=10) as response:
                    return response.read().decode()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end; send it again to a server that goes on, as uWSGI does if a worker of its was still starting."""
        for seconds in (20, 20, 20):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                break
        self.process.wait(0)
        self._thread.join(20)


@pytest.fixture
def serve(environ, tmp_path):
    """``serve([command, …], app, pattern)`` writes ``app`` as app.py and starts the command; the pattern finds its address."""
    with contextlib.ExitStack() as stack:

        def start(command: list[str], app: str, pattern: str) -> Server:
            (tmp_path / "app.py").write_text(textwrap.dedent(app))
            process = subprocess.Popen(
                command,
                env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
            stack.callback(process.wait, 20)
            stack.callback(_kill_group, process.pid)
            return Server(process, pattern)

        yield start


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
