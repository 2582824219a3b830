"""One small JSON document, within bounds, from servers of every kind. All servers are real ones on loopback."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import threading

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.http_fetch import MAX_ANSWER_BYTES, FetchAbortedError, FetchError, JSONFetcher, agent_url
from sls_tracing.suppression import suppressed


def send(status=200, body=b"{}", **headers):
    """Return a script that sends exactly this."""

    def script(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return script


def dripping(server, first=b"", drop=b"x"):
    """Return a script that sends a byte now and then, for ever: each one satisfies a timeout between two reads."""

    def script(handler):
        handler.wfile.write(first)
        while not server.released.wait(0.05):
            handler.wfile.write(drop)

    return script


def endless(head):
    def script(handler):
        handler.wfile.write(head)
        while True:
            handler.wfile.write(b" " * 65536)

    return script


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_the_answer_is_json(scripted_server):
    scripted_server.body = {"a": [1, None, "ü"]}
    assert JSONFetcher(scripted_server.url + "/x").fetch({}) == {"a": [1, None, "ü"]}


def test_parameters_are_added_to_the_query_that_the_url_has(scripted_server):
    JSONFetcher(scripted_server.url + "/x?key=a%20b&service=other").fetch({"service": "s", "uuid": "ü&1"})
    assert scripted_server.paths == ["/x?key=a%20b&service=other&uuid=%C3%BC%261"]


def test_a_parameter_may_come_more_than_once(scripted_server):
    JSONFetcher(scripted_server.url).fetch([("service", "s"), ("operations", "a b"), ("operations", "c")])
    assert scripted_server.paths == ["/?service=s&operations=a+b&operations=c"]


def test_text_that_is_no_unicode_is_asked_for_all_the_same(scripted_server):
    JSONFetcher(scripted_server.url).fetch({"operations": "\ud800"})
    assert scripted_server.paths == ["/?operations=%3F"]


def test_nothing_traces_the_question(scripted_server, monkeypatch):
    """A sidecar finds `b3: 0`; instrumentation finds the mark of suppression."""
    import requests

    seen = []
    get = requests.Session.get
    monkeypatch.setattr(
        requests.Session, "get", lambda *args, **options: seen.append(suppressed()) or get(*args, **options)
    )
    JSONFetcher(scripted_server.url).fetch({})
    assert scripted_server.headers[0]["b3"] == "0"
    assert seen == [True]
    assert not suppressed()


def test_an_ipv6_literal_is_bracketed(scripted_server_ipv6):
    scripted_server_ipv6.body = [6]
    assert JSONFetcher(agent_url("::1", scripted_server_ipv6.port, "/x")).fetch({}) == [6]
    assert agent_url("[::1]", 1, "/") == "http://[::1]:1/"
    assert agent_url("fe80::1%eth0", 1, "/") == "http://[fe80::1%25eth0]:1/"
    assert agent_url("agent", 1, "/") == "http://agent:1/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_of_the_process_does_not_come_between_us_and_loopback(scripted_server, monkeypatch, host):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert JSONFetcher(agent_url(host, scripted_server.port, "/")).fetch({}) == {}


def test_any_other_host_is_asked_through_the_proxy_and_within_the_same_bounds(scripted_server, monkeypatch):
    monkeypatch.setenv("http_proxy", scripted_server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetcher = JSONFetcher("http://agent.invalid:5778/sampling", timeout=0.5)
    assert fetcher.fetch({"service": "s"}) == {}
    assert scripted_server.paths == ["http://agent.invalid:5778/sampling?service=s"]
    scripted_server.script = dripping(scripted_server, b"HTTP/1.0 200 OK\r\nA: ")
    with pytest.raises(FetchError, match=r"within 0\.5 seconds"):
        fetcher.fetch({"service": "s"})


NO_URLS = ["", "agent:5778", "ftp://agent/", "http://", "http://:80/", "http://a:99999/", "http://a:x/", "http://[::1/"]


@pytest.mark.parametrize("url", [*NO_URLS, "http://a b/", "http://a/\n", None, 7, b"http://a/"])
def test_a_url_that_cannot_be_asked_is_an_error_at_once_with_the_remedy(url):
    with pytest.raises(ConfigurationError, match="http://localhost:5778/sampling"):
        JSONFetcher(url)


@pytest.mark.parametrize("timeout", [0, -1, True, None, "1", float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ConfigurationError, match="timeout"):
        JSONFetcher("http://a/", timeout=timeout)


# -- bad answers -------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.0 200 OK\r\n\r\n"

BAD_ANSWERS = {
    "not found": (send(404), "status 404"),
    "agent without restrictions": (send(500, b"baggage not implemented"), "status 500"),
    "no content": (send(204, b""), "status 204"),
    "redirect": (send(302, b"", Location="/elsewhere"), "status 302, a redirect"),
    "redirect with an endless body": (endless(b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n"), "status 302"),
    "garbage for a head": (
        lambda handler: handler.wfile.write(b"\x00\xff" * 300 + b"\r\n\r\n"),
        "BadStatusLine|Protocol",
    ),
    "nothing": (lambda handler: None, "Remote"),
    "too many headers": (
        lambda handler: handler.wfile.write(HEAD[:-2] + b"A: b\r\n" * 1000 + b"\r\n"),
        "HTTPException",
    ),
    "garbage": (send(body=b"<html>\x00\xff"), "not JSON"),
    "empty": (send(body=b""), "not JSON"),
    "half of it": (send(body=b'{"strategyType"'), "not JSON"),
    "shorter than it says": (send(body=b"{}", Content_Length="100"), "IncompleteRead|Protocol"),
    "no UTF-8": (send(body=b'{"a": "\xff"}'), "not JSON"),
    "deep": (send(body=b"[" * 500_000), "not JSON"),
    "a number of 10,000 digits": (send(body=b"1" * 10_000), "not JSON"),
    "huge": (send(body=b" " * (MAX_ANSWER_BYTES + 1)), "longer than 1048576 bytes"),
    "endless": (endless(HEAD), "longer than 1048576 bytes"),
    "endless chunks": (endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), "longer than"),
    "compressed": (send(body=gzip.compress(b" " * 10**7 + b"{}"), Content_Encoding="gzip"), "compressed"),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_a_bad_answer_is_an_error_that_says_why(scripted_server, kind):
    script, reason = BAD_ANSWERS[kind]
    scripted_server.script = script
    with pytest.raises(FetchError, match=reason):
        JSONFetcher(scripted_server.url).fetch({})
    assert len(scripted_server.paths) == 1, "a redirect is not followed"


SLOW_ANSWERS = {
    "silent": b"",
    "slow status line": b"HTTP/1.0 200 ",
    "slow header": b"HTTP/1.0 200 OK\r\nA: ",
    "slow body": HEAD + b'{"a": "',
    "slow body of a known length": b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "slow body that is whole JSON already": HEAD + b"{}",
}


@pytest.mark.parametrize("kind", SLOW_ANSWERS)
def test_a_slow_answer_is_cut_when_the_time_is_up(scripted_server, kind):
    """A byte every 50 ms never meets a timeout between reads; the limit holds for the whole exchange."""
    drop = b"" if kind == "silent" else b" "
    scripted_server.script = dripping(scripted_server, SLOW_ANSWERS[kind], drop)
    with pytest.raises(FetchError, match=r"no complete answer within 0\.3 seconds|timed out"):
        JSONFetcher(scripted_server.url, timeout=0.3).fetch({})


def test_the_time_limit_holds_for_tls_too(scripted_server, monkeypatch, tmp_path):
    """TLS takes the socket over; the limit cuts it all the same. The bundle of the environment is trusted on loopback too."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    scripted_server._server.socket = context.wrap_socket(scripted_server._server.socket, server_side=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    fetcher = JSONFetcher(f"https://localhost:{scripted_server.port}/", timeout=1.0)
    scripted_server.body = [1]
    assert fetcher.fetch({}) == [1]
    scripted_server.script = dripping(scripted_server, HEAD)
    with pytest.raises(FetchError, match="no complete answer within 1 seconds"):
        fetcher.fetch({})


