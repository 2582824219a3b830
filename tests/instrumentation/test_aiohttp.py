"""aiohttp, server and client, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading

import aiohttp
import opentracing
import pytest
from aiohttp import web

from sls_tracing import instrumentation
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.instrumentation._patching import PatchedFunction
from sls_tracing.suppression import suppress

pytestmark = pytest.mark.filterwarnings("error:.*RequestKey", "error:.*ResponseKey")

B3 = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-sampled": "1"}


def child(name):
    """Make a span under the active one."""
    opentracing.tracer.start_span(name).finish()


async def hello(request):
    child("inner")
    return web.Response(text="hello")


async def failing(request):
    raise LookupError("no such book")


async def refused(request):
    raise web.HTTPServiceUnavailable(text="not today")


async def gone(request):
    raise web.HTTPGone


async def streaming(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for part in (b"one", b"two"):
        child(part.decode())
        await response.write(part)
        await asyncio.sleep(0.03)
    return response


async def echo(request):
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        child(f"work {message.data}")
        if message.data == "fail":
            raise LookupError("no such room")
        await response.send_str(message.data)
    return response


@web.middleware
async def translating(request, handler):
    try:
        return await handler(request)
    except KeyError:
        return web.Response(status=502, text="sorry")


async def handled(request):
    raise KeyError("handled")


def make_app():
    app = web.Application(middlewares=[translating])
    sub = web.Application()
    sub.router.add_get("/book/{id}", hello)
    app.add_subapp("/shop", sub)
    app.router.add_get("/hello/{name}", hello)
    app.router.add_get(r"/numbers/{number:\d+}", hello)
    for name, handler in {
        "failing": failing, "refused": refused, "gone": gone, "handled": handled, "streaming": streaming, "healthz": hello,
    }.items():  # fmt: skip
        app.router.add_get(f"/{name}", handler)
    app.router.add_get("/ws/{room}", echo)
    app.router.add_static("/files", ".")
    return app


@pytest.fixture
def serve_aiohttp():
    """``serve_aiohttp(app)`` runs it on a loop in a thread of its own and returns its URL."""
    stops = []

    def serve(app):
        started = threading.Event()
        box = {}

        async def run():
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event(), port=runner.addresses[0][1])
            started.set()
            await box["stop"].wait()
            await runner.cleanup()

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        assert started.wait(20)
        stops.append(lambda: (box["loop"].call_soon_threadsafe(box["stop"].set), thread.join(20)))
        return f"http://127.0.0.1:{box['port']}"

    yield serve
    for stop in stops:
        stop()


# -- server ------------------------------------------------------------------------------------------------------------


def test_one_server_span_that_continues_the_callers_trace(recorded, serve_aiohttp, fetch, finished):
    """Named by the pattern; OpenTracing's tags; child of the headers' context; what the handler starts is its child."""
    url = serve_aiohttp(make_app())
    headers = {}
    caller = recorded.tracer.start_span("caller")
    recorded.tracer.inject(caller.context, opentracing.Format.HTTP_HEADERS, headers)
    assert fetch(f"{url}/hello/world?token=s3cret&x=1", headers=headers).body == b"hello"
    inner, span = finished(recorded, 2)
    assert span.name == "GET /hello/{name}"
    assert span.tags.pop("peer.port") > 0
    assert span.tags == {
        "component": "aiohttp",
        "span.kind": "server",
        "http.method": "GET",
        "http.route": "/hello/{name}",
        "http.url": f"{url}/hello/world?token=REDACTED&x=1",
        "http.status_code": 200,
        "peer.ipv4": "127.0.0.1",
    }
    assert (span.trace_id, span.parent_id) == (caller.context.trace_id, caller.context.span_id)
    assert (inner.name, inner.trace_id, inner.parent_id) == ("inner", span.trace_id, span.span_id)


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/nowhere/77", "GET <unmatched>", 404),
        ("GET", "/numbers/7", "GET /numbers/{number}", 200),
        ("POST", "/numbers/7", "POST <unmatched>", 405),
        ("GET", "/shop/book/4", "GET /shop/book/{id}", 200),
        ("GET", "/files/setup.py", "GET /files", 200),
        ("HEAD", "/hello/x", "HEAD /hello/{name}", 200),
        ("GET", "/gone", "GET /gone", 410),
    ],
)
def test_names_are_few(ours, serve_aiohttp, fetch, wait_until, method, path, name, status):
    """Patterns with their sub-applications, or <unmatched>; a client error is no error of the server."""
    assert fetch(serve_aiohttp(make_app()) + path, method).status == status
    wait_until(lambda: ours.spans and ours.spans[-1].name == name)
    assert ours.spans[-1].tags["http.status_code"] == status
    assert "error" not in ours.spans[-1].tags


@pytest.mark.parametrize(
    ("path", "status", "kinds"),
    [
        ("/failing", 500, ["LookupError"]),
        ("/refused", 503, ["HTTPServiceUnavailable"]),
        ("/handled", 502, []),
    ],
)
def test_an_error_is_logged_once(recorded, serve_aiohttp, fetch, finished, path, status, kinds):
    """Unhandled, an HTTPException, or an answer that a middleware made of it (which then is all that is known)."""
    assert fetch(serve_aiohttp(make_app()) + path).status == status
    (span,) = finished(recorded)
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, status)
    assert [log["error.kind"].rpartition(".")[2] for log in span.errors()] == kinds


def test_a_streamed_answer_is_covered_to_its_end(recorded, serve_aiohttp, fetch, finished):
    """And what is made meanwhile is inside."""
    fetch(serve_aiohttp(make_app()) + "/streaming")
    one, two, span = finished(recorded, 3)
    assert span.duration >= 0.05
    assert {one.parent_id, two.parent_id} == {span.span_id}


def test_health_probes_make_no_span(ours, serve_aiohttp, fetch, finished):
    """Nor does what they call."""
    url = serve_aiohttp(make_app())
    assert fetch(url + "/healthz").status == 200
    fetch(url + "/hello/x")
    assert [span.name for span in finished(ours, 2)] == ["inner", "GET /hello/{name}"]


def test_two_requests_over_one_connection_are_two_traces(ours, serve_aiohttp, finished):
    """aiohttp handles a connection's requests in one task: nothing stays active between them."""
    port = int(serve_aiohttp(make_app()).rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /hello/1 HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        finished(ours, 4)
    assert len({span.trace_id for span in ours.spans}) == 2


def test_an_application_without_one(ours, finished, fetch):
    """web.Server with a plain handler has no routes."""

    async def run():
        async def handler(request):
            return web.Response(text=str(request.path))

        server = web.Server(handler)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        answer = await asyncio.to_thread(fetch, f"http://127.0.0.1:{runner.addresses[0][1]}/x")
        await runner.cleanup()
        return answer

    assert asyncio.run(run()).body == b"/x"
    assert finished(ours)[0].name == "GET <unmatched>"


def test_a_websocket_is_a_handshake_and_its_messages(recorded, serve_aiohttp, finished):
    """Every span is bounded, and a message that fails is that message's error."""
    url = serve_aiohttp(make_app())

    async def talk():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/42") as connection:
            for text in ("one", "two"):
                await connection.send_str(text)
                assert (await connection.receive()).data == text
            await connection.send_str("fail")
            await connection.receive()

    with suppress():
        asyncio.run(talk())
    spans = finished(recorded, 7)
    assert spans[0].name == "GET /ws/{room}"
    assert (spans[0].tags["http.status_code"], "error" in spans[0].tags) == (101, False)
    messages = [span for span in spans if span.name == "receive /ws/{room}"]
    work = {span.name: span.parent_id for span in spans if span.name.startswith("work")}
    assert list(work.values()) == [span.span_id for span in messages]
    assert [len(span.errors()) for span in messages] == [0, 0, 1]


def test_a_server_that_runs_is_traced_from_the_installation_on(ours, serve_aiohttp, fetch, finished):
    """Until the uninstallation, which leaves nothing."""
    instrumentation.uninstall()
    url = serve_aiohttp(make_app())
    fetch(url + "/gone")
    instrumentation.install()
    fetch(url + "/gone")
    finished(ours)
    instrumentation.uninstall()
    fetch(url + "/gone")
    assert len(finished(ours)) == 1
    for owner in (
        web.Application,
        web.WebSocketResponse,
        web.RequestHandler,
        aiohttp.ClientSession,
        aiohttp.ClientRequest,
    ):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


# -- client ------------------------------------------------------------------------------------------------------------


def get(url, **settings):
    async def run():
        async with aiohttp.ClientSession() as session, session.get(url, **settings) as response:
            return response, await response.read()

    return asyncio.run(run())


def test_one_client_span_whose_context_is_sent(recorded, server, sent_ids):
    """Named by the method; OpenTracing's tags; a child of the active span; its own ids in the headers."""
    with recorded.tracer.start_active_span("caller"):
        get(f"{server.url}/status/200?token=s3cret", params={"color": "red"})
    span, caller = recorded.spans
    assert span.name == "GET"
    assert span.tags == {
        "component": "aiohttp",
        "span.kind": "client",
        "http.method": "GET",
        "http.url": f"{server.url}/status/200?token=REDACTED&color=red",
        "http.status_code": 200,
        "peer.hostname": "127.0.0.1",
        "peer.port": server.port,
    }
    assert (span.trace_id, span.parent_id) == (caller.trace_id, caller.span_id)
    assert sent_ids(recorded, server.headers[-1]) == (span.trace_id, span.span_id)


def test_redirects_are_logs_of_one_span(recorded, server, sent_ids):
    """Every hop with the same ids, secrets cut out, and where it ended."""
    get(f"{server.url}/redirect/2")
    (span,) = recorded.spans
    assert (span.tags["http.redirect_count"], span.tags["http.status_code"]) == (2, 200)
    assert span.tags["http.final_url"] == f"{server.url}/status/200"
    assert len(span.events("redirect")) == 2
    assert "s3cret" not in str(span.logs)
    assert {sent_ids(recorded, headers) for headers in server.headers} == {(span.trace_id, span.span_id)}


def test_each_hop_follows_the_rules_for_its_own_host(ours, server):
    """A redirect to a host outside takes no ids along."""
    instrumentation.install(http=HTTPOptions(no_propagate_to=["localhost"]))
    get(f"{server.url}/elsewhere")
    first, second = server.headers
    assert "x-b3-traceid" in first
    assert "x-b3-traceid" not in second


@pytest.mark.parametrize(("status", "error"), [(404, None), (503, True)])
@pytest.mark.parametrize("raising", [False, True])
def test_server_errors_are_errors(ours, server, status, error, raising):
    """A 404 answers a question, though it may be raised."""
    with pytest.raises(aiohttp.ClientResponseError) if raising else contextlib.nullcontext():
        get(f"{server.url}/status/{status}", raise_for_status=raising)
    (span,) = ours.spans
    assert (span.tags["http.status_code"], span.tags.get("error")) == (status, error)
    assert len(span.errors()) == (1 if raising and error else 0)


def test_a_call_that_fails_is_an_error_logged_once(recorded):
    """Nobody listens."""
    with pytest.raises(aiohttp.ClientConnectorError):
        get("http://127.0.0.1:9/")
    (span,) = recorded.spans
    assert span.tags["error"] is True
    assert len(span.errors()) == 1


def test_a_streamed_body_is_covered_to_its_end(recorded, server):
    """The span is not finished before."""
    get(f"{server.url}/slow")
    (span,) = recorded.spans
    assert span.duration >= 0.05


def test_a_body_that_breaks_is_an_error(ours, server):
    """The status was fine."""
    with pytest.raises(aiohttp.ClientPayloadError):
        get(f"{server.url}/broken")
    (span,) = ours.spans
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, 200)


