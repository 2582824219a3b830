"""Hooks, captured headers, names, error statuses and ignored URLs: by code and by environment, on servers and clients alike."""

from __future__ import annotations

import sys
import types

import flask
import pytest
import requests
from requests.adapters import BaseAdapter

from sls_tracing import instrumentation
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.metrics import counters


class Neighbour(BaseAdapter):
    """Answers every request, and notes its headers."""

    def __init__(self, status: int = 200) -> None:
        super().__init__()
        self.status = status
        self.headers: dict[str, str] = {}

    def send(self, request, **kwargs):
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        response = requests.Response()
        response.status_code, response.url, response.request, response._content = (
            self.status,
            request.url,
            request,
            b"",
        )
        response.headers["X-Served-By"] = "n1"
        response.headers["Set-Cookie"] = "id=s3cret"
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def neighbour():
    return Neighbour()


@pytest.fixture
def session(neighbour):
    session = requests.Session()
    session.mount("http://", neighbour)
    return session


@pytest.fixture
def client():
    app = flask.Flask("shop")
    app.add_url_rule("/items/<int:number>", view_func=lambda number: ("item", 200, {"X-Stock": "7"}), endpoint="item")
    app.add_url_rule("/status/<int:code>", view_func=lambda code: ("", code), endpoint="status")
    return app.test_client()


def last(recorded):
    return recorded.spans[-1]


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_hooks_see_the_request_and_the_response(recorded, client, session) -> None:
    """The same shape on both sides; what they tag is on the span."""
    seen = []

    def on_request(span, request) -> None:
        seen.append((request.method, request.url))
        span.set_tag("shop.native", type(request.native).__name__)

    def on_response(span, request, response) -> None:
        seen.append((request.method, request.url, response.status))
        span.set_tag("shop.header", dict(response.headers).get("X-Stock") or dict(response.headers).get("X-Served-By"))

    instrumentation.install(http=HTTPOptions(request_hook=on_request, response_hook=on_response))
    client.get("/items/7?token=s3cret")
    session.post("http://ann:s3cret@stock/7")
    server, out = recorded.spans
    assert seen == [
        ("GET", "http://localhost/items/7?token=REDACTED"),
        ("GET", "http://localhost/items/7?token=REDACTED", 200),
        ("POST", "http://stock/7"),
        ("POST", "http://stock/7", 200),
    ]
    assert (server.tags["shop.native"], server.tags["shop.header"]) == ("dict", "7")
    assert (out.tags["shop.native"], out.tags["shop.header"]) == ("PreparedRequest", "n1")


@pytest.mark.parametrize("hook", ["request_hook", "response_hook", "span_name"])
def test_a_hook_that_raises_harms_nothing_and_is_counted(recorded, client, session, hook) -> None:
    """The request is answered, the span is whole."""
    recorded.expects_failures = True

    def broken(*args):
        raise RuntimeError("hook broke")

    instrumentation.install(http=HTTPOptions(**{hook: broken}))
    before = counters.get("guard_failures_instrumentation_hook")
    assert client.get("/items/7").status_code == 200
    assert session.get("http://stock/7").status_code == 200
    assert counters.get("guard_failures_instrumentation_hook") >= before + 2
    assert [span.name for span in recorded.spans] == ["GET /items/<int:number>", "GET"]
    assert not any("error" in span.tags for span in recorded.spans)


def test_a_hook_may_stop_the_program(recorded, client) -> None:
    """SystemExit and KeyboardInterrupt belong to the host."""

    def stopping(span, request):
        raise KeyboardInterrupt

    instrumentation.install(http=HTTPOptions(request_hook=stopping))
    with pytest.raises(KeyboardInterrupt):
        client.get("/items/7")


