"""Spans to store and to show."""

from __future__ import annotations

import socket
import time

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.model import Process, Reference, SpanRecord


@pytest.fixture
def make_span():
    """A function that makes a SpanRecord; what it is not told is plain: root span 1 of trace 0xabc, 250 ms long."""

    def make(
        name="op",
        *,
        trace_id=0xABC,
        span_id=1,
        parent_id=None,
        service="svc",
        process_tags=None,
        references=None,
        start=1_600_000_000.25,
        duration=0.25,
        tags=None,
        logs=(),
        sampled=True,
        debug=False,
        warnings=(),
    ):
        if references is None:
            references = [] if parent_id is None else [Reference("child_of", trace_id, parent_id)]
        context = SpanContext(trace_id=trace_id, span_id=span_id, parent_id=parent_id, sampled=sampled, debug=debug)
        process = Process(service, process_tags or {})
        return SpanRecord(name, context, references, start, start + duration, tags or {}, logs, process, warnings)

    return make


@pytest.fixture
def emit_batch():
    """A function that encodes one Agent.emitBatch message with jaeger-client's own generated code and Apache's protocols."""
    from jaeger_client.thrift_gen.agent import Agent
    from jaeger_client.thrift_gen.jaeger import ttypes
    from thrift.protocol import TBinaryProtocol, TCompactProtocol
    from thrift.Thrift import TMessageType
    from thrift.transport import TTransport

    protocols = {"compact": TCompactProtocol.TCompactProtocol, "binary": TBinaryProtocol.TBinaryProtocol}

    def encode(protocol, service, *spans):
        """Each span is (name, trace id, span id, parent id) with a text tag `n` that holds its name."""
        batch = ttypes.Batch(
            process=ttypes.Process(serviceName=service, tags=[]),
            spans=[
                ttypes.Span(
                    traceIdLow=trace_id,
                    traceIdHigh=0,
                    spanId=span_id,
                    parentSpanId=parent_id,
                    operationName=name,
                    flags=1,
                    startTime=int(time.time() * 1e6),
                    duration=1000,
                    tags=[ttypes.Tag(key="n", vType=ttypes.TagType.STRING, vStr=name)],
                )
                for name, trace_id, span_id, parent_id in spans
            ],
        )
        transport = TTransport.TMemoryBuffer()
        writer = protocols[protocol](transport)
        writer.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 1)
        Agent.emitBatch_args(batch).write(writer)
        writer.writeMessageEnd()
        return transport.getvalue()

    return encode


@pytest.fixture
def send():
    """A function that sends datagrams to a port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:

        def send_all(port, *datagrams):
            for datagram in datagrams:
                sock.sendto(datagram, ("127.0.0.1", port))

        yield send_all
