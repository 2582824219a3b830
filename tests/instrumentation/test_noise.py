"""Requests that are noise make no trace, here and behind; trace headers go where they may."""

from __future__ import annotations

import flask
import opentracing
import pytest
import requests
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers.contextvars import ContextVarsScopeManager
from requests.adapters import BaseAdapter

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forwarding import ForwardingTracer
from sls_tracing.hosts import Hosts
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.instrumentation._options import HTTP_VARIABLES, PROBE_PATHS
from sls_tracing.instrumentation._tracer_source import TracerSource
from sls_tracing.propagators import B3Propagator, MeshPropagator
from sls_tracing.rules import TracingRules

TRACE, SPAN = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
SAMPLED = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}
REQUEST_ID = {"x-request-id": "9f7d8c00-1111-9111-8111-123456789012"}
TRACE_HEADERS = {"x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled"}


class Neighbours(BaseAdapter):
    """Stands for every service that is called: notes (host, headers), and redirects where the path says so."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def send(self, request, **kwargs):
        self.seen.append((request.url.split("/")[2], {name.lower(): value for name, value in request.headers.items()}))
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        if "/to/" in request.url:
            response.status_code = 302
            response.headers["location"] = "http://" + request.url.partition("/to/")[2]
        response._content = b""
        return response

    def close(self):
        pass

    @property
    def headers(self):
        return self.seen[-1][1]


@pytest.fixture
def neighbours():
    return Neighbours()


@pytest.fixture
def session(neighbours):
    with requests.Session() as session:
        session.mount("http://", neighbours)
        yield session


@pytest.fixture
def client(session):
    """An application each of whose answers calls reviews and streams a little."""
    app = flask.Flask("app")

    @app.route("/", defaults={"path": ""})
    @app.route("/<path:path>")
    def everything(path):
        session.get("http://reviews:9080/")
        return "ok"

    return app.test_client()


@pytest.fixture
def tracing():
    """Install with a tracer of a sort; ``tracing(...)`` returns its reporter."""

    def start(tracer=None, *, http=None):
        reporter = InMemoryReporter()
        tracer = tracer or Tracer("app", reporter, ConstSampler(True), propagation="mesh")
        instrumentation.install(tracer=tracer, http=http)
        return tracer.reporter

    yield start
    instrumentation.uninstall()


def names(reporter):
    return [span.operation_name for span in reporter.spans]


# -- probes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        *(
            (path, {})
            for path in (
                "/health",
                "/health/live",
                "/healthz",
                "/healthcheck",
                "/health-check",
                "/livez",
                "/readyz",
                "/metrics",
            )
        ),
        ("/health/live?full=1", {}),
        ("/readyz/db", {}),
        ("/index.html", {"user-agent": "kube-probe/1.31"}),
        ("/health", REQUEST_ID),
        ("/health", {**SAMPLED, "x-b3-sampled": "0"}),
        ("/health", {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}),
        ("/health", {"b3": "0"}),
    ],
)
def test_probes_make_no_spans_and_neither_does_what_they_call(tracing, client, neighbours, path, headers):
    """Nor anything behind: the decision is said aloud."""
    reporter = tracing()
    assert client.get(path, headers=headers).status_code == 200
    assert reporter.spans == []
    assert B3Propagator().extract(neighbours.headers).sampled is False
    assert neighbours.headers.get("x-request-id") == headers.get("x-request-id")


@pytest.mark.parametrize(
    ("path", "user_agent"),
    [("/healthcare", "x"), ("/api/health", "x"), ("/ping", "x"), ("/", "not kube-probe/1"), ("/metricsx", "")],
)
def test_what_only_looks_like_a_probe_is_traced(tracing, client, path, user_agent):
    reporter = tracing()
    client.get(path, headers={"user-agent": user_agent})
    assert len(reporter.spans) == 2


@pytest.mark.parametrize(
    "headers", [SAMPLED, {"b3": f"{TRACE}-{SPAN}-d"}, {"traceparent": f"00-{TRACE}-{SPAN}-01"}, {"b3": "1"}]
)
def test_a_probe_in_a_sampled_trace_is_traced(tracing, client, headers):
    """Probes of the kubelet come past the sidecar and bring none: somebody wants to see this one."""
    reporter = tracing()
    client.get("/health", headers=headers)
    assert len(reporter.spans) == 2


def test_unless_it_is_to_be_ignored_all_the_same(tracing, client, neighbours):
    """The trace goes on past it: the calls that it makes are children of the caller's span."""
    reporter = tracing(http=HTTPOptions(ignore_sampled=True))
    client.get("/health", headers=SAMPLED)
    (span,) = reporter.spans
    assert (span.operation_name, span.context.to_trace_id(), span.context.parent_id) == ("GET", TRACE, int(SPAN, 16))
    assert neighbours.headers["x-b3-spanid"] == span.context.to_span_id()


