"""urllib3, urllib and http.client against a real HTTP server: alone, and on top of each other."""

from __future__ import annotations

import gc
import http.client
import io
import subprocess
import sys
import urllib.error
import urllib.request
import urllib.response

import pytest
import requests
import urllib3

from sls_tracing import instrumentation
from sls_tracing.instrumentation import HTTPOptions
from sls_tracing.suppression import suppress


def with_manager(url, **settings):
    with urllib3.PoolManager() as manager:
        return manager.request("GET", url, **settings)


def with_pool(url, **settings):
    with urllib3.connection_from_url(url) as pool:
        return pool.request("GET", "/" + url.split("/", 3)[3], **settings)


def with_urlopen(url, headers=()):
    with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=20) as response:
        response.read()
        return response


def with_connection(url, headers=()):
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/" + path, headers=dict(headers))
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


CALLS = {"urllib3": with_manager, "pool": with_pool, "urllib": with_urlopen, "http.client": with_connection}


@pytest.fixture(params=list(CALLS))
def component(request):
    return request.param


def test_one_client_span_whose_context_is_sent(recorded, server, component, sent_ids):
    """Whatever stands below; a child of the active span; its own ids in the headers."""
    with recorded.tracer.start_active_span("caller"):
        CALLS[component](f"{server.url}/status/200?color=red&token=s3cret")
    span, caller = recorded.spans
    assert span.name == "GET"
    assert span.tags == {
        "component": "urllib3" if component == "pool" else component,
        "span.kind": "client",
        "http.method": "GET",
        "http.url": f"{server.url}/status/200?color=red&token=REDACTED",
        "http.status_code": 200,
        "peer.hostname": "127.0.0.1",
        "peer.port": server.port,
    }
    assert (span.trace_id, span.parent_id) == (caller.trace_id, caller.span_id)
    assert sent_ids(recorded, server.headers[-1]) == (span.trace_id, span.span_id)


@pytest.mark.parametrize(("status", "error"), [(404, None), (503, True)])
def test_server_errors_are_errors(ours, server, component, status, error):
    """A 404 answers a question, though urllib raises it."""
    try:
        CALLS[component](f"{server.url}/status/{status}")
    except urllib.error.HTTPError as raised:
        assert raised.read() == b"body"
    (span,) = ours.spans
    assert (span.tags["http.status_code"], span.tags.get("error")) == (status, error)
    assert len(span.errors()) == (1 if error and component == "urllib" else 0)


def test_a_call_that_fails_is_an_error_logged_once(recorded, component):
    """Nobody listens; urllib3 tries again by itself."""
    with pytest.raises((OSError, urllib3.exceptions.HTTPError)):
        CALLS[component]("http://127.0.0.1:9/")
    (span,) = recorded.spans
    assert span.tags["error"] is True
    assert len(span.errors()) == 1


@pytest.mark.parametrize("component", ["urllib3", "pool", "urllib"])
def test_redirects_are_logs_of_one_span(recorded, server, component, sent_ids):
    """Every hop with the same ids, secrets cut out."""
    CALLS[component](f"{server.url}/redirect/2")
    (span,) = recorded.spans
    assert span.tags["http.redirect_count"] == 2
    assert span.tags["http.status_code"] == 200
    assert len(span.events("redirect")) == 2
    assert "s3cret" not in str(span.logs)
    assert len(server.headers) == 3
    assert {sent_ids(recorded, headers) for headers in server.headers} == {(span.trace_id, span.span_id)}


@pytest.mark.parametrize("component", ["urllib3", "urllib"])
def test_each_hop_follows_the_rules_for_its_own_host(ours, server, component):
    """A redirect to a host outside takes no ids along."""
    instrumentation.install(http=HTTPOptions(no_propagate_to=["localhost"]))
    CALLS[component](f"{server.url}/elsewhere")
    first, second = server.headers
    assert "x-b3-traceid" in first
    assert "x-b3-traceid" not in second


def test_retries_are_logs_of_one_span(recorded, server, sent_ids):
    """503, 503, 200."""
    with_manager(f"{server.url}/flaky", retries=urllib3.Retry(3, status_forcelist=[503], backoff_factor=0))
    (span,) = recorded.spans
    assert (span.tags["http.resend_count"], span.tags["http.status_code"]) == (2, 200)
    assert [log["http.status_code"] for log in span.events("retry")] == [503, 503]
    assert {sent_ids(recorded, headers) for headers in server.headers} == {(span.trace_id, span.span_id)}


def test_the_callers_headers_win_and_stay_his(ours, server, component):
    """His dict is not changed; his trace goes out as he wrote it."""
    mine = {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}
    CALLS[component](f"{server.url}/status/200", headers=mine)
    assert mine == {"X-B3-TraceId": "7" * 32, "X-B3-SpanId": "8" * 16}
    assert {name: value for name, value in server.headers[-1].items() if name.startswith("x-b3")} == {
        "x-b3-traceid": "7" * 32,
        "x-b3-spanid": "8" * 16,
    }


def test_the_headers_of_managers_pools_and_requests_stay_theirs(ours, server):
    """A manager's default headers, and urllib's request that is opened twice."""
    manager = urllib3.PoolManager(headers={"x-mine": "1"})
    manager.request("GET", f"{server.url}/status/200")
    assert dict(manager.headers) == {"x-mine": "1"}
    assert server.headers[-1]["x-mine"] == "1"
    assert "x-b3-traceid" in server.headers[-1]
    request = urllib.request.Request(f"{server.url}/status/200")
    for _ in range(2):
        urllib.request.urlopen(request, timeout=20).read()
    assert not [name for name, _ in request.header_items() if name.lower().startswith("x-b3")]
    assert server.headers[-1]["x-b3-spanid"] != server.headers[-2]["x-b3-spanid"]


