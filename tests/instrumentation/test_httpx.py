"""httpx, both clients, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import httpx
import pytest

from sls_tracing import instrumentation
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.instrumentation._patching import PatchedFunction
from sls_tracing.suppression import suppress

TRACE_HEADERS = ("x-b3-traceid", "x-b3-spanid", "b3", "traceparent", "uber-trace-id", "ot-tracer-traceid")


class Both:
    """The same call through the synchronous and the asynchronous client."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def request(self, method, url, *, client=None, **settings):
        if not self.is_async:
            with httpx.Client(**(client or {})) as sync_client:
                return sync_client.request(method, url, **settings)

        async def run():
            async with httpx.AsyncClient(**(client or {})) as async_client:
                return await async_client.request(method, url, **settings)

        return asyncio.run(run())

    def stream(self, url):
        if not self.is_async:
            with httpx.Client() as client, client.stream("GET", url) as response:
                return b"".join(response.iter_bytes())

        async def run():
            async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
                return b"".join([part async for part in response.aiter_bytes()])

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def both(request):
    return Both(request.param)


def test_one_client_span_whose_context_is_sent(recorded, server, both, sent_ids):
    """Named by the method; OpenTracing's tags; a child of the active span; its own ids in the headers."""
    with recorded.tracer.start_active_span("caller"):
        both.request("GET", f"http://user:pass@127.0.0.1:{server.port}/status/200?color=red&token=s3cret")
    span, caller = recorded.spans
    assert span.name == "GET"
    assert span.tags == {
        "component": "httpx",
        "span.kind": "client",
        "http.method": "GET",
        "http.url": f"{server.url}/status/200?color=red&token=REDACTED",
        "http.status_code": 200,
        "peer.hostname": "127.0.0.1",
        "peer.port": server.port,
    }
    assert (span.trace_id, span.parent_id) == (caller.trace_id, caller.span_id)
    assert sent_ids(recorded, server.headers[-1]) == (span.trace_id, span.span_id)


@pytest.mark.parametrize(("status", "error"), [(404, None), (503, True)])
def test_server_errors_are_errors(ours, server, both, status, error):
    """A 404 answers a question."""
    both.request("POST" if status == 0 else "GET", f"{server.url}/status/{status}")
    assert (ours.spans[0].tags["http.status_code"], ours.spans[0].tags.get("error")) == (status, error)


def test_a_call_that_fails_is_an_error_logged_once(recorded, both):
    """Nobody listens."""
    with pytest.raises(httpx.ConnectError):
        both.request("GET", "http://127.0.0.1:9/")
    (span,) = recorded.spans
    assert span.tags["error"] is True
    (log,) = span.errors()
    assert log["error.kind"] == "httpx.ConnectError"


def test_redirects_are_logs_of_one_span(recorded, server, both, sent_ids):
    """Every hop with the same ids, secrets cut out, and where it ended."""
    response = both.request("GET", f"{server.url}/redirect/2", follow_redirects=True)
    assert response.status_code == 200
    (span,) = recorded.spans
    assert span.tags["http.redirect_count"] == 2
    assert span.tags["http.status_code"] == 200
    assert span.tags["http.final_url"] == f"{server.url}/status/200"
    assert [log["http.url"] for log in span.events("redirect")] == [
        f"{server.url}/redirect/2",
        f"{server.url}/redirect/1?token=REDACTED",
    ]
    assert {sent_ids(recorded, headers) for headers in server.headers} == {(span.trace_id, span.span_id)}


def test_each_hop_follows_the_rules_for_its_own_host(ours, server, both):
    """A redirect to a host outside takes no ids along."""
    instrumentation.install(http=HTTPOptions(no_propagate_to=["localhost"]))
    both.request("GET", f"{server.url}/elsewhere", follow_redirects=True)
    first, second = server.headers
    assert "x-b3-traceid" in first
    assert "x-b3-traceid" not in second


def test_the_callers_headers_win_and_stay_his(ours, server, both):
    """Neither his dict, nor his request, nor the client's headers are changed; his trace goes out as he wrote it."""
    mine = {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}
    both.request("GET", f"{server.url}/status/200", headers=mine)
    assert mine == {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}
    assert {name: value for name, value in server.headers[-1].items() if name.startswith("x-b3")} == {
        "x-b3-traceid": "7" * 32,
        "x-b3-spanid": "8" * 16,
    }


def test_a_request_sent_twice_has_each_times_own_ids(recorded, server, sent_ids):
    """And is as it was afterwards."""
    with httpx.Client() as client:
        request = client.build_request("GET", f"{server.url}/status/200")
        before = list(request.headers.raw)
        client.send(request)
        client.send(request)
    assert list(request.headers.raw) == before
    assert [sent_ids(recorded, headers)[1] for headers in server.headers] == [span.span_id for span in recorded.spans]


def test_a_streamed_body_is_covered_to_its_end(recorded, server, both):
    """The span is not finished before."""
    assert both.stream(f"{server.url}/slow") == b"partpart"
    (span,) = recorded.spans
    assert span.duration >= 0.05


def test_a_body_that_breaks_is_an_error(ours, server, both):
    """The status was fine."""
    with pytest.raises(httpx.RemoteProtocolError):
        both.stream(f"{server.url}/broken")
    (span,) = ours.spans
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, 200)
    assert len(span.errors()) == 1


