"""requests against a real HTTP server on loopback; every row of what other tools get wrong."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import opentracing
import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3.util import Retry

from sls_tracing import instrumentation
from sls_tracing.suppression import suppress


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers.items())))
        name, _, rest = self.path.split("?")[0].lstrip("/").partition("/")
        getattr(self, f"answer_{name}")(rest)

    do_POST = do_HEAD = do_GET

    def answer_status(self, code: str) -> None:
        self.answer(int(code), b"body")

    def answer_redirect(self, count: str) -> None:
        to = f"/redirect/{int(count) - 1}?token=s3cret" if int(count) > 1 else "/status/200?password=s3cret"
        self.answer(302, b"", Location=to)

    def answer_elsewhere(self, _: str) -> None:
        self.answer(302, b"", Location=f"http://localhost:{self.server.server_port}/status/200")

    def answer_loop(self, _: str) -> None:
        self.answer(302, b"", Location="/loop/")

    def answer_flaky(self, _: str) -> None:
        self.answer(503 if len(self.server.seen) < 3 else 200, b"")

    def answer_digest(self, _: str) -> None:
        if "Authorization" in self.headers:
            self.answer(200, b"")
        else:
            self.answer(401, b"", **{"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'})

    def answer_stream(self, _: str) -> None:
        self.begin_stream()
        self.wfile.write(b"4\r\nmore\r\n0\r\n\r\n")

    def answer_broken(self, _: str) -> None:
        self.begin_stream()
        self.wfile.flush()
        self.close_connection = True

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\npart\r\n")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """Say nothing when a client closes in the middle of a body, as some tests do."""

    def headers(self, number: int = -1) -> dict[str, str]:
        return {name.lower(): value for name, value in self.seen[number][1].items()}


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def only(recorded) -> Any:
    (span,) = recorded.spans
    return span


def sent_ids(recorded, headers: dict[str, str]) -> tuple[int, int]:
    context = recorded.tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
    return context.trace_id, context.span_id


# -- the ordinary call -------------------------------------------------------------------------------------------------


def test_one_client_span_whose_context_is_sent(recorded, server) -> None:
    """Named by the method; OpenTracing's tags; a child of the active span; its own ids in the headers."""
    with recorded.tracer.start_active_span("caller"):
        requests.get(f"{server.url}/status/200?color=red", timeout=5)
    span, caller = recorded.spans
    assert span.name == "GET"
    assert span.tags == {
        "component": "requests",
        "span.kind": "client",
        "http.method": "GET",
        "http.url": f"{server.url}/status/200?color=red",
        "http.status_code": 200,
        "peer.hostname": "127.0.0.1",
        "peer.port": server.server_port,
    }
    assert (span.trace_id, span.parent_id) == (caller.trace_id, caller.span_id)
    assert sent_ids(recorded, server.headers()) == (span.trace_id, span.span_id)


def test_without_a_parent_it_begins_a_trace(recorded, server) -> None:
    """A root of its own."""
    requests.post(f"{server.url}/status/200", timeout=5)
    assert (only(recorded).name, only(recorded).parent_id in (None, 0)) == ("POST", True)


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (404, False), (500, True), (503, True)])
def test_an_error_begins_at_500(recorded, server, status, is_error) -> None:
    """A 404 is often what the caller asked to know."""
    assert requests.get(f"{server.url}/status/{status}", timeout=5).status_code == status
    assert (only(recorded).tags["http.status_code"], only(recorded).tags.get("error", False)) == (status, is_error)


@pytest.mark.parametrize("way", ["subclass", "early session", "prepared", "keyword", "lower case"])
def test_every_way_into_requests(recorded, server, way) -> None:
    """Sessions and classes from before and after; prepared requests; the method in capitals whatever was written."""

    class Shop(requests.Session):
        pass

    url = f"{server.url}/status/200"
    instrumentation.uninstall()
    early = requests.Session()
    instrumentation.install()
    with early, Shop() as session:
        request = session.prepare_request(requests.Request("GET", url))
        {
            "subclass": lambda: session.get(url, timeout=5),
            "early session": lambda: early.get(url, timeout=5),
            "prepared": lambda: session.send(request, timeout=5),
            "keyword": lambda: session.send(request=request, timeout=5),
            "lower case": lambda: session.request("get", url, timeout=5),
        }[way]()
    assert (only(recorded).name, only(recorded).tags["http.method"]) == ("GET", "GET")


