"""The example's modules are a folder of scripts, not a package: its folder goes on the path, as when Python runs it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

BOOKINFO = Path(__file__).parents[2] / "examples" / "bookinfo"
sys.path.append(str(BOOKINFO))


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