def test_a_server_that_is_not_there_is_an_error_that_shows_no_secrets():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fetcher = JSONFetcher(f"http://user:secret@127.0.0.1:{port}/sampling?token=secret")
    with pytest.raises(FetchError, match="Connection refused") as caught:
        fetcher.fetch({"service": "s"})
    assert "secret" not in str(caught.value) + fetcher.shown_url
    assert fetcher.shown_url == f"http://127.0.0.1:{port}/sampling"


def test_a_redirect_is_refused_without_reading_its_body(scripted_server):
    """``requests`` reads it, all of it, even when it is told not to follow: with a long time limit that would fill the memory."""
    written = []

    def script(handler):
        handler.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n")
        while True:
            written.append(handler.wfile.write(b" " * 65536))

    scripted_server.script = script
    with pytest.raises(FetchError, match="redirect"):
        JSONFetcher(scripted_server.url, timeout=60).fetch({})
    assert sum(written) < 20_000_000, "what the system's buffers take"


def test_abort_cuts_an_exchange_that_is_going_on_and_refuses_later_ones(scripted_server, wait_until):
    scripted_server.script = dripping(scripted_server, HEAD)
    fetcher = JSONFetcher(scripted_server.url, timeout=60)
    errors = []

    def ask():
        try:
            fetcher.fetch({})
        except FetchAbortedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: scripted_server.paths)
    fetcher.abort()
    thread.join(20)
    assert len(errors) == 1
    with pytest.raises(FetchAbortedError):
        fetcher.fetch({})
    assert len(scripted_server.paths) == 1


def test_a_child_that_aborts_does_not_cut_its_parents_exchange(scripted_server, wait_until):
    """The connection is one for both: a child that shut it down would take it from its parent."""
    child_done = threading.Event()

    def script(handler):
        child_done.wait(20)
        scripted_server.answer(handler)

    scripted_server.script = script
    scripted_server.body = [1]
    fetcher = JSONFetcher(scripted_server.url, timeout=60)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(fetcher.fetch({})))
    thread.start()
    wait_until(lambda: scripted_server.paths)
    child = os.fork()
    if child == 0:
        fetcher.abort()
        os._exit(0)
    os.waitpid(child, 0)
    child_done.set()
    thread.join(20)
    assert answers == [[1]]


def test_nothing_is_left_open(scripted_server, wait_until):
    fetcher = JSONFetcher(scripted_server.url)
    fetcher.fetch({})
    before = len(os.listdir("/proc/self/fd"))
    for kind in ("garbage", "endless", "redirect", "shorter than it says", "nothing"):
        scripted_server.script = BAD_ANSWERS[kind][0]
        for _ in range(5):
            with pytest.raises(FetchError):
                fetcher.fetch({})
    scripted_server.close()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # the server's threads end in their own time
    wait_until(lambda: "sls-tracing-time-limit" not in [thread.name for thread in threading.enumerate()])
