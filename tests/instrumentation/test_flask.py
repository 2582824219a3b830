"""Flask, on the real thing through its test client; every row of what other tools get wrong."""

from __future__ import annotations

import asyncio
import gc
import threading

import flask
import opentracing
import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from sls_tracing import instrumentation
from sls_tracing.suppression import suppress


class Teapot(Exception):
    pass


def child(name: str) -> str:
    with opentracing.global_tracer().start_active_span(name):
        return name


def make_app() -> Flask:
    app = Flask("shop")

    @app.get("/products/<int:number>")
    def product(number: int) -> str:
        return child("query")

    @app.get("/boom")
    def boom() -> str:
        raise ValueError("no stock")

    @app.get("/abort/<int:code>")
    def abort(code: int) -> str:
        flask.abort(code)

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(child(f"part-{n}") + "\n" for n in range(3))

    @app.get("/stream-in-context")
    def stream_in_context() -> flask.Response:
        @flask.stream_with_context
        def parts():
            for n in range(3):
                yield child(f"{flask.request.path}-{n}") + "\n"

        return flask.Response(parts())

    @app.get("/broken-stream")
    def broken_stream() -> flask.Response:
        def parts():
            yield "one"
            raise OSError("disk gone")

        return flask.Response(parts())

    @app.get("/async")
    async def asynchronous() -> str:
        await asyncio.sleep(0)
        return child("awaited")

    return app


def only(recorded, name: str):
    (span,) = [span for span in recorded.spans if span.name == name]
    return span


# -- the ordinary request ----------------------------------------------------------------------------------------------


def test_one_span_named_by_the_route_template_with_opentracing_tags(recorded) -> None:
    """One server span a request; its tags are OpenTracing's, with the status as a number."""
    make_app().test_client().get("/products/7?color=red", environ_base={"REMOTE_PORT": "4711"})
    span = only(recorded, "GET /products/<int:number>")
    assert span.parent_id in (None, 0)
    assert span.tags == {
        "component": "flask",
        "span.kind": "server",
        "http.method": "GET",
        "http.url": "http://localhost/products/7?color=red",
        "http.route": "/products/<int:number>",
        "http.status_code": 200,
        "peer.ipv4": "127.0.0.1",
        "peer.port": 4711,
    }
    assert only(recorded, "query").parent_id == span.span_id
    assert len(recorded.spans) == 2


def test_a_caller_that_traces_is_the_parent(recorded) -> None:
    """The context in the request's headers is the parent, whatever else is active in this thread."""
    with recorded.tracer.start_active_span("caller") as scope:
        headers: dict[str, str] = {}
        recorded.tracer.inject(scope.span.context, opentracing.Format.HTTP_HEADERS, headers)
        with recorded.tracer.start_active_span("left over", ignore_active_span=True):
            make_app().test_client().get("/products/7", headers=headers)
    span, caller = only(recorded, "GET /products/<int:number>"), only(recorded, "caller")
    assert (span.trace_id, span.parent_id) == (caller.trace_id, caller.span_id)


def test_what_is_active_in_the_thread_is_no_parent(recorded) -> None:
    """A request without a context begins a trace of its own."""
    with recorded.tracer.start_active_span("left over"):
        make_app().test_client().get("/products/7")
    assert only(recorded, "GET /products/<int:number>").trace_id != only(recorded, "left over").trace_id


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/nope/77", "GET <unmatched>", 404),
        ("POST", "/products/7", "POST <unmatched>", 405),
        ("HEAD", "/products/7", "HEAD /products/<int:number>", 200),
        ("HEAD", "/stream", "HEAD /stream", 200),
        ("OPTIONS", "/products/7", "OPTIONS /products/<int:number>", 200),
        ("BREW", "/products/7", "HTTP <unmatched>", 405),
        ("GET", "/async", "GET /async", 200),
    ],
)
def test_names_are_few_whatever_clients_send(recorded, method, path, name, status) -> None:
    """No path and no invented method ever becomes a name; 4xx is no error."""
    response = make_app().test_client().open(path, method=method)
    response.close()
    span = only(recorded, name)
    assert response.status_code == span.tags["http.status_code"] == status
    assert "error" not in span.tags
    assert span.tags["http.url"] == f"http://localhost{path}"


