from __future__ import annotations

import random
import subprocess
import sys

import pytest
import requests

from sls_tracing import BatchingReporter, ConstSampler, Tracer
from sls_tracing.backend.all_in_one import AllInOne, all_in_one_in_background
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.senders.udp import UDPSender


def fetch(backend, path):
    return requests.get(backend.query_url + path, timeout=30).json()["data"]


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_from_datagram_to_answer(protocol, emit_batch, send, eventually):
    """A span that comes in over UDP is answered over HTTP, garbage before, between and after notwithstanding."""
    rng = random.Random(1)
    with all_in_one_in_background() as backend:
        port = {"compact": backend.agent_compact_port, "binary": backend.agent_binary_port}[protocol]
        for number in range(1, 21):
            send(port, rng.randbytes(100), emit_batch(protocol, "svc", (f"op{number}", 0xABC, number, number - 1)))
        send(port, b"")
        eventually(lambda: len((fetch(backend, "/api/traces/abc") or [{"spans": []}])[0]["spans"]) == 20)
        assert fetch(backend, "/api/services") == ["svc"]
        [trace] = fetch(backend, "/api/traces?service=svc&operation=op7&tag=n:op7")
        assert {span["operationName"] for span in trace["spans"]} == {f"op{number}" for number in range(1, 21)}
        assert all(span["warnings"] is None for span in trace["spans"])


JAEGER_CLIENT = """
import sys, time, jaeger_client
config = {
    "sampler": {"type": "const", "param": 1},
    "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": int(sys.argv[1])},
}
tracer = jaeger_client.Config(config, service_name="legacy").initialize_tracer()
with tracer.start_span("parent", tags={"float": 1.5, "flag": True}) as parent:
    with tracer.start_span("child", child_of=parent) as child:
        child.log_kv({"event": "hit"})
closed = tracer.close()
while not closed.done():
    time.sleep(0.01)
"""


