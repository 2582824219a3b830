"""ASGI, Starlette and FastAPI under uvicorn: one server span a request, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
import time

import fastapi
import opentracing
import pytest
import websockets.asyncio.client
import websockets.exceptions
from fastapi import APIRouter, BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.forwarding import ForwardingTracer
from sls_tracing.instrumentation._patching import PatchedFunction
from sls_tracing.instrumentation.asgi import ASGIMiddleware
from sls_tracing.suppression import suppress

TELLS_ROUTES = 'scope["route"]' in inspect.getsource(Router.app)
"""Whether this Starlette leaves the route in the scope, where the middleware alone can read it."""

B3 = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-sampled": "1"}


def child(name):
    """Make a span under the active one."""
    opentracing.tracer.start_span(name).finish()


async def hello(request):
    child("inner")
    return PlainTextResponse("hello")


def blocking(request):
    child("inner")
    return PlainTextResponse("from a thread")


async def failing(request):
    raise LookupError("no such book")


async def handled(request):
    raise KeyError("handled")


async def refused(request):
    raise HTTPException(503, "not today")


async def gone(request):
    raise HTTPException(410)


async def streaming(request):
    async def parts():
        for part in ("one", "two"):
            child(part)
            yield part
            await asyncio.sleep(0.03)

    return StreamingResponse(parts())


def streaming_from_thread(request):
    def parts():
        child("one")
        yield "one"

    return StreamingResponse(parts())


async def broken_stream(request):
    async def parts():
        yield "one"
        raise OSError("disk gone")

    return StreamingResponse(parts())


released = threading.Event()


async def with_background(request):
    async def later():
        await asyncio.to_thread(released.wait, 20)
        child("background")

    return PlainTextResponse("soon", background=BackgroundTask(later))


async def on_key_error(request, error):
    return PlainTextResponse("sorry", status_code=502)


def make_starlette(**settings):
    return Starlette(
        routes=[
            Route("/hello/{name}", hello),
            Route("/numbers/{number:int}", hello, methods=["POST"]),
            Route("/blocking", blocking),
            Route("/failing", failing),
            Route("/handled", handled),
            Route("/refused", refused),
            Route("/gone", gone),
            Route("/streaming", streaming),
            Route("/streaming-thread", streaming_from_thread),
            Route("/broken", broken_stream),
            Route("/background", with_background),
            Mount("/shop/{shop}", app=Starlette(routes=[Mount("/v1", routes=[Route("/book/{id}", hello)])])),
            Mount("/files", app=StaticFiles(directory=".")),
        ],
        exception_handlers={KeyError: on_key_error},
        **settings,
    )


# -- one span ----------------------------------------------------------------------------------------------------------


def test_one_server_span_that_continues_the_callers_trace(recorded, serve_asgi, fetch, finished):
    """Named by the template; OpenTracing's tags; child of the headers' context; what the handler starts is its child."""
    url = serve_asgi(make_starlette())
    headers = {}
    caller = recorded.tracer.start_span("caller")
    recorded.tracer.inject(caller.context, opentracing.Format.HTTP_HEADERS, headers)
    assert fetch(f"{url}/hello/world?token=s3cret&x=1", headers=headers).body == b"hello"
    inner, span = finished(recorded, 2)
    assert span.name == "GET /hello/{name}"
    assert span.tags.pop("peer.port") > 0
    assert span.tags == {
        "component": "starlette",
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
        ("POST", "/numbers/7", "POST /numbers/{number}", 200),
        ("GET", "/numbers/7", "GET /numbers/{number}", 405),
        ("POST", "/numbers/x", "POST <unmatched>", 404),
        ("GET", "/shop/17/v1/book/4", "GET /shop/{shop}/v1/book/{id}", 200),
        ("GET", "/shop/17/nothing", "GET /shop/{shop}/{path}", 404),
        ("GET", "/files/setup.py", "GET /files/{path}", 200),
        ("HEAD", "/hello/x", "HEAD /hello/{name}", 200),
        ("PROPFIND", "/hello/x", "HTTP /hello/{name}", 405),
        ("GET", "/gone", "GET /gone", 410),
        ("GET", "/hello/x/", "GET <unmatched>", 307),
    ],
)
def test_names_are_few(ours, serve_asgi, fetch, wait_until, method, path, name, status):
    """Route templates with their mounts, or <unmatched>; a client error is no error of the server."""
    assert fetch(serve_asgi(make_starlette()) + path, method).status == status
    wait_until(lambda: ours.spans and ours.spans[-1].name == name)
    assert ours.spans[-1].tags["http.status_code"] == status
    assert "error" not in ours.spans[-1].tags


@pytest.mark.parametrize("path", ["/blocking", "/streaming-thread"])
def test_work_in_starlettes_threads_is_inside(recorded, serve_asgi, fetch, finished, path):
    """Routes that are plain functions, and generators."""
    fetch(serve_asgi(make_starlette()) + path)
    inner, span = finished(recorded, 2)
    assert inner.parent_id == span.span_id


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [("/failing", 500, "LookupError"), ("/handled", 502, "KeyError"), ("/refused", 503, "HTTPException")],
)
def test_an_error_is_logged_once_with_the_exception_behind_it(
    recorded, serve_asgi, fetch, finished, path, status, kind
):
    """Unhandled, handled by the application, or an HTTPException."""
    assert fetch(serve_asgi(make_starlette()) + path).status == status
    (span,) = finished(recorded)
    assert span.tags["error"] is True
    assert span.tags["http.status_code"] == status
    (log,) = span.errors()
    assert log["error.kind"].rpartition(".")[2] == kind


def test_an_error_in_the_middle_of_a_body_is_the_spans(ours, serve_asgi, fetch, finished):
    """The status was fine, the answer was not."""
    with contextlib.suppress(Exception):
        fetch(serve_asgi(make_starlette()) + "/broken")
    (span,) = finished(ours)
    assert (span.tags["http.status_code"], span.tags["error"]) == (200, True)
    assert span.errors()[0]["error.kind"] == "OSError"


def test_an_error_of_a_middleware_is_the_spans(ours, serve_asgi, fetch, finished):
    """Before any route was asked."""

    class Failing:
        def __init__(self, app):
            pass

        async def __call__(self, scope, receive, send):
            raise RuntimeError("middleware")

    app = Starlette(middleware=[Middleware(Failing)])
    assert fetch(serve_asgi(app, lifespan="off") + "/x").status == 500
    (span,) = finished(ours)
    assert span.name == "GET <unmatched>"
    assert [log["message"] for log in span.errors()] == ["middleware"]


# -- the body's end ----------------------------------------------------------------------------------------------------


def test_a_streamed_body_is_covered_to_its_end(recorded, serve_asgi, fetch, finished):
    """And what makes its parts works under the span."""
    fetch(serve_asgi(make_starlette()) + "/streaming")
    one, two, span = finished(recorded, 3)
    assert span.duration >= 0.03
    assert {one.parent_id, two.parent_id} == {span.span_id}


def test_background_tasks_are_children_and_not_waited_for(recorded, serve_asgi, fetch, finished):
    """The span is finished while the task still runs."""
    released.clear()
    try:
        fetch(serve_asgi(make_starlette()) + "/background")
        (span,) = finished(recorded)
    finally:
        released.set()
    _, background = finished(recorded, 2)
    assert (background.trace_id, background.parent_id) == (span.trace_id, span.span_id)


def test_a_client_that_hangs_up_ends_the_span(ours, serve_asgi, finished):
    """An endless answer."""

    async def endless(request):
        async def parts():
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.005)

        return StreamingResponse(parts())

    url = serve_asgi(Starlette(routes=[Route("/", endless)]))
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(100)
    assert finished(ours)[0].tags["http.status_code"] == 200


# -- concurrency, context ----------------------------------------------------------------------------------------------


def test_fifty_requests_in_flight_never_mix(ours, serve_asgi, wait_until):
    """Each handler's children belong to its own request, through awaits, tasks, threads and BaseHTTPMiddleware."""
    waiting = asyncio.Barrier(50) if hasattr(asyncio, "Barrier") else None

    async def dispatch(request, call_next):
        child(f"middleware {request.headers['x-number']}")
        return await call_next(request)

    async def work(request):
        number = request.headers["x-number"]
        if waiting is not None:
            await waiting.wait()
        child(f"await {number}")
        await asyncio.create_task(asyncio.sleep(0))
        await asyncio.gather(*(asyncio.to_thread(child, f"thread {number}") for _ in range(2)))
        return PlainTextResponse(number)

    app = Starlette(routes=[Route("/{number}", work)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    port = int(serve_asgi(app).rsplit(":", 1)[1])

    async def get(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        trace = f"{number + 1:032x}"
        writer.write(
            f"GET /{number} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-number: {number}\r\n"
            f"x-b3-traceid: {trace}\r\nx-b3-spanid: {number + 1:016x}\r\nx-b3-sampled: 1\r\n\r\n".encode()
        )
        assert (await reader.read()).endswith(str(number).encode())
        writer.close()

    async def all_at_once():
        await asyncio.gather(*(get(number) for number in range(50)))

    asyncio.run(all_at_once())
    wait_until(lambda: len(ours.spans) == 250)
    servers = {span.span_id: span for span in ours.spans if span.name == "GET /{number}"}
    assert len(servers) == 50
    for span in ours.spans:
        if span.span_id not in servers:
            parent = servers[span.parent_id]
            assert span.trace_id == parent.trace_id == int(span.name.split()[1]) + 1
            assert parent.tags["http.url"].endswith("/" + span.name.split()[1])


def test_headers_that_repeat_are_read_as_one(ours, serve_asgi, fetch, finished):
    """tracestate and the others; of ids the first wins."""
    pairs = [*B3.items(), ("x-b3-spanid", "c" * 16)]
    fetch(serve_asgi(make_starlette()) + "/hello/x", headers=pairs)
    _, span = finished(ours, 2)
    assert (span.trace_id, span.parent_id) == (int("a" * 32, 16), int("b" * 16, 16))


def test_malformed_headers_begin_a_new_trace(ours, serve_asgi, fetch, finished):
    """And the request is answered."""
    answer = fetch(
        serve_asgi(make_starlette()) + "/hello/x", headers=[("x-b3-traceid", "zz"), ("b3", "nonsense"), ("x", "\xff")]
    )
    assert answer.status == 200
    assert finished(ours, 2)[1].parent_id is None


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_health_probes_make_no_span(recorded, serve_asgi, fetch, finished, path):
    """Neither under our tracer nor under another one."""

    async def probe(request):
        return PlainTextResponse("well")

    url = serve_asgi(Starlette(routes=[Route(path, probe), Route("/hello/{name}", hello)]))
    assert fetch(url + path).status == 200
    fetch(url + "/hello/x")
    assert [span.name for span in finished(recorded, 2)] == ["inner", "GET /hello/{name}"]


def test_in_forward_mode_the_context_goes_through(serve_asgi, fetch):
    """No span, and the headers that came go out."""
    tracer = ForwardingTracer("tested")
    instrumentation.install(tracer=tracer)
    seen = {}

    async def handler(request):
        tracer.inject(tracer.active_span.context, opentracing.Format.HTTP_HEADERS, seen)
        return PlainTextResponse("ok")

    try:
        fetch(serve_asgi(Starlette(routes=[Route("/", handler)])) + "/", headers=B3)
    finally:
        instrumentation.uninstall()
    assert {name: seen[name] for name in B3} == B3


def test_lifespan_is_untouched(ours, serve_asgi, fetch, finished):
    """Its state arrives, and it makes no span."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        assert opentracing.tracer.active_span is None
        yield {"book": "Bookinfo"}

    async def handler(request):
        return PlainTextResponse(request.state.book)

    url = serve_asgi(Starlette(routes=[Route("/", handler)], lifespan=lifespan))
    assert fetch(url + "/").body == b"Bookinfo"
    assert len(finished(ours)) == 1


# -- installing --------------------------------------------------------------------------------------------------------


def test_applications_made_before_and_after_and_uninstalled(serve_asgi, fetch, finished, ours):
    """An application that runs already is traced from the installation to the uninstallation, however often that happens."""
    instrumentation.uninstall()
    url = serve_asgi(make_starlette())
    fetch(url + "/hello/a")
    instrumentation.install()
    instrumentation.install(["starlette"])
    fetch(url + "/hello/b")
    assert [span.tags.get("http.url") for span in finished(ours, 3)] == [None, None, f"{url}/hello/b"]
    instrumentation.uninstall()
    fetch(url + "/hello/c")
    assert len(finished(ours, 4)) == 4
    for owner in (Starlette, Route, WebSocketRoute, Mount, FastAPI, fastapi.routing.APIRoute):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


def test_without_a_tracer_nothing_is_observed(serve_asgi, fetch):
    """The application gets the server's own receive and send."""
    seen = []

    class Noting(Starlette):
        async def __call__(self, scope, receive, send):
            seen.append(send)
            await super().__call__(scope, receive, self.noting(send))

        def noting(self, send):
            seen.append(send)
            return send

    instrumentation.install()
    try:
        assert fetch(serve_asgi(Noting(routes=[Route("/hello/{name}", blocking)])) + "/hello/x").status == 200
    finally:
        instrumentation.uninstall()
    assert "observed" not in repr(seen)


# -- FastAPI -----------------------------------------------------------------------------------------------------------


def make_fastapi():
    app = FastAPI()
    books = APIRouter(prefix="/books")
    shop = APIRouter(prefix="/shop/{shop}")

    @books.get("/{book_id}")
    async def book(book_id: int):
        child("inner")
        return {"id": book_id}

    @books.get("/sync/{book_id}")
    def sync_book(book_id: int, tasks: BackgroundTasks):
        child("inner")
        tasks.add_task(child, "background")
        return {"id": book_id}

    @app.get("/items/{item_id}")
    async def item(item_id: int):
        return item_id

    @app.get("/failing")
    async def failing():
        raise LookupError("no such book")

    @app.get("/unavailable")
    def unavailable():
        raise fastapi.HTTPException(503, "not today")

    @app.websocket("/ws/{room}")
    async def room(websocket: fastapi.WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    shop.include_router(books)
    app.include_router(shop, prefix="/v1")
    app.mount("/sub", make_starlette())
    return app


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("/items/7", "GET /items/{item_id}", 200),
        ("/items/x", "GET /items/{item_id}", 422),
        ("/v1/shop/4/books/9", "GET /v1/shop/{shop}/books/{book_id}", 200),
        ("/v1/shop/4/books/sync/9", "GET /v1/shop/{shop}/books/sync/{book_id}", 200),
        ("/v1/shop/4/nothing", "GET <unmatched>", 404),
        ("/sub/hello/x", "GET /sub/hello/{name}", 200),
        ("/openapi.json", "GET /openapi.json", 200),
        ("/failing", "GET /failing", 500),
        ("/unavailable", "GET /unavailable", 503),
    ],
)
@pytest.mark.parametrize("names", [["fastapi"], ["starlette"], ["fastapi", "starlette"]], ids="+".join)
def test_fastapi_names(ours, serve_asgi, fetch, wait_until, path, name, status, names):
    """Included routers, prefixes and mounts; with either adapter and with both."""
    instrumentation.uninstall()
    instrumentation.install(names)
    assert fetch(serve_asgi(make_fastapi()) + path).status == status
    if names == ["starlette"] and "/v1/shop/4/books" in path:
        return  # routes that FastAPI handles by itself need its adapter
    wait_until(lambda: name in [span.name for span in ours.spans])
    (span,) = [span for span in ours.spans if span.name == name]
    assert span.tags["component"] == names[0]
    assert span.tags.get("error") is (True if status >= 500 else None)
    if "fastapi" in names:  # which turns HTTPExceptions into answers by itself
        assert len(span.errors()) == (status >= 500)


def test_fastapis_background_tasks_and_threads(recorded, serve_asgi, fetch, finished):
    """Children of the request."""
    fetch(serve_asgi(make_fastapi()) + "/v1/shop/4/books/sync/9")
    by_name = {span.name: span for span in finished(recorded, 3)}
    server = by_name.pop("GET /v1/shop/{shop}/books/sync/{book_id}")
    assert {span.parent_id for span in by_name.values()} == {server.span_id}


# -- WebSockets --------------------------------------------------------------------------------------------------------


async def echo(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        child(f"work {text}")
        if text == "fail":
            raise LookupError("no such room")
        await websocket.send_text(text)


async def refusing(websocket):
    await websocket.close()


def make_websockets():
    return Starlette(routes=[Mount("/chat", routes=[WebSocketRoute("/{room}", echo)]), WebSocketRoute("/no", refusing)])


def converse(url, *texts, headers=()):
    async def talk():
        async with websockets.asyncio.client.connect(
            url.replace("http", "ws", 1), additional_headers=headers, proxy=None
        ) as socket:
            for text in texts:
                await socket.send(text)
                if text != "fail":
                    assert await socket.recv() == text

    with suppress():
        asyncio.run(talk())


def test_a_websocket_is_a_handshake_and_its_messages(recorded, serve_asgi, finished):
    """Every span is bounded: the handshake ends when it is accepted, a message's when the next one is awaited."""
    converse(serve_asgi(make_websockets()) + "/chat/42", "one", "two")
    handshake, *rest = finished(recorded, 5)
    assert handshake.name == "GET /chat/{room}"
    assert handshake.tags["http.status_code"] == 101
    assert handshake.tags["http.url"].startswith("ws://")
    by_name = {}
    for span in rest:
        by_name.setdefault(span.name, []).append(span)
    messages = by_name["receive /chat/{room}"]
    assert len(messages) == 2
    assert {span.tags["span.kind"] for span in messages} == {"consumer"}
    assert [by_name["work one"][0].parent_id, by_name["work two"][0].parent_id] == [s.span_id for s in messages]


def test_each_message_is_a_trace_of_its_own_linked_to_the_handshake(ours, serve_asgi, finished):
    """With the handshake's decision and its baggage; a connection that lives for days is no endless trace."""
    converse(serve_asgi(make_websockets()) + "/chat/42", "one", "two", headers={**B3, "x-request-id": "r"})
    finished(ours, 5)
    records = {record.operation_name: record for record in ours.reporter.spans}
    handshake, message = records["GET /chat/{room}"], records["receive /chat/{room}"]
    assert handshake.context.trace_id == int("a" * 32, 16)
    assert message.context.trace_id != handshake.context.trace_id
    assert message.context.parent_id is None
    assert [(link[0], link.span_id) for link in message.references] == [("follows_from", handshake.context.span_id)]
    assert len({span.trace_id for span in ours.spans}) == 3


def test_messages_of_an_unsampled_handshake_are_not_sampled(ours, serve_asgi, fetch, finished):
    """The decision goes along."""
    url = serve_asgi(make_websockets())
    converse(url + "/chat/42", "one", headers={**B3, "x-b3-sampled": "0"})
    fetch(url + "/nothing")
    assert [span.name for span in finished(ours)] == ["GET <unmatched>"]


def test_a_failing_message_is_that_messages_error(ours, serve_asgi, finished):
    """The handshake was fine."""
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        converse(serve_asgi(make_websockets()) + "/chat/42", "fail")
    by_name = {span.name: span for span in finished(ours, 3)}
    assert "error" not in by_name["GET /chat/{room}"].tags
    assert by_name["receive /chat/{room}"].errors()[0]["error.kind"] == "LookupError"


def test_a_refused_handshake(ours, serve_asgi, finished):
    """403, as servers answer."""
    with pytest.raises(websockets.exceptions.InvalidStatus):
        converse(serve_asgi(make_websockets()) + "/no")
    (span,) = finished(ours)
    assert (span.name, span.tags["http.status_code"]) == ("GET /no", 403)


def test_messages_in_fastapi(ours, serve_asgi, finished):
    """Its own class of routes."""
    converse(serve_asgi(make_fastapi()) + "/ws/1", "one")
    assert [span.name for span in finished(ours, 2)] == ["GET /ws/{room}", "receive /ws/{room}"]


# -- the middleware class ----------------------------------------------------------------------------------------------


async def plain_application(scope, receive, send):
    child("inner")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


def test_the_middleware_traces_any_application():
    """Without install(), with a tracer of its own; named by the method, since nobody knows routes."""
    reporter = InMemoryReporter()
    tracer = Tracer("tested", sampler=ConstSampler(True), reporter=reporter)
    sent = []

    async def send(message):
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": "/a b", "headers": [], "server": ("here", 80), "client": None}
    before = dict(scope)
    asyncio.run(ASGIMiddleware(plain_application, tracer)(scope, None, send))
    (span,) = reporter.spans
    assert span.operation_name == "GET"
    assert span.tags["http.url"] == "http://here/a%20b"
    assert scope == before
    assert sent == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("installed", [True, False])
def test_the_middleware_in_a_frameworks_own_hook(ours, serve_asgi, fetch, finished, installed):
    """One span, named by the route: by the middleware alone, and beside the adapter."""
    if not installed:
        instrumentation.uninstall()
    fetch(serve_asgi(Starlette(routes=[Route("/x/{y}", hello)], middleware=[Middleware(ASGIMiddleware)])) + "/x/1")
    assert [span.name for span in finished(ours, 2)] == ["inner", "GET /x/{y}" if installed or TELLS_ROUTES else "GET"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/shop/4/books/9", "GET /v1/shop/{shop}/books/{book_id}"),
        ("/items/7", "GET /items/{item_id}"),
        ("/sub/hello/x", "GET /sub/hello/{name}"),
        ("/sub/shop/17/v1/book/4", "GET /sub/shop/{shop}/v1/book/{id}"),
        ("/sub/files/setup.py", "GET /sub/files/{path}"),
    ],
)
def test_the_middleware_alone_knows_routers_and_mounts(ours, serve_asgi, fetch, finished, path, name):
    """From what the frameworks leave in the scope."""
    instrumentation.uninstall()
    fetch(serve_asgi(ASGIMiddleware(make_fastapi())) + path)
    spans = finished(ours, 1 if "files" in path or "items" in path else 2)
    assert spans[-1].name == (name if TELLS_ROUTES or not path.startswith("/sub") else "GET")


@pytest.mark.parametrize("make", [make_starlette, make_fastapi], ids=["starlette", "fastapi"])
def test_one_application_by_itself(ours, serve_asgi, fetch, finished, wait_until, make):
    """With its own tracer and options, changed in place, beside others that are not traced; and undone."""
    instrumentation.uninstall()
    own = InMemoryReporter()
    tracer = Tracer("own", sampler=ConstSampler(True), reporter=own)
    app, other = make(), make()
    assert instrumentation.instrument_app(app, tracer=tracer) is app
    url, other_url = serve_asgi(app), serve_asgi(other)
    path = "/failing"
    fetch(url + path)
    fetch(other_url + path)
    wait_until(lambda: own.spans)
    assert [span.operation_name for span in own.spans] == ["GET /failing"]
    instrumentation.install()
    fetch(other_url + path)
    assert [span.name for span in finished(ours)] == ["GET /failing"]
    fetch(url + path)
    wait_until(lambda: len(own.spans) == 2)
    instrumentation.uninstall()
    assert instrumentation.uninstrument_app(app) is app
    fetch(url + path)
    assert (len(own.spans), len(ours.spans)) == (2, 1)
    for owner in (Starlette, Route, Mount, FastAPI, fastapi.routing.APIRoute):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


def test_a_router_alone_under_the_middleware(ours, serve_asgi, fetch, finished):
    """Starlette's routers are ASGI applications too."""
    fetch(serve_asgi(ASGIMiddleware(Router([Route("/x/{y}", hello)])), lifespan="off") + "/x/1")
    assert finished(ours, 2)[1].name == "GET /x/{y}"


def test_without_a_response_the_span_still_ends():
    """An application that breaks the protocol, or is cancelled."""
    reporter = InMemoryReporter()
    tracer = Tracer("tested", sampler=ConstSampler(True), reporter=reporter)

    async def silent(scope, receive, send):
        if scope["path"] == "/hang":
            await asyncio.sleep(60)

    async def run():
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await ASGIMiddleware(silent, tracer)(scope, None, None)
        task = asyncio.create_task(ASGIMiddleware(silent, tracer)({**scope, "path": "/hang"}, None, None))
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 30
    assert len(reporter.spans) == 2