def test_the_callers_headers_win_and_stay_his(ours, server):
    """Neither his dict nor the session's headers are changed."""
    mine = {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}

    async def run():
        async with aiohttp.ClientSession(headers={"x-mine": "1"}) as session:
            async with session.get(f"{server.url}/status/200", headers=mine):
                pass
            assert dict(session.headers) == {"x-mine": "1"}

    asyncio.run(run())
    assert mine == {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}
    assert {name: value for name, value in server.headers[-1].items() if name.startswith("x-b3")} == {
        "x-b3-traceid": "7" * 32,
        "x-b3-spanid": "8" * 16,
    }


def test_sessions_made_before_the_installation_and_requests_never_awaited(ours, server):
    """The first is traced; the second leaves no span."""
    instrumentation.uninstall()

    async def run():
        async with aiohttp.ClientSession() as session:
            instrumentation.install()
            async with session.get(f"{server.url}/status/200"):
                pass
            session.get(f"{server.url}/status/200").close()

    asyncio.run(run())
    gc.collect()
    assert len(ours.spans) == 1


def test_suppressed_work_makes_no_span_and_gets_no_headers(ours, server):
    """Exporters."""
    with suppress():
        get(f"{server.url}/status/200")
    assert ours.spans == []
    assert "x-b3-traceid" not in server.headers[-1]