def test_streamed_bodies_are_covered_to_their_end(recorded, server):
    """read, release, the end of a with block."""
    response = with_manager(f"{server.url}/slow", preload_content=False)
    assert recorded.spans == []
    assert response.read() == b"partpart"
    response.release_conn()
    with urllib.request.urlopen(f"{server.url}/slow", timeout=20) as response:
        assert len(recorded.spans) == 1
        response.read()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/slow")
    response = connection.getresponse()
    assert len(recorded.spans) == 2
    response.read()
    assert [span.duration >= 0.05 for span in recorded.spans] == [True] * 3
    connection.close()


def test_responses_that_are_forgotten_end_their_spans(ours, server):
    """When they are collected; and a connection whose answer is never asked for, when the next request begins."""
    manager = urllib3.PoolManager()
    response = manager.request("GET", f"{server.url}/slow", preload_content=False)
    del response
    manager.clear()
    gc.collect()
    assert len(ours.spans) == 1
    response = urllib.request.urlopen(f"{server.url}/slow", timeout=20)
    del response
    gc.collect()
    assert len(ours.spans) == 2


def test_requests_that_are_put_together_piece_by_piece(ours, server):
    """putrequest, putheader, endheaders with a body; several over one connection; an answer without a body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for path in ("/status/200", "/status/201"):
        connection.putrequest("GET", path)
        connection.putheader("x-mine", "1")
        connection.endheaders()
        connection.getresponse().read()
    connection.close()
    assert [span.tags["http.status_code"] for span in ours.spans] == [200, 201]
    assert server.headers[-1]["x-mine"] == "1"


# -- libraries on top of each other ------------------------------------------------------------------------------------


def test_requests_on_urllib3_on_http_client_is_one_span(recorded, server, sent_ids):
    """The outermost one's; its headers are there once."""
    requests.get(f"{server.url}/redirect/1", timeout=20)
    (span,) = recorded.spans
    assert span.tags["component"] == "requests"
    assert {sent_ids(recorded, headers) for headers in server.headers} == {(span.trace_id, span.span_id)}


@pytest.mark.parametrize("left", ["requests", "urllib3", "http.client"])
def test_whichever_is_left_makes_the_span(ours, server, left):
    """With the others uninstalled."""
    instrumentation.uninstall()
    instrumentation.install(left)
    requests.get(f"{server.url}/status/200", timeout=20)
    assert [span.tags["component"] for span in ours.spans] == [left]
    assert "x-b3-traceid" in server.headers[-1]


def test_the_ids_of_a_redirect_under_http_client_alone_are_each_hops_own(ours, server):
    """Two requests, two spans: http.client knows no more."""
    instrumentation.uninstall()
    instrumentation.install("http.client")
    urllib.request.urlopen(f"{server.url}/redirect/1", timeout=20).read()
    assert [span.tags["http.status_code"] for span in ours.spans] == [302, 200]
    assert [int(headers["x-b3-spanid"], 16) for headers in server.headers] == [span.span_id for span in ours.spans]


def test_suppressed_work_makes_no_span_and_gets_no_headers(ours, server, component):
    """As our own exporters do."""
    with suppress():
        CALLS[component](f"{server.url}/status/200")
    assert ours.spans == []
    assert not [name for name in server.headers[-1] if name.startswith("x-b3")]


def test_other_schemes_are_not_http(ours, tmp_path):
    """urlopen reads files and data, too."""
    file = tmp_path / "text"
    file.write_text("here")
    assert urllib.request.urlopen(file.as_uri()).read() == b"here"
    assert urllib.request.urlopen("data:,there").read() == b"there"
    assert ours.spans == []


def test_a_handler_of_the_users_that_answers_by_itself(ours):
    """A response that is none of http.client's."""

    class Cache(urllib.request.BaseHandler):
        handler_order = 100

        def http_open(self, request):
            response = urllib.response.addinfourl(io.BytesIO(b"cached"), {}, request.full_url, 200)
            response.msg = "OK"
            return response

    assert urllib.request.build_opener(Cache).open("http://reviews/").read() == b"cached"
    assert ours.spans[0].tags["http.status_code"] == 200


def test_uninstalled_they_are_as_they_were(ours, server):
    """Attributes and behaviour; a manager and a connection that were made before go on."""
    manager = urllib3.PoolManager()
    assert http.client.HTTPConnection.endheaders.__code__.co_filename != http.client.__file__
    instrumentation.uninstall()
    assert http.client.HTTPConnection.endheaders.__code__.co_filename == http.client.__file__
    assert urllib.request.OpenerDirector.open.__code__.co_filename == urllib.request.__file__
    manager.request("GET", f"{server.url}/status/200")
    for owner in (urllib3.PoolManager, urllib3.HTTPConnectionPool):
        assert not [name for name, value in vars(owner).items() if hasattr(value, "__wrapped__")]
    assert ours.spans == []
    instrumentation.install()
    manager.request("GET", f"{server.url}/status/200")
    assert len(ours.spans) == 1


def test_urllib3_and_the_standard_librarys_are_patched_without_wrapt():
    """wrapt imports asyncio: a program that patches itself for gevent must not find it loaded, and it takes longer than all the rest."""
    code = (
        "import sys; from sls_tracing import instrumentation; instrumentation.install(['http.client', 'urllib', 'urllib3', 'requests', 'flask']); "
        "import urllib.request, flask, requests; print('asyncio' in sys.modules, 'wrapt' in sys.modules, "
        "urllib.request.OpenerDirector.open.__code__.co_filename == urllib.request.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False False False", "")