def test_a_jaeger_client_is_understood(eventually):
    """The archived client, in a process of its own as users run it, sends here and its trace is found."""
    with all_in_one_in_background() as backend:
        subprocess.run([sys.executable, "-c", JAEGER_CLIENT, str(backend.agent_compact_port)], check=True, timeout=60)
        [trace] = eventually(lambda: fetch(backend, "/api/traces?service=legacy"))
        spans = {span["operationName"]: span for span in trace["spans"]}
        assert {"key": "float", "type": "float64", "value": 1.5} in spans["parent"]["tags"]
        assert {"key": "flag", "type": "bool", "value": True} in spans["parent"]["tags"]
        assert spans["child"]["references"][0]["spanID"] == spans["parent"]["spanID"]
        assert spans["child"]["logs"][0]["fields"] == [{"key": "event", "type": "string", "value": "hit"}]


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_our_own_client_is_understood(protocol, eventually):
    """What the tracer was told is what the query API answers: every type of value, a wide trace id, logs, references."""
    tags = {"text": "ü😀", "yes": True, "no": False, "int": 2**60, "float": -1.5, "blob": b"\x00\xff"}
    with all_in_one_in_background() as backend:
        port = {"compact": backend.agent_compact_port, "binary": backend.agent_binary_port}[protocol]
        sender = UDPSender("127.0.0.1", port, protocol=protocol)
        tracer = Tracer("shop", sampler=ConstSampler(True), reporter=BatchingReporter(sender))
        with tracer.start_active_span("parent", tags=tags) as parent:
            with tracer.start_active_span("child") as child:
                child.span.log_kv({"event": "hit", "n": 1})
        tracer.close()
        trace_id = parent.span.context.to_trace_id()
        assert len(trace_id) == 32
        [trace] = eventually(
            lambda: [each for each in fetch(backend, f"/api/traces/{trace_id}") or () if len(each["spans"]) == 2]
        )
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert trace["traceID"] == trace_id
    assert {tag["key"]: (tag["type"], tag["value"]) for tag in spans["parent"]["tags"] if tag["key"] in tags} == {
        "text": ("string", "ü😀"),
        "yes": ("bool", True),
        "no": ("bool", False),
        "int": ("int64", str(2**60)),
        "float": ("float64", -1.5),
        "blob": ("binary", "AP8="),
    }
    assert spans["parent"]["flags"] == 1
    assert spans["parent"]["startTime"] == round(parent.span.start_time * 1e6)
    assert spans["child"]["references"] == [
        {"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent.span.context.to_span_id()}
    ]
    assert spans["child"]["logs"][0]["fields"] == [
        {"key": "event", "type": "string", "value": "hit"},
        {"key": "n", "type": "int64", "value": 1},
    ]
    assert trace["processes"][spans["child"]["processID"]]["serviceName"] == "shop"


def test_a_file_survives_a_restart_and_the_stop_drains(tmp_path, emit_batch, send):
    """All that had reached the sockets when the block ended is in the file, and another run answers with it."""
    storage = str(tmp_path / "spans.db")
    with all_in_one_in_background(storage=storage) as backend:
        for number in range(1, 501):
            send(backend.agent_binary_port, emit_batch("binary", "svc", ("op", number, number, 0)))
    with all_in_one_in_background(storage=storage) as backend:
        assert len(fetch(backend, "/api/traces?service=svc&limit=1000")) == 500


def test_a_burst_is_not_lost(emit_batch, send, eventually):
    """10,000 spans in a moment, 50 a datagram: all stored."""
    datagrams = [
        emit_batch("compact", "svc", *[("op", base, base + index, 0) for index in range(50)])
        for base in range(1000, 201_000, 1000)
    ]
    with all_in_one_in_background() as backend:
        send(backend.agent_compact_port, *datagrams)
        query = "/api/traces?service=svc&limit=1000&start=0"
        eventually(lambda: sum(len(trace["spans"]) for trace in fetch(backend, query)) == 10_000)


@pytest.mark.parametrize(
    "option", ["agent_compact_port", "agent_binary_port", "query_port", "collector_port", "zipkin_port", "otlp_port"]
)
def test_a_taken_port_names_its_option(option):
    """Nothing starts, and the message says which option to change."""
    with all_in_one_in_background() as backend:
        port = getattr(backend, option)
        with pytest.raises(ConfigurationError, match=f"{port}.*--{option.replace('_', '-')}"):
            with all_in_one_in_background(**{option: port}):
                pass


def test_a_failed_start_leaves_nothing_open(tmp_path):
    """After a start that failed at the last port, the others are free again."""
    with all_in_one_in_background() as other, pytest.raises(ConfigurationError):
        with all_in_one_in_background(query_port=other.query_port):
            pass
    ports = {"agent_compact_port": other.agent_compact_port, "query_port": other.query_port}
    with all_in_one_in_background(**ports) as backend:
        assert requests.get(backend.query_url + "/healthz", timeout=30).ok


def test_usual_ports_that_are_taken_are_made_up_for():
    """The collector's doors that nobody asked for do not keep the rest from starting: they open elsewhere, and the attributes say where."""
    free = {"agent_compact_port": 0, "agent_binary_port": 0, "query_port": 0}
    unasked = {"collector_port": None, "zipkin_port": None, "otlp_port": None}
    with all_in_one_in_background(**free, **unasked) as first, all_in_one_in_background(**free, **unasked) as second:
        for backend in (first, second):
            for url in (backend.collector_url, backend.zipkin_url, backend.otlp_url):
                assert requests.get(url, timeout=30).status_code == 405
        ports = [(backend.collector_port, backend.zipkin_port, backend.otlp_port) for backend in (first, second)]
        assert not set(ports[0]) & set(ports[1])


def test_it_is_an_async_context_manager():
    """For programs that have an event loop of their own."""
    import asyncio

    async def scenario():
        async with AllInOne(agent_compact_port=0, agent_binary_port=0, query_port=0, collector_port=0) as backend:
            response = await asyncio.to_thread(requests.get, backend.query_url + "/api/services", timeout=30)
            assert response.json()["data"] == []
            assert backend.receive_buffer > 0

    asyncio.run(scenario())


def test_it_answers_while_spans_come_in(emit_batch, send, eventually):
    """Questions and datagrams share one event loop, and neither starves the other."""
    with all_in_one_in_background() as backend:
        for number in range(1, 301):
            send(backend.agent_compact_port, emit_batch("compact", "svc", ("op", number, number, 0)))
            if number % 30 == 0:
                assert requests.get(backend.query_url + "/api/services", timeout=30).ok
        eventually(lambda: len(fetch(backend, "/api/traces?service=svc&limit=1000")) == 300)
