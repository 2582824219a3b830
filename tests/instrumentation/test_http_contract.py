"""What every HTTP library's instrumentation promises, asked of each of them against real servers."""

from __future__ import annotations

import asyncio
import http.client
import sys
import threading
import urllib.request
from types import ModuleType
from wsgiref.simple_server import WSGIRequestHandler, make_server

import aiohttp
import flask
import httpx
import opentracing
import pytest
import requests
import tornado.httpclient
import tornado.httpserver
import tornado.web
import urllib3
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.forwarding import ForwardingTracer
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.metrics import counters
from sls_tracing.tracer import Tracer as OurTracer

B3 = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-sampled": "1", "x-request-id": "7f3a"}


# -- one way to make a request, for each client ------------------------------------------------------------------------


def get_aiohttp(url):
    async def run():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()

    asyncio.run(run())


def get_tornado(url):
    async def run():
        await tornado.httpclient.AsyncHTTPClient().fetch(url)

    asyncio.run(run())


def get_httpx_async(url):
    async def run():
        async with httpx.AsyncClient() as client:
            await client.get(url)

    asyncio.run(run())


def get_http_client(url):
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/" + path)
    connection.getresponse().read()
    connection.close()


CLIENTS = {
    "aiohttp": get_aiohttp,
    "http.client": get_http_client,
    "httpx": httpx.get,
    "httpx-async": get_httpx_async,
    "requests": lambda url: requests.get(url, timeout=20),
    "tornado": get_tornado,
    "urllib": lambda url: urllib.request.urlopen(url, timeout=20).read(),
    "urllib3": lambda url: urllib3.PoolManager().request("GET", url),
}


@pytest.fixture(params=list(CLIENTS))
def call(request):
    return CLIENTS[request.param]


# -- one application that shows what arrived, for each server ----------------------------------------------------------


def active():
    """What a handler would send on: the headers of the active span's context."""
    headers = {}
    tracer = opentracing.tracer
    if tracer.active_span is not None:
        tracer.inject(tracer.active_span.context, opentracing.Format.HTTP_HEADERS, headers)
    return headers


def flask_app(seen):
    app = flask.Flask("contract")

    @app.get("/page/<name>")
    def page(name):
        seen.append(active())
        return name

    return app


def starlette_app(seen):
    async def page(request):
        seen.append(active())
        return PlainTextResponse("page")

    return Starlette(routes=[Route("/page/{name}", page)])


def fastapi_app(seen):
    app = FastAPI()

    @app.get("/page/{name}")
    async def page(name: str):
        seen.append(active())
        return name

    return app


def aiohttp_app(seen):
    async def page(request):
        seen.append(active())
        return web.Response()

    app = web.Application()
    app.router.add_get("/page/{name}", page)
    return app


def tornado_app(seen):
    class Page(tornado.web.RequestHandler):
        def get(self, name):
            seen.append(active())

    return tornado.web.Application([(r"/page/(.*)", Page)], log_function=lambda handler: None)


def django_app(seen, interface):
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path, set_urlconf

    def page(request, name):
        seen.append(active())
        return HttpResponse()

    name = f"sls_tracing_contract_{id(seen)}"
    urls = sys.modules[name] = ModuleType(name)
    urls.urlpatterns = [path("page/<str:name>", page)]
    if not settings.configured:
        settings.configure(SECRET_KEY="test", LOGGING_CONFIG=None)
        django.setup()

    def urlconf(get_response):
        return get_response

    from django.test.utils import override_settings

    override = override_settings(ROOT_URLCONF=name, MIDDLEWARE=[], ALLOWED_HOSTS=["*"])
    override.enable()
    set_urlconf(None)
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    return (get_wsgi_application if interface == "wsgi" else get_asgi_application)(), override


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def run_on_loop(start):
    """Run ``start()``, which returns a port and a coroutine function that stops the server, on a loop in a thread."""
    started, box = threading.Event(), {}

    async def main():
        box["port"], stop = await start()
        box["loop"], box["stop"] = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        await box["stop"].wait()
        await stop()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(20)
    return box["port"], lambda: (box["loop"].call_soon_threadsafe(box["stop"].set), thread.join(20))


def run_wsgi(app):
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    return server.server_port, lambda: (server.shutdown(), server.server_close(), thread.join())


def run_aiohttp(app):
    async def start():
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1], runner.cleanup

    return run_on_loop(start)


