"""Tornado, server and client, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import opentracing
import pytest
from tornado import httpclient, web, websocket
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from sls_tracing import instrumentation
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.instrumentation._patching import PatchedFunction
from sls_tracing.suppression import suppress


def child(name):
    """Make a span under the active one."""
    opentracing.tracer.start_span(name).finish()


class Hello(web.RequestHandler):
    async def get(self, *names, **more):
        await asyncio.sleep(0)
        child("inner")
        self.write("hello")

    head = get


class Failing(web.RequestHandler):
    def get(self):
        raise LookupError("no such book")


class Status(web.RequestHandler):
    def get(self, code):
        raise web.HTTPError(int(code))


class Streaming(web.RequestHandler):
    async def get(self):
        for part in ("one", "two"):
            child(part)
            self.write(part)
            await self.flush()
            await asyncio.sleep(0.03)


class Endless(web.RequestHandler):
    async def get(self):
        while True:
            self.write("x" * 1000)
            await self.flush()
            await asyncio.sleep(0.005)


class Echo(websocket.WebSocketHandler):
    def on_message(self, message):
        child(f"work {message}")
        if message == "fail":
            raise LookupError("no such room")
        self.write_message(message)


class EchoLater(websocket.WebSocketHandler):
    async def on_message(self, message):
        await asyncio.sleep(0.01)
        child(f"work {message}")
        if message == "fail":
            raise LookupError("no such room")
        await self.write_message(message)


def make_app():
    return web.Application(
        [
            (r"/hello/([^/]+)", Hello),
            (r"/shop/(?P<shop>\d+)/book/(?P<id>\d+)", Hello),
            (r"/failing", Failing),
            (r"/status/(\d+)", Status),
            (r"/streaming", Streaming),
            (r"/endless", Endless),
            (r"/healthz", Hello),
            (r"/ws/(.*)", Echo),
            (r"/later/(.*)", EchoLater),
            (r"/files/(.*)", web.StaticFileHandler, {"path": "."}),
        ],
        log_function=lambda handler: None,
    )


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Tornado logs what handlers raise."""


@pytest.fixture
def serve_tornado():
    """``serve_tornado(app)`` runs it on a loop in a thread of its own and returns its URL."""
    stops = []

    def serve(app):
        sock, port = bind_unused_port()
        started = threading.Event()
        box = {}

        async def run():
            server = HTTPServer(app)
            server.add_sockets([sock])
            box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
            started.set()
            await box["stop"].wait()
            server.stop()
            await server.close_all_connections()

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        assert started.wait(20)
        stops.append(lambda: (box["loop"].call_soon_threadsafe(box["stop"].set), thread.join(20)))
        return f"http://127.0.0.1:{port}"

    yield serve
    for stop in stops:
        stop()


# -- server ------------------------------------------------------------------------------------------------------------


def test_one_server_span_that_continues_the_callers_trace(recorded, serve_tornado, fetch, finished):
    """Named by the pattern; OpenTracing's tags; child of the headers' context; what the handler starts is its child."""
    url = serve_tornado(make_app())
    headers = {}
    caller = recorded.tracer.start_span("caller")
    recorded.tracer.inject(caller.context, opentracing.Format.HTTP_HEADERS, headers)
    assert fetch(f"{url}/hello/world?token=s3cret&x=1", headers=headers).body == b"hello"
    inner, span = finished(recorded, 2)
    assert span.name == "GET /hello/<1>"
    assert span.tags.pop("peer.port") > 0
    assert span.tags == {
        "component": "tornado",
        "span.kind": "server",
        "http.method": "GET",
        "http.route": "/hello/<1>",
        "http.url": f"{url}/hello/world?token=REDACTED&x=1",
        "http.status_code": 200,
        "peer.ipv4": "127.0.0.1",
    }
    assert (span.trace_id, span.parent_id) == (caller.context.trace_id, caller.context.span_id)
    assert (inner.trace_id, inner.parent_id) == (span.trace_id, span.span_id)


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/nowhere/77", "GET <unmatched>", 404),
        ("GET", "/shop/17/book/4", "GET /shop/<shop>/book/<id>", 200),
        ("POST", "/hello/x", "POST /hello/<1>", 405),
        ("BREW", "/hello/x", "HTTP /hello/<1>", 405),
        ("GET", "/status/410", "GET /status/<1>", 410),
        ("GET", "/files/setup.py", "GET /files/<1>", 200),
        ("HEAD", "/hello/x", "HEAD /hello/<1>", 200),
    ],
)
def test_names_are_few(ours, serve_tornado, fetch, wait_until, method, path, name, status):
    """Patterns, or <unmatched>; a client error is no error of the server."""
    assert fetch(serve_tornado(make_app()) + path, method).status == status
    wait_until(lambda: ours.spans and ours.spans[-1].name == name)
    assert ours.spans[-1].tags["http.status_code"] == status
    assert "error" not in ours.spans[-1].tags


