"""OTLP in JSON: OpenTelemetry's own messages parse it, and its SDK writes the same for the same span."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace import SpanContext as OTelContext

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.senders import OTLPSender
from sls_tracing.senders.otlp_json import OTLPEncoder
from sls_tracing.thrift.schema import EncodeError
from sls_tracing.version import __version__

TRACE, SPAN, PARENT = 0xABC << 100, 0xFEDCBA9876543210, 0x00BCDEF012345678
I64 = 1 << 63
PROCESS = Process("productpage")


def parse(body: bytes) -> ExportTraceServiceRequest:
    """OTLP's JSON differs from protobuf's own in one point: ids are hexadecimal, not base64."""

    def convert(node):
        if isinstance(node, list):
            return [convert(each) for each in node]
        if isinstance(node, dict):
            return {key: to_base64(value) if key in IDS else convert(value) for key, value in node.items()}
        return node

    def to_base64(text):
        assert text == text.lower()
        return base64.b64encode(bytes.fromhex(text)).decode()

    return json_format.ParseDict(convert(json.loads(body)), ExportTraceServiceRequest())


IDS = ("traceId", "spanId", "parentSpanId")


def encode(*records: SpanRecord, process: Process = PROCESS) -> bytes:
    encoder = OTLPEncoder()
    return encoder.batch(encoder.process(process), [encoder.span(record) for record in records])


def parse_span(record: SpanRecord):
    return parse(encode(record)).resource_spans[0].scope_spans[0].spans[0]


def to_dict(record: SpanRecord) -> dict:
    return json.loads(OTLPEncoder().span(record))


# -- the oracle --------------------------------------------------------------------------------------------------------


def test_the_sdk_writes_the_same(make_span):
    """All of one span: ids, kind, times, status, attributes of every type, events, links, state, resource and scope."""
    process = Process("productpage", {"hostname": "host-1", "pid": 7})
    record = SpanRecord(
        operation_name="GET /productpage",
        context=SpanContext(TRACE, SPAN, PARENT, carried={"tracestate": "a=1,b=2"}),
        references=(
            Reference("child_of", TRACE, PARENT),
            Reference("follows_from", 5, 6),
            Reference("child_of", TRACE, 77),
        ),
        start_time=1_600_000_000.25,
        finish_time=1_600_000_000.5,
        tags={"text": "ü€😀", "bool": True, "int": -I64, "float": 0.1, "bytes": b"\0\xff", "span.kind": "server", "error": True},
        logs=(
            LogRecord(1_600_000_000.3, {"event": "retry", "attempt": 2}),
            LogRecord(
                1_600_000_000.4,
                {"event": "error", "error.kind": "ValueError", "message": "no", "stack": "line 1", "error.object": "no"},
            ),
        ),
        process=process,
    )  # fmt: skip
    context = lambda trace, span, **more: OTelContext(trace, span, is_remote=False, **more)
    sdk = ReadableSpan(
        name="GET /productpage",
        context=context(TRACE, SPAN, trace_state=TraceState([("a", "1"), ("b", "2")])),
        parent=context(TRACE, PARENT),
        resource=Resource({"hostname": "host-1", "pid": 7, "service.name": "productpage"}),
        attributes={"text": "ü€😀", "bool": True, "int": -I64, "float": 0.1, "bytes": b"\0\xff"},
        events=[
            Event("retry", {"attempt": 2}, timestamp=1_600_000_000_300_000_000),
            Event(
                "exception",
                {"exception.type": "ValueError", "exception.message": "no", "exception.stacktrace": "line 1", "error.object": "no"},
                timestamp=1_600_000_000_400_000_000,
            ),
        ],
        links=[
            Link(context(5, 6), {"opentracing.ref_type": "follows_from"}),
            Link(context(TRACE, 77), {"opentracing.ref_type": "child_of"}),
        ],
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR, "no"),
        start_time=1_600_000_000_250_000_000,
        end_time=1_600_000_000_500_000_000,
        instrumentation_scope=InstrumentationScope("sls_tracing", __version__),
    )  # fmt: skip
    ours, theirs = parse(encode(record, process=process)), encode_spans([sdk])
    # The SDK's flags say whether a parent is remote, and not whether the span is sampled; ours know the second and not the first.
    for request, flags in ((ours, 1), (theirs, 0x100)):
        span = request.resource_spans[0].scope_spans[0].spans[0]
        assert span.flags == flags
        span.flags = 0
        for link in span.links:
            link.flags = 0
    assert ours == theirs


def test_the_json_is_otlps_own():
    """What a parser of protobuf would forgive and the specification does not: hex ids, decimal text, numbers for enums."""
    record = SpanRecord(
        "op", SpanContext(TRACE, SPAN, PARENT), (), 1.5, 2.25, {"n": 7, "b": b"\xff"}, (), Process("s")
    )  # fmt: skip
    assert to_dict(record) == {
        "traceId": "0000" + f"{TRACE:028x}",
        "spanId": "fedcba9876543210",
        "parentSpanId": "00bcdef012345678",
        "name": "op",
        "kind": 1,
        "startTimeUnixNano": "1500000000",
        "endTimeUnixNano": "2250000000",
        "flags": 1,
        "attributes": [{"key": "n", "value": {"intValue": "7"}}, {"key": "b", "value": {"bytesValue": "/w=="}}],
    }


texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["", "\udcff", "ü€😀", '"\\\n\0'])
values = texts | st.booleans() | st.integers(-I64 * 4, I64 * 4) | st.floats() | st.binary(max_size=20)
tags = st.dictionaries(texts, values, max_size=4)
times = st.floats(0, 4e9)
ids_64, ids_128 = st.integers(1, 2**64 - 1), st.integers(1, 2**128 - 1)


def readable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def same_value(sent, value) -> bool:
    kind = value.WhichOneof("value")
    got = getattr(value, kind)
    if isinstance(sent, str):
        return kind == "string_value" and got == readable(sent)
    if isinstance(sent, bool):
        return kind == "bool_value" and got is sent
    if isinstance(sent, int):
        return (kind, got) == (("int_value", sent) if -I64 <= sent < I64 else ("string_value", str(sent)))
    if isinstance(sent, float):
        return kind == "double_value" and (
            struct.pack("d", got) == struct.pack("d", sent) or (got != got and sent != sent)
        )
    return kind == "bytes_value" and got == sent


@settings(max_examples=150)
@given(
    context=st.builds(SpanContext, ids_128, ids_64, st.none() | ids_64, sampled=st.booleans(), random=st.booleans()),
    name=texts,
    start=times,
    duration=st.floats(-10, 1e5),
    tags=tags,
    logs=st.lists(st.builds(LogRecord, times, tags), max_size=2),
    links=st.lists(st.builds(Reference, st.sampled_from(["child_of", "follows_from"]), ids_128, ids_64), max_size=2),
    process_tags=tags,
)
def test_every_span_is_parsed_as_it_was(context, name, start, duration, tags, logs, links, process_tags):
    """Text with lone surrogates, integers beyond 64 bits, NaN, clocks that were set back: nothing makes a request unreadable."""
    process = Process(name, process_tags)
    record = SpanRecord(name, context, links, start, start + duration, tags, logs, process)
    resource = parse(encode(record, process=process)).resource_spans[0]
    assert {each.key: True for each in resource.resource.attributes} == {
        **{readable(key): True for key in process_tags}, "service.name": True,
    }  # fmt: skip
    (span,) = resource.scope_spans[0].spans
    assert span.trace_id == context.trace_id.to_bytes(16, "big")
    assert span.span_id == context.span_id.to_bytes(8, "big")
    assert span.parent_span_id == (context.parent_id.to_bytes(8, "big") if context.parent_id else b"")
    assert span.name == readable(name)
    assert span.start_time_unix_nano == max(0, round(start * 1e6) * 1000)
    assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert len(span.attributes) == len(tags)
    assert all(same_value(sent, each.value) for sent, each in zip(tags.values(), span.attributes, strict=True))
    assert len(span.events) == len(logs)
    # The parent has a field of its own: a reference to it is no link besides.
    parent = ("child_of", context.trace_id, context.parent_id)
    linked = [each for each in links if (each.type, each.trace_id, each.span_id) != parent]
    assert len(span.links) == len(linked)
    assert span.flags == context.sampled | context.random << 1


# -- one thing at a time -----------------------------------------------------------------------------------------------

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


@pytest.mark.parametrize("kind", [*KINDS, None, "SERVER", "other", 7])
def test_kind_is_the_tags(make_span, kind):
    """A kind that OTLP does not know stays a tag; UNSPECIFIED is never sent."""
    span = parse_span(make_span(tags={} if kind is None else {"span.kind": kind}))
    assert span.kind == KINDS.get(kind, 1)
    assert bool(span.attributes) == (kind is not None and kind not in KINDS)


@pytest.mark.parametrize(
    ("value", "is_error"), [(True, True), ("true", True), (False, False), ("no", False), (1, False)]
)
def test_status_is_the_tag_error(make_span, value, is_error):
    """What is no clear yes stays a tag."""
    span = parse_span(make_span(tags={"error": value}))
    assert span.status.code == (2 if is_error else 0)
    assert bool(span.attributes) != is_error


def test_the_last_error_names_the_status(make_span):
    logs = [LogRecord(1.0, {"event": "error", "message": text}) for text in ("first", "last", "")]
    logs.append(LogRecord(1.0, {"event": "retry", "message": "other"}))
    assert parse_span(make_span(tags={"error": True}, logs=logs)).status.message == "last"
    assert parse_span(make_span(tags={}, logs=logs)).status.code == 0


@pytest.mark.parametrize(
    ("fields", "name", "keys"),
    [
        ({"event": "e", "x": 1}, "e", ["x"]),
        ({"x": 1}, "log", ["x"]),
        ({"event": 7, "x": 1}, "log", ["event", "x"]),
        ({"event": "", "x": 1}, "log", ["event", "x"]),
        ({"event": "e"}, "e", []),
        ({"event": "error"}, "exception", []),
    ],
)
def test_a_log_is_an_event(make_span, fields, name, keys):
    """Its name is the field `event`; an event needs one."""
    (event,) = parse_span(make_span(logs=[LogRecord(1.0, fields)])).events
    assert (event.name, [each.key for each in event.attributes]) == (name, keys)


def test_a_parent_by_follows_from_is_parent_and_link(make_span):
    """The tree keeps its shape, and the kind of the reference is not lost."""
    record = make_span(1)
    record = record._replace(references=(Reference("follows_from", record.context.trace_id, 7),))
    span = parse_span(record)
    assert span.parent_span_id == (7).to_bytes(8, "big")
    assert [each.span_id for each in span.links] == [(7).to_bytes(8, "big")]
    assert parse_span(make_span(1)).links == []


def test_times_that_otlp_cannot_say_become_the_nearest(make_span):
    """Before the epoch, after 2554."""
    assert parse_span(make_span(start_time=-5.0, finish_time=-1.0)).end_time_unix_nano == 0
    assert parse_span(make_span(finish_time=2.0**60 / 1e6 * 100)).end_time_unix_nano == 2**64 - 1


def test_the_name_of_the_service_is_the_configured_one():
    """A process tag of the same name does not double it."""
    attributes = (
        parse(encode(process=Process("right", {"service.name": "wrong"}))).resource_spans[0].resource.attributes
    )
    assert [(each.key, each.value.string_value) for each in attributes] == [("service.name", "right")]


@pytest.mark.parametrize(
    "change",
    [
        {"context": SpanContext()},
        {"context": SpanContext(1 << 128, 1)},
        {"context": SpanContext(1, 1 << 64)},
        {"context": SpanContext(1, -1)},
        {"start_time": float("nan")},
        {"finish_time": float("inf")},
        {"tags": {"x": object()}},
        {"tags": {b"x": 1}},
        {"logs": [LogRecord(float("nan"), {})]},
        {"references": (Reference("child_of", 0, 1),)},
    ],
)
def test_what_cannot_be_said_costs_its_span(make_span, change):
    with pytest.raises(EncodeError):
        OTLPEncoder().span(make_span(**change))


def test_the_envelope_is_measured_exactly(make_span):
    encoder = OTLPEncoder()
    process = encoder.process(Process("s", {"a": 1}))
    for count in range(4):
        spans = [encoder.span(make_span(number + 1)) for number in range(count)]
        assert len(encoder.batch(process, spans)) == encoder.envelope_size(process, count) + sum(map(len, spans))


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def test_spans_arrive_compressed(collector, make, make_span, counts):
    collector.always = collector.saying(200, b"{}", Content_Type="application/json")
    records = [make_span(number) for number in range(1, 31)]
    assert make(OTLPSender, collector.url + "/v1/traces").send(records) == 30
    (request,) = collector.requests
    assert (request.headers["content-type"], request.headers["content-encoding"]) == ("application/json", "gzip")
    assert len(request.sent) < len(request.body) / 10
    assert len(parse(request.body).resource_spans[0].scope_spans[0].spans) == 30
    assert counts.snapshot() == {}


def test_compression_can_be_switched_off(collector, make, make_span):
    make(OTLPSender, collector.url, compress=False).send([make_span()])
    assert "content-encoding" not in collector.requests[0].headers
    assert parse(collector.requests[0].sent)


URLS = {
    "": "/v1/traces",
    "/": "/v1/traces",
    "/other": "/other",
    "/adapt_a1@b_c2@d/api/otlp/traces": "/adapt_a1@b_c2@d/api/otlp/traces",
    "/adapt_a1@b_c2@d": "/adapt_a1@b_c2@d/api/otlp/traces",
}


@pytest.mark.parametrize("given", URLS)
def test_what_a_url_lacks_is_added(collector, make, make_span, given):
    make(OTLPSender, collector.url + given, headers={"Authentication": "x"}).send([make_span()])
    assert collector.requests[0].path == URLS[given]
    assert collector.requests[0].headers["authentication"] == "x"


def test_the_default_is_the_collector_on_this_host():
    assert OTLPSender().url == "http://localhost:4318/v1/traces"


ANSWERS = {
    b"": 0,
    b"{}": 0,
    b'{"partialSuccess":{}}': 0,
    b'{"partialSuccess":null}': 0,
    b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}': 2,
    b'{"partialSuccess":{"rejectedSpans":2}}': 2,
    b'{"partialSuccess":{"rejectedSpans":"9999"}}': 5,
    b'{"partialSuccess":{"rejectedSpans":-1}}': 0,
    b'{"partialSuccess":{"rejectedSpans":"0","errorMessage":"a warning"}}': 0,
    b'{"partialSuccess":{"rejectedSpans":1e999}}': 0,
    b'{"partialSuccess":[1]}': 0,
    b"[1]": 0,
    b"\xff{": 0,
    b"[" * 60_000: 0,
}


@pytest.mark.parametrize("body", ANSWERS)
def test_a_partial_success_is_counted_and_never_sent_again(collector, make, make_span, counts, caplog, body):
    rejected = ANSWERS[body]
    collector.answers = [collector.saying(200, body)]
    sender = make(OTLPSender, collector.url)
    assert sender.send([make_span(number) for number in range(1, 6)]) == 5 - rejected
    assert len(collector.requests) == 1
    assert counts.get("sender_spans_rejected") == rejected
    assert sender.statistics.snapshot().failed_to_emit_spans == rejected
    assert ("too old" in caplog.text) == (b"too old" in body)
    assert ("a warning" in caplog.text) == (b"a warning" in body)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_otlp_lets_us_retry_is_retried(collector, make, make_span, counts, no_pauses, status):
    collector.answers = [status]
    assert make(OTLPSender, collector.url).send([make_span()]) == 1
    assert len(collector.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 408, 500, 501])
def test_what_otlp_forbids_to_retry_is_not(collector, make, make_span, counts, status):
    collector.answers = [status]
    assert make(OTLPSender, collector.url).send([make_span()]) == 0
    assert len(collector.requests) == 1
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_a_large_span_is_trimmed(collector, make, make_span, counts):
    sender = make(OTLPSender, collector.url, max_batch_bytes=16_384)
    assert sender.send([make_span(1), make_span(2, tags={"x": "y" * 50_000}), make_span(3)]) == 3
    spans = [
        span
        for request in collector.requests
        for span in parse(request.body).resource_spans[0].scope_spans[0].spans
    ]  # fmt: skip
    assert [len(span.attributes[0].value.string_value) for span in spans] == [3, 8192, 3]
    assert all(len(request.body) <= 16_384 for request in collector.requests)
    assert counts.snapshot() == {"sender_spans_trimmed": 1}


def test_a_wrong_url_is_an_error_at_once():
    with pytest.raises(ConfigurationError, match="http:// or https://"):
        OTLPSender("grpc://localhost:4317")
