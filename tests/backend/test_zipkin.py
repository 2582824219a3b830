from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_tracing.backend.intake import MAX_SPANS
from sls_tracing.backend.zipkin_json import decode_json_v1, decode_json_v2
from sls_tracing.backend.zipkin_protobuf import decode_protobuf
from sls_tracing.backend.zipkin_thrift import decode_thrift
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.model import LogRecord, Process, Reference
from sls_tracing.thrift.schema import DecodeError, TooMuchError

NOW = 1_700_000_000.0
START = 1_600_000_000_250_000


def read(*spans, decode=decode_json_v2):
    intake = decode(json.dumps(spans).encode(), NOW)
    assert not intake.rejected, intake.reason
    return intake.spans


def read_one(decode=decode_json_v2, **members):
    [span] = read({"traceId": "abc", "id": "1", "timestamp": START, "duration": 5, **members}, decode=decode)
    return span


def refused(decode=decode_json_v2, **members):
    """Why a span cannot be read; a good one beside it is read nevertheless."""
    good = {"traceId": "abc", "id": "2"}
    intake = decode(json.dumps([{"traceId": "abc", "id": "1", **members}, good]).encode(), NOW)
    assert intake.rejected == 1
    assert [span.context.span_id for span in intake.spans] == [2]
    return intake.reason


ENVOY = """[{"shared":true,"name":"details.default.svc.cluster.local:9080/*","kind":"SERVER","id":"a2fb4a1d1a96d312","tags":{
"istio.canonical_service":"details","http.method":"GET","guid:x-request-id":"08fa131e-64fd-9f37-bfd8-4808f606eaf7","component":"proxy",
"http.url":"http://127.0.0.1:43401/details/0","http.status_code":"200","response_flags":"-"},"annotations":[{"value":"ss","timestamp":
1795392724204278}],"traceId":"463ac35c9f6413ad48485a3953bb6124","timestamp":1795392724203290,"parentId":"0020000000000001",
"duration":928,"localEndpoint":{"port":0,"serviceName":"details.default","ipv4":"192.0.2.2"}}]"""
"""What Envoy 1.40 posts, with some tags left out."""


def test_what_envoy_posts():
    """Ids, times, kind, tags, annotations and the local endpoint arrive where Jaeger has them."""
    [span] = decode_json_v2(ENVOY.encode(), NOW).spans
    assert span.operation_name == "details.default.svc.cluster.local:9080/*"
    assert span.context.to_trace_id() == "463ac35c9f6413ad48485a3953bb6124"
    assert span.context.to_span_id() == "a2fb4a1d1a96d312"
    assert span.context.sampled
    assert not span.context.debug
    assert span.references == (Reference("child_of", 0x463AC35C9F6413AD48485A3953BB6124, 0x20000000000001),)
    assert span.start_time == 1795392724.203290
    assert span.finish_time == 1795392724.204218
    assert span.tags["span.kind"] == "server"
    assert span.tags["http.status_code"] == "200"
    assert span.logs == (LogRecord(1795392724.204278, {"event": "ss"}),)
    assert span.process == Process("details.default", {"ip": "192.0.2.2"})


@pytest.mark.parametrize(
    ("text", "number", "wide"),
    [
        ("a", 10, False),
        ("A" * 16, int("a" * 16, 16), False),
        ("0" * 16 + "b" * 16, int("b" * 16, 16), False),
        ("1" * 17, int("1" * 17, 16), True),
    ],
)
def test_trace_ids_of_any_length(text, number, wide):
    """1 to 32 digits; wide is what needs more than 16."""
    context = read_one(traceId=text).context
    assert (context.trace_id, context.wide) == (number, wide)


def test_ids_in_short_forms():
    """Some writers leave out leading zeros of span and parent ids."""
    span = read_one(id="b", parentId="0a")
    assert (span.context.span_id, span.context.parent_id) == (11, 10)


@pytest.mark.parametrize(
    "members",
    [
        *({"traceId": each} for each in ("xyz", "", "0", "1" * 33, 5, None)),
        *({"id": each} for each in ("0", "1" * 17, "-1", " 1")),
        *({"parentId": each} for each in ("x", [1])),
    ],
)
def test_ids_that_are_none_cost_their_span(members):
    """And no other: the rest of the request is taken."""
    assert "Zipkin" in refused(**members)


