from __future__ import annotations

import asyncio
import base64
import gzip
import threading
from concurrent.futures import Future
from contextlib import ExitStack

import grpc
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from sls_tracing.backend.collector_http import CollectorHTTP
from sls_tracing.backend.otlp_grpc import LARGEST_MESSAGE, OTLPGRPCServer
from sls_tracing.backend.request_body import BodyReader
from sls_tracing.backend.serving import ServingSettings
from sls_tracing.backend.sockets import bind_tcp
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import LimitedLog
from sls_tracing.metrics import Counters

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def request(trace_id=b"\1" * 16, spans=1):
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for number in range(spans):
        scope.spans.add(trace_id=trace_id, span_id=(number + 1).to_bytes(8, "big"), name="op")
    return message.SerializeToString()


class Server:
    """The server on a loop of its own; ``spans`` is what it submitted, ``outcome`` what became of them (None: the queue had no room)."""

    def __init__(self, stack, settings=None, **limits):
        self.spans = []
        self.outcome = "stored"
        self.counters = Counters()
        self.settings = settings or ServingSettings()
        started, self._stop = Future(), None
        thread = threading.Thread(target=lambda: asyncio.run(self._run(started, limits)))
        thread.start()
        stack.callback(thread.join)
        self.loop, self.stop, self.port = started.result(20)
        stack.callback(self.loop.call_soon_threadsafe, self.stop.set)

    async def _run(self, started, limits):
        doors = CollectorHTTP(self._submit, reader=BodyReader(**limits), counters=self.counters, log=LimitedLog())
        server = OTLPGRPCServer(doors.store, doors.reader, self.settings, counters=self.counters, log=LimitedLog())
        port = await server.start("127.0.0.1", 0, "--otlp-grpc-port")
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop, port))
        await stop.wait()
        await server.stop()

    def _submit(self, spans, size):
        if self.outcome is None:
            return None
        self.spans += spans
        stored = Future()
        stored.set_result(self.outcome)
        return stored

    def call(self, body, *, metadata=(), method=EXPORT, compression=None):
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            answer = channel.unary_unary(method)(body, metadata=metadata, timeout=20, compression=compression)
            return ExportTraceServiceResponse.FromString(answer)

    def refused(self, body, **options):
        with pytest.raises(grpc.RpcError) as caught:
            self.call(body, **options)
        return caught.value


@pytest.fixture
def make():
    with ExitStack() as stack:
        yield lambda settings=None, **limits: Server(stack, settings, **limits)


def test_opentelemetrys_exporter_is_understood(make):
    """The SDK with its own gRPC exporter, batched and compressed: every span with its service, tags and parent."""
    server = make()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    exporter = OTLPSpanExporter(f"http://127.0.0.1:{server.port}", insecure=True, compression=grpc.Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("parent", attributes={"n": 7}):
        for number in range(100):
            tracer.start_span(f"child-{number}").end()
    provider.shutdown()
    spans = {span.operation_name: span for span in server.spans}
    assert len(spans) == 101
    assert spans["parent"].process.service_name == "shop"
    assert spans["parent"].tags["n"] == 7
    assert {span.context.parent_id for name, span in spans.items() if name != "parent"} == {
        spans["parent"].context.span_id
    }


def test_tls_and_a_token(make, tmp_path):
    """The exporter that trusts the certificate and knows the token is let in; without the token it is told so; without trust there is no call."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    server = make(ServingSettings(token="right", tls_cert=str(pem)))
    endpoint = f"https://127.0.0.1:{server.port}"
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    provider = TracerProvider()
    span = provider.get_tracer("test").start_span("op")
    span.end()
    results = {}
    for name, credentials, headers in (
        ("both", trusting, (("authorization", "Bearer right"),)),
        ("no token", trusting, ()),
        ("wrong token", trusting, (("authorization", "Bearer wrong"),)),
        ("no trust", grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes()), (("authorization", "Bearer right"),)),
    ):
        exporter = OTLPSpanExporter(endpoint, credentials=credentials, headers=headers, timeout=3)
        results[name] = exporter.export([span]) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert results == {"both": True, "no token": False, "wrong token": False, "no trust": False}
    assert len(server.spans) == 1
    assert server.counters.get("collector_otlp_grpc_unauthenticated") == 2


def test_basic_auth(make):
    """A user and a password, as metadata."""
    server = make(ServingSettings(user="me", password="pass"))
    good = base64.b64encode(b"me:pass").decode()
    server.call(request(), metadata=(("authorization", f"Basic {good}"),))
    assert server.refused(request()).code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(server.spans) == 1


def test_a_span_that_cannot_be_read_costs_itself_only(make):
    """The others are taken, and the answer says how many were not, and why."""
    server = make()
    partial = server.call(request(trace_id=b"") + request()).partial_success
    assert (partial.rejected_spans, "trace id" in partial.error_message) == (1, True)
    assert len(server.spans) == 1
    assert server.counters.get("collector_otlp_grpc_spans_rejected") == 1


def test_what_is_refused(make):
    """Codes that exporters act on: what is busy is tried again and says when, what cannot be read is not."""
    server = make()
    assert server.refused(b"\xff\xff garbage").code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.refused(b"", method="/nothing.There/Is").code() is grpc.StatusCode.UNIMPLEMENTED
    server.outcome = "refused"
    assert server.refused(request()).code() is grpc.StatusCode.INTERNAL
    for outcome in ("later", None):
        server.outcome = outcome
        error = server.refused(request())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert b"type.googleapis.com/google.rpc.RetryInfo" in details
        assert details.endswith(b"\x12\x04\x0a\x02\x08\x02")  # RetryInfo{retry_delay: {seconds: 2}}
    server.outcome = "stored"
    server.call(request())
    assert server.counters.snapshot() == {
        "collector_otlp_grpc_busy": 2,
        "collector_otlp_grpc_failed": 1,
        "collector_otlp_grpc_malformed": 1,
        "collector_otlp_grpc_requests": 5,
    }


def test_messages_have_a_bound_packed_or_not(make):
    """4 MiB as they come and unpacked: a bomb of a thousandth of its size is refused before it is opened whole; and the server goes on."""
    server = make()
    large = request() + b"\x0a\x00" * LARGEST_MESSAGE
    assert len(gzip.compress(large)) < 100_000
    for compression in (None, grpc.Compression.Gzip):
        assert server.refused(large, compression=compression).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    server.call(request(spans=1000), compression=grpc.Compression.Gzip)
    assert len(server.spans) == 1000


def test_bodies_in_progress_have_a_bound(make):
    """It is shared with the doors for HTTP; beyond it the exporter is asked to come back."""
    server = make(max_in_progress=10)
    assert server.refused(request()).code() is grpc.StatusCode.UNAVAILABLE
    assert server.counters.get("collector_otlp_grpc_busy") == 1


def test_a_taken_port_names_its_option():
    """No two servers share a port in silence, which gRPC does unless told not to."""

    async def start(port):
        server = OTLPGRPCServer(lambda *_: None, BodyReader())
        await server.start("127.0.0.1", port, "--otlp-grpc-port")

    with bind_tcp("127.0.0.1", 0, "--test") as sock, pytest.raises(ConfigurationError, match="--otlp-grpc-port"):
        asyncio.run(start(sock.getsockname()[1]))
