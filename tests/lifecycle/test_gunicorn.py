"""gunicorn: workers that are forked, reloaded, recycled, stopped and killed under load. What a request made arrives, once."""

from __future__ import annotations

import os
import signal
import sys
import threading

import lifecycle_load as load
import pytest

LISTENING = r"Listening at: (http://\S+)"


def command(*options: str) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "3", "--graceful-timeout", "2", *options, "app:app",
    ]  # fmt: skip


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("kind", [("sync",), ("gthread", "--threads", "4"), ("gevent",)], ids=lambda kind: kind[0])
def test_the_life_of_a_server(kind, preload, serve, receiver, wait_until) -> None:
    """Under load: recycled workers, a reload, a worker stopped and one killed; then the master is told to end."""
    server = serve(command("-k", *kind, *preload, "--max-requests", "60"), load.APP, LISTENING)
    client = load.Load(server.url)
    client.run(80)
    first = set(client.pids())

    running = threading.Thread(target=client.run, args=(120,))
    running.start()
    server.process.send_signal(signal.SIGHUP)
    running.join()
    wait_until(lambda: client.run(8) or client.pids()[0] not in first)

    os.kill(client.pids()[0], signal.SIGTERM)
    client.run(80)

    killed = client.pids()[0]
    os.kill(killed, signal.SIGKILL)
    client.run(80)

    server.stop(signal.SIGTERM)
    assert len(client.answered) >= 360
    load.check_delivery(client, receiver, server.output, killed=(killed,))


def test_the_last_request_before_sigterm(serve, receiver) -> None:
    """Its spans have waited for a few milliseconds only, and arrive."""
    server = serve(command(), load.APP, LISTENING)
    client = load.Load(server.url)
    client.run(4)
    server.stop(signal.SIGTERM)
    load.check_delivery(client, receiver, server.output)