def test_a_hook_by_environment_is_imported_when_it_is_called(recorded, client, monkeypatch) -> None:
    """`module:function`, dotted on both sides."""
    module = types.ModuleType("shop_tracing_hooks")
    module.Hooks = type("Hooks", (), {"named": staticmethod(lambda span, request: span.set_tag("by", "hook"))})
    options = HTTPOptions.from_environment({"SLS_TRACING_HTTP_REQUEST_HOOK": "shop_tracing_hooks:Hooks.named"})
    instrumentation.install(http=options)
    monkeypatch.setitem(sys.modules, "shop_tracing_hooks", module)
    client.get("/items/7")
    assert last(recorded).tags["by"] == "hook"


def test_a_hook_that_cannot_be_imported_is_counted(recorded, client) -> None:
    """And the requests go on."""
    recorded.expects_failures = True
    instrumentation.install(
        http=HTTPOptions.from_environment({"SLS_TRACING_HTTP_RESPONSE_HOOK": "no_such_module:function"})
    )
    before = counters.get("guard_failures_instrumentation_hook")
    assert client.get("/items/7").status_code == 200
    assert counters.get("guard_failures_instrumentation_hook") == before + 1


# -- headers -----------------------------------------------------------------------------------------------------------


def test_captured_headers_are_tags(recorded, client, session) -> None:
    """By name in any case, by pattern; on servers and clients; requests and responses apart."""
    instrumentation.install(
        http=HTTPOptions(capture_request_headers=["X-Tenant", "x-debug-*"], capture_response_headers="X-S*")
    )
    client.get("/items/7", headers={"x-tenant": "blue", "X-Debug-Level": "3", "X-Other": "no"})
    session.get("http://stock/7", headers={"X-TENANT": b"green"})
    server, out = recorded.spans
    assert server.tags["http.request.header.x-tenant"] == "blue"
    assert server.tags["http.request.header.x-debug-level"] == "3"
    assert server.tags["http.response.header.x-stock"] == "7"
    assert out.tags["http.request.header.x-tenant"] == "green"
    assert out.tags["http.response.header.x-served-by"] == "n1"
    assert not any("other" in tag for tag in server.tags)


def test_credentials_in_captured_headers_are_not_kept(recorded, client, session) -> None:
    """Whatever is asked for: cookies, authorization, keys, those on the own list, and secrets in an address that a header quotes."""
    instrumentation.install(
        http=HTTPOptions(
            capture_request_headers="*", capture_response_headers="*", redact_headers=["X-Customer", "x-internal-*"]
        )
    )
    client.get(
        "/items/7",
        headers={
            "Authorization": "Bearer s3cret",
            "Cookie": "id=s3cret",
            "X-Api-Key": "s3cret",
            "X-Auth-Token": "s3cret",
            "X-Customer": "s3cret",
            "X-Internal-Id": "s3cret",
            "Referer": "http://ann:s3cret@shop/?token=s3cret&page=2",
        },
    )
    session.get("http://stock/7", headers={"Proxy-Authorization": "Basic s3cret"})
    assert "s3cret" not in repr(recorded.spans)
    assert recorded.spans[0].tags["http.request.header.authorization"] == "REDACTED"
    assert recorded.spans[0].tags["http.request.header.referer"] == "http://shop/?token=REDACTED&page=2"
    assert recorded.spans[1].tags["http.response.header.set-cookie"] == "REDACTED"


def test_a_long_header_is_cut(ours, client) -> None:
    """At 1,024 characters."""
    instrumentation.install(http=HTTPOptions(capture_request_headers="x-long"))
    client.get("/items/7", headers={"X-Long": "x" * 5000})
    assert ours.spans[0].tags["http.request.header.x-long"] == "x" * 1024


# -- names, errors, ignored addresses ----------------------------------------------------------------------------------


def test_names_may_be_chosen(recorded, client, session) -> None:
    """By request and route; None and what is no text mean the usual name."""

    def name(request, route):
        return {"/items/<int:number>": f"item {request.method}", "/status/<int:code>": None}.get(route, 7)

    instrumentation.install(http=HTTPOptions(span_name=name))
    client.get("/items/7")
    client.get("/status/204")
    client.get("/nope")
    session.get("http://stock/7")
    assert [span.name for span in recorded.spans] == ["item GET", "GET /status/<int:code>", "GET <unmatched>", "GET"]
    instrumentation.install(http=HTTPOptions(span_name=lambda request, route: f"to {request.url.split('/')[2]}"))
    session.get("http://stock/7")
    assert last(recorded).name == "to stock"


