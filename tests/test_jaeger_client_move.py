"""A program written for jaeger-client runs with it and, one import changed, with this library: the spans that arrive are the same."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sls_tracing.thrift.decoding import decode_emit_batch

PROGRAM = Path(__file__).with_name("programs") / "orders.py"
SPANS = {"create_order", "price_order", "reserve", "connect", "enqueue", "job", "debugged", "forced"}


class Agent:
    """Takes datagrams until it is closed."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.batches = []
        self.complete = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while datagram := self._socket.recv(65_536):
            self.batches.append(decode_emit_batch(datagram, "compact"))
            if len(self.spans) >= len(SPANS):
                self.complete.set()

    @property
    def spans(self):
        return [span for batch in self.batches for span in batch.spans]

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


def run(program, seconds, tmp_path):
    """Run it against a real socket; return what it printed and what arrived."""
    path = tmp_path / "program.py"
    path.write_text(program)
    agent = Agent()
    try:
        done = subprocess.run(
            [sys.executable, str(path), str(agent.port), str(seconds)], capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        assert agent.complete.wait(20), [span.operation_name for span in agent.spans]
    finally:
        agent.close()
    return done, agent


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """jaeger-client with its two sleeps, ours with none."""
    original = PROGRAM.read_text("utf-8")
    moved = original.replace("import jaeger_client\n", "import sls_tracing as jaeger_client\n")
    assert moved != original
    return (
        run(original, 1, tmp_path_factory.mktemp("original")),
        run(moved, 0, tmp_path_factory.mktemp("moved")),
    )


def by_name(agent):
    return {span.operation_name: span for span in agent.spans}


def shape(span, spans):
    """What a span says, with the ids of this run replaced by the names of the spans that have them."""
    names = {each.context.span_id: each.operation_name for each in spans}
    roots = {each.context.trace_id: each.operation_name for each in reversed(spans) if each.context.parent_id is None}
    context = span.context

    def named(span_id):
        return names.get(span_id, span_id)

    return {
        "trace": roots.get(context.trace_id, context.trace_id),
        "parent": named(context.parent_id),
        "flags": (context.sampled, context.debug),
        "references": [(kind, named(span_id)) for kind, _, span_id in span.references],
        "tags": dict(span.tags),
        "logs": [dict(log.fields) for log in span.logs],
        "warnings": span.warnings,
    }


def test_the_same_spans_arrive(both):
    """Each once: a second finish sends nothing, an unsampled trace nothing."""
    for _, agent in both:
        assert sorted(span.operation_name for span in agent.spans) == sorted(SPANS)


@pytest.mark.parametrize("name", sorted(SPANS - {"connect"}))
def test_each_span_says_the_same(both, name):
    """Its trace, parent, references, flags, tags with their types, logs."""
    (_, theirs), (_, ours) = both
    expected = shape(by_name(theirs)[name], theirs.spans)
    found = shape(by_name(ours)[name], ours.spans)
    if name == "job":
        # CHILD_OF beats FOLLOWS_FROM, as in the three other clients; jaeger-client takes whichever comes first.
        assert (expected.pop("parent"), found.pop("parent")) == ("enqueue", "reserve")
        assert (expected.pop("trace"), found.pop("trace")) == ("enqueue", 0x1234567890ABCDEF)
    assert found == expected
    for key, value in expected["tags"].items():
        assert type(found["tags"][key]) is type(value), key


def test_the_error_says_more(both):
    """The exception's class by its name instead of its repr, and a stack that holds the line that raised."""
    (_, theirs), (_, ours) = both
    expected, found = (shape(by_name(agent)["connect"], agent.spans) for agent in (theirs, ours))
    (their_log,), (our_log,) = expected.pop("logs"), found.pop("logs")
    assert found == expected
    assert found["tags"]["error"] is True
    assert set(our_log) >= {"event", "message", "error.object", "error.kind", "stack"} <= set(their_log)
    assert our_log["event"] == their_log["event"] == "error"
    assert our_log["message"] == their_log["message"] == "warehouse is closed"
    assert (their_log["error.kind"], our_log["error.kind"]) == ("<class 'ConnectionError'>", "ConnectionError")
    assert 'raise ConnectionError("warehouse is closed")' in our_log["stack"]


def test_the_process_says_the_same(both):
    """Service and tags with their types; the library's own name differs, and a client-uuid is new."""
    (_, theirs), (_, ours) = both
    expected, found = theirs.batches[0].process, ours.batches[0].process
    assert found.service_name == expected.service_name == "orders"
    own = {"jaeger.version", "client-uuid", "ip"}
    assert {key: each for key, each in found.tags.items() if key not in own} == {
        key: each for key, each in expected.tags.items() if key not in own
    }
    assert set(found.tags) - set(expected.tags) == {"client-uuid"}


def test_the_same_headers_go_out(both):
    """Names; the ids in them are padded, as Jaeger's specification asks and jaeger-client does not."""
    (theirs, _), (ours, _) = both
    assert ours.stdout == theirs.stdout
    assert "uber-trace-id" in ours.stdout


def test_nothing_is_logged_above_information(both):
    """The program's own logging is at WARNING: no complaint about any key, argument or call."""
    (_, _), (ours, _) = both
    assert ours.stderr == ""


def test_the_import_is_all_that_changes():
    """So a `sed` moves a service."""
    assert len(re.findall(r"^\s*(?:import|from) .*jaeger", PROGRAM.read_text("utf-8"), re.MULTILINE)) == 1