@pytest.mark.parametrize("mount", ["/shop", ""])
def test_the_mount_point_is_part_of_the_path(tracing, client, mount):
    reporter = tracing(http=HTTPOptions(ignore_paths="/shop/health"))
    client.get("/health", environ_overrides={"SCRIPT_NAME": mount})
    assert len(reporter.spans) == (0 if mount else 2)


def test_which_ones_is_a_setting(tracing, client):
    reporter = tracing(http=HTTPOptions(ignore_paths=[*PROBE_PATHS, "/static/*"], ignore_user_agents=["curl/", "bot"]))
    for path, agent in (
        ("/static/a/b.css", ""),
        ("/x", "curl/8"),
        ("/x", "bot 1"),
        ("/health", ""),
        ("/x", "kube-probe/1"),
    ):
        client.get(path, headers={"user-agent": agent})
    assert len(reporter.spans) == 2
    reporter = tracing(http=HTTPOptions(ignore_paths=(), ignore_user_agents=()))
    client.get("/health", headers={"user-agent": "kube-probe/1"})
    assert len(reporter.spans) == 2


def test_under_another_tracer_everything_within_is_silent(client, neighbours):
    """It knows no unsampled spans."""
    tracer = MockTracer(ContextVarsScopeManager())
    instrumentation.install(tracer=tracer)
    try:
        client.get("/health")
        assert tracer.finished_spans() == []
        assert not [name for name in neighbours.headers if name.startswith("ot-tracer")]
        client.get("/")
        assert len(tracer.finished_spans()) == 2
    finally:
        instrumentation.uninstall()


def test_a_probe_that_fails_raises_the_applications_own_error(tracing, client):
    reporter = tracing()
    client.application.testing = True

    @client.application.before_request
    def fail():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        client.get("/health")
    assert reporter.spans == []


# -- modes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/health"])
@pytest.mark.parametrize("headers", [{**SAMPLED, **REQUEST_ID}, REQUEST_ID, {}])
def test_forward_mode_sends_on_what_came(tracing, client, neighbours, headers, path):
    """And for a probe that nobody sampled, that it is not to be."""
    tracing(ForwardingTracer("app"))
    client.get(path, headers=headers)
    sent = {name: neighbours.headers[name] for name in neighbours.headers if name in TRACE_HEADERS | {*REQUEST_ID}}
    expected = {**headers, "x-b3-sampled": "0"} if path == "/health" and "x-b3-sampled" not in headers else headers
    assert sent == expected


def test_follow_mode_begins_no_trace(tracing, client, neighbours):
    reporter = tracing(
        Tracer("app", InMemoryReporter(), propagation="mesh", rules=TracingRules(follow_mesh=True)),
    )
    client.get("/", headers=REQUEST_ID)
    assert reporter.spans == []
    assert not TRACE_HEADERS & {*neighbours.headers}
    assert neighbours.headers["x-request-id"] == REQUEST_ID["x-request-id"]
    client.get("/", headers=SAMPLED)
    assert sorted(names(reporter)) == ["GET", "GET /"]


# -- destinations ------------------------------------------------------------------------------------------------------------


def test_hosts_that_are_excluded_get_no_trace_headers(tracing, session, neighbours):
    reporter = tracing(http=HTTPOptions(no_propagate_to=["*.example.com"]))
    session.get("http://api.example.com:8080/")
    assert not TRACE_HEADERS & {*neighbours.headers}
    session.get("http://REVIEWS/")
    assert {*neighbours.headers} >= TRACE_HEADERS - {"x-b3-parentspanid"}
    assert len(reporter.spans) == 2, "the calls are recorded all the same"


def test_only_hosts_that_are_named_get_them(tracing, session, neighbours):
    tracing(http=HTTPOptions(propagate_to=Hosts(["<short>", "*.svc"]), no_propagate_to="ratings"))
    for host, expected in (("reviews", True), ("a.svc", True), ("ratings", False), ("8.8.8.8", False)):
        session.get(f"http://{host}/")
        assert ("x-b3-traceid" in neighbours.headers) is expected