@pytest.mark.parametrize(
    "members",
    [
        *({"timestamp": each} for each in ("soon", 10**18, [1], float("nan"))),
        *(
            {"duration": {}},
            {"tags": []},
            {"annotations": {}},
            {"annotations": [1]},
            {"localEndpoint": "me"},
            {"name": 1},
        ),
        *({"annotations": [{"timestamp": "x", "value": "y"}]}, {"localEndpoint": {"serviceName": 1}}),
    ],
)
def test_members_of_wrong_types_cost_their_span(members):
    """With the reason in words."""
    assert "Zipkin" in refused(**members)


def test_a_zero_parent_is_none():
    """Old clients send it on roots; Jaeger marks it."""
    span = read_one(parentId="0000000000000000")
    assert (span.context.parent_id, span.references, span.tags["errZeroParentID"]) == (None, (), "0")


def test_a_span_is_not_its_own_parent():
    """It would hang in the air; it becomes a root with a warning."""
    span = read_one(parentId="1")
    assert span.references == ()
    assert span.warnings


@pytest.mark.parametrize(
    ("members", "start", "duration"),
    [
        ({"duration": 0}, START, 1),
        ({"duration": None}, START, 1),
        ({"duration": "7"}, START, 7),
        ({"duration": 7.0, "timestamp": float(START)}, START, 7),
        ({"duration": -5}, START, 1),
        (
            {
                "duration": None,
                "annotations": [{"timestamp": START + 2, "value": "a"}, {"timestamp": START + 9, "value": "b"}],
            },
            START,
            7,
        ),
        ({"timestamp": None, "annotations": [{"timestamp": START + 2, "value": "a"}]}, START + 2, 5),
        ({"timestamp": 0}, round(NOW * 1e6), 5),
        ({"timestamp": None}, round(NOW * 1e6), 5),
    ],
)
def test_times_that_are_missing(members, start, duration):
    """Annotations stand in, then a microsecond; a span without any time is of now, not of 1970."""
    span = read_one(**members)
    assert round(span.start_time * 1e6) == start
    assert round((span.finish_time - span.start_time) * 1e6) == duration
    assert bool(span.warnings) == (start == NOW * 1e6)
    assert ("errNegativeDuration" in span.tags) == (members.get("duration") == -5)


@pytest.mark.parametrize(
    ("sent", "error", "message"),
    [("", True, None), ("true", True, None), ("false", False, None), ("boom", True, "boom"), (True, True, None)],
)
def test_the_error_tag(sent, error, message):
    """In Zipkin it is text and its presence counts; in Jaeger it is a bool."""
    tags = read_one(tags={"error": sent}).tags
    assert tags["error"] is error
    assert tags.get("error.message") == message


def test_the_other_side():
    """A remote endpoint becomes peer.* tags; the span's own tags win."""
    remote = {"serviceName": "db", "ipv4": "192.0.2.9", "ipv6": "2001:db8::9", "port": 5432}
    tags = read_one(kind="CLIENT", remoteEndpoint=remote, tags={"peer.service": "mine"}).tags
    assert tags == {
        "peer.service": "mine",
        "span.kind": "client",
        "peer.ipv4": "192.0.2.9",
        "peer.ipv6": "2001:db8::9",
        "peer.port": 5432,
    }


def test_odds_and_ends():
    """No endpoint, null members, unknown kinds and members, tags that are no text, debug: all read."""
    span = read_one(
        localEndpoint=None,
        kind="ODD",
        tags={"n": 1, "t": True, "o": {"a": 1}, "x": None, "big": 2**70},
        debug=True,
        more=1,
    )
    assert span.process == Process("", {})
    assert span.context.debug
    assert span.tags == {"n": 1, "t": True, "o": '{"a": 1}', "big": hex(2**70)}
    assert span.warnings == ("unknown Zipkin kind 'ODD'",)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"\xff[", b"[", b"[" * 100_000, b"[" + b"9" * 5000 + b"]x"])
