"""gRPC between a real client and a real server, sync and async in all four pairings, four kinds of calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import opentracing
import pytest

from sls_tracing import instrumentation
from sls_tracing.instrumentation.grpc import ClientInterceptor, ServerInterceptor
from sls_tracing.instrumentation.grpc_aio import AioServerInterceptor, client_interceptors
from sls_tracing.suppression import suppress

SERVICE = "shop.Orders"


class Methods:
    """The server's methods, and what they saw."""

    def __init__(self):
        self.metadata = []
        self.released = threading.Event()

    def note(self, context):
        self.metadata.append(dict(context.invocation_metadata()))
        opentracing.tracer.start_span("inside").finish()

    def get(self, request, context):
        self.note(context)
        return request

    def missing(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such order")

    def broken(self, request, context):
        raise ValueError("s3cret detail of the server")

    def unavailable(self, request, context):
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("try later")
        return b""

    def slow(self, request, context):
        self.released.wait(20)
        return b""

    def watch(self, request, context):
        for number in range(3):
            self.note(context)
            yield b"%d" % number

    def endless(self, request, context):
        while True:
            yield b"more"
            time.sleep(0.001)

    def add(self, requests, context):
        self.note(context)
        return b"".join(requests)

    def talk(self, requests, context):
        for request in requests:
            self.note(context)
            yield request

    def handler(self):
        kinds = {"watch": "unary_stream", "endless": "unary_stream", "add": "stream_unary", "talk": "stream_stream"}
        names = ("get", "missing", "broken", "unavailable", "slow", *kinds)
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name.capitalize(): getattr(grpc, f"{kinds.get(name, 'unary_unary')}_rpc_method_handler")(
                    getattr(self, name)
                )
                for name in names
            },
        )


@pytest.fixture
def methods():
    methods = Methods()
    yield methods
    methods.released.set()


