from __future__ import annotations

import json

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sls_tracing import BatchingReporter, ConstSampler, HTTPSender, OTLPSender, Tracer
from sls_tracing.backend.all_in_one import all_in_one_in_background
from sls_tracing.backend.otlp_requests import answer_json, answer_protobuf, decode_json, decode_protobuf
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.model import LogRecord, Process, Reference
from sls_tracing.thrift.schema import DecodeError, TooMuchError

NOW = 1_700_000_000.0
NANO = 1_600_000_000_250_000_000


def request(service="shop", **members):
    """A request with one span, and that span."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    if service is not None:
        resource.resource.attributes.add(key="service.name").value.string_value = service
    defaults = {
        "trace_id": b"\x01" * 16,
        "span_id": b"\x02" * 8,
        "start_time_unix_nano": NANO,
        "end_time_unix_nano": NANO + 5000,
    }
    return message, resource.scope_spans.add().spans.add(**{**defaults, **members})


def read(message):
    intake = decode_protobuf(message.SerializeToString(), NOW)
    assert not intake.rejected, intake.reason
    return intake.spans


def read_one(**members):
    [span] = read(request(**members)[0])
    return span


def refused(**members):
    intake = decode_protobuf(request(**members)[0].SerializeToString(), NOW)
    assert (intake.rejected, intake.spans) == (1, [])
    return intake.reason


def test_ids_names_and_times():
    """Times in whole microseconds; the trace id's width is what it needs."""
    span = read_one(name="op", parent_span_id=b"\0" * 7 + b"\x09", flags=3)
    assert span.operation_name == "op"
    assert span.context.to_trace_id() == "01" * 16
    assert (span.context.span_id, span.context.parent_id) == (int("02" * 8, 16), 9)
    assert (span.context.sampled, span.context.random) == (True, True)
    assert span.references == (Reference("child_of", span.context.trace_id, 9),)
    assert (span.start_time, span.finish_time) == (1_600_000_000.25, 1_600_000_000.250005)
    assert span.process == Process("shop", {})
    assert not read_one(trace_id=bytes(8) + b"\x01" * 8).context.wide


@pytest.mark.parametrize(
    "members", [{"trace_id": b""}, {"trace_id": bytes(16)}, {"trace_id": b"\1" * 8}, {"span_id": b"\1" * 9}]
)
def test_ids_that_are_none_cost_their_span(members):
    """With the id in the reason."""
    assert "id is" in refused(**members)


@pytest.mark.parametrize(
    ("kind", "tag"),
    [(0, None), (1, "internal"), (2, "server"), (3, "client"), (4, "producer"), (5, "consumer"), (77, None)],
)
def test_kinds(kind, tag):
    """As the tag span.kind; unspecified and unknown ones are none."""
    message, span = request()
    span.kind = kind
    assert read(message)[0].tags.get("span.kind") == tag


@pytest.mark.parametrize(
    ("code", "message", "tags"),
    [
        (0, "", {}),
        (1, "", {"otel.status_code": "OK"}),
        (2, "boom", {"error": True, "otel.status_code": "ERROR", "otel.status_description": "boom"}),
    ],
)
def test_status(code, message, tags):
    """An error is Jaeger's error tag, too."""
    assert read_one(status={"code": code, "message": message}).tags == tags


VALUES = [
    (AnyValue(string_value="ü"), "ü"),
    (AnyValue(bool_value=True), True),
    (AnyValue(int_value=-(2**63)), -(2**63)),
    (AnyValue(double_value=1.5), 1.5),
    (AnyValue(bytes_value=b"\0\xff"), b"\0\xff"),
    (AnyValue(), ""),
    (
        AnyValue(array_value={"values": [AnyValue(int_value=1), AnyValue(), AnyValue(bytes_value=b"\0")]}),
        '[1, null, "AA=="]',
    ),
    (AnyValue(kvlist_value={"values": [KeyValue(key="k", value=AnyValue(double_value=0.5))]}), '{"k": 0.5}'),
]


