"""instrument_app, instrument_session, the WSGI middleware, and their undoing."""

from __future__ import annotations

import gc
import pickle
import weakref

import flask
import opentracing
import pytest
import requests
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers.contextvars import ContextVarsScopeManager
from requests.adapters import BaseAdapter
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from sls_tracing import InMemoryReporter, Tracer, instrumentation
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.instrumentation import HTTPOptions, WSGIMiddleware


@pytest.fixture
def bare(ours):
    """Our tracer is the global one, and no library is instrumented."""
    instrumentation.uninstall()
    yield ours
    assert not hasattr(flask.Flask.__call__, "__wrapped__"), "a patch was left"
    assert vars(requests.Session)["send"].__code__.co_name == "send", "a patch was left"


def make_app() -> flask.Flask:
    app = flask.Flask("shop")
    app.add_url_rule("/items/<int:number>", view_func=lambda number: "item", endpoint="item")
    return app


class Neighbour(BaseAdapter):
    def send(self, request, **kwargs):
        response = requests.Response()
        response.status_code, response.url, response.request, response._content = 200, request.url, request, b""
        return response

    def close(self) -> None:
        pass


def make_session() -> requests.Session:
    session = requests.Session()
    session.mount("http://", Neighbour())
    return session


def names(tracing) -> list[str]:
    return [span.name for span in tracing.spans]


# -- Flask -------------------------------------------------------------------------------------------------------------


def test_one_application_is_traced_and_no_other(bare) -> None:
    """In place: what comes back is the application."""
    app, other = make_app(), make_app()
    assert instrumentation.instrument_app(app) is app
    app.test_client().get("/items/7")
    other.test_client().get("/items/8")
    assert names(bare) == ["GET /items/<int:number>"]
    assert instrumentation.uninstrument_app(app) is app
    app.test_client().get("/items/9")
    assert len(bare.spans) == 1