def test_adapters_of_the_users_own(recorded) -> None:
    """A test double or a Unix-socket adapter: what is patched lies above."""

    class Double(BaseAdapter):
        def send(self, request, **kwargs):
            response = requests.Response()
            response.status_code, response.request, response.url = 503, request, request.url
            return response

        def close(self) -> None:
            pass

    with requests.Session() as session:
        session.mount("http://", Double())
        assert session.get("http://shop/").status_code == 503
        assert session.get("http://shop/", stream=True).status_code == 503
    assert [span.tags["error"] for span in recorded.spans] == [True, True]
    assert recorded.spans[0].tags["peer.port"] == 80


# -- headers -----------------------------------------------------------------------------------------------------------


def test_the_callers_headers_are_never_changed(recorded, server) -> None:
    """Neither the dict of the call nor the session's."""
    mine = {"X-Mine": "1"}
    with requests.Session() as session:
        before = copy.deepcopy(dict(session.headers))
        session.get(f"{server.url}/status/200", headers=mine, timeout=5)
        session.get(f"{server.url}/status/200", headers=None, timeout=5)
        assert dict(session.headers) == before
    assert mine == {"X-Mine": "1"}
    assert recorded.trace_header in server.headers(0)
    assert server.headers(0)[recorded.trace_header] != server.headers(1)[recorded.trace_header]


def test_a_prepared_request_sent_twice_carries_each_spans_own_ids(recorded, server) -> None:
    """And so does a copy of it, and `response.next` of a redirect not followed."""
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("GET", f"{server.url}/redirect/1"))
        first = session.send(request, allow_redirects=False, timeout=5)
        session.send(request.copy(), allow_redirects=False, timeout=5)
        session.send(first.next, timeout=5)
    sent = [sent_ids(recorded, server.headers(number)) for number in range(3)]
    assert sent == [(span.trace_id, span.span_id) for span in recorded.spans]
    assert len(set(sent)) == 3


def test_headers_that_the_caller_set_win_with_their_whole_format(ours, server) -> None:
    """Half of his ids and half of ours would name a trace that exists nowhere; other formats and headers still go along."""
    with ours.tracer.start_active_span("caller"):
        requests.get(f"{server.url}/status/200", headers={"X-B3-TraceId": "a" * 32, "X-B3-SpanId": "b" * 16}, timeout=5)
        requests.get(f"{server.url}/status/200", headers={b"b3": b"0"}, timeout=5)
    first, second = server.headers(0), server.headers(1)
    assert {name: value for name, value in first.items() if "b3" in name} == {
        "x-b3-traceid": "a" * 32,
        "x-b3-spanid": "b" * 16,
    }
    assert [name for name in second if "b3" in name] == ["b3"]


def test_a_response_can_be_pickled_anywhere(recorded, server) -> None:
    """Its request's headers come back as plain text: who unpickles needs nothing of ours."""
    response = requests.get(f"{server.url}/status/200", timeout=5)
    assert b"sls_tracing" not in pickle.dumps(response)
    again = pickle.loads(pickle.dumps(response))
    assert {type(value) for value in again.request.headers.values()} == {str}
    assert again.request.headers == response.request.headers


def test_a_request_that_nobody_prepared(recorded, server) -> None:
    """requests sends one without headers: so it must be sent."""
    request = requests.PreparedRequest()
    request.method, request.url, request.hooks = "GET", f"{server.url}/status/200", {"response": []}
    request._cookies = requests.cookies.RequestsCookieJar()
    with requests.Session() as session:
        assert session.send(request, timeout=5).status_code == 200
    assert recorded.trace_header in server.headers()


# -- redirects, repetitions --------------------------------------------------------------------------------------------


