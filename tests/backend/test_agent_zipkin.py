"""Zipkin's method over UDP: ``emitZipkinBatch``, what clients of 2016 send to port 5775, and may send to any."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import requests
import thriftpy2
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.transport import TMemoryBuffer
from thriftpy2.transport.memory import TMemoryBuffer as PlainMemoryBuffer

import sls_tracing.thrift
from sls_tracing.backend.agent import Agent
from sls_tracing.backend.all_in_one import all_in_one_in_background
from sls_tracing.backend.sockets import bind_udp
from sls_tracing.metrics import Counters

idl = thriftpy2.load(str(Path(sls_tracing.thrift.__path__[0], "zipkin.thrift")), "oracle.zipkin_thrift")
ONEWAY = 4
START = 1_700_000_000_000_000


def zipkin_span(number=1, **changes):
    host = idl.Endpoint(ipv4=0x0A000001, port=80, service_name="old")
    annotations = [
        idl.Annotation(timestamp=START, value="sr", host=host),
        idl.Annotation(timestamp=START + 5000, value="ss", host=host),
    ]
    tags = [idl.BinaryAnnotation(key="http.path", value=b"/a", annotation_type=6, host=host)]
    span = idl.Span(trace_id=0xABC, id=number, name="get", annotations=annotations, binary_annotations=tags)
    for name, value in changes.items():
        setattr(span, name, value)
    return span


def emit_zipkin_batch(protocol, *spans):
    """The message as thriftpy2 writes it; its argument is the struct that wraps a list in the IDL."""
    if protocol == "compact":
        buffer = PlainMemoryBuffer()
        writer = TCompactProtocol(buffer)
    else:
        buffer = TMemoryBuffer()
        writer = TBinaryProtocol(buffer)
    writer.write_message_begin("emitZipkinBatch", ONEWAY, 7)
    writer.write_struct(idl.Spans(spans=list(spans)))
    writer.write_message_end()
    return buffer.getvalue()


def decoded(protocol, *datagrams, send):
    """What an agent makes of datagrams that come to its port for ``protocol``: the spans, and its counters."""
    submitted, counters = [], Counters()

    async def run():
        agent = Agent(lambda spans, size: submitted.extend(spans) or True, counters=counters)
        sock = bind_udp("127.0.0.1", 0, "--test")
        port = sock.getsockname()[1]
        await agent.listen(sock, protocol)
        send(port, *datagrams)
        assert await agent.close()

    asyncio.run(run())
    return submitted, counters


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_every_port_takes_it(protocol, send, emit_batch):
    """In the port's protocol, in turn with Jaeger's own method."""
    ours = emit_batch(protocol, "new", ("op", 0xABC, 9, 0))
    spans, counters = decoded(protocol, emit_zipkin_batch(protocol, zipkin_span(), zipkin_span(2)), ours, send=send)
    assert [span.operation_name for span in spans] == ["get", "get", "op"]
    first = spans[0]
    assert (first.process.service_name, first.context.trace_id, first.context.span_id) == ("old", 0xABC, 1)
    assert (first.tags["span.kind"], first.tags["http.path"]) == ("server", "/a")
    assert round((first.finish_time - first.start_time) * 1e6) == 5000
    assert counters.get("agent_datagrams_malformed") == 0


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_what_is_no_batch_is_counted(protocol, send):
    """A truncated message is malformed; a span without ids costs itself only."""
    good = emit_zipkin_batch(protocol, zipkin_span())
    half_good = emit_zipkin_batch(protocol, zipkin_span(id=0), zipkin_span(2))
    other = emit_zipkin_batch({"compact": "binary", "binary": "compact"}[protocol], zipkin_span())
    spans, counters = decoded(protocol, good[:-9], half_good, other, b"emitZipkinBatch", send=send)
    assert [span.context.span_id for span in spans] == [2]
    assert counters.get("agent_spans_rejected") == 1
    assert counters.get("agent_datagrams_malformed") == 3


def test_the_all_in_one_listens_for_it(send, eventually):
    """From a datagram to its port for Zipkin to an answer of the query API."""
    with all_in_one_in_background() as backend:
        send(backend.agent_zipkin_port, emit_zipkin_batch("compact", zipkin_span()))
        [trace] = eventually(
            lambda: requests.get(f"{backend.query_url}/api/traces/abc", timeout=20).json()["data"] or None
        )
    assert trace["spans"][0]["operationName"] == "get"