def test_async_views_keep_the_parent(recorded) -> None:
    """asgiref runs the view in another loop with a copy of the context."""
    make_app().test_client().get("/async")
    assert only(recorded, "awaited").parent_id == only(recorded, "GET /async").span_id


def test_blueprints_have_their_prefix_in_the_name(recorded) -> None:
    """The template is the whole rule."""
    app, blueprint = make_app(), flask.Blueprint("admin", "admin", url_prefix="/admin")
    blueprint.get("/users/<name>")(lambda name: name)
    app.register_blueprint(blueprint)
    app.test_client().get("/admin/users/ann")
    assert only(recorded, "GET /admin/users/<name>").tags["http.url"] == "http://localhost/admin/users/ann"


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_unhandled_exception_is_an_error_with_its_log(recorded) -> None:
    """500: `error` is True, and one log tells event, message, kind, object and stack."""
    assert make_app().test_client().get("/boom").status_code == 500
    span = only(recorded, "GET /boom")
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, 500)
    (log,) = span.errors()
    assert (log["message"], log["error.kind"], str(log["error.object"])) == ("no stock", "ValueError", "no stock")
    assert log["stack"].startswith("Traceback")


def test_the_stack_reaches_the_view(ours) -> None:
    """In full: the frame that raised and what it said. (jaeger-client cuts values at 1,024 characters.)"""
    make_app().test_client().get("/boom")
    (log,) = only(ours, "GET /boom").errors()
    assert "in boom" in log["stack"]
    assert "no stock" in log["stack"]


def test_an_exception_that_propagates_is_recorded_and_passes(recorded) -> None:
    """In testing and debugging Flask lets it through: so do we."""
    app = make_app()
    app.testing = True
    with pytest.raises(ValueError, match="no stock"):
        app.test_client().get("/boom")
    span = only(recorded, "GET /boom")
    assert span.tags["error"] is True
    assert [log["message"] for log in span.errors()] == ["no stock"]


@pytest.mark.parametrize(("code", "is_error"), [(404, False), (418, False), (503, True)])
def test_abort_is_an_error_from_500(recorded, code, is_error) -> None:
    """A deliberate 4xx is an answer, a deliberate 5xx a failure."""
    make_app().test_client().get(f"/abort/{code}")
    span = only(recorded, "GET /abort/<int:code>")
    assert span.tags.get("error", False) is is_error
    assert len(span.errors()) == is_error


@pytest.mark.parametrize(("answer", "is_error"), [(("brewing", 418), False), (("kettle broke", 500), True)])
def test_an_error_handler_decides_by_its_answer(recorded, answer, is_error) -> None:
    """Handled and answered below 500: no error. Answered with 500: the exception behind it is recorded, once."""
    app = make_app()
    app.errorhandler(Teapot)(lambda error: child("handler") and answer)
    app.add_url_rule("/tea", view_func=lambda: (_ for _ in ()).throw(Teapot("short and stout")))
    app.test_client().get("/tea")
    span = next(span for span in recorded.spans if span.name.startswith("GET /tea"))
    assert span.tags.get("error", False) is is_error
    assert [log["message"] for log in span.errors()] == ["short and stout"] * is_error
    assert only(recorded, "handler").parent_id == span.span_id, "the span is active while handlers run"


def test_an_error_handler_that_fails_is_recorded_with_its_cause(recorded) -> None:
    """The stack shows both exceptions."""
    app = make_app()

    @app.errorhandler(ValueError)
    def fail(error):
        raise KeyError("handler broke")

    app.test_client().get("/boom")
    (log,) = only(recorded, "GET /boom").errors()
    assert log["error.kind"] == "KeyError"
    assert "no stock" in log["stack"]  # a chain begins with its cause


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "answers"])
def test_earlier_hooks_cannot_lose_the_request(recorded, raises) -> None:
    """A before_request function that raises or answers itself comes before any hook of an instrumentation."""
    app = make_app()

    @app.before_request
    def gate():
        if raises:
            raise PermissionError("closed")
        return "maintenance"

    app.test_client().get("/products/7")
    assert only(recorded, "GET /products/<int:number>").tags["http.status_code"] == (500 if raises else 200)


