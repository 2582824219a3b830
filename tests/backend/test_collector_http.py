from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import socket
import subprocess
import sys
import threading
import zlib
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sls_tracing.backend.collector import Collector
from sls_tracing.backend.collector_http import CollectorHTTP
from sls_tracing.backend.content_coding import unpack
from sls_tracing.backend.request_body import BodyReader
from sls_tracing.context import SpanContext
from sls_tracing.guard import LimitedLog
from sls_tracing.metrics import Counters
from sls_tracing.model import Process, SpanRecord
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.schema import DecodeError

THRIFT, JSON, PROTOBUF = "application/x-thrift", "application/json", "application/x-protobuf"
SPAN_JSON = {"traceId": "abc", "id": "1", "name": "op"}
ZIPKIN_BODY = json.dumps([SPAN_JSON]).encode()


def thrift_body(count=1):
    encoder = BinaryEncoder()
    process = Process("svc")
    spans = [SpanRecord("op", SpanContext(0xABC, 1 + n), [], 1.6e9, 1.6e9, {}, (), process) for n in range(count)]
    return encoder.batch(encoder.process(process), [encoder.span(span) for span in spans])


def otlp_body(trace_id=b"\1" * 16):
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=b"\2" * 8, name="op")
    return message.SerializeToString()


OTLP_JSON = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "01" * 16, "spanId": "02" * 8}]}]}]}


class Doors:
    """The three applications, served; ``spans`` is what they submitted, ``takes`` whether the queue has room."""

    def __init__(self, serve, **limits):
        self.spans = []
        self.takes = True
        self.outcome = "stored"
        self.counters = Counters()
        doors = CollectorHTTP(
            self.submit, reader=BodyReader(**limits), clock=lambda: 1.7e9, counters=self.counters, log=LimitedLog()
        )
        self.thrift, self.zipkin, self.otlp = (
            serve(app) for app in (doors.thrift_app(), doors.zipkin_app(), doors.otlp_app())
        )

    def submit(self, spans, size):
        if not self.takes:
            return None
        self.spans += spans
        stored = Future()
        stored.set_result(self.outcome)
        return stored

    def good(self):
        """Every door with a request that it takes."""
        return {
            "thrift": (self.thrift + "/api/traces", THRIFT, thrift_body()),
            "zipkin": (self.zipkin + "/api/v2/spans", JSON, ZIPKIN_BODY),
            "otlp": (self.otlp + "/v1/traces", PROTOBUF, otlp_body()),
        }


@pytest.fixture
def doors(serve):
    return Doors(serve)