def test_each_hop_of_a_redirect_is_judged_by_its_own_host(tracing, session, neighbours):
    """There and back again: what was injected for one host is taken off for the next."""
    tracing(http=HTTPOptions(no_propagate_to=["*.example.com"]))
    session.get("http://reviews/to/www.example.com/to/ratings/")
    assert [(host, "x-b3-traceid" in headers) for host, headers in neighbours.seen] == [
        ("reviews", True),
        ("www.example.com", False),
        ("ratings", True),
    ]


def bookinfo():
    propagator = MeshPropagator(forward=["end-user", "authorization", "user-agent", "cookie"])
    return Tracer("app", InMemoryReporter(), propagation={opentracing.Format.HTTP_HEADERS: propagator})


IDENTITY = {"end-user": "jason", "authorization": "Bearer x", "user-agent": "curl/8", "cookie": "session=1"}


def test_named_headers_go_to_the_mesh_and_to_no_other_host(tracing, client, session, neighbours):
    """The User-Agent that requests sets by itself gives way to the caller's, and is back where that may not go."""
    tracing(bookinfo())
    app = client.application

    @app.get("/tour")
    def tour():
        session.get("http://reviews/to/www.example.com/to/ratings/")
        session.get("http://reviews/", headers={"End-User": "mine", "User-Agent": "mine/1"})
        return "ok"

    app.test_client(use_cookies=False).get("/tour", headers=IDENTITY)
    inside, outside, back, own = (headers for _, headers in neighbours.seen)
    for headers in (inside, back):
        assert {name: headers[name] for name in IDENTITY} == IDENTITY
    assert not {"end-user", "authorization", "cookie"} & {*outside}
    assert outside["user-agent"].startswith("python-requests/")
    assert "x-b3-traceid" in outside
    assert (own["end-user"], own["user-agent"]) == ("mine", "mine/1"), "what the caller set himself wins"


# -- options -----------------------------------------------------------------------------------------------------------------


def test_the_environment_sets_them():
    options = HTTPOptions.from_environment(
        {
            "SLS_TRACING_HTTP_IGNORE_PATHS": "/ping, /status/*",
            "SLS_TRACING_HTTP_IGNORE_USER_AGENTS": "none",
            "SLS_TRACING_HTTP_IGNORE_SAMPLED": "true",
            "SLS_TRACING_HTTP_PROPAGATE_TO": "<short>,*.svc",
            "SLS_TRACING_HTTP_NO_PROPAGATE_TO": "ratings",
        }
    )
    assert options == HTTPOptions(
        ignore_paths=["/ping", "/status/*"],
        ignore_user_agents=[],
        ignore_sampled=True,
        propagate_to=["<short>", "*.svc"],
        no_propagate_to=["ratings"],
    )
    assert HTTPOptions.from_environment({}) == HTTPOptions()
    assert {option for option, _ in HTTP_VARIABLES.values()} <= {*HTTPOptions.__dataclass_fields__}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SLS_TRACING_HTTP_IGNORE_PATHS", "health"),
        ("SLS_TRACING_HTTP_IGNORE_SAMPLED", "perhaps"),
        ("SLS_TRACING_HTTP_PROPAGATE_TO", "http://reviews"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name, text):
    with pytest.raises(ConfigurationError, match=name):
        HTTPOptions.from_environment({name: text})


@pytest.mark.parametrize(
    "options", [{"ignore_paths": 5}, {"ignore_paths": ["x"]}, {"ignore_user_agents": [1]}, {"no_propagate_to": ["a/b"]}]
)
def test_an_option_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigurationError):
        HTTPOptions(**options)


def test_options_can_be_compared_but_not_changed():
    assert HTTPOptions() == HTTPOptions()
    with pytest.raises(AttributeError):
        HTTPOptions().ignore_paths = ()


def test_installing_again_replaces_them(tracing, client):
    tracing(http=HTTPOptions(ignore_paths=()))
    reporter = tracing()
    client.get("/health")
    assert reporter.spans == []


def test_wrong_variables_are_as_good_as_none_once_the_program_runs(monkeypatch, tracing, client):
    """``sls-tracing run`` has refused them before; here the application must live."""
    monkeypatch.setenv("SLS_TRACING_HTTP_IGNORE_PATHS", "health")
    assert TracerSource().http == HTTPOptions()
    reporter = tracing()
    client.get("/")
    assert len(reporter.spans) == 2