@pytest.mark.parametrize(("sent", "value"), VALUES)
def test_every_kind_of_value(sent, value):
    """Scalars keep their type, arrays and maps become JSON: on spans, resources, scopes and events."""
    message, span = request()
    for attributes in (
        span.attributes,
        span.events.add(name="e", time_unix_nano=NANO).attributes,
        message.resource_spans[0].resource.attributes,
        message.resource_spans[0].scope_spans[0].scope.attributes,
    ):
        attributes.add(key="a" if attributes is not span.attributes else "b", value=sent)
    [record] = read(message)
    for found in (record.tags["a"], record.tags["b"], record.logs[0].fields["a"], record.process.tags["a"]):
        assert found == value
        assert type(found) is type(value)


def test_events_are_logs():
    """The name is the field event, unless the event brings one."""
    message, span = request()
    span.events.add(name="hit", time_unix_nano=NANO + 1000)
    span.events.add(time_unix_nano=NANO).attributes.add(key="event").value.string_value = "own"
    [record] = read(message)
    assert record.logs == (
        LogRecord(1_600_000_000.250001, {"event": "hit"}),
        LogRecord(1_600_000_000.25, {"event": "own"}),
    )


def test_links_are_references():
    """FOLLOWS_FROM unless opentracing.ref_type says otherwise; a parent that a link names is not named again; links to nowhere are left out."""
    message, span = request(parent_span_id=b"\0" * 7 + b"\x09")
    span.links.add(trace_id=b"\x05" * 16, span_id=b"\x06" * 8)
    other = span.links.add(trace_id=b"\x05" * 16, span_id=b"\x07" * 8)
    other.attributes.add(key="opentracing.ref_type").value.string_value = "child_of"
    span.links.add(trace_id=bytes(16), span_id=b"\x07" * 8)
    trace_id, elsewhere = int("01" * 16, 16), int("05" * 16, 16)
    [record] = read(message)
    assert record.references == (
        Reference("child_of", trace_id, 9),
        Reference("follows_from", elsewhere, int("06" * 8, 16)),
        Reference("child_of", elsewhere, int("07" * 8, 16)),
    )
    message, span = request(parent_span_id=b"\0" * 7 + b"\x09")
    span.links.add(trace_id=span.trace_id, span_id=span.parent_span_id)
    assert read(message)[0].references == (Reference("follows_from", trace_id, 9),)


def test_scope_state_and_what_was_dropped_are_tags():
    """Nothing that OTLP says is lost; the span's own attributes do not hide it."""
    message, _ = request(trace_state="a=b", dropped_attributes_count=3)
    scope = message.resource_spans[0].scope_spans[0].scope
    scope.name, scope.version = "lib", "1.2"
    assert read(message)[0].tags == {
        "otel.scope.name": "lib",
        "otel.scope.version": "1.2",
        "w3c.tracestate": "a=b",
        "otel.dropped_attributes_count": 3,
    }


def test_a_service_without_a_name():
    """The stand-ins are Jaeger's."""
    assert read(request(service=None)[0])[0].process.service_name == "missing-service-name"
    message, _ = request(service=None)
    message.resource_spans[0].resource.attributes.add(key="service.name").value.int_value = 5
    assert read(message)[0].process.service_name == "service-name-wrong-type"


@pytest.mark.parametrize(
    ("start", "end", "seconds", "duration"),
    [
        (0, NANO, 1_600_000_000.25, 0),
        (0, 0, NOW, 0),
        (NANO, 0, 1_600_000_000.25, 0),
        (NANO, NANO - 9000, 1_600_000_000.25, 0),
    ],
)
def test_times_that_are_missing_or_upside_down(start, end, seconds, duration):
    """What is there stands in for what is not, with a warning: a span of 1970 would never be found."""
    span = read_one(start_time_unix_nano=start, end_time_unix_nano=end)
    assert (span.start_time, span.finish_time - span.start_time) == (seconds, duration)
    assert span.warnings


