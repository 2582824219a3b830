"""`sls-tracing agent` as a process: collectors that come and go, kill -9, and what services of the machine ask it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import requests
import trustme

from sls_tracing.backend.spool import DiskSpool
from sls_tracing.cli import main
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import Process
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.decoding import decode_batch
from sls_tracing.thrift.schema import ClientStats

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
from roles import FREE, Running, span


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def emit(port, numbers, **options):
    """Send the spans of these numbers to an agent, ten a datagram, no faster than it takes them."""
    encoder = CompactEncoder()
    process = encoder.process(Process("svc", {"client-uuid": "c1"}))
    numbers = list(numbers)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for begin in range(0, len(numbers), 10):
            spans = [encoder.span(span(number)) for number in numbers[begin : begin + 10]]
            sock.sendto(encoder.emit_batch(process, spans, **options), ("127.0.0.1", port))
            time.sleep(0.001)


def metric(role, name) -> float:
    """A figure of a role's /metrics; 0 if it does not have it."""
    text = requests.get(role.urls["admin"] + "/metrics", timeout=20).text
    found = re.search(rf"^sls_tracing_{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def stored_ids(storage):
    with contextlib.closing(open_trace_store(storage)) as store:
        rows = store.logstore.get_logs("* | select distinct traceID as t from log limit 1000000", 0, 2**32 - 1).logs
        return {int(row["t"], 16) for row in rows}


def test_from_datagram_to_store(tmp_path, eventually):
    """Three ports in, one collector out; health, readiness and figures; SIGTERM delivers what waits."""
    storage = str(tmp_path / "spans.db")
    with Running("collector", "--storage", storage) as collector:
        with Running("agent", "--collector", collector.urls["thrift"].removesuffix("/api/traces")) as agent:
            compact = agent.udp_ports[0]
            emit(compact, range(1, 101))
            eventually(lambda: metric(agent, "agent_spans_forwarded_total") == 100)
            for path in ("/healthz", "/readyz", "/"):
                assert requests.get(agent.urls["admin"] + path, timeout=20).json() == {"status": "Server available"}
            assert metric(agent, "agent_collector_connected") == 1
            assert metric(agent, "agent_waiting_bytes") == 0
            assert metric(agent, "agent_receive_buffer_bytes") > 0
            assert metric(agent, "agent_socket_drops") == 0
            emit(compact, range(101, 201))
            assert agent.end()[0] == 0
        assert collector.end()[0] == 0
    assert stored_ids(storage) == set(range(1, 201))


def test_losses_of_clients_are_told(eventually):
    """Gaps in a client's numbers and its own figures, under the names that docs give."""
    with Running("agent", "--collector", f"http://127.0.0.1:{free_port()}") as agent:
        compact = agent.udp_ports[0]
        emit(compact, [1], seq_no=1, stats=ClientStats(0, 0, 0))
        emit(compact, [2], seq_no=5, stats=ClientStats(7, 2, 1))
        emit(compact, [3], seq_no=4, stats=ClientStats(9, 9, 9))  # out of order: counts nothing
        eventually(lambda: metric(agent, "client_batches_received_total") == 3)
        assert metric(agent, "client_batches_lost_total") == 3
        assert metric(agent, "client_spans_dropped_full_queue_total") == 7
        assert metric(agent, "client_spans_dropped_too_large_total") == 2
        assert metric(agent, "client_spans_dropped_send_failure_total") == 1
        assert metric(agent, "agent_connected_clients") == 1


def spooled(folder) -> int:
    """The number of spans that a spool holds, as the next agent will find them."""
    spool, spans = DiskSpool(str(folder), 1 << 30), 0
    for name, _ in spool._files:
        packet = spool._read(name)
        spans += len(decode_batch(packet.body).spans) if packet else 0
    return spans


def test_kill_9_with_a_spool_loses_nothing_that_was_spooled(tmp_path, eventually):
    """No collector, an agent that is killed: the next agent delivers what the disk has, once a collector is there."""
    spool, storage, port = tmp_path / "spool", str(tmp_path / "spans.db"), free_port()
    options = ("--collector", f"http://127.0.0.1:{port}", "--spool", str(spool))
    with Running("agent", *options) as agent:
        emit(agent.udp_ports[0], range(1, 2001))
        # Read over the figures: a spool belongs to one process.
        eventually(lambda: metric(agent, "agent_spans_received_total") == 2000)
        eventually(lambda: metric(agent, "agent_spans_spooled_total") == 2000)
        assert metric(agent, "agent_collector_connected") == 0
        agent.process.send_signal(signal.SIGKILL)
        agent.process.wait()
    assert spooled(spool) == 2000
    with Running("collector", "--storage", storage, f"--thrift-port={port}") as collector:
        with Running("agent", *options) as agent:
            eventually(lambda: metric(agent, "agent_spans_forwarded_total") == 2000)
            assert agent.end()[0] == 0
        assert collector.end()[0] == 0
    assert stored_ids(storage) == set(range(1, 2001))
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("spooling", [False, True], ids=["memory", "disk"])
def test_a_collector_that_is_killed_and_comes_back(tmp_path, eventually, spooling):
    """Spans go on coming while the collector is killed, away, and there again: every one of them is stored in the end."""
    storage, port = str(tmp_path / "spans.db"), free_port()
    start = ("collector", "--storage", storage, f"--thrift-port={port}")
    options = ["--collector", f"http://127.0.0.1:{port}"] + (["--spool", str(tmp_path / "spool")] if spooling else [])
    with Running("agent", *options) as agent:
        compact = agent.udp_ports[0]
        with Running(*start) as collector:
            emit(compact, range(1, 1001))
            eventually(lambda: metric(agent, "agent_spans_forwarded_total") > 0)
            emit(compact, range(1001, 2001))
            collector.process.send_signal(signal.SIGKILL)
        emit(compact, range(2001, 3001))
        eventually(lambda: metric(agent, "agent_posts_failed_total") > 0)
        with Running(*start) as collector:
            eventually(lambda: metric(agent, "agent_spans_forwarded_total") == 3000)
            assert agent.end()[0] == 0
            assert collector.end()[0] == 0
    assert stored_ids(storage) == set(range(1, 3001))


def test_sampling_strategies_are_passed_on(tmp_path, eventually):
    """In both forms; the last answer stays in force when the collector is gone; a service must be named once."""
    file = tmp_path / "strategies.json"
    file.write_text(json.dumps({"default_strategy": {"type": "ratelimiting", "param": 5}}))
    with Running("collector", f"--sampling-strategies={file}") as collector:
        with Running("agent", "--collector", collector.urls["thrift"].removesuffix("/api/traces")) as agent:
            url = agent.urls["sampling"]
            answer = requests.get(url, {"service": "svc"}, timeout=20)
            assert answer.headers["content-type"].startswith("application/json")
            assert answer.json() == {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 5}}
            legacy = requests.get(url.removesuffix("sampling"), {"service": "svc"}, timeout=20).json()
            assert legacy["strategyType"] == 1
            collector.process.kill()
            collector.process.wait()
            assert requests.get(url, {"service": "svc"}, timeout=20).json() == answer.json()
            unknown = requests.get(url, {"service": "other"}, timeout=20)
            assert (unknown.status_code, unknown.text.startswith("collector error: ")) == (500, True)
            for wrong in ("", "?service=a&service=b"):
                refused = requests.get(url + wrong, timeout=20)
                assert (refused.status_code, refused.text) == (400, "'service' parameter must be provided once\n")


