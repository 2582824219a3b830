"""`sls-tracing collector` and `sls-tracing query` as processes of their own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
import trustme

import sls_tracing
from sls_tracing.cli import main
from sls_tracing.cli.grpc_options import wants_grpc
from sls_tracing.log_service import open_trace_store

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
from roles import FREE, PROGRAM, THRIFT, Running, body, span


def stored_ids(storage):
    with contextlib.closing(open_trace_store(storage)) as store:
        rows = store.rows("* | select distinct traceID as t from log limit 1000000", 0, 2**32 - 1)
        return {int(row["t"], 16) for row in rows}


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    """Eight clients post as fast as they can; the process is killed in the midst of it; every batch that had its 202 is in the file."""
    storage = str(tmp_path / "spans.db")
    acknowledged, lock, enough = [], threading.Lock(), threading.Event()

    def client(first):
        with requests.Session() as session:
            for base in range(first, first + 1_000_000, 20):
                numbers = range(base, base + 20)
                try:
                    response = session.post(url, body(*map(span, numbers)), headers=THRIFT, timeout=30)
                except requests.exceptions.RequestException:
                    return  # killed
                if response.status_code == 202:
                    with lock:
                        acknowledged.extend(numbers)
                        if len(acknowledged) >= 2000:
                            enough.set()

    with Running("collector", "--storage", storage) as collector:
        url = collector.urls["thrift"]
        threads = [threading.Thread(target=client, args=(number * 1_000_000 + 1,)) for number in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        collector.process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    assert len(acknowledged) >= 2000
    assert set(acknowledged) <= stored_ids(storage)


def test_sigterm_stores_what_is_under_way(tmp_path):
    """Requests that were begun are answered, what was answered is stored, the status is 0, and there is no traceback."""
    storage = str(tmp_path / "spans.db")
    acknowledged = []

    def client(first):
        for number in range(first, first + 10_000):
            try:
                response = requests.post(url, body(span(number)), headers=THRIFT, timeout=30)
            except requests.exceptions.RequestException:
                return
            if response.status_code == 202:
                acknowledged.append(number)

    with Running("collector", "--storage", storage) as collector:
        url = collector.urls["thrift"]
        threads = [threading.Thread(target=client, args=(number * 10_000 + 1,)) for number in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 50 and any(thread.is_alive() for thread in threads):
            threads[0].join(0.01)
        status, errors = collector.end()
        for thread in threads:
            thread.join()
    assert (status, "Traceback" in errors) == (0, False), errors
    assert len(acknowledged) >= 50
    assert set(acknowledged) <= stored_ids(storage)


def test_query_shows_what_a_collector_stored_and_both_tell_how_they_are(tmp_path):
    """Through a file in turn; health and metrics of each role on its own port."""
    storage = str(tmp_path / "spans.db")
    with Running("collector", "--storage", storage) as collector:
        assert requests.post(collector.urls["thrift"], body(span(0xABC)), headers=THRIFT, timeout=30).status_code == 202
        admin = collector.urls["admin"].rstrip("/")
        assert requests.get(admin + "/healthz", timeout=20).status_code == 200
        assert requests.get(admin + "/readyz", timeout=20).status_code == 200
        metrics = requests.get(admin + "/metrics", timeout=20).text
        assert "sls_tracing_collector_spans_stored_total 1.0" in metrics
        assert "sls_tracing_collector_queued_bytes 0.0" in metrics
        assert collector.end()[0] == 0
    with Running("query", "--storage", storage, "--base-path", "/jaeger") as query:
        assert query.urls["query"].endswith("/jaeger")
        answer = requests.get(query.urls["query"] + "/api/traces/abc", timeout=20).json()
        assert answer["data"][0]["spans"][0]["operationName"] == "op"
        assert requests.get(query.urls["admin"] + "/readyz", timeout=20).status_code == 200
        assert query.end()[0] == 0


def test_tls_and_a_token_on_every_http_port(tmp_path):
    """The token from a file; every port of the whole backend is HTTPS and closed without it; the secret is in no process list and no banner."""
    authority = trustme.CA()
    pem, trusted, token = tmp_path / "server.pem", tmp_path / "ca.pem", tmp_path / "token"
    pem.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    authority.cert_pem.write_to_path(str(trusted))
    token.write_text("s3cret\n")
    with Running("all-in-one", "--auth-token-file", str(token), "--tls-cert", str(pem)) as backend:
        with open(f"/proc/{backend.process.pid}/cmdline") as arguments:
            assert "s3cret" not in arguments.read() + backend.banner
        for name, url in backend.urls.items():
            assert url.startswith("https://127.0.0.1:"), name
            if name == "grpc":
                continue  # tests/backend/test_otlp_grpc.py
            for headers, refused in (({}, True), ({"Authorization": "Bearer s3cret"}, False)):
                response = requests.get(url, headers=headers, verify=str(trusted), timeout=20)
                assert (response.status_code == 401) is refused, name


@pytest.mark.parametrize("name", ["collector", "query"])
def test_the_password_comes_from_a_variable(name):
    """Basic auth; without the password the command does not start."""
    variable = {"SLS_TRACING_SERVER_PASSWORD": "pass"}
    with Running(name, "--auth-user=me", environment=variable) as role:
        url = role.urls["admin"] + "/metrics"
        assert requests.get(url, auth=("me", "pass"), timeout=20).status_code == 200
        assert requests.get(url, auth=("me", "other"), timeout=20).status_code == 401
    assert main([name, *FREE[name], "--auth-user=me"]) == 2


def test_the_log_is_json_when_asked(tmp_path):
    """One object a line, whatever is in the message; the banner stays on stdout."""
    with Running("collector", "--log-format=json") as collector:
        response = requests.post(collector.urls["thrift"], b"\0", headers={"Content-Type": 'a"\\b'}, timeout=20)
        assert response.status_code == 400
        _, errors = collector.end()
    lines = [json.loads(line) for line in errors.splitlines()]
    assert lines
    assert lines[0].keys() == {"time", "level", "logger", "message"}
    assert lines[0]["level"] == "WARNING"
    assert 'a"\\b' in lines[0]["message"]


def test_sampling_by_file_and_by_target(tmp_path):
    """Strategies at the collector's path; a target makes them adaptive; both together, or nonsense, end with 2."""
    file = tmp_path / "strategies.json"
    file.write_text(json.dumps({"default_strategy": {"type": "probabilistic", "param": 0.25}}))
    for options, rate in (
        ([f"--sampling-strategies={file}"], 0.25),
        (["--sampling-target=2", "--sampling-initial=0.125"], 0.125),
    ):
        with Running("collector", *options) as collector:
            url = collector.urls["thrift"].replace("/api/traces", "/api/sampling")
            answer = requests.get(url, {"service": "svc"}, timeout=20).json()
            assert answer["probabilisticSampling"] == {"samplingRate": rate}
    for options in (
        [f"--sampling-strategies={file}", "--sampling-target=1"],
        ["--sampling-target=0"],
        ["--sampling-initial=0.1"],
        ["--sampling-strategies=/missing.json"],
    ):
        assert main(["collector", *FREE["collector"], *options]) == 2