def run_tornado(app):
    async def start():
        from tornado.testing import bind_unused_port

        sock, port = bind_unused_port()
        server = tornado.httpserver.HTTPServer(app)
        server.add_sockets([sock])

        async def stop():
            server.stop()
            await server.close_all_connections()

        return port, stop

    return run_on_loop(start)


SERVERS = ["flask", "starlette", "fastapi", "aiohttp", "tornado", "django-wsgi", "django-asgi"]
ROUTES = {"flask": "/page/<name>", "tornado": "/page/<1>", "django-wsgi": "/page/<str:name>", "django-asgi": "/page/<str:name>"}  # fmt: skip


class Running:
    def __init__(self, kind, url, seen):
        self.kind, self.url, self.seen = kind, url, seen
        self.route = ROUTES.get(kind, "/page/{name}")


@pytest.fixture(params=SERVERS)
def running(request, serve_asgi):
    """A server whose handler notes what it would send on."""
    kind, seen, stop = request.param, [], []
    if kind in ("starlette", "fastapi"):
        url = serve_asgi({"starlette": starlette_app, "fastapi": fastapi_app}[kind](seen))
    elif kind.startswith("django"):
        app, override = django_app(seen, kind[7:])
        stop.append(override.disable)
        if kind == "django-asgi":
            url = serve_asgi(app, lifespan="off")
        else:
            port, end = run_wsgi(app)
            stop.append(end)
            url = f"http://127.0.0.1:{port}"
    else:
        run = {"flask": run_wsgi, "aiohttp": run_aiohttp, "tornado": run_tornado}[kind]
        port, end = run({"flask": flask_app, "aiohttp": aiohttp_app, "tornado": tornado_app}[kind](seen))
        stop.append(end)
        url = f"http://127.0.0.1:{port}"
    yield Running(kind, url, seen)
    for end in stop:
        end()


class FailingTracer(Tracer):
    """Cannot start spans."""

    def start_span(self, *args, **kwargs):
        raise RuntimeError("no spans today")


@pytest.fixture
def installed():
    """``installed(tracer, **options)``: the global tracer, and instrumentation with these options."""
    before = opentracing.tracer, opentracing.is_tracer_registered

    def install(tracer, **options):
        opentracing.set_global_tracer(tracer)
        instrumentation.install(http=HTTPOptions(**options))

    yield install
    instrumentation.uninstall()
    opentracing.tracer, opentracing.is_tracer_registered = before


def raising(*args):
    raise RuntimeError("a hook of the user's")


# -- clients -----------------------------------------------------------------------------------------------------------


def test_a_clients_hooks_are_called_once_and_may_raise(ours, server, call):
    """Counted, and the request goes on."""
    ours.expects_failures = True
    instrumentation.install(http=HTTPOptions(request_hook=raising, response_hook=raising, span_name=raising))
    before = counters.get("guard_failures_instrumentation_hook")
    call(f"{server.url}/status/200")
    (span,) = ours.spans
    assert (span.name, span.tags["http.status_code"]) == ("GET", 200)
    assert counters.get("guard_failures_instrumentation_hook") == before + 3
    assert len(server.headers) == 1


def test_a_client_takes_its_options(ours, server, call):
    """Captured headers, names, statuses that are errors."""
    instrumentation.install(
        http=HTTPOptions(
            capture_response_headers=["content-*"],
            client_error_statuses=[200],
            span_name=lambda request, route: f"call {request.method}",
        )
    )
    call(f"{server.url}/status/200")
    (span,) = ours.spans
    assert (span.name, span.tags["error"]) == ("call GET", True)
    assert span.tags["http.response.header.content-length"] == "4"


def test_a_client_passes_ignored_urls_on_without_a_span(ours, server, call):
    """With the active span's ids, so that the trace behind is whole."""
    instrumentation.install(http=HTTPOptions(ignore_urls=["http://127.0.0.1:*"]))
    with ours.tracer.start_active_span("caller"):
        call(f"{server.url}/redirect/1" if call == CLIENTS["requests"] else f"{server.url}/status/200")
    (caller,) = ours.spans
    assert {int(headers["x-b3-spanid"], 16) for headers in server.headers} == {caller.span_id}


def test_a_client_in_forward_mode_sends_what_came(installed, server, call):
    """Verbatim, the request's id too."""
    tracer = ForwardingTracer("tested")
    installed(tracer)
    context = tracer.extract(opentracing.Format.HTTP_HEADERS, B3)
    with tracer.start_active_span("request", child_of=context):
        call(f"{server.url}/status/200")
    assert {name: server.headers[-1][name] for name in B3} == B3