@pytest.mark.parametrize(
    ("path", "status", "kind"), [("/failing", 500, "LookupError"), ("/status/503", 503, "HTTPError")]
)
def test_an_error_is_logged_once(recorded, serve_tornado, fetch, finished, path, status, kind):
    """What a handler raises, an HTTPError too."""
    assert fetch(serve_tornado(make_app()) + path).status == status
    (span,) = finished(recorded)
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, status)
    assert [log["error.kind"].rpartition(".")[2] for log in span.errors()] == [kind]


def test_a_streamed_answer_is_covered_to_its_end(recorded, serve_tornado, fetch, finished):
    """And what is made meanwhile is inside."""
    fetch(serve_tornado(make_app()) + "/streaming")
    one, two, span = finished(recorded, 3)
    assert span.duration >= 0.05
    assert {one.parent_id, two.parent_id} == {span.span_id}


def test_a_client_that_hangs_up_ends_the_span(ours, serve_tornado, finished):
    """An endless answer."""
    port = int(serve_tornado(make_app()).rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(100)
    assert finished(ours)[0].name == "GET /endless"


def test_health_probes_make_no_span(ours, serve_tornado, fetch, finished):
    """Nor does what they call."""
    url = serve_tornado(make_app())
    assert fetch(url + "/healthz").status == 200
    fetch(url + "/hello/x")
    assert [span.name for span in finished(ours, 2)] == ["inner", "GET /hello/<1>"]


@pytest.mark.parametrize("path", ["ws", "later"])
def test_a_websocket_is_a_handshake_and_its_messages(ours, serve_tornado, finished, path):
    """Every span is bounded, and a message that fails is that message's error; on_message may be a coroutine."""
    url = serve_tornado(make_app()).replace("http", "ws", 1)

    async def talk():
        connection = await websocket.websocket_connect(f"{url}/{path}/42")
        for text in ("one", "two"):
            await connection.write_message(text)
            assert await connection.read_message() == text
        await connection.write_message("fail")
        with contextlib.suppress(asyncio.TimeoutError):  # before 6.6 a failing coroutine did not close the connection
            assert await asyncio.wait_for(connection.read_message(), 0.5) is None
        connection.close()

    with suppress():
        asyncio.run(talk())
    spans = finished(ours, 7)
    assert spans[0].name == f"GET /{path}/<1>"
    assert (spans[0].tags["http.status_code"], "error" in spans[0].tags) == (101, False)
    messages = [span for span in spans if span.name == f"receive /{path}/<1>"]
    work = [span.parent_id for span in spans if span.name.startswith("work")]
    assert work == [span.span_id for span in messages]
    assert [len(span.errors()) for span in messages] == [0, 0, 1]
    assert len({span.trace_id for span in spans}) == 4


def test_a_server_that_runs_is_traced_from_the_installation_on(ours, serve_tornado, fetch, finished):
    """Until the uninstallation, which leaves nothing."""
    instrumentation.uninstall()
    url = serve_tornado(make_app())
    fetch(url + "/status/404")
    instrumentation.install()
    fetch(url + "/status/404")
    finished(ours)
    instrumentation.uninstall()
    fetch(url + "/status/404")
    assert len(finished(ours)) == 1
    for owner in (web.RequestHandler, websocket.WebSocketProtocol, httpclient.AsyncHTTPClient):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


# -- client ------------------------------------------------------------------------------------------------------------


def get(url, **settings):
    async def run():
        return await httpclient.AsyncHTTPClient().fetch(url, **settings)

    return asyncio.run(run())


def test_one_client_span_whose_context_is_sent(recorded, server, sent_ids):
    """Named by the method; OpenTracing's tags; a child of the active span; its own ids in the headers."""
    with recorded.tracer.start_active_span("caller"):
        get(f"{server.url}/status/200?token=s3cret&color=red")
    span, caller = recorded.spans
    assert span.name == "GET"
    assert span.tags == {
        "component": "tornado",
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
    try:
        get(f"{server.url}/status/{status}", raise_error=raising)
        assert not raising
    except httpclient.HTTPClientError:
        assert raising
    (span,) = ours.spans
    assert (span.tags["http.status_code"], span.tags.get("error")) == (status, error)
    assert len(span.errors()) == (1 if raising and error else 0)


def test_a_call_that_fails_is_an_error_logged_once(recorded):
    """Nobody listens."""
    with pytest.raises(OSError):
        get("http://127.0.0.1:9/")
    (span,) = recorded.spans
    assert span.tags["error"] is True
    assert len(span.errors()) == 1


def test_the_callers_request_stays_his(ours, server):
    """Its headers are not changed, and each time it is sent has its own ids."""
    request = httpclient.HTTPRequest(f"{server.url}/status/200", headers={"x-mine": "1"})
    get(request)
    get(request)
    assert [name.lower() for name in request.headers] == ["x-mine"]
    assert [int(headers["x-b3-spanid"], 16) for headers in server.headers] == [span.span_id for span in ours.spans]


def test_the_callers_headers_win(ours, server):
    """His trace goes out as he wrote it."""
    get(f"{server.url}/status/200", headers={"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16})
    assert {name: value for name, value in server.headers[-1].items() if name.startswith("x-b3")} == {
        "x-b3-traceid": "7" * 32,
        "x-b3-spanid": "8" * 16,
    }


def test_the_blocking_client(ours, server):
    """It is the asynchronous one on a loop of its own."""
    client = httpclient.HTTPClient()
    client.fetch(f"{server.url}/status/200")
    client.close()
    assert len(ours.spans) == 1


def test_suppressed_work_makes_no_span_and_gets_no_headers(ours, server):
    """Exporters."""
    with suppress():
        get(f"{server.url}/status/200")
    assert ours.spans == []
    assert "x-b3-traceid" not in server.headers[-1]


def test_fifty_in_flight_through_both_never_mix(ours, serve_tornado, wait_until):
    """Client spans are children of their own tasks' spans, server spans of their own client's."""
    all_there = []

    class Work(web.RequestHandler):
        async def get(self, number):
            all_there.append(number)
            await asyncio.sleep(0.05)
            child(f"work {number}")

    url = serve_tornado(web.Application([(r"/(\d+)", Work)], log_function=lambda handler: None))

    async def one(client, number):
        with ours.tracer.start_active_span(f"task {number}"):
            await client.fetch(f"{url}/{number}")

    async def run():
        client = httpclient.AsyncHTTPClient(max_clients=25, force_instance=True)  # half of them wait in its queue
        await asyncio.gather(*(one(client, number) for number in range(50)))

    asyncio.run(run())
    wait_until(lambda: len(ours.spans) == 200)
    by_id = {span.span_id: span for span in ours.spans}
    for span in ours.spans:
        if span.name.startswith("work"):
            server = by_id[span.parent_id]
            client = by_id[server.parent_id]
            task = by_id[client.parent_id]
            assert (server.name, client.tags["span.kind"]) == ("GET /<1>", "client")
            assert task.name.split()[1] == span.name.split()[1]
