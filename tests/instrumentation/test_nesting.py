"""Nested layers give one span: clients that stand on each other, servers that run in each other."""

from __future__ import annotations

import threading

import flask
import pytest
from opentracing.scope_managers.contextvars import ContextVarsScopeManager
from werkzeug.test import EnvironBuilder

from sls_tracing.instrumentation import _wsgi
from sls_tracing.instrumentation._http import ClientCall, ServerCall
from sls_tracing.instrumentation._options import HTTPOptions


def start(tracing, component, url="http://stock/7", **named):
    return ClientCall.start(tracing.tracer, component, "GET", url, **named)


@pytest.mark.parametrize(
    ("outer", "inner", "is_part"),
    [
        ("requests", "urllib3", True),
        ("requests", "http.client", True),
        ("urllib3", "http.client", True),
        ("urllib", "http.client", True),
        ("httpx", "http.client", True),
        ("requests", "requests", False),
        ("urllib3", "requests", False),
        ("http.client", "http.client", False),
        ("requests", "aiohttp", False),
    ],
)
def test_a_library_below_is_silent_while_one_on_top_calls(recorded, outer, inner, is_part) -> None:
    """One beside or above it makes a call of its own, as a hook of a session may."""
    call = start(recorded, outer)
    with call:
        assert (start(recorded, inner) is None) is is_part
    assert start(recorded, inner) is not None, "the call has returned"
    call.finish()


def test_calls_of_three_layers_are_one(recorded) -> None:
    """The middle one is silent and lowers nothing."""
    with start(recorded, "requests"):
        assert start(recorded, "urllib3") is None
        assert start(recorded, "http.client") is None


def test_what_outlives_the_call_is_not_silenced(recorded) -> None:
    """A task started within a call inherits the mark, and may run on when the call is over."""
    import contextvars

    call = start(recorded, "requests")
    with call:
        inherited = contextvars.copy_context()
    assert inherited.run(start, recorded, "urllib3") is None, "a body is still being read"
    call.finish()
    assert inherited.run(start, recorded, "urllib3") is not None


def test_another_thread_is_another_call(recorded) -> None:
    """A thread that works while the call waits."""
    found = []
    with start(recorded, "requests"):
        thread = threading.Thread(target=lambda: found.append(start(recorded, "urllib3")))
        thread.start()
        thread.join()
    assert found[0] is not None


def test_an_ignored_call_silences_the_layers_below(recorded) -> None:
    """They would make the span that the options do not want."""
    call = start(recorded, "requests", options=HTTPOptions(ignore_urls="http://stock/*"))
    with call:
        assert start(recorded, "urllib3") is None


def test_a_call_that_raises_ends_the_silence(recorded) -> None:
    with pytest.raises(OSError, match="gone"), start(recorded, "requests"):
        raise OSError("gone")
    assert start(recorded, "urllib3") is not None


# -- servers -----------------------------------------------------------------------------------------------------------


def make_app() -> flask.Flask:
    app = flask.Flask("shop")
    app.add_url_rule("/items/<int:number>", view_func=lambda number: "item", endpoint="item")
    app.add_url_rule(
        "/asks/<int:number>",
        view_func=lambda number: flask.current_app.test_client().get(f"/items/{number}").data,
        endpoint="asks",
    )
    return app


def test_middleware_around_flask_is_one_span_and_flask_names_it(recorded) -> None:
    """The outer layer times the request, the inner one knows the route."""
    app = make_app()
    environ = EnvironBuilder("/items/7").get_environ()
    body = _wsgi.serve(recorded.tracer, "wsgi", app, environ, lambda *args: None, lambda *args: False)
    b"".join(body)
    body.close()
    (span,) = recorded.spans
    assert (span.name, span.tags["http.status_code"]) == ("GET /items/<int:number>", 200)


def test_a_server_around_it_that_hands_over_no_environ_is_one_span_too(recorded) -> None:
    """As an ASGI server's bridge to WSGI, or Tornado's: only method and path are the same."""
    call = ServerCall.start(recorded.tracer, "tornado", "GET", {}, "/items/7")
    with call:
        make_app().test_client().get("/items/7")
    call.finish()
    (span,) = recorded.spans
    assert span.name == "GET /items/<int:number>"


def test_a_request_to_oneself_is_another_request(recorded) -> None:
    """A view that calls another one through the test client."""
    make_app().test_client().get("/asks/7")
    assert [span.name for span in recorded.spans] == ["GET /items/<int:number>", "GET /asks/<int:number>"]


def test_a_request_after_it_is_another_request(recorded) -> None:
    """In the same thread, with the same environ."""
    app, environ = make_app(), EnvironBuilder("/items/7").get_environ()
    for _ in range(2):
        b"".join(app(environ, lambda *args: None))
    assert len(recorded.spans) == 2
    assert isinstance(recorded.tracer.scope_manager, ContextVarsScopeManager) or recorded.tracer.active_span is None
