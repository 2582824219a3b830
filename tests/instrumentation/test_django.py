"""Django under a WSGI server and under uvicorn: one server span a request, whatever happens to it."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
import opentracing
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.urls import clear_url_caches, include, path, re_path

from sls_tracing import instrumentation
from sls_tracing.instrumentation._patching import PatchedFunction

URLS = "sls_tracing_django_urls"


def child(name):
    """Make a span under the active one."""
    opentracing.tracer.start_span(name).finish()


def hello(request, **names):
    child("inner")
    return HttpResponse("hello")


async def hello_async(request, **names):
    await asyncio.sleep(0)
    child("inner")
    return HttpResponse("hello")


def failing(request):
    raise LookupError("no such book")


async def failing_async(request):
    raise LookupError("no such book")


def missing(request):
    raise Http404


def handled(request):
    raise KeyError("handled")


def streaming(request):
    def parts():
        for part in ("one", "two"):
            child(part)
            yield part

    return StreamingHttpResponse(parts())


def streaming_async(request):
    async def parts():
        for part in ("one", "two"):
            child(part)
            yield part
            await asyncio.sleep(0.02)

    return StreamingHttpResponse(parts())


def broken(request):
    def parts():
        yield "one"
        raise OSError("disk gone")

    return StreamingHttpResponse(parts())


def file(request):
    return FileResponse(open(__file__, "rb"))


class Middleware:
    """Answers, raises and handles, as its paths say."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path == "/middleware/answers":
            return HttpResponse("early", status=403)
        if request.path == "/middleware/raises":
            raise RuntimeError("middleware")
        return self.get_response(request)

    def process_exception(self, request, exception):
        return HttpResponse("sorry", status=502) if isinstance(exception, KeyError) else None


def configure():
    """Django's settings are the process's: another module of tests may have made them."""
    urls = ModuleType(URLS)
    urls.urlpatterns = [
        path("hello/<str:name>/", hello),
        path("async/<str:name>/", hello_async),
        path("failing", failing),
        path("failing-async", failing_async),
        path("missing", missing),
        path("handled", handled),
        path("streaming", streaming),
        path("streaming-async", streaming_async),
        path("broken", broken),
        path("file", file),
        path("healthz", hello),
        re_path(r"^old/(?P<year>[0-9]{4})/(?P<kind>(a|b))/$", hello),
        path("shop/<int:shop>/", include([path("book/<int:id>", hello), re_path(r"^page(?P<n>\d+)$", hello)])),
    ]
    sys.modules[URLS] = urls
    sys.modules.setdefault(__name__, sys.modules.get(__name__) or _this_module())
    if not settings.configured:
        settings.configure(SECRET_KEY="test", LOGGING_CONFIG=None)
        django.setup()
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["*"]
    settings.ROOT_URLCONF = URLS
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware", f"{__name__}.Middleware"]
    clear_url_caches()


def _this_module():
    module = ModuleType(__name__)
    module.Middleware = Middleware
    return module


@pytest.fixture
def serve_wsgi():
    """``serve_wsgi(app)`` runs it on a thread and returns its URL."""
    servers = []

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args):
            pass

        def get_stderr(self):
            return open("/dev/null", "w")

    def serve(app):
        server = make_server("127.0.0.1", 0, app, WSGIServer, Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=["wsgi", "asgi"])
def url(request, serve_wsgi, serve_asgi):
    """The project behind either interface."""
    configure()
    if request.param == "wsgi":
        return serve_wsgi(get_wsgi_application())
    return serve_asgi(get_asgi_application(), lifespan="off")


def test_one_server_span_that_continues_the_callers_trace(recorded, url, fetch, finished):
    """Named by the route; OpenTracing's tags; child of the headers' context; what the view starts is its child."""
    headers = {}
    caller = recorded.tracer.start_span("caller")
    recorded.tracer.inject(caller.context, opentracing.Format.HTTP_HEADERS, headers)
    assert fetch(f"{url}/hello/world/?token=s3cret&x=1", headers=headers).body == b"hello"
    inner, span = finished(recorded, 2)
    assert span.name == "GET /hello/<str:name>/"
    span.tags.pop("peer.port", None)
    assert span.tags == {
        "component": "django",
        "span.kind": "server",
        "http.method": "GET",
        "http.route": "/hello/<str:name>/",
        "http.url": f"{url}/hello/world/?token=REDACTED&x=1",
        "http.status_code": 200,
        "peer.ipv4": "127.0.0.1",
    }
    assert (span.trace_id, span.parent_id) == (caller.context.trace_id, caller.context.span_id)
    assert (inner.trace_id, inner.parent_id) == (span.trace_id, span.span_id)


