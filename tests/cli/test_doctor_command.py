"""`sls-tracing doctor`: libraries, settings, and a test trace, against a real all-in-one and where nobody listens."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import flask
import pytest

from sls_tracing import instrumentation
from sls_tracing.cli import main
from sls_tracing.doctor.libraries import about_libraries, look_at_libraries
from sls_tracing.doctor.way_out import read_settings
from sls_tracing.instrumentation import _registry
from sls_tracing.metrics import counters

PROGRAM = [sys.executable, "-m", "sls_tracing"]


def doctor(*arguments: str, **variables: str) -> tuple[int, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("JAEGER_", "SLS_"))}
    done = subprocess.run(
        [*PROGRAM, "doctor", *arguments], env={**keep, **variables}, capture_output=True, text=True, timeout=90
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def all_in_one():
    """The whole chain in a process; its UDP port and its query address."""
    process = subprocess.Popen(
        [*PROGRAM, "all-in-one", "--agent-compact-port", "0", "--agent-binary-port", "0", "--query-port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    banner = ""
    for line in process.stdout:
        banner += line
        if "Ctrl-C" in line:
            break
    yield re.search(r"udp://127\.0\.0\.1:(\d+)", banner)[1], re.search(r"query +(http://127\.0\.0\.1:\d+)", banner)[1]
    process.kill()
    process.communicate()


@pytest.fixture
def closed_port():
    """A UDP port that is taken and then left, so that nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def test_a_test_trace_arrives(all_in_one) -> None:
    """Sent as the settings say, found where --query asks; status 0."""
    port, query = all_in_one
    status, output = doctor(
        "--service", "shop", "--query", query, JAEGER_AGENT_HOST="127.0.0.1", JAEGER_AGENT_PORT=port
    )
    assert status == 0, output
    assert f"The test trace arrived: {query}/trace/" in output
    assert re.search(r"flask +3\.\S+ +2\.2 +yes\n", output)
    assert "The service is shop" in output


def test_nobody_listens(closed_port) -> None:
    """By UDP and by HTTP: status 1, and the reason."""
    for variables in (
        {"JAEGER_AGENT_HOST": "127.0.0.1", "JAEGER_AGENT_PORT": closed_port},
        {"JAEGER_ENDPOINT": "http://ann:s3cret@127.0.0.1:1/api/traces", "JAEGER_AUTH_TOKEN": ""},
    ):
        status, output = doctor("--service", "shop", **variables)
        assert status == 1, output
        assert "  ! The test trace could not be sent" in output
        assert "nobody listens" in output or "refused" in output
        assert "s3cret" not in output


def test_settings_that_cannot_be_used() -> None:
    """Each is a problem that names the variable; nothing is sent then."""
    status, output = doctor(JAEGER_SAMPLER_TYPE="perhaps", SLS_TRACING_HTTP_IGNORE_PATHS="health")
    assert status == 1
    assert "JAEGER_SAMPLER_TYPE" in output
    assert "SLS_TRACING_HTTP_IGNORE_PATHS" in output
    assert "test trace" not in output


def test_without_a_test_trace() -> None:
    status, output = doctor("--no-test-trace")
    assert status == 0
    assert "The service has no name: set JAEGER_SERVICE_NAME" in output
    assert "test trace" not in output


@pytest.mark.parametrize("variable", ["JAEGER_DISABLED=true", "SLS_TRACING_MODE=forward"])
def test_a_service_that_only_forwards_sends_none(variable) -> None:
    name, _, value = variable.partition("=")
    status, output = doctor("--service", "shop", **{name: value})
    assert status == 0, output
    assert "forward mode" in output


def test_a_sampler_that_leaves_out_is_noted() -> None:
    settings = read_settings({"JAEGER_SAMPLER_TYPE": "probabilistic", "JAEGER_SAMPLER_PARAM": "0.25"}, "shop")
    assert any("probabilistic, 0.25" in finding.text for finding in settings.findings)


# -- libraries ---------------------------------------------------------------------------------------------------------


def test_libraries_are_left_as_they_were() -> None:
    """Those that are instrumented stay so, the others are not."""
    instrumentation.install("requests")
    try:
        rows = {library.name: library for library in look_at_libraries()}
        assert instrumentation.installed() == ("requests",)
        assert not hasattr(flask.Flask.__call__, "__wrapped__")
    finally:
        instrumentation.uninstall()
    assert set(rows) == set(instrumentation.known())
    assert rows["flask"].is_patched
    assert rows["threading"].version == "standard library"


@pytest.mark.parametrize(
    ("source", "version", "why_not"),
    [
        ("", "1.0", "older than 2"),
        ("raise OSError('not today')", "2.0", "odd_client cannot be imported: OSError: not today"),
        ("raise SystemExit('configure me')", "2.0", "odd_client ended the program when it was imported"),
        ("import no_such_module_anywhere", "2.0", "No module named 'no_such_module_anywhere'"),
        ("class Client: pass", "2.1", "patching it failed: AttributeError"),
    ],
    ids=["old", "raises", "exits", "needs another", "unlike what was expected"],
)
def test_a_library_that_cannot_be_traced_says_why(tmp_path, monkeypatch, source, version, why_not) -> None:
    (tmp_path / "odd_client.py").write_text(source)
    (tmp_path / "odd_client_tracing.py").write_text(
        "from sls_tracing.instrumentation._patching import Patch\n"
        "def patches(module, tracer): return [Patch(module.Client, 'call', print)]\n"
    )
    metadata = tmp_path / f"odd_client-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd-client\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    row = _registry.Row("odd_client_tracing", ("odd_client",), "odd-client", "2")
    monkeypatch.setattr(_registry, "TABLE", {"odd": row})
    failures = counters.get("guard_failures_doctor")
    try:
        libraries = look_at_libraries()
    finally:
        _registry._libraries.pop("odd", None)
        for name in ("odd_client", "odd_client_tracing"):
            sys.modules.pop(name, None)
    (library,) = libraries
    assert why_not in library.why_not
    finding = about_libraries(libraries)[0]
    assert finding.level == ("note" if version == "1.0" else "problem")
    assert counters.get("guard_failures_doctor") == failures


def test_a_library_that_is_not_installed_is_no_problem(monkeypatch) -> None:
    row = _registry.Row("nowhere", ("nowhere_at_all",), "nowhere-at-all", "2")
    monkeypatch.setattr(_registry, "TABLE", {"nowhere": row})
    (library,) = look_at_libraries()
    assert (library.version, library.why_not, library.failed) == (None, "not installed", False)


def test_a_mesh_question_without_anything_to_look_at_is_read_from_the_input(monkeypatch, capsys) -> None:
    """`--mesh` alone still explains headers, and does not send a test trace."""
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124\n"))
    main(["doctor", "--mesh"])
    assert "came in" in capsys.readouterr().out
