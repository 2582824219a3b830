from __future__ import annotations

import asyncio
import base64
import logging
import threading
from concurrent.futures import Future
from contextlib import ExitStack

import pytest
import requests
import trustme
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sls_tracing.backend.http_server import LONGEST_HEAD, HTTPServer
from sls_tracing.backend.serving import ServingSettings, guarded, under
from sls_tracing.backend.sockets import bind_tcp
from sls_tracing.exceptions import ConfigurationError


async def answer(request):
    return PlainTextResponse(f"{request.method} {request.scope.get('root_path', '')}")


APP = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


@pytest.fixture
def serve_with():
    """A function that serves an application guarded by settings and returns its URL."""
    with ExitStack() as stack:

        def start(settings, app=APP):
            sock = bind_tcp("127.0.0.1", 0, "--test")
            started = Future()

            async def run():
                server, stop = HTTPServer(guarded(app, settings), sock, settings), asyncio.Event()
                await server.start()
                started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()
                await server.stop()

            thread = threading.Thread(target=lambda: asyncio.run(run()))
            thread.start()
            loop, stop = started.result(20)
            stack.callback(thread.join)
            stack.callback(loop.call_soon_threadsafe, stop.set)
            return f"{settings.scheme}://127.0.0.1:{sock.getsockname()[1]}"

        yield start


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def status(url, headers=None, method="GET"):
    return requests.request(method, url, headers=headers, timeout=20).status_code


def test_a_bearer_token(serve_with):
    """The token opens, whatever the case of the word before it; anything else does not, and the answer says what is wanted."""
    url = serve_with(ServingSettings(token="s3cret"))
    for good in ("Bearer s3cret", "bearer s3cret", "BEARER  s3cret"):
        assert status(url, {"Authorization": good}) == 200
    for bad in ("Bearer S3cret", "Bearer ", "Bearer", "s3cret", "Basic s3cret", "Bearer s3cret extra", "\xff", ""):
        assert status(url, {"Authorization": bad.encode("latin-1")}) == 401
    assert requests.get(url, timeout=20).headers["www-authenticate"] == "Bearer"


def test_basic_auth(serve_with):
    """User and password, in UTF-8; the password may hold colons."""
    url = serve_with(ServingSettings(user="me", password="a:ü"))
    assert status(url, basic("me:a:ü")) == 200
    for bad in (
        basic("me:a"),
        basic("you:a:ü"),
        basic(""),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer me:a:ü".encode()},
        {},
    ):
        assert status(url, bad) == 401


def test_probes_need_no_credentials_but_everything_else_does(serve_with):
    """A GET of the two probes passes. A POST does not: Zipkin's door takes spans on any path, these two among them."""
    url = serve_with(ServingSettings(token="s3cret"))
    for probe in ("/healthz", "/readyz"):
        assert status(url + probe) == 200
        assert status(url + probe, method="POST") == 401
    for path in ("/", "/metrics", "/api/traces", "/healthz/", "/healthz/x", "/x/healthz"):
        assert status(url + path) == 401


def test_tls(serve_with, tmp_path):
    """HTTPS with the certificate, its key beside it or in the same file; the plain protocol is not answered."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trusted, both, cert, key = (str(tmp_path / name) for name in ("ca.pem", "both.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_and_cert_chain_pem.write_to_path(both)
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    for settings in (ServingSettings(tls_cert=both), ServingSettings(tls_cert=cert, tls_key=key)):
        url = serve_with(settings)
        assert requests.get(url, verify=trusted, timeout=20).ok
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=20)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url.replace("https", "http"), timeout=20)


def test_web_pages_may_not_ask_unless_they_are_named(serve_with):
    """No CORS header by default. A named origin gets one, before it shows credentials too; another origin does not."""
    page = {"Origin": "https://grafana.example.com"}
    assert (
        "access-control-allow-origin"
        not in requests.get(serve_with(ServingSettings()), headers=page, timeout=20).headers
    )
    url = serve_with(ServingSettings(token="s3cret", cors_origins=["https://grafana.example.com"]))
    preflight = {**page, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    response = requests.options(url, headers=preflight, timeout=20)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, page["Origin"])
    assert status(url, page) == 401
    other = requests.get(
        url, headers={"Origin": "https://evil.example.com", "Authorization": "Bearer s3cret"}, timeout=20
    )
    assert other.status_code == 200
    assert "access-control-allow-origin" not in other.headers


def test_a_request_with_too_long_a_head_is_refused(serve_with):
    """A search names its tags in its URL, so it may be long; but not without end."""
    url = serve_with(ServingSettings())
    assert status(f"{url}/?q={'x' * (LONGEST_HEAD // 2)}") == 200
    try:
        assert status(f"{url}/?q={'x' * (LONGEST_HEAD * 4)}") == 400
    except requests.exceptions.RequestException:
        pass  # closed with bytes unread: the reset may overtake the answer
    assert status(url) == 200


def test_a_base_path(serve_with):
    """Everything stands under it, and the application is told; a probe may know nothing of it."""
    url = serve_with(ServingSettings(), under("/tools/jaeger", APP))
    assert requests.get(url + "/tools/jaeger/api/services", timeout=20).text == "GET /tools/jaeger"
    assert status(url + "/healthz") == 200
    assert status(url + "/api/services") == 404
    assert status(url + "/tools/jaegerx") == 404
    for bad in ("jaeger", "/jaeger/", "/", "//", "/a b", "/{x}"):
        with pytest.raises(ConfigurationError, match="base path"):
            under(bad, APP)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "a", "user": "b", "password": "c"}, "remove one"),
        ({"user": "b"}, "belong together"),
        ({"password": "b"}, "belong together"),
        ({"user": "a:b", "password": "c"}, "colon"),
        ({"tls_key": "key.pem"}, "--tls-cert"),
        ({"tls_cert": "/missing.pem"}, "missing.pem"),
        ({"tls_cert": __file__}, "no TLS"),
        ({"cors_origins": ["grafana.example.com"]}, "no origin"),
        ({"cors_origins": ["https://grafana.example.com/"]}, "no origin"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    """Refused at the start, with what to do."""
    with pytest.raises(ConfigurationError, match=message):
        ServingSettings(**settings)


def test_secrets_are_not_shown():
    """Neither by repr nor in a log line of the settings."""
    shown = repr(ServingSettings(token="s3cret")) + repr(ServingSettings(user="me", password="s3cret"))
    assert "s3cret" not in shown
    logging.getLogger("test").info("%s", shown)