def test_on_a_laptop_every_trace_is_wanted():
    """The all-in-one answers samplers with 1, on the agent's port and on the collector's."""
    with Running("all-in-one") as backend:
        for url in (backend.urls["sampling"], backend.urls["thrift"].replace("/api/traces", "/api/sampling")):
            answer = requests.get(url, {"service": "svc"}, timeout=20).json()
            assert answer["probabilisticSampling"] == {"samplingRate": 1}


def test_without_grpcio_there_is_no_door_unless_it_is_demanded(tmp_path, monkeypatch):
    """A port that was named ends with the pip command; without one the collector starts."""
    (tmp_path / "grpc.py").write_text("raise ModuleNotFoundError(\"No module named 'grpc'\", name='grpc')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{sls_tracing.__path__[0]}/.."}
    result = subprocess.run(
        [*PROGRAM, "collector", *FREE["collector"]], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (result.returncode, "pip install 'sls-tracing[grpc]'" in result.stderr) == (2, True), result.stderr
    namespace = argparse.Namespace(otlp_grpc_port=None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not wants_grpc(namespace)


@pytest.mark.parametrize("name", ["collector", "query"])
def test_a_taken_port_ends_with_2(name, capsys):
    """The message names port and option."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert main([name, *FREE[name], f"--admin-port={port}"]) == 2
    assert re.search(rf"port {port} .*--admin-port", capsys.readouterr().err)