def test_a_client_goes_on_without_a_tracer_and_with_one_that_fails(installed, server, call):
    """Nothing is sent, nothing is raised."""
    for tracer in (opentracing.Tracer(), FailingTracer("tested", reporter=InMemoryReporter())):
        installed(tracer)
        call(f"{server.url}/status/200")
        assert "x-b3-traceid" not in server.headers[-1]


def test_a_client_sends_an_unsampled_decision(installed, server, call):
    """The next service must not begin a trace."""
    installed(OurTracer("tested", sampler=ConstSampler(False), reporter=InMemoryReporter(), propagation="b3"))
    call(f"{server.url}/status/200")
    assert server.headers[-1]["x-b3-sampled"] == "0"


# -- servers -----------------------------------------------------------------------------------------------------------


def test_a_servers_hooks_are_called_once_and_may_raise(ours, running, fetch, finished):
    """Counted, and the request is answered."""
    ours.expects_failures = True
    instrumentation.install(http=HTTPOptions(request_hook=raising, response_hook=raising, span_name=raising))
    before = counters.get("guard_failures_instrumentation_hook")
    assert fetch(f"{running.url}/page/1").status == 200
    (span,) = finished(ours)
    assert (span.name, span.tags["http.status_code"]) == (f"GET {running.route}", 200)
    assert counters.get("guard_failures_instrumentation_hook") == before + 3


def test_a_server_takes_its_options(ours, running, fetch, finished):
    """Captured headers, names, statuses that are errors, what hooks see."""
    seen = []
    instrumentation.install(
        http=HTTPOptions(
            capture_request_headers=["x-wanted", "authorization"],
            server_error_statuses=[200],
            span_name=lambda request, route: f"{request.method} on {route}",
            response_hook=lambda span, request, response: seen.append((request.url, response.status)),
        )
    )
    fetch(f"{running.url}/page/1", headers={"X-Wanted": "yes", "Authorization": "Basic s3cret"})
    (span,) = finished(ours)
    assert (span.name, span.tags["error"]) == (f"GET on {running.route}", True)
    assert span.tags["http.request.header.x-wanted"] == "yes"
    assert "s3cret" not in str(span.tags)
    assert seen == [(f"{running.url}/page/1", 200)]


def test_a_server_in_forward_mode_hands_on_what_came(installed, running, fetch):
    """Verbatim, the request's id too; no span."""
    installed(ForwardingTracer("tested"))
    assert fetch(f"{running.url}/page/1", headers=B3).status == 200
    assert {name: running.seen[0][name] for name in B3} == B3


def test_a_server_goes_on_without_a_tracer_and_with_one_that_fails(installed, running, fetch):
    """Every request is answered."""
    for tracer in (opentracing.Tracer(), FailingTracer("tested", reporter=InMemoryReporter())):
        installed(tracer)
        assert fetch(f"{running.url}/page/1", headers=B3).status == 200


def test_a_server_keeps_an_unsampled_decision(installed, running, fetch):
    """The caller's, in what the handler sends on."""
    reporter = InMemoryReporter()
    installed(OurTracer("tested", sampler=ConstSampler(True), reporter=reporter, propagation="b3"))
    fetch(f"{running.url}/page/1", headers={**B3, "x-b3-sampled": "0"})
    assert (running.seen[0]["x-b3-traceid"], running.seen[0]["x-b3-sampled"]) == ("a" * 32, "0")
    assert reporter.spans == []


def test_a_server_ignores_paths_of_the_users(ours, running, fetch, finished):
    """As well as probes by their agent; unless somebody wants to see them."""
    instrumentation.install(http=HTTPOptions(ignore_paths=["/page/quiet"]))
    fetch(f"{running.url}/page/quiet")
    fetch(f"{running.url}/page/1", headers={"user-agent": "kube-probe/1.30"})
    fetch(f"{running.url}/page/quiet", headers=B3)
    (span,) = finished(ours)
    assert span.trace_id == int("a" * 32, 16)
    assert [headers.get("x-b3-sampled") for headers in running.seen] == ["0", "0", "1"]


def test_a_server_reads_malformed_headers_without_harm(ours, running, fetch, finished):
    """A new trace begins."""
    assert fetch(f"{running.url}/page/1", headers={"x-b3-traceid": "zz", "x-b3-spanid": "-", "b3": "x"}).status == 200
    (span,) = finished(ours)
    assert span.parent_id is None
