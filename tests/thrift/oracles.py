"""thriftpy2 and jaeger-client's generated code, as judges of our bytes."""

from __future__ import annotations

from pathlib import Path

import thriftpy2
from thrift.protocol.TBinaryProtocol import TBinaryProtocol as ApacheBinary
from thrift.protocol.TCompactProtocol import TCompactProtocol as ApacheCompact
from thrift.transport.TTransport import TMemoryBuffer as ApacheBuffer
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.transport import TMemoryBuffer
from thriftpy2.transport.memory import TMemoryBuffer as PlainMemoryBuffer

import sls_tracing.thrift

idl = thriftpy2.load(str(Path(sls_tracing.thrift.__file__).with_name("agent.thrift")), "oracle.agent_thrift")
jaeger = idl.jaeger
ONEWAY = 4


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()


def _tag(key: str, value: object):
    tag = jaeger.Tag(key=_text(key))
    if isinstance(value, bool):
        tag.vType, tag.vBool = 2, value
    elif isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        tag.vType, tag.vLong = 3, value
    elif isinstance(value, int):
        tag.vType, tag.vStr = 0, str(value) if value.bit_length() <= 2048 else hex(value)
    elif isinstance(value, float):
        tag.vType, tag.vDouble = 1, value
    elif isinstance(value, bytes):
        tag.vType, tag.vBinary = 4, value
    else:
        tag.vType, tag.vStr = 0, _text(value)
    return tag


def _tags(tags):
    return [_tag(key, value) for key, value in tags.items()] or None


def span_object(record):
    """The record as thriftpy2's Span, built the slow and obvious way."""
    context = record.context
    start = round(record.start_time * 1e6)
    flags = 3 if context.debug else 1 if context.sampled else 0
    return jaeger.Span(
        traceIdLow=_signed(context.trace_id),
        traceIdHigh=_signed(context.trace_id >> 64),
        spanId=_signed(context.span_id),
        parentSpanId=_signed(context.parent_id or 0),
        operationName=_text(record.operation_name),
        references=[
            jaeger.SpanRef(
                refType=0 if each.type == "child_of" else 1,
                traceIdLow=_signed(each.trace_id),
                traceIdHigh=_signed(each.trace_id >> 64),
                spanId=_signed(each.span_id),
            )
            for each in record.references
        ]
        or None,
        flags=flags | (8 if context.firehose else 0),
        startTime=start,
        duration=max(0, round(record.finish_time * 1e6) - start),
        tags=_tags(record.tags),
        logs=[
            jaeger.Log(timestamp=round(each.timestamp * 1e6), fields=_tags(each.fields) or []) for each in record.logs
        ]
        or None,
    )


def process_object(process):
    return jaeger.Process(serviceName=_text(process.service_name), tags=_tags(process.tags))


def batch_object(process, records, seq_no=None, stats=None):
    return jaeger.Batch(
        process=process_object(process),
        spans=[span_object(each) for each in records],
        seqNo=seq_no,
        stats=stats
        and jaeger.ClientStats(
            fullQueueDroppedSpans=stats[0], tooLargeDroppedSpans=stats[1], failedToEmitSpans=stats[2]
        ),
    )


def write_struct(struct, protocol: str) -> bytes:
    """The struct's bytes as thriftpy2 writes them."""
    buffer, writer = _writer(protocol)
    writer.write_struct(struct)
    return buffer.getvalue()


def write_message(batch, protocol: str, *, kind: int = ONEWAY, name: str = "emitBatch") -> bytes:
    """A whole message as thriftpy2 writes it."""
    buffer, writer = _writer(protocol)
    writer.write_message_begin(name, kind, 1)
    writer.write_struct(idl.Agent.emitBatch_args(batch=batch))
    writer.write_message_end()
    return buffer.getvalue()


def _writer(protocol: str):
    if protocol == "compact":
        buffer = PlainMemoryBuffer()
        return buffer, TCompactProtocol(buffer)
    buffer = TMemoryBuffer()
    return buffer, TBinaryProtocol(buffer)


def read_message_with_jaeger_client(message: bytes, protocol: str):
    """The batch as jaeger-client's generated code reads it; the whole message must be read."""
    from jaeger_client.thrift_gen.agent.Agent import emitBatch_args

    buffer = ApacheBuffer(message)
    reader = ApacheCompact(buffer) if protocol == "compact" else ApacheBinary(buffer, strictRead=True)
    name, kind, _ = reader.readMessageBegin()
    assert (name, kind) == ("emitBatch", ONEWAY)
    arguments = emitBatch_args()
    arguments.read(reader)
    reader.readMessageEnd()
    assert buffer.read(1) == b""
    arguments.batch.validate()
    return arguments.batch
