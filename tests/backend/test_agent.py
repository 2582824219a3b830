from __future__ import annotations

import asyncio
import random
import socket
import threading

import pytest

from sls_tracing.backend.agent import Agent
from sls_tracing.backend.sockets import bind_udp
from sls_tracing.metrics import Counters


def run_agent(scenario, *, submit, counters, **options):
    """Run `scenario(agent, {protocol: port})` on an event loop and close the agent after it."""

    async def run():
        agent = Agent(lambda spans, size: submit(spans), counters=counters, **options)
        ports = {}
        for protocol in ("compact", "binary"):
            sock = bind_udp("127.0.0.1", 0, "--test")
            ports[protocol] = sock.getsockname()[1]
            assert await agent.listen(sock, protocol) > 0
        await scenario(agent, ports)
        assert await agent.close()

    asyncio.run(run())


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_spans_of_a_datagram_are_submitted(protocol, emit_batch, send):
    """Each port reads its own protocol; what the socket had received before the close is decoded."""
    submitted, counters = [], Counters()

    async def scenario(agent, ports):
        send(ports[protocol], emit_batch(protocol, "svc", ("op", 0xABC, 1, 0), ("child", 0xABC, 2, 1)))

    run_agent(scenario, submit=submitted.append, counters=counters)
    root, child = submitted[0]
    assert (root.operation_name, root.process.service_name, root.tags) == ("op", "svc", {"n": "op"})
    assert (child.context.trace_id, child.context.span_id, child.context.parent_id) == (0xABC, 2, 1)
    assert counters.get("agent_datagrams_received") == 1


def test_garbage_costs_itself_only(emit_batch, send):
    """Empty, random, truncated and mutilated datagrams and the wrong protocol are counted; good ones around them arrive."""
    rng = random.Random(7)
    submitted, counters = [], Counters()
    good = emit_batch("compact", "svc", ("op", 0xABC, 1, 0))
    bad = [b"", b"\x00", rng.randbytes(500), rng.randbytes(60_000), good[:-5], good[:20], b"GET / HTTP/1.1\r\n\r\n"]
    bad += [emit_batch("binary", "svc", ("op", 0xABC, 1, 0)), b"\x82\x81" + b"\xff" * 1000]

    async def scenario(agent, ports):
        for datagram in bad:
            send(ports["compact"], good, datagram)
        send(ports["compact"], good)

    run_agent(scenario, submit=submitted.append, counters=counters)
    assert len(submitted) == len(bad) + 1
    assert counters.get("agent_datagrams_malformed") == len(bad)
    assert counters.get("guard_failures_agent") == 0


def test_a_full_queue_drops_datagrams_and_counts_them(emit_batch, send, eventually):
    """The event loop never waits for the decoder; what finds no room is counted."""
    entered, permitted, counters = threading.Event(), threading.Event(), Counters()

    def submit(spans):
        entered.set()
        return permitted.wait()

    datagram = emit_batch("compact", "svc", ("op", 0xABC, 1, 0))

    async def scenario(agent, ports):
        send(ports["compact"], datagram)
        assert await asyncio.to_thread(entered.wait, 10)
        send(ports["compact"], datagram, datagram, datagram)
        await asyncio.to_thread(eventually, lambda: counters.get("agent_datagrams_received") == 4)
        permitted.set()

    run_agent(scenario, submit=submit, counters=counters, queue_bytes=len(datagram))
    assert counters.get("agent_datagrams_dropped") == 2


def test_a_failing_receiver_of_spans_does_not_end_the_agent(emit_batch, send):
    """An error beyond the decoder is counted under the guard's name, and the next datagram is decoded."""
    counters, calls = Counters(), []

    def submit(spans):
        calls.append(spans)
        raise RuntimeError("no")

    async def scenario(agent, ports):
        send(ports["binary"], *[emit_batch("binary", "svc", ("op", 0xABC, 1, 0))] * 2)

    run_agent(scenario, submit=submit, counters=counters)
    assert len(calls) == 2
    assert counters.get("guard_failures_agent") == 2


def test_nothing_is_sent_back(emit_batch):
    """The protocol is one-way, for good datagrams and bad: an answer would make the agent an amplifier."""

    async def scenario(agent, ports):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", ports["compact"]))
            sock.send(emit_batch("compact", "svc", ("op", 0xABC, 1, 0)))
            sock.send(b"garbage")
            assert await agent.close()
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(100)

    run_agent(scenario, submit=lambda spans: True, counters=Counters())