def test_it_is_traced_behind_middleware_of_either_side(bare) -> None:
    """Put around its wsgi_app before and after."""
    app = make_app()
    app.wsgi_app = ProxyFix(app.wsgi_app)
    instrumentation.instrument_app(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    app.test_client().get("/items/7")
    assert len(bare.spans) == 1
    instrumentation.uninstrument_app(app)
    app.test_client().get("/items/7")
    assert len(bare.spans) == 1


def test_its_own_options_and_tracer_win(ours) -> None:
    """Beside the library as a whole: one span, to the application's tracer, named by its options."""
    app, other, reporter = make_app(), make_app(), InMemoryReporter()
    instrumentation.instrument_app(
        app, tracer=Tracer("own", reporter=reporter), http=HTTPOptions(span_name=lambda request, route: "mine")
    )
    app.test_client().get("/items/7")
    other.test_client().get("/items/7")
    assert names(ours) == ["GET /items/<int:number>"]
    assert [span.operation_name for span in reporter.spans] == ["mine"]
    instrumentation.uninstrument_app(app)
    app.test_client().get("/items/7")
    assert len(ours.spans) == 2, "now as all others"


@pytest.mark.parametrize("order", ["the app first", "the library first"])
def test_undone_in_either_order(bare, order) -> None:
    """The library's install and one application's do not depend on each other."""
    app = make_app()
    instrumentation.instrument_app(app)
    instrumentation.install("flask")
    instrumentation.instrument_app(app)
    app.test_client().get("/items/7")
    assert len(bare.spans) == 1
    undo = [lambda: instrumentation.uninstrument_app(app), lambda: instrumentation.uninstall("flask")]
    for step in undo if order == "the app first" else reversed(undo):
        assert hasattr(flask.Flask.__call__, "__wrapped__")
        app.test_client().get("/items/7")
        step()
    assert len(bare.spans) == 3
    app.test_client().get("/items/7")
    assert len(bare.spans) == 3
    instrumentation.uninstrument_app(app)


def test_an_application_that_is_forgotten_is_forgotten_here(bare) -> None:
    """Factories make many, in tests above all."""
    app = instrumentation.instrument_app(make_app())
    gone = weakref.ref(app)
    instrumentation.instrument_app(keeper := make_app())
    del app
    gc.collect()
    assert gone() is None
    instrumentation.uninstrument_app(keeper)


# -- requests ----------------------------------------------------------------------------------------------------------


def test_one_session_is_traced_and_no_other(bare) -> None:
    session, other = make_session(), make_session()
    assert instrumentation.instrument_session(session) is session
    session.get("http://stock/7")
    other.get("http://stock/7")
    assert names(bare) == ["GET"]
    assert type(pickle.loads(pickle.dumps(requests.Session()))) is requests.Session
    assert instrumentation.uninstrument_session(session) is session
    session.get("http://stock/7")
    assert len(bare.spans) == 1


def test_a_sessions_own_options_and_tracer_win(ours) -> None:
    """Beside the library as a whole: one span."""
    session, reporter = make_session(), InMemoryReporter()
    options = HTTPOptions(span_name=lambda request, route: "mine")
    instrumentation.instrument_session(session, tracer=Tracer("own", reporter=reporter), http=options)
    session.get("http://stock/7")
    assert (names(ours), [span.operation_name for span in reporter.spans]) == ([], ["mine"])
    instrumentation.uninstrument_session(session)
    session.get("http://stock/7")
    assert names(ours) == ["GET"]


def test_undoing_what_was_never_done_is_fine(bare) -> None:
    instrumentation.uninstrument_session(make_session())
    instrumentation.uninstrument_app(make_app())
    assert instrumentation.uninstrument_app(print) is print
    assert instrumentation.uninstrument_session(7) == 7


# -- WSGI --------------------------------------------------------------------------------------------------------------


def plain(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("no stock")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return parts() if environ["PATH_INFO"] == "/stream" else [b"whole"]


def parts():
    for number in range(3):
        opentracing.global_tracer().start_span(f"part {number}").finish()
        yield b"part"


@pytest.fixture(params=["class", "instrument_app"])
def traced(request, bare):
    return WSGIMiddleware(plain) if request.param == "class" else instrumentation.instrument_app(plain)


def test_any_wsgi_application_in_the_middleware(bare, traced) -> None:
    """Named by the method, for no route is known."""
    response = Client(traced).get("/items/7?token=s3cret")
    (span,) = bare.spans
    assert response.data == b"whole"
    assert span.name == "GET"
    assert span.tags == {
        "component": "wsgi",
        "span.kind": "server",
        "http.method": "GET",
        "http.url": "http://localhost/items/7?token=REDACTED",
        "http.status_code": 200,
    }


def test_its_streamed_body_belongs_to_the_request(bare, traced) -> None:
    assert Client(traced).get("/stream").data == b"part" * 3
    *children, span = bare.spans
    assert [child.parent_id for child in children] == [span.span_id] * 3


def test_its_exception_is_recorded_and_passes(bare, traced) -> None:
    with pytest.raises(ValueError, match="no stock"):
        Client(traced).get("/boom")
    assert bare.spans[0].errors()[0]["message"] == "no stock"


def test_undone_it_is_the_application_again(bare) -> None:
    traced = instrumentation.instrument_app(plain)
    again = instrumentation.instrument_app(traced)
    assert type(again.app) is type(plain), "not one middleware in another"
    assert instrumentation.uninstrument_app(traced) is plain
    assert traced.__name__ == "plain", "what the application has is there"


def test_the_middleware_in_flasks_hook_is_one_span_with_the_route(ours) -> None:
    """Flask is instrumented as well; whichever comes first makes the span."""
    app = make_app()
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)
    app.test_client().get("/items/7")
    assert names(ours) == ["GET /items/<int:number>"]
    outside = WSGIMiddleware(make_app())
    Client(outside).get("/items/7")
    assert names(ours) == ["GET /items/<int:number>"] * 2


def test_the_middleware_has_a_tracer_and_options_of_its_own(bare) -> None:
    tracer = MockTracer(ContextVarsScopeManager())
    traced = WSGIMiddleware(plain, tracer, HTTPOptions(ignore_paths="/ping"))
    Client(traced).get("/ping")
    Client(traced).get("/items/7")
    assert (bare.spans, len(tracer.finished_spans())) == ([], 1)


def test_under_the_no_op_tracer_it_only_passes_on() -> None:
    """What comes back is the application's own body."""
    body = WSGIMiddleware(plain)(EnvironBuilder("/stream").get_environ(), lambda *args: None)
    assert type(body).__name__ == "generator"


@pytest.mark.parametrize("wrong", [7, None, "shop:app"])
def test_what_is_no_application_or_session_is_refused(wrong) -> None:
    for make in (instrumentation.instrument_app, instrumentation.instrument_session, WSGIMiddleware):
        with pytest.raises(ConfigurationError, match=type(wrong).__name__):
            make(wrong)