def test_which_statuses_are_errors(recorded, client, session, neighbour) -> None:
    """Apart for servers and clients; everything else is none."""
    instrumentation.install(http=HTTPOptions(server_error_statuses=["500-502", 418], client_error_statuses="400-599"))
    neighbour.status = 404
    for code in (418, 404, 501, 503):
        client.get(f"/status/{code}")
    session.get("http://stock/7")
    assert [span.tags.get("error", False) for span in recorded.spans] == [True, False, True, False, True]


def test_a_request_to_an_ignored_address_makes_no_span_and_keeps_the_trace(recorded, session, neighbour) -> None:
    """The active span's context goes along, so what is behind belongs to the trace; query and credentials do not matter."""
    instrumentation.install(http=HTTPOptions(ignore_urls=["http://search:9200/*"]))
    with recorded.tracer.start_active_span("work") as scope:
        session.get("http://ann:pw@search:9200/_bulk?x=1")
        expected: dict[str, str] = {}
        recorded.tracer.inject(scope.span.context, "http_headers", expected)
    assert [span.name for span in recorded.spans] == ["work"]
    assert expected.items() <= neighbour.headers.items()
    session.get("http://search:9200/_bulk")
    assert len(recorded.spans) == 1
    assert recorded.trace_header not in neighbour.headers, "no trace, no headers"
    session.get("http://search:9201/_bulk")
    assert len(recorded.spans) == 2


# -- reading them ------------------------------------------------------------------------------------------------------


def test_the_environment_says_the_same() -> None:
    assert HTTPOptions.from_environment(
        {
            "SLS_TRACING_HTTP_IGNORE_URLS": "http://a/*,*/health",
            "SLS_TRACING_HTTP_CAPTURE_REQUEST_HEADERS": "X-Tenant, x-debug-*",
            "SLS_TRACING_HTTP_CAPTURE_RESPONSE_HEADERS": "server",
            "SLS_TRACING_HTTP_REDACT_HEADERS": "x-customer",
            "SLS_TRACING_HTTP_SERVER_ERROR_STATUSES": "500-599,418",
            "SLS_TRACING_HTTP_CLIENT_ERROR_STATUSES": "none",
        }
    ) == HTTPOptions(
        ignore_urls=["http://a/*", "*/health"],
        capture_request_headers=["x-tenant", "x-debug-*"],
        capture_response_headers=["server"],
        redact_headers=["x-customer"],
        server_error_statuses=[418, *range(500, 600)],
        client_error_statuses=[],
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SLS_TRACING_HTTP_IGNORE_URLS", "search:9200"),
        ("SLS_TRACING_HTTP_SERVER_ERROR_STATUSES", "5xx"),
        ("SLS_TRACING_HTTP_CLIENT_ERROR_STATUSES", "99"),
        ("SLS_TRACING_HTTP_REQUEST_HOOK", "shop.tracing.on_request"),
        ("SLS_TRACING_HTTP_SPAN_NAME", "shop:1"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name, text) -> None:
    with pytest.raises(ConfigurationError, match=name):
        HTTPOptions.from_environment({name: text})


@pytest.mark.parametrize(
    "options",
    [
        {"request_hook": "shop:hook"},
        {"response_hook": 5},
        {"span_name": ["GET"]},
        {"ignore_urls": ["/path"]},
        {"ignore_urls": 7},
        {"capture_request_headers": 7},
        {"capture_response_headers": [b"x"]},
        {"redact_headers": [None]},
        {"server_error_statuses": None},
        {"client_error_statuses": [True]},
        {"client_error_statuses": ["500-"]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_of_the_wrong_type_is_refused(options) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        HTTPOptions(**options)