@contextlib.contextmanager
def serving(methods, **options):
    server = grpc.server(ThreadPoolExecutor(4), **options)
    server.add_generic_rpc_handlers((methods.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        methods.released.set()
        server.stop(0).wait()


@pytest.fixture
def target(recorded, methods):
    with serving(methods) as target:
        yield target


@pytest.fixture
def channel(target):
    with grpc.insecure_channel(target) as channel:
        yield channel


def call(channel, kind, name, **options):
    return getattr(channel, kind)(f"/{SERVICE}/{name}", **options)


def spans_of(recorded, name, number=2):
    """The client's and the server's span: the client may know first that a call is over."""
    deadline = time.monotonic() + 20
    while len(found := [span for span in recorded.spans if span.name == f"{SERVICE}/{name}"]) < number:
        assert time.monotonic() < deadline, recorded.spans
        time.sleep(0.002)
    return sorted(found, key=lambda span: span.tags["span.kind"])


def test_a_call_makes_a_client_and_a_server_span(recorded, channel, methods, target):
    with recorded.tracer.start_active_span("request") as scope:
        assert call(channel, "unary_unary", "Get")(b"a", metadata=[("own", "mine")]) == b"a"
    client, server = spans_of(recorded, "Get")
    port = int(target.rpartition(":")[2])
    assert (client.parent_id, server.parent_id) == (scope.span.context.span_id, client.span_id)
    common = {
        "component": "grpc", "rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "Get", "rpc.grpc.status_code": 0
    }  # fmt: skip
    assert client.tags == {**common, "span.kind": "client", "peer.hostname": "127.0.0.1", "peer.port": port}
    assert server.tags.pop("peer.port") > 0
    assert server.tags == {**common, "span.kind": "server", "peer.ipv4": "127.0.0.1"}
    (metadata,) = methods.metadata
    assert metadata["own"] == "mine"
    assert int(metadata["x-b3-traceid"], 16) == scope.span.context.trace_id
    inside = next(span for span in recorded.spans if span.name == "inside")
    assert inside.parent_id == server.span_id


@pytest.mark.parametrize(
    ("kind", "name", "request_of", "answer"),
    [
        ("unary_stream", "Watch", lambda: b"a", [b"0", b"1", b"2"]),
        ("stream_unary", "Add", lambda: iter([b"a", b"b"]), b"ab"),
        ("stream_stream", "Talk", lambda: iter([b"a", b"b"]), [b"a", b"b"]),
    ],
    ids=["unary_stream", "stream_unary", "stream_stream"],
)
def test_streams_end_with_the_last_message_and_own_what_happens_within(
    recorded, channel, kind, name, request_of, answer
):
    with recorded.tracer.start_active_span("request") as scope:
        response = call(channel, kind, name)(request_of())
        received = []
        if isinstance(answer, list):
            for message in response:
                assert recorded.tracer.active_span is scope.span
                received.append(message)
        assert (received or response) == answer
    client, server = spans_of(recorded, name)
    assert (client.parent_id, server.parent_id) == (scope.span.context.span_id, client.span_id)
    assert {span.parent_id for span in recorded.spans if span.name == "inside"} == {server.span_id}
    assert [span.tags["rpc.grpc.status_code"] for span in (client, server)] == [0, 0]


def test_futures_and_with_call(recorded, channel):
    stub = call(channel, "unary_unary", "Get")
    assert stub.future(b"a").result(timeout=20) == b"a"
    assert stub.with_call(b"b")[0] == b"b"
    spans_of(recorded, "Get", 4)


@pytest.mark.parametrize(
    ("name", "code", "client_error", "server_error"),
    [
        ("Missing", grpc.StatusCode.NOT_FOUND, None, None),
        ("Broken", grpc.StatusCode.UNKNOWN, "UNKNOWN", "ValueError"),
        ("Unavailable", grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "UNAVAILABLE"),
    ],
)
def test_statuses(recorded, channel, name, code, client_error, server_error):
    """Errors are what HTTP would answer with 500 and above."""
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, "unary_unary", name)(b"")
    assert raised.value.code() is code
    for span, kind in zip(spans_of(recorded, name), (client_error, server_error), strict=True):
        assert span.tags["rpc.grpc.status_code"] == code.value[0]
        assert span.tags.get("error", False) is (kind is not None)
        assert [error["error.kind"] for error in span.errors()] == ([kind] if kind else [])


def test_a_method_that_the_server_has_not(recorded, channel):
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/anything/4711")(b"")
    client, server = sorted(recorded.spans, key=lambda span: span.tags["span.kind"])
    assert (client.name, client.tags["error"], client.tags["rpc.grpc.status_code"]) == ("anything/4711", True, 12)
    assert (server.name, "error" in server.tags, server.parent_id) == ("<unmatched>", False, client.span_id)


def test_a_deadline_is_an_error_on_both_sides(recorded, channel, methods):
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, "unary_unary", "Slow")(b"", timeout=0.1)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    methods.released.set()
    for span in spans_of(recorded, "Slow"):
        assert (span.tags["rpc.grpc.status_code"], span.tags["error"]) == (4, True)


def test_a_cancelled_call_is_none(recorded, channel):
    """A client that stops listening: the server's span ends, though nobody tells its method."""
    responses = call(channel, "unary_stream", "Endless")(b"")
    next(responses)
    responses.cancel()
    for span in spans_of(recorded, "Endless"):
        assert (span.tags["rpc.grpc.status_code"], span.tags.get("error")) == (1, None)


def test_no_server(recorded):
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError):
        call(channel, "unary_unary", "Get")(b"")
    (span,) = recorded.spans
    assert (span.tags["rpc.grpc.status_code"], span.tags["error"], span.errors()[0]["error.kind"]) == (
        14,
        True,
        "UNAVAILABLE",
    )