@pytest.mark.parametrize("decode", [decode_json_v1, decode_json_v2])
def test_what_is_no_array_is_refused_whole(decode, body):
    """With the reason."""
    with pytest.raises(DecodeError):
        decode(body, NOW)


def test_too_many_spans_are_refused_whole():
    """Before they are made."""
    with pytest.raises(TooMuchError, match=f"{MAX_SPANS}"):
        decode_json_v2(b"[" + b"0," * MAX_SPANS + b"0]", NOW)
    with pytest.raises(TooMuchError, match="JSON values"):
        decode_json_v2(b"[" + b"[]," * 1_000_000 + b"0]", NOW)


# -- v1 ----------------------------------------------------------------------------------------------------------------------------

WEB = {"serviceName": "web", "ipv4": "192.0.2.1"}
DB = {"serviceName": "db", "ipv4": "192.0.2.2", "port": 3306}


def note(value, offset, endpoint=WEB):
    return {"value": value, "timestamp": START + offset, "endpoint": endpoint}


def test_v1_client_side():
    """cs and cr make a CLIENT span; sa names the other side; other binary annotations are tags, other annotations logs."""
    span = read_one(
        decode_json_v1,
        timestamp=None,
        duration=None,
        annotations=[note("cs", 0), note("flush", 3), note("cr", 9)],
        binaryAnnotations=[
            {"key": "sa", "value": True, "endpoint": DB},
            {"key": "sql", "value": "select", "endpoint": WEB},
            {"key": "rows", "value": 3, "endpoint": WEB},
        ],
    )
    assert span.process == Process("web", {"ip": "192.0.2.1"})
    assert span.tags == {
        "sql": "select",
        "rows": 3,
        "span.kind": "client",
        "peer.service": "db",
        "peer.ipv4": "192.0.2.2",
        "peer.port": 3306,
    }
    assert span.logs == (LogRecord((START + 3) / 1e6, {"event": "flush"}),)
    assert (round(span.start_time * 1e6), round(span.finish_time * 1e6)) == (START, START + 9)


def test_v1_both_sides_in_one_span():
    """It becomes two spans under the one id, each with its own times, service and tags."""
    client, server = read(
        {
            "traceId": "abc",
            "id": "2",
            "parentId": "1",
            "name": "get",
            "timestamp": START,
            "duration": 9,
            "annotations": [note("cs", 0), note("sr", 2, DB), note("ss", 6, DB), note("cr", 9)],
            "binaryAnnotations": [
                {"key": "k", "value": "v", "endpoint": DB},
                {"key": "l", "value": "w", "endpoint": WEB},
            ],
        },
        decode=decode_json_v1,
    )
    assert (client.context.span_id, server.context.span_id) == (2, 2)
    assert (client.process.service_name, server.process.service_name) == ("web", "db")
    assert client.tags == {"l": "w", "span.kind": "client"}
    assert server.tags == {"k": "v", "span.kind": "server"}
    times = [(round(span.start_time * 1e6) - START, round(span.finish_time * 1e6) - START) for span in (client, server)]
    assert times == [(0, 9), (2, 6)]


@pytest.mark.parametrize(("value", "kind"), [("sr", "server"), ("ms", "producer"), ("mr", "consumer")])
def test_v1_kinds(value, kind):
    """One annotation is enough to tell the side."""
    assert read_one(decode_json_v1, annotations=[note(value, 0)]).tags["span.kind"] == kind


def test_v1_local_component():
    """A span that is no call: lc names component and service."""
    local = {"key": "lc", "value": "cache", "endpoint": WEB}
    span = read_one(decode_json_v1, binaryAnnotations=[local])
    assert (span.process.service_name, span.tags) == ("web", {"component": "cache"})


@pytest.mark.parametrize(
    "members",
    [{"annotations": 1}, {"annotations": [1]}, {"binaryAnnotations": [{"key": 1}]}, {"annotations": [{"value": []}]}],
)
def test_v1_members_of_wrong_types(members):
    """They cost their span."""
    assert "Zipkin" in refused(decode_json_v1, **members)


