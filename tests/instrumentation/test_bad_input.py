"""Values of the wrong type and shape, from servers, applications and callers: they fail as they would untraced, or not at all."""

from __future__ import annotations

import flask
import pytest
import requests
import wrapt
from requests.adapters import BaseAdapter
from werkzeug.test import EnvironBuilder

from sls_tracing import instrumentation
from sls_tracing.instrumentation import HTTPOptions, WSGIMiddleware


class Neither:
    """Neither text nor number; its text is the same in every run, for names of tests are made of it."""

    def __repr__(self) -> str:
        return "odd"


ODD = [None, 7, 1.5, b"bytes", [], {}, Neither()]
ODD_IDS = [type(value).__name__ for value in ODD]


@pytest.fixture
def lenient(ours):
    """Failures of guards are what some of these are for: the application sees none of them."""
    ours.expects_failures = True
    instrumentation.install(
        http=HTTPOptions(
            capture_request_headers="*",
            capture_response_headers="*",
            request_hook=lambda span, request: span.set_tag("url", request.url),
            response_hook=lambda span, request, response: span.set_tag("status", response.status),
        )
    )
    return ours


def outcome(function):
    """What a call gives: its value, or its exception as text."""
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# -- servers -----------------------------------------------------------------------------------------------------------

KEYS = ["REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "QUERY_STRING", "HTTP_USER_AGENT", "HTTP_HOST", "HTTP_X_B3_TRACEID", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "wsgi.url_scheme"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ODD, ids=ODD_IDS)
def test_an_environ_with_odd_values(lenient, key, value) -> None:
    """A server or a test that fills it carelessly: a plain WSGI application does not notice that it is traced."""

    def plain(environ, start_response):
        start_response("200 OK", [])
        return [b"done"]

    environ = {**EnvironBuilder("/items/7", base_url="http://shop/").get_environ(), key: value}
    assert WSGIMiddleware(plain)(environ, lambda *args: None) == [b"done"]
    assert len(lenient.spans) == 1


@pytest.mark.parametrize("status", [*ODD, "", "abc", "2000 Odd", "-1"], ids=str)
@pytest.mark.parametrize("headers", [None, 7, [("a",)], [(1, 2)], [None]], ids=str)
def test_a_start_response_with_odd_arguments(lenient, status, headers) -> None:
    """They reach the server as they are: to refuse them is its business."""
    seen = []

    def odd(environ, start_response):
        start_response(status, headers)
        return [b"done"]

    body = WSGIMiddleware(odd)(EnvironBuilder("/").get_environ(), lambda *args: seen.append(args))
    assert (body, seen) == ([b"done"], [(status, headers)])


@pytest.mark.parametrize(
    "body", [None, 7, object(), "text", b"bytes", [None], iter([7])], ids=lambda body: type(body).__name__
)
def test_a_body_of_the_wrong_type(lenient, body) -> None:
    """What iterating it gives, is what it gives untraced."""

    def odd(environ, start_response):
        start_response("200 OK", [])
        return body if not hasattr(body, "__next__") else iter([7])

    def served(app):
        return outcome(lambda: list(app(EnvironBuilder("/").get_environ(), lambda *args: None)))

    assert served(WSGIMiddleware(odd)).__repr__() == served(odd).__repr__()
    assert len(lenient.spans) == 1


@pytest.mark.parametrize("arguments", [(), ("200 OK",), ("200 OK", [], None, None)], ids=len)
def test_a_start_response_with_the_wrong_number_of_arguments(lenient, arguments) -> None:
    def odd(environ, start_response):
        start_response(*arguments)
        return []

    with pytest.raises(TypeError):
        WSGIMiddleware(odd)(EnvironBuilder("/").get_environ(), lambda status, headers, exc_info=None: None)
    assert len(lenient.spans) == 1


@pytest.mark.parametrize("value", [None, 7, object()], ids=["None", "int", "object"])
def test_a_view_that_returns_the_wrong_thing(lenient, value) -> None:
    """Flask answers 500; the error is on the span."""
    app = flask.Flask("shop")
    app.add_url_rule("/", view_func=lambda: value, endpoint="odd")
    assert app.test_client().get("/").status_code == 500
    (span,) = lenient.spans
    assert span.errors()[0]["error.kind"] == "TypeError"


# -- clients -----------------------------------------------------------------------------------------------------------


class Odd(BaseAdapter):
    def __init__(self, **attributes) -> None:
        super().__init__()
        self.attributes = attributes

    def send(self, request, **kwargs):
        response = requests.Response()
        response.status_code, response.url, response.request, response._content = 200, request.url, request, b""
        response.__dict__.update(self.attributes)
        return response

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "attributes",
    [{"status_code": None}, {"status_code": "200"}, {"headers": None}, {"raw": 7}, {"url": None}, {"raw": Neither()}],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_with_odd_attributes(lenient, attributes, stream) -> None:
    """As a careless test double makes: what happens, happens untraced too."""

    def called():
        with requests.Session() as session:
            session.mount("http://", Odd(**attributes))
            return outcome(lambda: session.get("http://stock/7", stream=stream).status_code)

    traced = called()
    assert len(lenient.spans) == 1
    instrumentation.uninstall()
    assert called() == traced


@pytest.mark.parametrize("headers", [{"x": b"bytes"}, {b"x": "text"}, {"x": None}, [("x", "1")]], ids=str)
def test_request_headers_of_odd_types(lenient, headers) -> None:
    def called():
        with requests.Session() as session:
            session.mount("http://", Odd())
            return outcome(lambda: session.get("http://stock/7", headers=headers).status_code)

    traced = called()
    instrumentation.uninstall()
    assert called() == traced


@pytest.mark.parametrize("value", ODD, ids=ODD_IDS)
def test_a_prepared_request_with_an_odd_method_and_address(lenient, value) -> None:
    def called(name):
        with requests.Session() as session:
            session.mount("http://", Odd())
            request = session.prepare_request(requests.Request("GET", "http://stock/7"))
            setattr(request, name, value)
            return outcome(lambda: session.send(request).status_code)

    traced = [called("method"), called("url")]
    instrumentation.uninstall()
    assert [called("method"), called("url")] == traced


# -- another tool at the same place ------------------------------------------------------------------------------------


def other_tool(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)


@pytest.mark.parametrize("owner", ["flask", "requests"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("undone_first", ["ours", "theirs"])
def test_two_tools_at_one_place_in_any_order(ours, owner, first, undone_first) -> None:
    """One span while we are installed, none afterwards, whoever came and went first."""
    kind, name = (flask.Flask, "wsgi_app") if owner == "flask" else (requests.Session, "send")
    instrumentation.uninstall()
    original = vars(kind)[name]
    app = flask.Flask("shop")

    def called() -> int:
        before = len(ours.spans)
        if owner == "flask":
            app.test_client().get("/")
        else:
            with requests.Session() as session:
                session.mount("http://", Odd())
                session.get("http://stock/7")
        return len(ours.spans) - before

    if first == "ours":
        instrumentation.install(owner)
    wrapt.wrap_function_wrapper(kind, name, other_tool)
    theirs = vars(kind)[name]
    instrumentation.install(owner)
    try:
        assert called() == 1
        if undone_first == "ours":
            instrumentation.uninstall()
            assert called() == 0
        setattr(kind, name, theirs.__wrapped__)  # as wrapt's own unwrapping does, whatever is outermost by now
        instrumentation.uninstall()
        assert called() == 0
        instrumentation.install(owner)
        assert called() == 1
        instrumentation.uninstall()
    finally:
        setattr(kind, name, original)