def json_request(*spans, **resource):
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


SPAN = {
    "traceId": "0A" * 16,
    "spanId": "0b" * 8,
    "name": "op",
    "startTimeUnixNano": str(NANO),
    "endTimeUnixNano": NANO + 5000,
}


def test_json():
    """Ids in hexadecimal of either case, integers as text or numbers, enums as numbers or names, unknown members left out."""
    attributes = [
        {"key": "big", "value": {"intValue": str(2**62)}},
        {"key": "blob", "value": {"bytesValue": "AP8="}},
        {"key": "nan", "value": {"doubleValue": "Infinity"}},
    ]
    link = {"traceId": "0c" * 16, "spanId": "0d" * 8}
    span = {
        **SPAN,
        "kind": "SPAN_KIND_SERVER",
        "parentSpanId": "0e" * 8,
        "attributes": attributes,
        "links": [link],
        "unknown": {},
    }
    intake = decode_json(json_request(span, attributes=[{"key": "service.name", "value": {"stringValue": "s"}}]), NOW)
    [record] = intake.spans
    assert record.context.to_trace_id() == "0a" * 16
    assert record.context.parent_id == int("0e" * 8, 16)
    assert record.references[1] == Reference("follows_from", int("0c" * 16, 16), int("0d" * 8, 16))
    assert record.tags == {"big": 2**62, "blob": b"\0\xff", "nan": float("inf"), "span.kind": "server"}
    assert record.process == Process("s", {})
    assert (record.start_time, record.finish_time) == (1_600_000_000.25, 1_600_000_000.250005)
    assert decode_json(json_request({**SPAN, "parentSpanId": ""}), NOW).spans[0].context.parent_id is None


@pytest.mark.parametrize(
    "members",
    [
        *({"traceId": each} for each in ("x" * 32, 5, "", None)),
        *({"spanId": "abc"}, {"name": 5}, {"name": "\ud800"}, {"attributes": {}}, {"attributes": [5]}, {"status": 5}),
        *({"startTimeUnixNano": each} for each in ("x", "9" * 5000, -1, [])),
        *({"links": [{"traceId": []}]}, {"links": 5}, {"events": [5]}),
    ],
)
def test_a_bad_span_in_json_costs_itself_only(members):
    """The others are taken; how many were not, and why the first, is told."""
    intake = decode_json(json_request(SPAN, {**SPAN, **members}, SPAN), NOW)
    assert (len(intake.spans), intake.rejected) == (2, 1)
    assert intake.reason


def test_a_bad_span_in_protobuf_costs_itself_only():
    """A name that is not UTF-8 does not spoil the request."""
    message, _ = request(name="NAME")
    message.resource_spans.add().CopyFrom(request(name="good")[0].resource_spans[0])
    intake = decode_protobuf(message.SerializeToString().replace(b"NAME", b"\xff\xfe\xfd\xfc"), NOW)
    assert [span.operation_name for span in intake.spans] == ["good"]
    assert intake.rejected == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"resourceSpans": 5}', b'{"resourceSpans": [5]}', b'{"resourceSpans": [{"resource": 5}]}'],
)
def test_json_that_is_no_request_is_refused_whole(body):
    """With the reason."""
    with pytest.raises(DecodeError):
        decode_json(body, NOW)


def test_what_nests_deep_is_refused():
    """In both encodings, without exhausting the stack."""
    deep = {"stringValue": "x"}
    for _ in range(300):
        deep = {"arrayValue": {"values": [deep]}}
    assert decode_json(json_request({**SPAN, "attributes": [{"key": "k", "value": deep}]}), NOW).rejected == 1
    value = AnyValue(string_value="x").SerializeToString()
    for _ in range(5000):
        array = b"\x0a" + size(value) + value
        value = b"\x2a" + size(array) + array
    attribute = b"\x0a\x01k\x12" + size(value) + value
    span = request()[1].SerializeToString() + b"\x4a" + size(attribute) + attribute
    scope_spans = b"\x12" + size(span) + span
    resource_spans = b"\x12" + size(scope_spans) + scope_spans
    assert decode_protobuf(b"\x0a" + size(resource_spans) + resource_spans, NOW).rejected == 1


