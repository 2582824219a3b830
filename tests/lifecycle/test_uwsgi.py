"""uWSGI, which forks in C behind Python's back: workers make ids of their own, and what a request made arrives, once."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading

import lifecycle_load as load
import pytest

BIND = r"bound to TCP address (\S+)"


def command(*options: str) -> list[str]:
    """Without --py-call-uwsgi-fork-hooks. The hook makes SIGTERM a graceful stop: uWSGI's own ways to stop cut workers off."""
    with socket.socket() as free:  # a reload binds again, so it cannot be port 0
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        "uwsgi", "--http-socket", address, "--master", "--processes", "3", "--wsgi-file", "app.py", "--callable", "app",
        "--hook-master-start", "unix_signal:15 gracefully_kill_them_all", *options,
    ]  # fmt: skip


def all_have_loaded(output: list[str]) -> bool:
    """Whether each worker that was spawned with --lazy-apps has its application: uWSGI forgets to stop one that has not."""
    text = "".join(output)
    spawned = re.findall(r"pawned uWSGI worker \d+ \((?:new )?pid: (\d+)", text)
    return set(spawned) <= set(re.findall(r"ready in .* pid: (\d+)", text))


@pytest.mark.parametrize("options", [[], ["--lazy-apps"], ["--enable-threads", "--threads", "2"]], ids=" ".join)
def test_the_life_of_a_server(options, serve, receiver, wait_until) -> None:
    """Under load: recycled workers, a reload, a worker killed; then the master is told to end."""
    server = serve(command(*options, "--max-requests", "60"), load.APP, BIND)
    client = load.Load(server.url)
    client.run(80)
    first = set(client.pids())

    running = threading.Thread(target=client.run, args=(120,))
    running.start()
    server.process.send_signal(signal.SIGHUP)
    running.join()
    wait_until(lambda: client.run(8) or client.pids()[0] not in first)

    killed = client.pids()[0]
    os.kill(killed, signal.SIGKILL)
    client.run(80)

    if "--lazy-apps" in options:
        wait_until(lambda: all_have_loaded(server.output))
    server.stop(signal.SIGTERM)
    assert len(client.answered) >= 280
    load.check_delivery(client, receiver, server.output, killed=(killed,))


HOOK_IS_TAKEN = """
import uwsgi
uwsgi.post_fork_hook = lambda: None  # as uwsgidecorators does
"""
SEEDED = """
import random
random.seed(1)
"""


@pytest.mark.parametrize("taken", [HOOK_IS_TAKEN, SEEDED, ""], ids=["hook is taken", "seeded", "plain"])
@pytest.mark.parametrize("run", [[], ["sls-tracing", "run", "--service", "tested"]], ids=["", "sls-tracing run"])
def test_workers_make_ids_of_their_own(taken, run, serve, receiver) -> None:
    """Also under `sls-tracing run`, which makes the tracer before uWSGI's module exists, and if the application takes uWSGI's fork hook."""
    server = serve([*run, *command()], load.APP + taken, BIND)
    client = load.Load(server.url)
    client.run(80)
    assert len(client.pids()) > 1
    server.stop(signal.SIGTERM)
    receiver.wait_for(len(client.answered) * load.SPANS_PER_REQUEST)
    load.check_spans(client, receiver.spans())