def test_a_session_store_that_fails_is_part_of_the_request(recorded) -> None:
    """Flask opens the session before anything else runs."""
    app = make_app()

    class Store(flask.sessions.SecureCookieSessionInterface):
        def open_session(self, app, request):
            child("load session")
            raise ConnectionError("store is down")

    app.session_interface = Store()
    assert app.test_client(use_cookies=False).get("/products/7").status_code == 500
    span = only(recorded, "GET")
    assert only(recorded, "load session").parent_id == span.span_id
    assert span.tags["http.url"] == "http://localhost/products/7"
    assert [log["message"] for log in span.errors()] == ["store is down"]


def test_an_exception_after_the_response_is_recorded(recorded) -> None:
    """Teardown functions run when the answer is made already."""
    app = make_app()

    @app.teardown_request
    def fail(error):
        raise RuntimeError("teardown broke")

    with pytest.raises(RuntimeError):
        app.test_client().get("/products/7")
    span = only(recorded, "GET /products/<int:number>")
    assert span.tags["error"] is True
    assert [log["message"] for log in span.errors()] == ["teardown broke"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_aborted_worker_still_finishes_its_span(recorded, kind) -> None:
    """gunicorn ends a worker that takes too long with SystemExit in the middle of the view."""
    app = make_app()
    app.add_url_rule("/slow", view_func=lambda: (_ for _ in ()).throw(kind("timeout")))
    with pytest.raises(kind):
        app.test_client().get("/slow")
    assert only(recorded, "GET /slow").tags["error"] is True


def test_stop_iteration_from_the_application_is_no_error(recorded) -> None:
    """gunicorn leaves a request at shutdown that way."""
    app = make_app()

    class Stopping:
        def __call__(self, environ, start_response):
            raise StopIteration

    app.wsgi_app = Stopping()
    with pytest.raises(StopIteration):
        app(EnvironBuilder("/").get_environ(), lambda *args: None)
    (span,) = recorded.spans
    assert "error" not in span.tags


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "parts"), [("/stream", "part-{}"), ("/stream-in-context", "/stream-in-context-{}")])
def test_a_streamed_body_belongs_to_the_request(recorded, path, parts) -> None:
    """The span ends with the body, and what the generator does are its children."""
    response = make_app().test_client().get(path, buffered=False)
    assert not [span for span in recorded.spans if span.tags.get("component") == "flask"], "the body is not over"
    assert len(response.data.splitlines()) == 3
    span = only(recorded, f"GET {path}")
    children = [only(recorded, parts.format(n)) for n in range(3)]
    assert [each.parent_id for each in children] == [span.span_id] * 3
    assert recorded.spans[-1] == span


def test_the_span_is_not_active_between_parts(recorded) -> None:
    """A suspended body must not parent what the server does meanwhile."""
    parts = iter(_raw_call(make_app(), "/stream"))
    next(parts)
    assert recorded.tracer.active_span is None
    parts.close()
    assert only(recorded, "GET /stream").tags["http.status_code"] == 200


def test_a_body_that_breaks_is_an_error(recorded) -> None:
    """The status was sent as 200; the span tells the rest."""
    with pytest.raises(OSError, match="disk gone"):
        list(_raw_call(make_app(), "/broken-stream"))
    span = only(recorded, "GET /broken-stream")
    assert (span.tags["error"], span.tags["http.status_code"]) == (True, 200)
    assert [log["message"] for log in span.errors()] == ["disk gone"]


@pytest.mark.parametrize("ending", ["closed", "forgotten"])
def test_a_body_that_is_not_read_to_its_end_is_finished(recorded, ending) -> None:
    """The client went away: the server closes the body, or forgets it."""
    body = _raw_call(make_app(), "/stream")
    next(iter(body))
    if ending == "closed":
        body.close()
    del body
    gc.collect()
    assert "error" not in only(recorded, "GET /stream").tags


def test_a_whole_body_is_finished_at_return(recorded) -> None:
    """A test or server that never closes the response still gives a span; and the body's `len` stays."""
    body = _raw_call(make_app(), "/products/7")
    assert only(recorded, "GET /products/<int:number>")
    assert b"".join(body) == b"query"


