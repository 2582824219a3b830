"""The example's modules are a folder of scripts, not a package: its folder goes on the path, as when Python runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

BOOKINFO = Path(__file__).parents[2] / "examples" / "bookinfo"
sys.path.append(str(BOOKINFO))


class Command:
    """``python examples/bookinfo`` with a mark in its environment, which all its processes inherit."""

    def __init__(self, *options):
        self.mark = f"BOOKINFO_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, str(BOOKINFO), *options],
            env={**os.environ, name: value, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, text):
        """All lines up to the one with ``text``."""
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if text in line:
                return "".join(lines)
        raise AssertionError(f"{text!r} was never printed:\n{''.join(lines)}")

    def left_behind(self):
        """Command lines of processes that carry the mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes())
            except OSError:  # it has ended, or is not ours to read
                continue
        return found


@pytest.fixture
def bookinfo():
    """A function that starts the command; ended, if the test has not, when the test is over."""
    commands = []

    def start_command(*options):
        commands.append(Command(*options))
        return commands[-1]

    yield start_command
    for command in commands:
        if command.process.poll() is None:
            command.process.terminate()
        command.process.communicate(timeout=60)


@pytest.fixture
def start():
    """A function that serves a Flask app on a free port, for as long as the test runs, and tells its address."""
    from serving import create_server

    servers = []

    def start_app(app):
        server = create_server(app, "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.port}"

    yield start_app
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def free_ports():
    """Two TCP ports, as text, that lie where no connection takes them."""
    from ports import choose_ports

    return [str(port) for port in choose_ports(["gateway", "query"], {}, prefer_usual=False).values()]