def test_redirects_are_hops_of_one_call(recorded, server) -> None:
    """One span with the final status, the address asked for, the one reached, and a log a hop; every hop carries its ids."""
    requests.get(f"{server.url}/redirect/2?apiKey=s3cret", timeout=5)
    span = only(recorded)
    assert span.tags["http.url"] == f"{server.url}/redirect/2?apiKey=REDACTED"
    assert (span.tags["http.status_code"], span.tags["http.redirect_count"]) == (200, 2)
    assert span.tags["http.final_url"] == f"{server.url}/status/200?password=REDACTED"
    assert span.events("redirect") == [
        {
            "event": "redirect",
            "http.status_code": 302,
            "http.url": f"{server.url}/redirect/2?apiKey=REDACTED",
            "http.location": "/redirect/1?token=REDACTED",
        },
        {
            "event": "redirect",
            "http.status_code": 302,
            "http.url": f"{server.url}/redirect/1?token=REDACTED",
            "http.location": "/status/200?password=REDACTED",
        },
    ]
    assert [sent_ids(recorded, server.headers(n)) for n in range(3)] == [(span.trace_id, span.span_id)] * 3


def test_a_redirect_to_another_host_keeps_the_trace_and_drops_the_credentials(recorded, server) -> None:
    """requests drops Authorization there; the trace goes on with the right ids."""
    requests.get(f"{server.url}/elsewhere/", headers={"Authorization": "Bearer x"}, timeout=5)
    span = only(recorded)
    assert "authorization" not in server.headers()
    assert sent_ids(recorded, server.headers()) == (span.trace_id, span.span_id)


def test_a_redirect_loop_is_an_error(recorded, server) -> None:
    """TooManyRedirects passes, recorded."""
    with requests.Session() as session:
        session.max_redirects = 3
        with pytest.raises(requests.TooManyRedirects):
            session.get(f"{server.url}/loop/", timeout=5)
    assert only(recorded).errors()[0]["error.kind"].endswith("TooManyRedirects")


def test_retries_below_requests_are_logged(recorded, server) -> None:
    """urllib3 repeated it twice: one span, two logs, the count."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0)))
        session.get(f"{server.url}/flaky/?sig=s3cret", timeout=5)
    span = only(recorded)
    assert (span.tags["http.status_code"], span.tags["http.resend_count"]) == (200, 2)
    assert span.events("retry") == [{"event": "retry", "http.url": "/flaky/?sig=REDACTED", "http.status_code": 503}] * 2


def test_an_answered_challenge_is_logged(recorded, server) -> None:
    """Digest authentication sends the request again by itself."""
    requests.get(f"{server.url}/digest/", auth=HTTPDigestAuth("ann", "pw"), timeout=5)
    span = only(recorded)
    assert (span.tags["http.status_code"], span.tags["http.resend_count"]) == (200, 1)
    assert [log["http.status_code"] for log in span.events("resend")] == [401]
    assert "http.redirect_count" not in span.tags


def test_a_call_made_by_a_hook_is_a_call_of_its_own(recorded, server) -> None:
    """As a response hook that fetches a token does; it is a child of the call that it serves."""
    with requests.Session() as session:

        def fetch_token(response, **kwargs):
            session.get(f"{server.url}/status/201", hooks={"response": []}, timeout=5)

        session.get(f"{server.url}/status/200", hooks={"response": fetch_token}, timeout=5)
    inner, outer = recorded.spans
    assert (inner.tags["http.status_code"], inner.parent_id) == (201, outer.span_id)


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["read", "iterated", "raw", "closed", "forgotten", "with"])
def test_a_streamed_body_belongs_to_the_call(recorded, server, ending) -> None:
    """The span ends when the body was read, closed or forgotten, and nothing of ours keeps the response alive."""
    response = requests.get(f"{server.url}/stream/", stream=True, timeout=5)
    assert recorded.spans == []
    {
        "read": lambda: response.content,
        "iterated": lambda: list(response.iter_content(2)),
        "raw": response.raw.read,
        "closed": response.close,
        "forgotten": lambda: None,
        "with": response.__exit__,
    }[ending]()
    if ending == "forgotten":
        del response
        gc.collect()
    span = only(recorded)
    assert (span.tags["http.status_code"], span.logs) == (200, [])


def test_a_body_that_breaks_is_an_error(recorded, server) -> None:
    """The answer began with 200 and the connection ended in the middle."""
    response = requests.get(f"{server.url}/broken/", stream=True, timeout=5)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        response.content  # noqa: B018
    span = only(recorded)
    assert span.tags["error"] is True
    assert len(span.errors()) == 1


def test_a_streamed_body_that_is_empty_ends_at_once(recorded, server) -> None:
    """Nothing is left to be read."""
    response = requests.head(f"{server.url}/status/200", stream=True, timeout=5)
    assert only(recorded).name == "HEAD"
    response.close()


def test_the_connection_is_given_back(recorded, server) -> None:
    """A pool of one connection serves many streamed calls."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        for _ in range(3):
            assert session.get(f"{server.url}/stream/", stream=True, timeout=5).content == b"partmore"
    assert len(recorded.spans) == 3