def test_a_response_that_is_forgotten_ends_its_span(ours, server):
    """When it is collected."""
    client = httpx.Client()
    response = client.send(client.build_request("GET", f"{server.url}/slow"), stream=True)
    assert ours.spans == []
    del response
    with contextlib.suppress(
        RuntimeError
    ):  # older httpcore: "closed while 1 HTTP requests/responses were still in-flight"
        client.close()
    gc.collect()
    assert len(ours.spans) == 1


def test_custom_transports_are_traced(ours, both):
    """A mock, in a client made before the installation."""
    instrumentation.uninstall()
    seen = []

    def handler(request):
        seen.append(request.headers.get("x-b3-traceid"))
        return httpx.Response(201, json={})

    client = httpx.Client(transport=httpx.MockTransport(handler))
    client.get("http://reviews:9080/")
    instrumentation.install()
    assert client.get("http://reviews:9080/").json() == {}
    instrumentation.uninstall()
    client.get("http://reviews:9080/")
    (span,) = ours.spans
    assert (span.tags["http.status_code"], span.tags["peer.hostname"]) == (201, "reviews")
    assert [header is None for header in seen] == [True, False, True]
    for owner in (httpx.Client, httpx.AsyncClient):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


def test_an_asgi_application_called_in_process_is_a_server_below_the_client(ours):
    """ASGITransport: client and server span, in one trace."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def page(request):
        return PlainTextResponse("ok")

    async def run():
        transport = httpx.ASGITransport(Starlette(routes=[Route("/p/{x}", page)]))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await client.get("/p/1")

    asyncio.run(run())
    server_span, client_span = ours.spans
    assert (server_span.name, server_span.parent_id) == ("GET /p/{x}", client_span.span_id)


def test_authentication_that_asks_again_is_one_call(ours):
    """Digest: a challenge, and the request once more."""

    def handler(request):
        if "authorization" in request.headers:
            return httpx.Response(200)
        return httpx.Response(401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    with httpx.Client(transport=httpx.MockTransport(handler), auth=httpx.DigestAuth("u", "p")) as client:
        client.get("http://here/")
    (span,) = ours.spans
    assert span.tags["http.resend_count"] == 1
    assert span.tags["http.status_code"] == 200


def test_suppressed_work_makes_no_span_and_gets_no_headers(ours, server, both):
    """Exporters."""
    with suppress():
        both.request("GET", f"{server.url}/status/200")
    assert ours.spans == []
    assert not set(TRACE_HEADERS) & set(server.headers[-1])


def test_fifty_calls_at_once_never_mix(ours, server):
    """Each is the child of its own task's span, and sends its own ids."""

    async def one(client, number):
        with ours.tracer.start_active_span(f"task {number}"):
            await client.get(f"{server.url}/status/200?n={number}")

    async def run():
        async with httpx.AsyncClient(timeout=30) as client:
            await asyncio.gather(*(one(client, number) for number in range(50)))

    asyncio.run(run())
    tasks = {span.span_id: span for span in ours.spans if span.name.startswith("task")}
    calls = [span for span in ours.spans if span.name == "GET"]
    assert len(calls) == len(tasks) == 50
    sent = {
        path.rpartition("=")[2]: headers["x-b3-spanid"]
        for path, headers in zip(server.paths, server.headers, strict=True)
    }
    for call in calls:
        number = call.tags["http.url"].rpartition("=")[2]
        assert tasks[call.parent_id].name == f"task {number}"
        assert int(sent[number], 16) == call.span_id


def test_a_cancelled_call_ends_its_span(ours, server):
    """asyncio.wait_for, anyio's and trio's like."""
    server.script = lambda handler: server.released.wait(20)

    async def run():
        async with httpx.AsyncClient() as client:
            with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                await asyncio.wait_for(client.get(f"{server.url}/"), 0.1)

    asyncio.run(run())
    server.released.set()
    (span,) = ours.spans
    assert span.tags["error"] is True


def test_hooks_see_httpxs_objects(ours, server, both):
    """The request before it is sent, the response with its status."""
    seen = []
    instrumentation.install(
        http=HTTPOptions(
            request_hook=lambda span, request: seen.append(type(request.native)),
            response_hook=lambda span, request, response: seen.append(type(response.native)),
            capture_response_headers=["content-length"],
        )
    )
    both.request("GET", f"{server.url}/status/200")
    assert seen == [httpx.Request, httpx.Response]
    assert ours.spans[0].tags["http.response.header.content-length"] == "4"


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_one_client_by_itself(ours, server, kind):
    """With its own options, beside others that are not traced; and undone."""
    instrumentation.uninstall()
    client, other = kind(), kind()
    assert instrumentation.instrument_session(client, http=HTTPOptions(no_propagate_to=["*"])) is client

    async def get(session):
        response = session.get(f"{server.url}/status/200")
        return await response if kind is httpx.AsyncClient else response

    async def run():
        await get(client)
        await get(other)
        assert len(ours.spans) == 1
        instrumentation.uninstrument_session(client)
        await get(client)

    asyncio.run(run())
    assert len(ours.spans) == 1
    assert not [headers for headers in server.headers if "x-b3-traceid" in headers]
    assert not [name for name, value in vars(kind).items() if isinstance(value, PatchedFunction)]