# -- Thrift and protobuf, written by others' libraries ------------------------------------------------------------------------------


def thrift_body(*spans):
    from thrift.protocol import TBinaryProtocol
    from thrift.Thrift import TType
    from thrift.transport import TTransport

    transport = TTransport.TMemoryBuffer()
    protocol = TBinaryProtocol.TBinaryProtocol(transport)
    write = protocol.writeBinary
    protocol.writeString = lambda value: write(value.encode() if isinstance(value, str) else value)  # it takes no bytes
    protocol.writeListBegin(TType.STRUCT, len(spans))
    for span in spans:
        span.write(protocol)
    protocol.writeListEnd()
    return transport.getvalue()


def thrift_span():
    from jaeger_client.thrift_gen.zipkincore import ttypes

    web = ttypes.Endpoint(ipv4=0x7F000001, port=-1, service_name="web")
    db = ttypes.Endpoint(ipv4=-1, port=3306, service_name="db")
    kinds = ttypes.AnnotationType
    return ttypes.Span(
        trace_id=-1,
        name="get",
        id=2,
        parent_id=-3,
        annotations=[ttypes.Annotation(START, "cs", web), ttypes.Annotation(START + 9, "cr", web)],
        binary_annotations=[
            ttypes.BinaryAnnotation("sa", b"\x01", kinds.BOOL, db),
            ttypes.BinaryAnnotation("text", "ü".encode(), kinds.STRING, web),
            ttypes.BinaryAnnotation("yes", b"\x01", kinds.BOOL, web),
            ttypes.BinaryAnnotation("short", b"\xff\xfe", kinds.I16, web),
            ttypes.BinaryAnnotation("long", b"\x00" * 7 + b"\x07", kinds.I64, web),
            ttypes.BinaryAnnotation("float", b"\x3f\xf8" + b"\x00" * 6, kinds.DOUBLE, web),
            ttypes.BinaryAnnotation("odd", b"\x01", kinds.I64, web),
            ttypes.BinaryAnnotation("blob", b"\x00\xff", kinds.BYTES, web),
        ],
        debug=True,
    )


def test_thrift():
    """jaeger-client's generated code and Apache's protocol write it; every type of binary annotation is read."""
    [span] = decode_thrift(thrift_body(thrift_span()), NOW).spans
    assert (span.context.trace_id, span.context.span_id, span.context.parent_id) == (2**64 - 1, 2, 2**64 - 3)
    assert span.context.debug
    assert span.process == Process("web", {"ip": "127.0.0.1"})
    assert (round(span.start_time * 1e6), round(span.finish_time * 1e6)) == (START, START + 9)
    assert span.tags == {
        "text": "ü",
        "yes": True,
        "short": -2,
        "long": 7,
        "float": 1.5,
        "odd": b"\x01",
        "blob": b"\x00\xff",
        "span.kind": "client",
        "peer.service": "db",
        "peer.ipv4": "255.255.255.255",
        "peer.port": 3306,
    }
    assert decode_thrift(thrift_body(), NOW).spans == []


