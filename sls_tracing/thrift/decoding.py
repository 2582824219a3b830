"""Bytes to spans, what agent and collector do. The only place that touches thriftpy2.

A message in the layout that clients write is read in one pass (``usual.py``). Every other one is screened, read by thriftpy2, and
converted here, which decides what a message means and whether it is malformed.

What is odd but readable is repaired as Jaeger's collector does, and noted in the span's ``warnings``; what is malformed raises
:class:`DecodeError` and nothing else. (Semantics: Jaeger's ``model/converter/thrift/jaeger/to_domain.go`` at v1.65 and the names of its v2
sanitizers, ``internal/jptrace/sanitizer``.)
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sls_tracing.context import SpanContext
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.thrift.rewriting import binary_from_compact_message
from sls_tracing.thrift.schema import (
    DEBUG_FLAGS,
    FIREHOSE_FLAG,
    LOW_64,
    TAG_BINARY,
    TAG_BOOL,
    TAG_DOUBLE,
    TAG_LONG,
    TAG_STRING,
    Batch,
    ClientStats,
    DecodeError,
)
from sls_tracing.thrift.screening import StructShape, binary_from_message, check_binary_struct
from sls_tracing.thrift.usual import NOT_USUAL
from sls_tracing.thrift.usual_binary import read_binary_batch, read_binary_message
from sls_tracing.thrift.usual_compact import read_compact_message

if TYPE_CHECKING:
    from types import ModuleType

    from sls_tracing.model import ReferenceType, TagValue

__all__ = [
    "Batch",
    "DecodeError",
    "decode_batch",
    "decode_emit_batch",
    "read_any_batch",
    "read_any_message",
    "read_struct",
]

_READERS = {"compact": read_compact_message, "binary": read_binary_message}
_SCREENS = {"compact": binary_from_compact_message, "binary": binary_from_message}
_FIELDS = {TAG_STRING: "vStr", TAG_DOUBLE: "vDouble", TAG_BOOL: "vBool", TAG_LONG: "vLong", TAG_BINARY: "vBinary"}
_ZEROES: dict[int, TagValue] = {TAG_STRING: "", TAG_DOUBLE: 0.0, TAG_BOOL: False, TAG_LONG: 0, TAG_BINARY: b""}
_REFERENCE_TYPES: dict[int, ReferenceType] = {0: "child_of", 1: "follows_from"}
_FLAG_DEBUG = 2


def decode_emit_batch(datagram: bytes, protocol: Literal["compact", "binary"]) -> Batch:
    """Return what one ``emitBatch`` message says. Raises :class:`DecodeError`."""
    try:
        return _READERS[protocol](datagram)
    except NOT_USUAL:
        return read_any_message(datagram, protocol)


def read_any_message(datagram: bytes, protocol: Literal["compact", "binary"]) -> Batch:
    """As :func:`decode_emit_batch`, always the general way: what tests hold the other one against."""
    arguments, _ = _shapes()
    return _to_batch(read_struct(_agent().Agent.emitBatch_args, _SCREENS[protocol](datagram, arguments)).batch)


def decode_batch(body: bytes) -> Batch:
    """Return what a bare ``Batch`` struct in the binary protocol says, the body of a POST. Raises :class:`DecodeError`."""
    try:
        return read_binary_batch(body)
    except NOT_USUAL:
        return read_any_batch(body)


def read_any_batch(body: bytes) -> Batch:
    """As :func:`decode_batch`, always the general way."""
    _, batch = _shapes()
    check_binary_struct(body, batch)
    return _to_batch(read_struct(_agent().jaeger.Batch, body))


@lru_cache(maxsize=1)
def _agent() -> ModuleType:
    # Loaded at the first datagram, not at import: the parser behind it takes a tenth of a second.
    import thriftpy2

    module: ModuleType = thriftpy2.load(
        str(Path(__file__).with_name("agent.thrift")), "sls_tracing.thrift.agent_thrift"
    )
    return module


@lru_cache(maxsize=1)
def _shapes() -> tuple[StructShape, StructShape]:
    agent = _agent()
    return StructShape.of(agent.Agent.emitBatch_args), StructShape.of(agent.jaeger.Batch)


def read_struct(struct: Any, screened: bytes) -> Any:
    """Return an instance of a struct that thriftpy2 made, from bytes that were screened: see ``screening.py`` for why they must be."""
    from thriftpy2.protocol import TBinaryProtocol
    from thriftpy2.transport import TMemoryBuffer

    instance = struct()
    TBinaryProtocol(TMemoryBuffer(screened)).read_struct(instance)
    return instance


def _to_batch(batch: Any) -> Batch:
    if batch is None:
        raise DecodeError("a message without its batch")
    process = _to_process(batch.process)
    stats = batch.stats
    return Batch(
        process,
        [_to_span(span, process) for span in batch.spans],
        batch.seqNo,
        stats and ClientStats(stats.fullQueueDroppedSpans, stats.tooLargeDroppedSpans, stats.failedToEmitSpans),
    )


def _to_process(process: Any) -> Process:
    name = process.serviceName
    tags = _to_tags(process.tags, [])
    if isinstance(name, bytes):  # what thriftpy2 makes of text that is not UTF-8
        tags["invalid-service-name"] = name
        name = "invalid-service-name"
    return Process(name or "empty-service-name", tags)


def _to_span(span: Any, process: Process) -> SpanRecord:
    warnings: list[str] = []
    tags = _to_tags(span.tags, warnings)
    name = span.operationName
    if isinstance(name, bytes):
        warnings.append("the operation name is not valid UTF-8")
        tags["invalid-span-name"] = name
        name = "invalid-span-name"
    high = span.traceIdHigh & LOW_64
    trace_id = high << 64 | span.traceIdLow & LOW_64
    parent_id = span.parentSpanId & LOW_64 or None
    flags = span.flags
    start = span.startTime
    return SpanRecord(
        operation_name=name or "empty-span-name",
        context=SpanContext(
            trace_id,
            span.spanId & LOW_64,
            parent_id,
            sampled=bool(flags & DEBUG_FLAGS),
            debug=bool(flags & _FLAG_DEBUG),
            wide=bool(high),
            firehose=bool(flags & FIREHOSE_FLAG),
        ),
        references=_to_references(span.references, trace_id, parent_id),
        start_time=start / 1e6,
        finish_time=(start + span.duration) / 1e6,
        tags=tags,
        logs=tuple([LogRecord(log.timestamp / 1e6, _to_tags(log.fields, warnings)) for log in span.logs or ()]),
        process=process,
        warnings=tuple(warnings),
    )


def _to_references(sent: Any, trace_id: int, parent_id: int | None) -> tuple[Reference, ...]:
    """Return the links, the parent's first unless one of them names it already. Types that OpenTracing lacks are left out."""
    references = [
        Reference(
            _REFERENCE_TYPES[each.refType],
            (each.traceIdHigh & LOW_64) << 64 | each.traceIdLow & LOW_64,
            each.spanId & LOW_64,
        )
        for each in sent or ()
        if each.refType in _REFERENCE_TYPES
    ]
    if parent_id is not None and not any(each[1:] == (trace_id, parent_id) for each in references):
        references.insert(0, Reference("child_of", trace_id, parent_id))
    return tuple(references)


def _to_tags(sent: Any, warnings: list[str]) -> dict[str, TagValue]:
    """Return the tags, of those with one key the last. A key or a text that is not UTF-8 is kept as bytes."""
    tags: dict[str, TagValue] = {}
    for tag in sent or ():
        key, kind = tag.key, tag.vType
        field = _FIELDS.get(kind)
        if field is None:
            value: Any = f"Unknown VType: {kind}"
        else:
            value = getattr(tag, field)
            if value is None:  # Thrift leaves the v… fields optional; Go's getters read zero
                value = _ZEROES[kind]
            elif kind == TAG_STRING and type(value) is bytes:
                warnings.append("a tag's text is not valid UTF-8, its bytes were kept")
        if type(key) is bytes:
            warnings.append("a tag's key is not valid UTF-8")
            value = key + b":" + (value if type(value) is bytes else str(value).encode())
            key = "invalid-tag-key"
        tags[key] = value
    return tags
