"""The demonstration's processes: started with a log file each, and stopped on every way out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["BookinfoError", "Child", "ProcessGroup", "wait_until_ready"]

START_DEADLINE = 60.0
"""Seconds. A start takes about one; a loaded machine may need many more."""

STOP_DEADLINE = 10.0
"""Seconds from SIGTERM to SIGKILL."""

LOG_LINES = 15
"""Lines of a log that a message shows."""


class BookinfoError(Exception):
    """The demonstration cannot go on; the text says why."""


class Child(NamedTuple):
    """A running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """The end of its log, indented."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines or ["(it printed nothing)"])


class ProcessGroup:
    """Starts children and, at the end of the ``with`` block, stops all of them: SIGTERM, then SIGKILL for those that stay.

    ``hold`` is a block in which no signal may interrupt us (see ``signals.Signals.held``). Each child leads a session of its own: Ctrl-C in
    the terminal then reaches only us, so that we decide on the order, and a signal to its group reaches its own children too.
    """

    def __init__(self, logs: Path, hold: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext) -> None:
        self._logs = logs
        self._hold = hold
        self.children: list[Child] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start ``command`` as ``name``, with exactly this environment."""
        log = self._logs / f"{name}.log"
        with self._hold(), log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            child = Child(name, process, log)
            self.children.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._hold():
            for child in self.children:
                _signal(child, signal.SIGTERM)
            deadline = time.monotonic() + STOP_DEADLINE
            for child in self.children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, deadline - time.monotonic()))
            for child in self.children:
                _signal(child, signal.SIGKILL)  # also what a child that has ended may have left behind
                child.process.wait()


def _signal(child: Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def wait_until_ready(child: Child, url: str) -> None:
    """Return once ``url`` answers 200.

    Raises ``BookinfoError`` with the end of the log if the child ends first, or is not ready within ``START_DEADLINE``.
    """
    # The header keeps the probes out of the trace store: the root's decision is made here, and it is no.
    headers = {"x-b3-sampled": "0"}
    deadline = time.monotonic() + START_DEADLINE
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment has no business between processes of one machine
        while time.monotonic() < deadline:
            if child.process.poll() is not None:
                status = child.process.returncode
                raise BookinfoError(f"{child.name} ended with status {status} while starting:{child.last_words()}")
            with contextlib.suppress(requests.RequestException):
                if session.get(url, headers=headers, timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
    raise BookinfoError(f"{child.name} does not answer at {url} after {START_DEADLINE:.0f} s:{child.last_words()}")