def size(message):
    from sls_tracing.backend.protobuf_wire import varint

    return varint(len(message))


@pytest.mark.parametrize("inner", [b"\x0a\x00", b"\x0a\x04\x12\x02\x12\x00"])
def test_empty_messages_have_an_end(inner):
    """Two bytes ask for an object each; a request may not ask for any number."""
    with pytest.raises(TooMuchError):
        decode_protobuf(inner * 100_000, NOW)


def test_answers():
    """Nothing to say is an empty message; else what a partial success says is read by OpenTelemetry's own class."""
    assert answer_protobuf(0, "") == b""
    assert answer_json(0, "") == b"{}"
    answer = ExportTraceServiceResponse.FromString(answer_protobuf(300, "ü" * 200))
    assert answer.partial_success.rejected_spans == 300
    assert answer.partial_success.error_message == "ü" * 200
    assert json.loads(answer_json(3, "why")) == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "why"}}


# -- real clients ------------------------------------------------------------------------------------------------------------------


def fetch_trace(backend, trace_id, count, eventually):
    def complete():
        data = requests.get(f"{backend.query_url}/api/traces/{trace_id}", timeout=30).json()["data"]
        return [each for each in data or () if len(each["spans"]) == count]

    [trace] = eventually(complete)
    assert not any(span["warnings"] for span in trace["spans"])
    return trace