def post(url, kind, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(url, data=body, headers={"Content-Type": kind, **headers}, timeout=60)


DOORS = pytest.mark.parametrize("door", ["thrift", "zipkin", "otlp"])


@pytest.mark.parametrize(
    ("door", "path", "kind", "body", "status"),
    [
        ("thrift", "/api/traces", THRIFT, thrift_body(), 202),
        (
            "thrift",
            "/api/traces?format=jaeger.thrift",
            "application/vnd.apache.thrift.binary; charset=x",
            thrift_body(),
            202,
        ),
        ("zipkin", "/api/v2/spans", JSON, ZIPKIN_BODY, 202),
        ("zipkin", "/api/v2/spans", "application/json;charset=UTF-8", ZIPKIN_BODY, 202),
        ("zipkin", "/api/v2/spans", None, ZIPKIN_BODY, 202),
        ("zipkin", "/", JSON, ZIPKIN_BODY, 202),
        ("zipkin", "/anything/else", JSON, ZIPKIN_BODY, 202),
        ("zipkin", "/api/v1/spans", JSON, ZIPKIN_BODY, 202),
        ("zipkin", "/api/v2/spans", PROTOBUF, b"\x0a\x09\x0a\x02\x0a\xbc\x1a\x03\0\0\1", 202),
        ("otlp", "/v1/traces", PROTOBUF, otlp_body(), 200),
        ("otlp", "/v1/traces", JSON, json.dumps(OTLP_JSON).encode(), 200),
    ],
)
def test_what_is_taken(doors, door, path, kind, body, status):
    """Paths, content types and statuses are those that each kind of client was written for."""
    response = post(getattr(doors, door) + path, kind, body)
    assert response.status_code == status, response.text
    assert [span.context.span_id for span in doors.spans] == [int("02" * 8, 16) if door == "otlp" else 1]
    assert doors.counters.snapshot() == {f"collector_{door}_requests": 1}


def test_zipkins_answer_to_a_request_that_is_not_to_be_traced(doors):
    """Envoy and our own senders mark their reports with b3: 0; the answer is 202 with or without, chunked or not."""
    for body in (ZIPKIN_BODY, iter([ZIPKIN_BODY[:10], ZIPKIN_BODY[10:]])):
        response = post(doors.zipkin + "/api/v2/spans", JSON, body, b3="0")
        assert (response.status_code, response.content) == (202, b"")
    assert len(doors.spans) == 2


def test_otlps_answer_is_in_the_encoding_of_its_request(doors):
    """Empty messages when all was taken, else how many spans were not, and why."""
    url = doors.otlp + "/v1/traces"
    response = post(url, PROTOBUF, otlp_body())
    assert (response.content, response.headers["content-type"]) == (b"", PROTOBUF)
    response = post(url, PROTOBUF, b"")
    assert (response.status_code, response.content) == (200, b"")
    response = post(url, JSON, json.dumps(OTLP_JSON))
    assert (response.json(), response.headers["content-type"]) == ({}, JSON)
    response = post(url, PROTOBUF, otlp_body(trace_id=b"") + otlp_body())
    assert response.status_code == 200
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (partial.rejected_spans, "trace id" in partial.error_message) == (1, True)
    response = post(url, JSON, json.dumps(OTLP_JSON).replace("01", ""))
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert doors.counters.get("collector_otlp_spans_rejected") == 2


@pytest.mark.parametrize(
    ("door", "path", "kind", "body", "status", "reason"),
    [
        ("thrift", "/api/traces", None, b"x", 400, "Cannot parse content type"),
        ("thrift", "/api/traces", "text/plain", b"x", 400, "Unsupported content type: text/plain"),
        ("thrift", "/api/traces", THRIFT, b"garbage", 400, "Unable to process request body: "),
        ("thrift", "/api/traces", THRIFT, b"", 400, "Unable to process request body: truncated"),
        (
            "zipkin",
            "/api/v2/spans",
            "text/plain",
            ZIPKIN_BODY,
            415,
            "supported for v2: application/json, application/x-protobuf",
        ),
        (
            "zipkin",
            "/api/v1/spans",
            PROTOBUF,
            ZIPKIN_BODY,
            415,
            "supported for v1: application/json, application/x-thrift",
        ),
        ("zipkin", "/api/v2/spans", JSON, b"garbage", 400, "not JSON"),
        ("zipkin", "/api/v2/spans", JSON, b"", 400, "not JSON"),
        ("zipkin", "/api/v2/spans", JSON, b'[{"traceId": "\\ud800"}]', 400, "hexadecimal"),
        ("zipkin", "/api/v1/spans", THRIFT, b"garbage", 400, ""),
        ("otlp", "/v1/traces", "text/plain", b"x", 415, "supported: application/x-protobuf, application/json"),
        ("otlp", "/v1/traces", None, b"x", 415, "supported"),
        ("otlp", "/v1/traces", PROTOBUF, b"garbage", 400, "protobuf"),
        ("otlp", "/v1/traces", JSON, b"garbage", 400, "not JSON"),
        ("otlp", "/v1/metrics", PROTOBUF, b"", 404, "Not Found"),
        ("thrift", "/api/v2/spans", JSON, b"[]", 404, "Not Found"),
    ],
)
def test_what_is_refused(doors, door, path, kind, body, status, reason):
    """With a reason in words; and the next request is served."""
    response = post(getattr(doors, door) + path, kind, body)
    assert response.status_code == status
    assert reason in response.text
    if status != 404:
        assert sum(doors.counters.get(f"collector_{door}_{kind}") for kind in ("malformed", "unsupported")) == 1
    assert doors.spans == []
    url, kind, body = doors.good()[door]
    assert post(url, kind, body).ok


def test_otlps_refusals_are_a_status_in_its_encoding(doors):
    """google.rpc.Status, as the specification wants it."""
    response = post(doors.otlp + "/v1/traces", JSON, b"garbage")
    assert response.json()["code"] == 3
    assert "not JSON" in response.json()["message"]
    response = post(doors.otlp + "/v1/traces", PROTOBUF, b"garbage")
    assert response.headers["content-type"] == PROTOBUF
    assert response.content[:3] == b"\x08\x03\x12"


@DOORS
def test_only_post_is_served(doors, door):
    """405 names the method; a health check is there for who runs it."""
    url, _, _ = doors.good()[door]
    response = requests.get(url, timeout=30)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert requests.get(getattr(doors, door) + "/healthz", timeout=30).json() == {"status": "ok"}


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def split_gzip(body):
    return gzip.compress(body[:7]) + gzip.compress(body[7:])


@DOORS
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", split_gzip),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
def test_compressed_bodies(doors, door, coding, pack):
    """gzip in one or more members, deflate with zlib's header or bare."""
    url, kind, body = doors.good()[door]
    assert post(url, kind, pack(body), Content_Encoding=coding).ok
    assert len(doors.spans) == 1


@DOORS
@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"garbage", 400),
        ("gzip", gzip.compress(b"x" * 99, mtime=0)[:-9], 400),
        ("deflate", b"\xff", 400),
        ("br", b"", 415),
        ("gzip, gzip", b"", 415),
    ],
)
def test_bad_compression(doors, door, coding, body, status):
    """Refused with the reason; an unknown coding is answered with those that are known."""
    url, kind, _ = doors.good()[door]
    response = post(url, kind, body, Content_Encoding=coding)
    assert response.status_code == status
    if status == 415:
        assert response.headers["accept-encoding"] == "gzip, deflate"