def test_health_checks_and_exporters_make_no_spans(recorded, channel):
    for method in ("/grpc.health.v1.Health/Check", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"):
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(method)(b"")
    with suppress(), pytest.raises(grpc.RpcError):
        channel.unary_unary("/x/Y")(b"")
    assert not [span for span in recorded.spans if span.tags["span.kind"] == "client"]


def test_the_callers_own_headers_win_and_strange_baggage_breaks_nothing(recorded, channel, methods):
    own = [("x-b3-traceid", "a" * 32), ("x-b3-spanid", "b" * 16), ("data-bin", b"\x00\xff")]
    with recorded.tracer.start_active_span("request") as scope:
        scope.span.set_baggage_item("name", "Grüße")
        call(channel, "unary_unary", "Get")(b"a", metadata=own)
    assert methods.metadata[0]["x-b3-traceid"] == "a" * 32
    assert methods.metadata[0]["data-bin"] == b"\x00\xff"


def test_interceptors_of_the_application_and_explicit_ones(recorded, methods):
    seen = []

    class Mine(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            seen.append(details.method)
            return continuation(details)

    instrumentation.uninstall("grpc")
    with serving(methods, interceptors=[Mine(), ServerInterceptor()]) as target, grpc.insecure_channel(target) as plain:
        channel = grpc.intercept_channel(plain, ClientInterceptor(recorded.tracer, target))
        call(channel, "unary_unary", "Get")(b"a")
        spans_of(recorded, "Get")
    instrumentation.install("grpc")
    with (
        serving(methods, interceptors=[Mine(), ServerInterceptor()]) as target,
        grpc.insecure_channel(target) as channel,
    ):
        call(channel, "unary_unary", "Get")(b"a")
        spans_of(recorded, "Get", 4)
    assert seen == [f"/{SERVICE}/Get"] * 2
    assert len([span for span in recorded.spans if span.name == f"{SERVICE}/Get"]) == 4


def test_uninstall_leaves_nothing_and_silences_what_was_made(recorded, channel, methods):
    instrumentation.uninstall("grpc")
    assert call(channel, "unary_unary", "Get")(b"a") == b"a"
    assert list(call(channel, "unary_stream", "Watch")(b"a")) == [b"0", b"1", b"2"]
    assert {span.name for span in recorded.spans} == {"inside"}
    assert not any(name.startswith("x-b3") for name in methods.metadata[0])
    for function in (grpc.insecure_channel, grpc.server, grpc.aio.insecure_channel, grpc.aio.server):
        assert type(function).__name__ == "function"


def test_a_raising_tracer_harms_nothing(recorded, channel, monkeypatch):
    recorded.expects_failures = True
    monkeypatch.setattr(type(recorded.tracer), "start_span", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(grpc.RpcError):  # the method itself makes a span
        call(channel, "unary_unary", "Get")(b"a")
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, "unary_unary", "Missing")(b"a")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(call(channel, "unary_stream", "Endless")(b"")) == b"more"


# -- asyncio -----------------------------------------------------------------------------------------------------------


class AsyncMethods(Methods):
    async def get(self, request, context):
        self.note(context)
        await asyncio.sleep(0)
        return request

    async def missing(self, request, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such order")

    async def broken(self, request, context):
        raise ValueError("detail")

    async def slow(self, request, context):
        await asyncio.sleep(20)

    async def watch(self, request, context):
        for number in range(3):
            self.note(context)
            yield b"%d" % number

    async def endless(self, request, context):
        while True:
            yield b"more"
            await asyncio.sleep(0.001)

    async def add(self, requests, context):
        self.note(context)
        return b"".join([request async for request in requests])

    async def talk(self, requests, context):
        async for request in requests:
            self.note(context)
            await context.write(request)


async def aio_serving(work, methods, **options):
    """Run ``work(target)`` beside an asynchronous server."""
    server = grpc.aio.server(ThreadPoolExecutor(2), **options)
    server.add_generic_rpc_handlers((methods.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        return await asyncio.wait_for(work(f"127.0.0.1:{port}"), 60)
    finally:
        await server.stop(0)


async def seen(recorded, name):
    for _ in range(2_000):
        if len([span for span in recorded.spans if span.name == f"{SERVICE}/{name}"]) >= 2:
            break
        await asyncio.sleep(0.005)
    return spans_of(recorded, name)


async def requests():
    yield b"a"
    yield b"b"


@pytest.mark.parametrize("methods", [AsyncMethods(), Methods()], ids=["asynchronous", "synchronous"])
def test_four_kinds_asynchronously(recorded, methods):
    """Methods may be synchronous also there: they run in threads."""

    async def work(target):
        with recorded.tracer.start_active_span("request") as scope:
            async with grpc.aio.insecure_channel(target) as channel:
                assert await call(channel, "unary_unary", "Get")(b"a") == b"a"
                assert [message async for message in call(channel, "unary_stream", "Watch")(b"a")] == [b"0", b"1", b"2"]
                assert await call(channel, "stream_unary", "Add")(requests()) == b"ab"
                assert [message async for message in call(channel, "stream_stream", "Talk")(requests())] == [b"a", b"b"]
            assert recorded.tracer.active_span is scope.span
        for name in ("Get", "Watch", "Add", "Talk"):
            client, server = await seen(recorded, name)
            assert (client.parent_id, server.parent_id) == (scope.span.context.span_id, client.span_id)
            assert [span.tags["rpc.grpc.status_code"] for span in (client, server)] == [0, 0]
            assert server.span_id in {span.parent_id for span in recorded.spans if span.name == "inside"}

    asyncio.run(aio_serving(work, methods))


def test_statuses_deadlines_and_cancellation_asynchronously(recorded):
    async def work(target):
        async with grpc.aio.insecure_channel(target) as channel:
            for name in ("Missing", "Broken"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(channel, "unary_unary", name)(b"")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, "unary_unary", "Slow")(b"", timeout=0.1)
            responses = call(channel, "unary_stream", "Endless")(b"")
            await responses.read()
            responses.cancel()
            found = {name: await seen(recorded, name) for name in ("Missing", "Broken", "Slow", "Endless")}
        codes = {name: [span.tags["rpc.grpc.status_code"] for span in spans] for name, spans in found.items()}
        assert codes.pop("Slow") in (
            [4, 4],
            [4, 1],
        )  # the server may hear that the client went before its own clock says why
        assert codes == {"Missing": [5, 5], "Broken": [2, 2], "Endless": [1, 1]}
        assert [span.tags.get("error") for span in found["Missing"] + found["Endless"]] == [None] * 4
        assert found["Broken"][1].errors()[0]["error.kind"] == "ValueError"

    asyncio.run(aio_serving(work, AsyncMethods()))


def test_statuses_of_synchronous_methods_in_an_asynchronous_server(recorded):
    async def work(target):
        async with grpc.aio.insecure_channel(target) as channel:
            for name in ("Missing", "Unavailable"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(channel, "unary_unary", name)(b"")
            found = [await seen(recorded, name) for name in ("Missing", "Unavailable")]
        assert [[span.tags["rpc.grpc.status_code"] for span in spans] for spans in found] == [[5, 5], [14, 14]]
        assert found[1][1].errors()[0]["message"] == "try later"

    asyncio.run(aio_serving(work, Methods()))


def test_explicit_asynchronous_interceptors(recorded):
    async def work(target):
        interceptors = client_interceptors(recorded.tracer, target)
        async with grpc.aio.insecure_channel(target, interceptors=interceptors) as channel:
            await call(channel, "unary_unary", "Get")(b"a")
            await seen(recorded, "Get")

    instrumentation.uninstall("grpc")
    asyncio.run(aio_serving(work, AsyncMethods(), interceptors=[AioServerInterceptor()]))
    assert [span.tags["span.kind"] for span in spans_of(recorded, "Get")] == ["client", "server"]