@pytest.mark.parametrize(
    ("address", "name", "status"),
    [
        ("/nowhere/77", "GET <unmatched>", 404),
        ("/missing", "GET /missing", 404),
        ("/hello/x", "GET <unmatched>", 301),
        ("/old/2024/a/", "GET /old/<year>/<kind>/", 200),
        ("/shop/17/book/4", "GET /shop/<int:shop>/book/<int:id>", 200),
        ("/shop/17/page3", "GET /shop/<int:shop>/page<n>", 200),
        ("/async/x/", "GET /async/<str:name>/", 200),
        ("/middleware/answers", "GET <unmatched>", 403),
        ("/file", "GET /file", 200),
    ],
)
def test_names_are_few(ours, url, fetch, wait_until, address, name, status):
    """Routes with their includes, or <unmatched>; a client error is no error of the server."""
    assert fetch(url + address).status == status
    wait_until(lambda: ours.spans and ours.spans[-1].name == name)
    assert ours.spans[-1].tags["http.status_code"] == status
    assert "error" not in ours.spans[-1].tags


@pytest.mark.parametrize(
    ("address", "status", "kind"),
    [
        ("/failing", 500, "LookupError"),
        ("/failing-async", 500, "LookupError"),
        ("/handled", 502, "KeyError"),
        ("/middleware/raises", 500, "RuntimeError"),
    ],
)
def test_an_error_is_logged_once(recorded, url, fetch, finished, address, status, kind):
    """Of a view, of a middleware, or handled by one."""
    assert fetch(url + address).status == status
    (span,) = finished(recorded)
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, status)
    assert [log["error.kind"] for log in span.errors()] == [kind]


@pytest.mark.parametrize("address", ["/streaming", "/streaming-async"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_streamed_body_is_inside(recorded, url, fetch, finished, address):
    """Parts are made under the span, which ends with the body."""
    assert fetch(url + address).body == b"onetwo"
    one, two, span = finished(recorded, 3)
    assert {one.parent_id, two.parent_id} == {span.span_id}
    assert span.tags["http.status_code"] == 200


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_an_error_in_the_middle_of_a_body_is_the_spans(ours, url, fetch, finished):
    """The status was fine, the answer was not."""
    try:
        fetch(url + "/broken")
    except Exception as error:
        assert error
    (span,) = finished(ours)
    assert (span.tags["http.status_code"], span.tags["error"]) == (200, True)
    assert span.errors()[0]["error.kind"] == "OSError"


def test_health_probes_make_no_span(ours, url, fetch, finished):
    """Nor does what they call."""
    fetch(url + "/healthz")
    fetch(url + "/missing")
    assert [span.name for span in finished(ours)] == ["GET /missing"]


def test_fifty_requests_in_flight_never_mix(ours, url, fetch, wait_until):
    """Each view's children belong to its own request, on threads and on the loop."""
    threads = [
        threading.Thread(
            target=fetch,
            args=(f"{url}/{'async' if number % 2 else 'hello'}/{number}/",),
            kwargs={"headers": {"x-b3-traceid": f"{number + 1:032x}", "x-b3-spanid": "1" * 16, "x-b3-sampled": "1"}},
        )
        for number in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(ours.spans) == 100)
    by_id = {span.span_id: span for span in ours.spans}
    inner = [span for span in ours.spans if span.name == "inner"]
    assert len({span.trace_id for span in inner}) == 50
    for span in inner:
        server = by_id[span.parent_id]
        assert server.trace_id == span.trace_id == int(server.tags["http.url"].rstrip("/").rpartition("/")[2]) + 1


def test_applications_made_before_and_uninstalled(ours, url, fetch, finished):
    """An application that runs already is traced as long as the instrumentation is on."""
    instrumentation.uninstall()
    fetch(url + "/missing")
    instrumentation.install()
    instrumentation.install("django")
    fetch(url + "/missing")
    finished(ours)
    instrumentation.uninstall()
    fetch(url + "/missing")
    assert len(finished(ours)) == 1
    for owner in (WSGIHandler, ASGIHandler, BaseHandler, sys.modules["django.core.handlers.exception"]):
        assert not [name for name, value in vars(owner).items() if isinstance(value, PatchedFunction)]


def test_it_is_the_one_server_span_inside_a_middleware(ours, serve_wsgi, fetch, finished):
    """WSGIMiddleware around Django: the outer one's span, named by Django."""
    configure()
    fetch(serve_wsgi(instrumentation.WSGIMiddleware(get_wsgi_application())) + "/missing")
    (span,) = finished(ours)
    assert (span.name, span.tags["component"]) == ("GET /missing", "wsgi")