def protobuf_message():
    """Zipkin's ListOfSpans as a class of Google's library, from a description made here."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = {"bytes": 12, "text": 9, "fixed64": 6, "uint64": 4, "int32": 5, "bool": 8, "enum": 14}
    file = descriptor_pb2.FileDescriptorProto(name="zipkin_test.proto", package="zipkin_test", syntax="proto3")

    def message(name, *fields):
        described = file.message_type.add(name=name)
        for number, (field, declared) in enumerate(fields, 1):
            repeated, kind = (3, declared[1:]) if declared.startswith("*") else (1, declared)
            if kind in kinds:
                described.field.add(
                    name=field, number=number, label=repeated, type=kinds[kind] if kind != "enum" else 5
                )
            else:
                described.field.add(
                    name=field, number=number, label=repeated, type=11, type_name=f".zipkin_test.{kind}"
                )

    message("Endpoint", ("service_name", "text"), ("ipv4", "bytes"), ("ipv6", "bytes"), ("port", "int32"))
    message("Annotation", ("timestamp", "fixed64"), ("value", "text"))
    message("Tag", ("key", "text"), ("value", "text"))  # what a map is on the wire
    message(
        "Span",
        *(("trace_id", "bytes"), ("parent_id", "bytes"), ("id", "bytes"), ("kind", "enum"), ("name", "text")),
        *(
            ("timestamp", "fixed64"),
            ("duration", "uint64"),
            ("local_endpoint", "Endpoint"),
            ("remote_endpoint", "Endpoint"),
        ),
        *(("annotations", "*Annotation"), ("tags", "*Tag"), ("debug", "bool"), ("shared", "bool")),
    )
    message("ListOfSpans", ("spans", "*Span"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("zipkin_test.ListOfSpans"))


def protobuf_body(**more):
    message = protobuf_message()()
    span = message.spans.add(
        trace_id=b"\x01" * 16,
        parent_id=b"\0" * 7 + b"\x05",
        id=b"\0" * 7 + b"\x06",
        kind=2,
        name="op",
        timestamp=START,
        duration=9,
        **more,
    )
    span.local_endpoint.service_name = "web"
    span.local_endpoint.ipv4 = bytes((192, 0, 2, 1))
    span.remote_endpoint.ipv6 = bytes(15) + b"\x01"
    span.remote_endpoint.port = 70
    span.annotations.add(timestamp=START + 1, value="noted")
    span.tags.add(key="a", value="b")
    span.tags.add(key="empty")
    return message.SerializeToString()


def test_protobuf():
    """Google's library writes it."""
    [span] = decode_protobuf(protobuf_body(debug=True, shared=True), NOW).spans
    assert (span.context.trace_id, span.context.span_id, span.context.parent_id) == (int("01" * 16, 16), 6, 5)
    assert span.context.debug
    assert span.process == Process("web", {"ip": "192.0.2.1"})
    assert span.tags == {"a": "b", "empty": "", "span.kind": "server", "peer.ipv6": "::1", "peer.port": 70}
    assert span.logs == (LogRecord((START + 1) / 1e6, {"event": "noted"}),)
    assert (round(span.start_time * 1e6), round(span.finish_time * 1e6)) == (START, START + 9)


# -- whatever comes ----------------------------------------------------------------------------------------------------------------

NAMES = [
    "traceId",
    "id",
    "parentId",
    "name",
    "kind",
    "timestamp",
    "duration",
    "tags",
    "annotations",
    "binaryAnnotations",
    "value",
    "key",
]
NAMES += ["localEndpoint", "remoteEndpoint", "serviceName", "ipv4", "port", "endpoint", "debug", "error"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["1", "ab" * 8, "cs", "sr", "SERVER", START]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
SPANS = st.fixed_dictionaries(
    {"traceId": st.just("abc") | VALUES, "id": st.just("1") | VALUES},
    optional={name: VALUES for name in NAMES if name not in ("traceId", "id")},
)


def attempt(decode, body):
    """Decode; whatever is read can be stored, and nothing but DecodeError leaves."""
    try:
        spans = decode(body, NOW).spans
    except DecodeError:
        return
    for span in spans:
        jaeger_legacy.to_log(span)


@pytest.mark.parametrize("decode", [decode_json_v1, decode_json_v2])
@settings(max_examples=300, deadline=None)
@given(spans=st.lists(SPANS | VALUES, max_size=3))
def test_any_json(decode, spans):
    """Any values in any members: read, or refused in words."""
    attempt(decode, json.dumps(spans).encode())


@pytest.mark.parametrize("decode", [decode_json_v1, decode_json_v2, decode_thrift, decode_protobuf])
@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes(decode, body):
    """Read, or refused in words."""
    attempt(decode, body)


THRIFT, PROTOBUF = thrift_body(thrift_span(), thrift_span()), protobuf_body() * 2


@pytest.mark.parametrize(
    ("decode", "body"), [(decode_thrift, THRIFT), (decode_protobuf, PROTOBUF), (decode_json_v2, ENVOY.encode())]
)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_bodies(decode, body, data):
    """A good body with some bytes changed, cut out or put in: read, or refused in words."""
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not damaged:
            return
    attempt(decode, bytes(damaged))