# -- failures and secrets ----------------------------------------------------------------------------------------------


def test_a_refused_connection_is_an_error_without_the_secrets_of_its_address(recorded) -> None:
    """requests quotes the address in its message; password and token must not travel into the trace that way."""
    with pytest.raises(requests.ConnectionError, match="s3cret"):
        requests.get("http://ann:s3cret@127.0.0.1:1/pay?access_token=s3cret&item=7#s3cret", timeout=5)
    span = only(recorded)
    assert span.tags["http.url"] == "http://127.0.0.1:1/pay?access_token=REDACTED&item=7"
    assert span.tags["error"] is True
    (log,) = span.errors()
    assert log["error.kind"].endswith("ConnectionError")
    assert "item=7" in log["message"]
    assert "s3cret" not in repr(span)


def test_credentials_are_nowhere_in_the_span(recorded, server) -> None:
    """Not in the address, not in a peer tag."""
    requests.get(server.url.replace("//", "//ann:s3cret@") + "/status/200", timeout=5)
    assert "Basic" in server.headers()["authorization"]
    assert "s3cret" not in repr(only(recorded))
    assert only(recorded).tags["peer.hostname"] == "127.0.0.1"


def test_what_requests_refuses_by_itself(recorded) -> None:
    """No adapter for the scheme: recorded. Not a prepared request at all: requests' own error and no span."""
    with requests.Session() as session:
        with pytest.raises(requests.exceptions.InvalidSchema):
            session.get("gopher://old")
        with pytest.raises(ValueError, match="PreparedRequests"):
            session.send(requests.Request("GET", "http://x"))
        with pytest.raises(TypeError):
            session.send()
    assert only(recorded).tags["error"] is True


# -- suppression, broken tracers, uninstall ----------------------------------------------------------------------------


def test_suppressed_calls_make_no_span_and_send_no_headers(recorded, server) -> None:
    """As our own exporters' calls."""
    with suppress():
        requests.get(f"{server.url}/status/200", timeout=5)
    assert recorded.spans == []
    assert recorded.trace_header not in server.headers()


class Broken(opentracing.Tracer):
    """Everything in here raises."""

    def start_span(self, *args, **kwargs):
        raise RuntimeError("start_span")


class BrokenInjection(opentracing.Tracer):
    """It makes spans and cannot send them."""

    def inject(self, *args, **kwargs):
        raise RuntimeError("inject")


@pytest.mark.parametrize("tracer", [Broken(), BrokenInjection()])
def test_a_broken_tracer_harms_no_call(ours, server, tracer) -> None:
    """The call goes out untraced."""
    ours.expects_failures = True
    instrumentation.install(tracer=tracer)
    assert requests.get(f"{server.url}/redirect/2", timeout=5).status_code == 200
    assert requests.get(f"{server.url}/stream/", stream=True, timeout=5).content == b"partmore"


def test_uninstall_leaves_no_trace(ours, server) -> None:
    """The session goes on untraced."""
    with requests.Session() as session:
        session.get(f"{server.url}/status/200", timeout=5)
        instrumentation.uninstall()
        session.get(f"{server.url}/status/200", timeout=5)
    assert len(ours.spans) == 1
    assert requests.Session.send.__code__.co_name == "send"
    assert ours.trace_header not in server.headers()