def test_unpacking_stops_at_its_limit():
    """Not after it; and truncated streams are told from whole ones."""
    packed = gzip.compress(b"x" * 10_000)
    assert unpack(packed, "gzip", 10_000) == b"x" * 10_000
    with pytest.raises(DecodeError, match="more than 9999 bytes when unpacked"):
        unpack(packed, "gzip", 9_999)
    with pytest.raises(DecodeError, match="truncated gzip"):
        unpack(packed[:-1], "gzip", 10_000)


@DOORS
def test_a_body_that_is_too_large(serve, door):
    """413 whether its length was declared, hidden in chunks or in gzip; the client gets to read it, and the next request is served."""
    doors = Doors(serve, max_bytes=100_000, max_unpacked=200_000)
    url, kind, good = doors.good()[door]
    many = bytes(5_000_000)
    for body, headers in (
        (many, {}),
        (iter([many[:50_000]] * 100), {}),
        (many, {"Connection": "close"}),
        (gzip.compress(many), {"Content_Encoding": "gzip"}),
    ):
        response = post(url, kind, body, **headers)
        assert response.status_code == 413
        assert "100000 bytes" in response.text or "200000 bytes when unpacked" in response.text
        assert post(url, kind, good).ok
    assert doors.counters.get(f"collector_{door}_too_large") == 4


