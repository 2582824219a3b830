from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

import sls_tracing
from sls_tracing.cli import COMMANDS, main
from sls_tracing.version import __version__

PROGRAM = [sys.executable, "-m", "sls_tracing"]
FREE_PORTS = ["--agent-compact-port", "0", "--agent-binary-port", "0", "--query-port", "0"]


def run(*arguments, **options):
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


class Running:
    """The command in a process of its own, with the addresses from its banner."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*PROGRAM, "all-in-one", *FREE_PORTS, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        banner = ""
        for line in self.process.stdout:
            banner += line
            if "Ctrl-C" in line:
                break
        self.compact, self.binary, _ = map(int, re.findall(r"udp://127\.0\.0\.1:(\d+)", banner))
        self.url = re.search(r"query +(http://127\.0\.0\.1:\d+)", banner)[1]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


VECTOR = bytes.fromhex(
    "82810109656d697442617463681c1c1803737663195c180e6a61656765722e76657273696f6e1500180c507974686f6e"
    "2d342e382e30001808686f73746e616d6515001806686f73742d310018026970150018093139322e302e322e33001803"
    "656e7615001804746573740018036e756d1506460e0000191c1680bc92c698d2ffb405160016eaf5a487fdc988bbd101"
    "160018026f70250216a0c2befaa0ccd70516a0c21e192c180c73616d706c65722e7479706515001805636f6e73740018"
    "0d73616d706c65722e706172616d15043100190c000000"
)
"""One datagram of jaeger-client 4.8.0: service svc, operation op, trace 02b4ff48c4624f00."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stores_what_is_queued_and_ends_with_0(number, tmp_path):
    """What was sent before the signal is in the file; there is no traceback."""
    storage = str(tmp_path / "spans.db")
    with Running("--storage", storage) as first, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(VECTOR, ("127.0.0.1", first.compact))
        first.process.send_signal(number)
        _, errors = first.process.communicate(timeout=60)
        assert first.process.returncode == 0, errors
        assert "Traceback" not in errors
    with Running("--storage", storage) as second:
        answer = requests.get(second.url + "/api/traces/2b4ff48c4624f00", timeout=30).json()
    [span] = answer["data"][0]["spans"]
    assert span["operationName"] == "op"
    assert span["startTime"] == 1600000000250000
    assert answer["data"][0]["processes"]["p1"]["serviceName"] == "svc"


def test_an_idle_connection_does_not_keep_it_from_stopping():
    """A browser that stays connected is cut off, and the status is 0."""
    with Running() as running:
        session = requests.Session()
        assert session.get(running.url + "/healthz", timeout=30).ok  # stays connected
        running.process.terminate()
        assert running.process.wait(60) == 0


def test_a_taken_port_ends_with_2():
    """The message names port and option; no traceback."""
    with Running() as running:
        port = running.url.rpartition(":")[2]
        result = run("all-in-one", *FREE_PORTS, "--query-port", port)
    assert result.returncode == 2
    assert f"port {port}" in result.stderr
    assert "--query-port" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_storage_that_cannot_be_opened_ends_with_2(tmp_path):
    """A folder that is not there, or a file that is no database: a message, no traceback."""
    (tmp_path / "text").write_text("no database")
    for storage in (str(tmp_path / "missing" / "spans.db"), str(tmp_path / "text")):
        result = run("all-in-one", *FREE_PORTS, "--storage", storage)
        assert result.returncode == 2, result.stderr
        assert storage in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--query-port", "http"], ["--query-port", "65536"], ["--unknown"], ["extra"]])
def test_bad_arguments_end_with_2(arguments, capsys):
    """argparse's status; a bad port says what a port is."""
    with pytest.raises(SystemExit) as caught:
        main(["all-in-one", *arguments])
    assert caught.value.code == 2
    if "--query-port" in arguments:
        assert "0 (any free one) to 65535" in capsys.readouterr().err


def test_an_unknown_command_ends_with_2(capsys):
    """The message lists the commands that there are."""
    with pytest.raises(SystemExit) as caught:
        main(["all-in-two"])
    assert caught.value.code == 2
    assert "all-in-one" in capsys.readouterr().err


def test_no_command_prints_help(capsys):
    """Every command is listed with its line."""
    assert main([]) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in text
        assert command.help[:20] in text


def test_version(capsys):
    """The distribution's version, status 0."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"sls-tracing {__version__}\n"
    assert run("--version").stdout == f"sls-tracing {__version__}\n"


def test_a_missing_package_names_the_extra(tmp_path):
    """Without the extra the message is the pip command, not a traceback."""
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')")
    result = run("all-in-one", *FREE_PORTS, env={"PYTHONPATH": f"{tmp_path}:{sls_tracing.__path__[0]}/.."})
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "sls-tracing all-in-one: error: uvicorn is not installed: pip install 'sls-tracing[server]'"
    )


def test_the_root_imports_nothing_heavy():
    """`sls-tracing --version` and the launcher must start fast: no server package, no command's module."""
    script = (
        "import sys, sls_tracing.cli\n"
        "heavy = {'starlette', 'uvicorn', 'duckdb', 'sqlglot', 'asyncio', 'requests', 'thriftpy2', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), [m for m in sys.modules if m.startswith('sls_tracing.cli.')])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[] []"
