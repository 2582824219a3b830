"""The description that the service publishes is true: valid, complete, and kept by the real server for requests made from it, good and bad ones."""

from __future__ import annotations

import re
import time
from contextlib import closing

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks
from starlette.routing import Route

from sls_tracing.backend.openapi import describe
from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.serving import under
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import LogRecord

DESCRIPTION = describe()
OPERATIONS = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]
EXAMPLES = 20
checks.load_all_checks()
CHECKS = checks.CHECKS.get_by_names(
    ["not_a_server_error", "response_schema_conformance", "content_type_conformance", "status_code_conformance"]
)

repeatable = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def store():
    with closing(open_trace_store("memory:")) as store:
        yield store


@pytest.fixture
def url(store, make_span, serve):
    """A server whose store has spans with everything that a span can have."""
    now = time.time()
    tags = {
        "span.kind": "server",
        "error": True,
        "big": 2**60,
        "x": 0.5,
        "inf": float("inf"),
        "b": b"\x00",
        "é": "\ud800",
    }
    root = make_span("GET /", trace_id=1, service="a", start=now - 20, duration=2, tags=tags, process_tags={"pid": 7})
    logs = [LogRecord(now, {"event": "x", "n": 1})]
    child = make_span("get", trace_id=1, span_id=2, parent_id=1, service="b/c", start=now - 30, logs=logs)
    store.write([root, child, make_span(trace_id=0xA << 64, service="", start=now - 10, debug=True)])
    return serve(query_app(store))


def test_the_description_is_valid():
    """By OpenAPI's own schema."""
    validate(DESCRIPTION)


def test_the_server_publishes_it(store, serve):
    """With the base path that it is served under."""
    assert requests.get(serve(query_app(store)) + "/api/openapi.json", timeout=30).json() == DESCRIPTION
    published = requests.get(serve(under("/jaeger", query_app(store))) + "/jaeger/api/openapi.json", timeout=30).json()
    assert published["servers"] == [{"url": "/jaeger"}]
    assert published["paths"] == DESCRIPTION["paths"]


def test_every_route_of_the_api_is_described(store):
    """No more and no fewer, with their methods."""
    routes = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in query_app(store).routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in route.methods - {"HEAD"}
    }
    assert routes - {("/api/openapi.json", "get")} == set(OPERATIONS)


def has_parameters(path, method):
    return bool(DESCRIPTION["paths"][path][method].get("parameters"))


CASES = [
    pytest.param(path, method, mode, id=f"{method} {path} {name}")
    for path, method in OPERATIONS
    for mode, name in ((GenerationMode.POSITIVE, "good"), (GenerationMode.NEGATIVE, "bad"))
    if mode is GenerationMode.POSITIVE or has_parameters(path, method)  # else nothing can be wrong
]


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_the_server_does_what_is_described(url, path, method, mode):
    """Any request that the description allows, and any that it forbids, gets a described answer of a described shape, never a failure of the server."""
    operation = schemathesis.openapi.from_dict(DESCRIPTION)[path][method]

    @repeatable
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        response = case.call(base_url=url, timeout=30)
        case.validate_response(response, checks=CHECKS)

    ask()


DEMANDING = {
    ("/api/metrics/latencies", "quantile"),
    ("/api/v3/traces", "query.startTimeMin"),
    ("/api/operations", "service"),
}


@pytest.mark.parametrize(("path", "name"), sorted(DEMANDING))
def test_what_is_required_is_required(url, path, name):
    """A request without it is 400, and the message names it."""
    parameters = {
        each["name"]: {"quantile": 0.5, "service": "a"}.get(each["name"], "2026-01-01T00:00:00Z")
        for each in DESCRIPTION["paths"][path]["get"]["parameters"]
        if each.get("required") and each["name"] != name
    }
    response = requests.get(url + path, params=parameters, timeout=30)
    assert response.status_code == 400
    assert name in response.text