def test_a_guarded_collector(tmp_path, eventually):
    """Behind TLS and a token: spans get there, strategies come from there; without the token neither does, and the log says so."""
    authority = trustme.CA()
    pem, trusted, token = tmp_path / "server.pem", tmp_path / "ca.pem", tmp_path / "token"
    pem.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    authority.cert_pem.write_to_path(str(trusted))
    token.write_text("s3cret\n")
    with Running("collector", "--auth-token-file", str(token), "--tls-cert", str(pem)) as collector:
        options = ["--collector", collector.urls["thrift"].removesuffix("/api/traces"), "--collector-ca", str(trusted)]
        with Running("agent", *options, "--collector-token-file", str(token)) as agent:
            emit(agent.udp_ports[0], range(1, 11))
            eventually(lambda: metric(agent, "agent_spans_forwarded_total") == 10)
            answer = requests.get(agent.urls["sampling"], {"service": "svc"}, timeout=20)
            assert answer.json()["strategyType"] == "PROBABILISTIC"
        with Running("agent", *options) as agent:
            emit(agent.udp_ports[0], range(1, 11))
            eventually(lambda: metric(agent, "agent_posts_failed_total") > 0)
            assert metric(agent, "agent_spans_refused_total") == 0  # they wait for somebody to set the token
            assert metric(agent, "agent_waiting_bytes") > 0
            assert requests.get(agent.urls["sampling"], {"service": "svc"}, timeout=20).status_code == 500
            _, errors = agent.end()
            assert "401" in errors
            assert "s3cret" not in errors


def test_baggage_restrictions_come_from_a_file(tmp_path):
    """Those of the service that asks, none for others; a file of another form ends with 2."""
    file = tmp_path / "restrictions.json"
    rules = [{"baggageKey": "user", "maxValueLength": 64}]
    file.write_text(json.dumps({"svc": rules}))
    options = ("--collector", f"http://127.0.0.1:{free_port()}", f"--baggage-restrictions={file}")
    with Running("agent", *options) as agent:
        url = agent.urls["sampling"].replace("/sampling", "/baggageRestrictions")
        assert requests.get(url, {"service": "svc"}, timeout=20).json() == rules
        assert requests.get(url, {"service": "other"}, timeout=20).json() == []
    for wrong in ("[]", '{"svc": [{"key": "user"}]}', "{"):
        file.write_text(wrong)
        assert main(["agent", *FREE["agent"], *options]) == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--collector=collector:14268"],
        ["--collector=http://c", "--spool=/dev/null/spool"],
        ["--collector=http://c", "--buffer-mib=0"],
        ["--collector=http://c", "--collector-token-file=/missing"],
        ["--collector=http://c", "--host=no.such.host.invalid"],
    ],
    ids=["url", "spool", "buffer", "token", "host"],
)
def test_what_cannot_work_ends_with_2(options, capsys):
    """And a line that says what to do."""
    assert main(["agent", *FREE["agent"], *options]) == 2
    assert capsys.readouterr().err.startswith("sls-tracing agent: error: ")