def test_a_streamed_body_has_no_length_and_a_list_keeps_its(recorded) -> None:
    """Servers take a body of length one for its own Content-Length."""
    app = make_app()
    assert not hasattr(_raw_call(app, "/stream"), "__len__")

    def bare(environ, start_response):
        start_response("200 OK", [])
        return [b"x"]

    app.wsgi_app = bare
    assert len(_raw_call(app, "/")) == 1


def test_a_file_for_the_server_to_send_is_left_untouched(recorded, tmp_path) -> None:
    """Servers recognise the object they were given (sendfile): it must stay what it is."""
    (tmp_path / "file").write_bytes(b"content")

    class FileWrapper:
        def __init__(self, filelike, block_size=8192):
            self.filelike = filelike

    app = make_app()
    app.add_url_rule("/file", view_func=lambda: flask.send_file(tmp_path / "file"))
    environ = EnvironBuilder("/file").get_environ()
    body = app({**environ, "wsgi.file_wrapper": FileWrapper}, lambda *args: None)
    assert type(body) is FileWrapper
    body.filelike.close()
    assert only(recorded, "GET /file").tags["http.status_code"] == 200


def test_send_file_without_the_servers_help(recorded, tmp_path) -> None:
    """Then the file is a streamed body like any other."""
    (tmp_path / "file").write_bytes(b"content")
    app = make_app()
    app.add_url_rule("/file", view_func=lambda: flask.send_file(tmp_path / "file"))
    with app.test_client().get("/file") as response:
        assert response.data == b"content"
    assert only(recorded, "GET /file")


# -- ways into an application ------------------------------------------------------------------------------------------


def test_applications_from_before_and_middleware_from_before(recorded) -> None:
    """An application, and a middleware around its old wsgi_app, that were there before install."""
    instrumentation.uninstall()
    early = make_app()
    early.wsgi_app = ProxyFix(early.wsgi_app, x_for=1, x_proto=1, x_host=1)
    instrumentation.install()
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    early.test_client().get("/products/7", headers=headers)
    span = only(recorded, "GET /products/<int:number>")
    assert (span.tags["http.url"], span.tags["peer.ipv4"]) == ("https://shop.example/products/7", "203.0.113.9")


@pytest.mark.parametrize("mount", ["app", "wsgi_app"])
def test_mounted_applications_are_one_span(recorded, mount) -> None:
    """Mounted below another application, by itself or by its wsgi_app: one request, one span, the inner one's route."""
    outer, inner = make_app(), make_app()
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner if mount == "app" else inner.wsgi_app})
    outer.test_client().get("/inner/products/7")
    span = only(recorded, "GET /products/<int:number>")
    assert span.tags["http.url"] == "http://localhost/inner/products/7"
    Client(DispatcherMiddleware(outer, {"/bare": inner.wsgi_app})).get("/bare/boom")
    assert only(recorded, "GET /boom").tags["http.url"] == "http://localhost/bare/boom"
    assert len(recorded.spans) == 3


def test_the_same_environ_twice_is_two_requests(recorded) -> None:
    """Nothing of a request stays in its environ as a sign for the next."""
    app, environ = make_app(), EnvironBuilder("/products/7").get_environ()
    for _ in range(2):
        app(environ, lambda *args: None)
    assert len([span for span in recorded.spans if span.tags.get("component") == "flask"]) == 2


def test_a_copied_request_context_takes_the_span_along(recorded) -> None:
    """In a thread, which starts with an empty context, and in the same thread."""
    app = make_app()

    @app.get("/background")
    def background() -> str:
        @flask.copy_current_request_context
        def work() -> None:
            child(f"work on {flask.request.path}")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return "done"

    app.test_client().get("/background")
    assert only(recorded, "work on /background").parent_id == only(recorded, "GET /background").span_id
    assert len(recorded.spans) == 2


def test_a_request_context_without_a_request_makes_no_span(recorded) -> None:
    """`test_request_context` and a dispatch by hand."""
    with make_app().test_request_context("/products/7"):
        flask.current_app.full_dispatch_request()
    assert [span.name for span in recorded.spans] == ["query"]


def test_suppression_holds_for_servers_too(recorded) -> None:
    """Inside `suppress()` no span is made."""
    with suppress():
        make_app().test_client().get("/stream").close()
    assert [span.name for span in recorded.spans if span.tags] == []


# -- what must not be recorded -----------------------------------------------------------------------------------------