@pytest.mark.parametrize("compression", ["NoCompression", "Gzip", "Deflate"])
def test_opentelemetrys_sdk(compression, eventually):
    """Its OTLP/HTTP exporter sends; the query API answers the same spans."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

    with all_in_one_in_background() as backend:
        provider = TracerProvider(
            resource=Resource({"service.name": "otel-shop", "version": 2}), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=backend.otlp_url, compression=Compression[compression])
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("lib", "1.0")
        with tracer.start_as_current_span("parent", kind=SpanKind.SERVER) as parent:
            link = Link(parent.get_span_context())
            with tracer.start_as_current_span(
                "child", links=[link], attributes={"list": [1, 2], "float": 1.5}
            ) as child:
                child.add_event("hit", {"n": 1})
                child.set_status(Status(StatusCode.ERROR, "boom"))
        provider.shutdown()
        trace_id, span_id = (format(number, "032x") for number in (parent.context.trace_id, child.context.span_id))
        trace = fetch_trace(backend, trace_id, 2, eventually)
    spans = {span["operationName"]: span for span in trace["spans"]}
    tags = {tag["key"]: tag["value"] for tag in spans["child"]["tags"]}
    assert spans["child"]["spanID"] == span_id[16:]
    assert [(each["refType"], each["spanID"]) for each in spans["child"]["references"]] == [
        ("FOLLOWS_FROM", spans["parent"]["spanID"])
    ]
    assert spans["child"]["startTime"] == round(child.start_time / 1000)
    assert tags == {
        "list": "[1, 2]",
        "float": 1.5,
        "span.kind": "internal",
        "error": True,
        "otel.status_code": "ERROR",
        "otel.status_description": "boom",
        "otel.scope.name": "lib",
        "otel.scope.version": "1.0",
    }
    assert [field["value"] for field in spans["child"]["logs"][0]["fields"]] == ["hit", 1]
    process = trace["processes"][spans["child"]["processID"]]
    assert process["serviceName"] == "otel-shop"
    assert {"key": "version", "type": "int64", "value": 2} in process["tags"]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(("sender_type", "door"), [(HTTPSender, "collector_url"), (OTLPSender, "otlp_url")])
def test_our_own_senders(sender_type, door, compress, eventually):
    """What the tracer was told is what the query API answers, through either door."""
    told = {"text": "ü😀", "yes": True, "int": 2**60, "float": -1.5, "blob": b"\x00\xff", "span.kind": "server"}
    with all_in_one_in_background() as backend:
        sender = sender_type(getattr(backend, door), compress=compress)
        tracer = Tracer("shop", sampler=ConstSampler(True), reporter=BatchingReporter(sender), tags={"zone": "a"})
        with tracer.start_active_span("parent", tags=told) as parent:
            with tracer.start_active_span("child") as child:
                child.span.log_kv({"event": "hit", "n": 1})
                child.span.set_tag("error", True)
        tracer.close()
        context = parent.span.context
        trace = fetch_trace(backend, context.to_trace_id(), 2, eventually)
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert {tag["key"]: tag["value"] for tag in spans["parent"]["tags"] if tag["key"] in told} == {
        **told,
        "int": str(2**60),
        "blob": "AP8=",
    }
    assert spans["parent"]["startTime"] == round(parent.span.start_time * 1e6)
    [reference] = spans["child"]["references"]
    assert reference == {"refType": "CHILD_OF", "traceID": context.to_trace_id(), "spanID": context.to_span_id()}
    assert {"key": "error", "type": "bool", "value": True} in spans["child"]["tags"]
    assert [(field["key"], field["value"]) for field in spans["child"]["logs"][0]["fields"]] == [
        ("event", "hit"),
        ("n", 1),
    ]
    process = trace["processes"][spans["child"]["processID"]]
    assert process["serviceName"] == "shop"
    assert {"key": "zone", "type": "string", "value": "a"} in process["tags"]


# -- whatever comes ----------------------------------------------------------------------------------------------------------------

NAMES = [
    "traceId",
    "spanId",
    "parentSpanId",
    "name",
    "kind",
    "startTimeUnixNano",
    "attributes",
    "events",
    "links",
    "status",
    "key",
    "value",
]
NAMES += [
    "stringValue",
    "arrayValue",
    "values",
    "intValue",
    "resource",
    "scopeSpans",
    "spans",
    "scope",
    "code",
    "resourceSpans",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["0b" * 8, str(NANO)])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
SPANS = st.dictionaries(st.sampled_from(NAMES), ANY, max_size=5).map(lambda members: {**SPAN, **members})


def attempt(decode, body):
    """Decode; whatever is read can be stored, and nothing but DecodeError leaves."""
    try:
        spans = decode(body, NOW).spans
    except DecodeError:
        return
    for span in spans:
        jaeger_legacy.to_log(span)


@settings(max_examples=400, deadline=None)
@given(spans=st.lists(SPANS | ANY, max_size=3), resource=ANY, whole=ANY)
def test_any_json(spans, resource, whole):
    """Any values in any members: read, or refused in words."""
    attempt(decode_json, json_request(*spans, attributes=resource))
    attempt(decode_json, json.dumps(whole).encode())
    attempt(
        decode_json,
        json.dumps(
            {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": resource, "spans": whole}]}]}
        ).encode(),
    )


@pytest.mark.parametrize("decode", [decode_json, decode_protobuf])
@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes(decode, body):
    """Read, or refused in words."""
    attempt(decode, body)


def rich_request():
    message, span = request(
        parent_span_id=b"\x03" * 8, name="op", trace_state="a=b", kind=2, status={"code": 2, "message": "m"}
    )
    span.links.add(trace_id=b"\x05" * 16, span_id=b"\x06" * 8)
    for number, (value, _) in enumerate(VALUES):
        span.attributes.add(key=f"k{number}", value=value)
    span.events.add(name="e", time_unix_nano=NANO).attributes.add(key="k", value=VALUES[0][0])
    message.resource_spans.add().CopyFrom(message.resource_spans[0])
    return message.SerializeToString()


RICH = rich_request()


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_damaged_protobuf(data):
    """A good body with some bytes changed, cut out or put in: read, or refused in words."""
    damaged = bytearray(RICH)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not damaged:
            return
    attempt(decode_protobuf, bytes(damaged))