def test_a_client_that_asks_first_need_not_send(serve):
    """Expect: 100-continue with a length beyond the limit is answered at once."""
    doors = Doors(serve, max_bytes=1000)
    address = urlsplit(doors.thrift)
    with socket.create_connection((address.hostname, address.port), 30) as sock:
        sock.sendall(
            b"POST /api/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-thrift\r\n"
            b"Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


def test_too_many_spans(doors):
    """A body within its limit that asks for more spans than a request may: 413."""
    response = post(doors.zipkin + "/", JSON, b"[" + b"0," * 60_000 + b"0]")
    assert response.status_code == 413
    assert "spans in one request" in response.text


@DOORS
def test_a_full_queue_is_told(doors, door):
    """503 with Retry-After, which clients obey, instead of Jaeger's silent 202; when there is room again, it is taken."""
    url, kind, body = doors.good()[door]
    doors.takes = False
    response = post(url, kind, body)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "queue" in response.text
    assert doors.counters.get(f"collector_{door}_busy") == 1
    doors.takes = True
    assert post(url, kind, body).ok


def test_the_collectors_own_queue(serve):
    """A real collector whose store does not get on: the request that does not fit is refused, and what was taken is stored."""
    go_on = threading.Event()
    stored = []

    class Store:
        def write(self, spans):
            assert go_on.wait(60)
            stored.extend(spans)

    collector = Collector(Store(), capacity=1000, counters=Counters())
    url = serve(CollectorHTTP(collector.submit_and_tell).thrift_app()) + "/api/traces"
    with ThreadPoolExecutor(20) as clients:
        answers = [clients.submit(post, url, THRIFT, thrift_body(4)) for _ in range(20)]
        wait(answers, return_when=FIRST_COMPLETED)  # a refusal: nothing is stored yet
        assert not stored
        go_on.set()
        statuses = [answer.result().status_code for answer in answers]
    assert set(statuses) == {202, 503}
    assert collector.close(30)
    assert len(stored) == 4 * statuses.count(202)


@DOORS
def test_spans_that_were_not_stored_are_not_acknowledged(doors, door):
    """503 when the store may take them later, 500 when it never will."""
    url, kind, body = doors.good()[door]
    for outcome, status in (("later", 503), ("refused", 500), ("stored", 202 if door != "otlp" else 200)):
        doors.outcome = outcome
        assert post(url, kind, body).status_code == status


def test_bodies_that_come_too_slowly(serve):
    """408 after the time that a body gets; a client that leaves half-way is counted, and nothing else."""
    doors = Doors(serve, timeout=0.2)
    address = urlsplit(doors.zipkin)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n["
    with socket.create_connection((address.hostname, address.port), 30) as sock:
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 408")
    assert doors.counters.get("collector_zipkin_timed_out") == 1


def test_clients_that_leave(doors, eventually):
    """Half a body and gone: counted."""
    address = urlsplit(doors.zipkin)
    with socket.create_connection((address.hostname, address.port), 30) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n[")
    eventually(lambda: doors.counters.get("collector_zipkin_disconnected"))
    assert doors.spans == []


def test_bodies_in_progress_are_bounded_together(serve, eventually):
    """Many that are each within the limit: those beyond the common one are told to come back, and their memory comes back, too."""
    doors = Doors(serve, max_in_progress=100_000)
    address = urlsplit(doors.zipkin)
    waiting = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    waiting.putrequest("POST", "/")
    waiting.putheader("Content-Length", "90000")
    waiting.endheaders(b"[" + b" " * 89_998)  # all but the last byte
    body = b"[" + b" " * 50_000 + b"]"

    def refused():
        return post(doors.zipkin + "/", JSON, body).status_code == 503

    eventually(refused)
    waiting.send(b"]")
    assert waiting.getresponse().status == 202
    assert post(doors.zipkin + "/", JSON, body).status_code == 202
    waiting.close()


def test_noise(doors):
    """Random bytes of random lengths through every door, between good requests: 4xx each, and every good one is taken."""
    rng = random.Random(4)
    for url, kind, good in doors.good().values():
        for _ in range(20):
            assert post(url, kind, b"\xff" + rng.randbytes(rng.randrange(500))).status_code == 400
        assert post(url, kind, good).ok
    assert len(doors.spans) == 3


PROGRAM = [sys.executable, "-m", "sls_tracing", "all-in-one"]
PROGRAM += [f"--{name}-port=0" for name in ("agent-compact", "agent-binary", "query", "collector", "zipkin", "otlp")]


def peak_memory(process):
    """The most that the process ever held, in MiB."""
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024


def hostile_bodies():
    """Name, door, content type, coding and body of what costs a sender little and a careless server much."""
    mebi = 1 << 20
    yield "100 MB", "zipkin", JSON, "", bytes(100_000_000)
    yield "100 MB in chunks", "otlp", PROTOBUF, "", iter([bytes(mebi)] * 100)
    yield "100 MB of Thrift", "thrift", THRIFT, "", bytes(100_000_000)
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(mebi)) for _ in range(1000)) + bomb.flush()
    for door, kind in (("zipkin", JSON), ("otlp", PROTOBUF), ("otlp", JSON), ("thrift", THRIFT)):
        yield f"1 GiB in {len(packed)} bytes of gzip", door, kind, "gzip", packed
    for inner in (b"[]", b"{}", b"0", b'{"a":[]}'):
        yield (
            f"JSON of nothing but {inner}",
            "zipkin",
            JSON,
            "gzip",
            gzip.compress(b"[" + (inner + b",") * (15 * mebi // len(inner)) + b"0]"),
        )
    yield "deep JSON", "otlp", JSON, "gzip", gzip.compress(b"[" * 30 * mebi)
    yield "empty resources", "otlp", PROTOBUF, "gzip", gzip.compress(b"\x0a\x00" * 15 * mebi)
    yield "a list of 2**31 structs", "zipkin-v1", THRIFT, "", b"\x0c\x7f\xff\xff\xff"
    tags = b"\x0b\0\1\0\0\0\0\x08\0\2\0\0\0\0\0" * (2 * mebi)
    process = b"\x0c\0\1\x0b\0\1\0\0\0\0\x0f\0\2\x0c" + (2 * mebi).to_bytes(4, "big") + tags + b"\0"
    yield "Thrift of nothing but tags", "thrift", THRIFT, "gzip", gzip.compress(process + b"\x0f\0\2\x0c\0\0\0\0\0")
    for name, span in (
        ("tags", {"tags": {format(n, "x"): "" for n in range(490_000)}}),
        ("annotations", {"annotations": [{}] * 240_000}),
    ):
        yield (
            f"a span with many {name}",
            "zipkin",
            JSON,
            "gzip",
            gzip.compress(json.dumps([SPAN_JSON | span], separators=(",", ":")).encode()),
        )
    yield "short spans", "zipkin", JSON, "", b"[" + b",".join([ZIPKIN_BODY[1:-1]] * 49_000) + b"]"
    events = json.dumps(OTLP_JSON, separators=(",", ":")).replace(
        '"spanId"', f'"events":[{"{}," * 240_000}{{}}],"spanId"'
    )
    yield "a span with many events in JSON", "otlp", JSON, "gzip", gzip.compress(events.encode())
    message = ExportTraceServiceRequest.FromString(otlp_body())
    for _ in range(500_000):
        message.resource_spans[0].scope_spans[0].spans[0].events.add()
    yield "a span with many events", "otlp", PROTOBUF, "gzip", gzip.compress(message.SerializeToString())
    yield (
        "structs of nothing",
        "zipkin-v1",
        THRIFT,
        "gzip",
        gzip.compress(b"\x0c" + (20 * mebi).to_bytes(4, "big") + bytes(20 * mebi)),
    )


@pytest.mark.timeout(400)
def test_memory_is_bounded():
    """Whatever comes to the real process is taken or refused in words, its memory grows by a fixed amount at most, and it goes on serving."""
    with subprocess.Popen(PROGRAM, stdout=subprocess.PIPE, text=True) as process:
        banner = ""
        for line in process.stdout:
            banner += line
            if "Ctrl-C" in line:
                break
        thrift, zipkin, otlp, *_ = re.findall(r"collect +(http://\S+)", banner)
        query = re.search(r"query +(http://\S+)", banner)[1]
        urls = {"thrift": thrift, "zipkin": zipkin, "otlp": otlp, "zipkin-v1": zipkin.replace("v2", "v1")}
        try:
            assert post(zipkin, JSON, ZIPKIN_BODY).status_code == 202
            before = peak_memory(process)
            for name, door, kind, coding, body in hostile_bodies():
                response = post(urls[door], kind, body, **({"Content_Encoding": coding} if coding else {}))
                assert response.status_code in (400, 413) or "a span" in name or "spans" in name, name
                assert response.text or response.ok, name
                grown = peak_memory(process) - before
                assert grown < 1000, f"{name}: {grown:.0f} MiB more"
                assert post(zipkin, JSON, ZIPKIN_BODY).status_code == 202, name
            assert requests.get(query + "/api/services", timeout=30).json()["data"]
        finally:
            process.terminate()
    assert process.returncode == 0