def test_secrets_in_the_query_stay_out(recorded) -> None:
    """The value goes, the name stays."""
    make_app().test_client().get("/products/7?user=ann&access_token=s3cret&Sig=s3cret&%74oken=s3cret")
    url = only(recorded, "GET /products/<int:number>").tags["http.url"]
    assert url == "http://localhost/products/7?user=ann&access_token=REDACTED&Sig=REDACTED&%74oken=REDACTED"


@pytest.mark.parametrize(
    "environ",
    [
        {"PATH_INFO": "/caf\xc3\xa9", "QUERY_STRING": "q=\xff\xfe"},
        {"HTTP_HOST": "", "SERVER_PORT": "8080"},
        {"REMOTE_ADDR": "::1", "REMOTE_PORT": "no number", "HTTPS": "on"},
        {"HTTP_X_B3_TRACEID": "zzz", "HTTP_UBER_TRACE_ID": "garbage", "HTTP_OT_TRACER_TRACEID": "x"},
    ],
)
def test_strange_requests_are_traced_all_the_same(recorded, environ) -> None:
    """No guard may be needed for what clients can send; malformed contexts begin a fresh trace."""
    recorded.expects_failures = "HTTP_X_B3_TRACEID" in environ  # the other tracers raise out of extract
    app = make_app()
    list(app({**EnvironBuilder("/").get_environ(), **environ}, lambda *args: None))
    (span,) = recorded.spans
    assert (span.name, span.parent_id in (None, 0)) == ("GET <unmatched>", True)


# -- the tracer fails --------------------------------------------------------------------------------------------------


class Broken(opentracing.Tracer):
    """Everything in here raises."""

    @property
    def scope_manager(self):
        raise RuntimeError("scope_manager")

    def start_span(self, *args, **kwargs):
        raise RuntimeError("start_span")

    def inject(self, *args, **kwargs):
        raise RuntimeError("inject")

    def extract(self, *args, **kwargs):
        raise RuntimeError("extract")


class BrokenSpan(opentracing.Span):
    """A span that cannot do anything."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


class HalfBroken(Broken):
    """It starts spans at least."""

    def start_span(self, *args, **kwargs):
        return BrokenSpan(self, None)


@pytest.mark.parametrize("tracer", [Broken(), HalfBroken()], ids=["broken", "half broken"])
@pytest.mark.parametrize(("path", "status"), [("/products/7", 200), ("/stream", 200), ("/boom", 500), ("/no", 404)])
def test_a_broken_tracer_harms_no_request(ours, tracer, path, status) -> None:
    """Whatever the tracer raises, the application answers as ever."""
    ours.expects_failures = True
    opentracing.set_global_tracer(opentracing.Tracer())  # for the application's own spans
    instrumentation.install(tracer=tracer)
    response = make_app().test_client().get(path)
    assert (response.status_code, bool(response.data)) == (status, True)


# -- taking it off -----------------------------------------------------------------------------------------------------


def test_uninstall_leaves_no_trace(ours) -> None:
    """Live applications go untraced from their next request on, and the class is what it was."""
    app = make_app()
    instrumentation.uninstall()
    for name in ("__call__", "wsgi_app", "full_dispatch_request", "handle_user_exception", "handle_exception"):
        assert not hasattr(vars(Flask)[name], "__wrapped__")
    app.test_client().get("/abort/404")
    assert ours.spans == []
    instrumentation.install(["flask"])
    app.test_client().get("/abort/404")
    assert len(ours.spans) == 1


def test_an_unsampled_request_is_followed(ours) -> None:
    """The caller said no: no span here, and the decision reaches whoever is called."""
    app, seen = make_app(), {}

    @app.get("/onward")
    def onward() -> str:
        tracer = opentracing.global_tracer()
        tracer.inject(tracer.active_span.context, opentracing.Format.HTTP_HEADERS, seen)
        return ""

    app.test_client().get("/onward", headers={"X-B3-TraceId": "a" * 32, "X-B3-SpanId": "b" * 16, "X-B3-Sampled": "0"})
    assert ours.spans == []
    assert {name.lower(): value for name, value in seen.items()}["x-b3-sampled"] == "0"


def _raw_call(app, path: str):
    return app(EnvironBuilder(path).get_environ(), lambda *args: None)