def test_fifty_in_flight_through_both_never_mix(ours, serve_aiohttp, wait_until):
    """Client spans are children of their own tasks' spans, server spans of their own client's."""
    gathered = []
    all_there = None

    async def work(request):
        nonlocal all_there
        all_there = all_there or asyncio.Event()
        gathered.append(request)
        if len(gathered) == 50:
            all_there.set()
        await all_there.wait()
        child(f"work {request.match_info['number']}")
        return web.Response()

    app = web.Application()
    app.router.add_get("/{number}", work)
    url = serve_aiohttp(app)

    async def one(session, number):
        with ours.tracer.start_active_span(f"task {number}"):
            async with session.get(f"{url}/{number}") as response:
                await response.read()

    async def run():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session, number) for number in range(50)))

    asyncio.run(run())
    wait_until(lambda: len(ours.spans) == 200)
    by_id = {span.span_id: span for span in ours.spans}
    for span in ours.spans:
        if span.name.startswith("work"):
            server = by_id[span.parent_id]
            client = by_id[server.parent_id]
            task = by_id[client.parent_id]
            assert (server.name, client.tags["span.kind"]) == ("GET /{number}", "client")
            assert task.name.split()[1] == span.name.split()[1]


def test_one_session_by_itself(ours, server):
    """Beside others that are not traced; and undone."""
    instrumentation.uninstall()

    async def run():
        async with aiohttp.ClientSession() as session, aiohttp.ClientSession() as other:
            assert instrumentation.instrument_session(session) is session
            for each in (session, other):
                async with each.get(f"{server.url}/status/200"):
                    pass
            assert len(ours.spans) == 1
            instrumentation.uninstrument_session(session)
            async with session.get(f"{server.url}/status/200"):
                pass

    asyncio.run(run())
    assert len(ours.spans) == 1
    assert ["x-b3-traceid" in headers for headers in server.headers] == [True, False, False]
