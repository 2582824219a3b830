"""Senders over HTTP: TLS, what is refused as a setting, and what is never shown."""

from __future__ import annotations

import base64
import logging
import socket
import ssl

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.senders import HTTPSender
from sls_tracing.thrift.decoding import decode_batch


def spans_of(collector):
    return [span for request in collector.requests for span in decode_batch(request.body).spans]


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(certificate, start_collector):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return start_collector(tls=context)


def test_tls_with_a_certificate_to_trust(secure, certificate, make, make_span, counts):
    """Over one connection, with large bodies too."""
    sender = make(HTTPSender, secure.url, ca=str(certificate))
    records = [make_span(number, tags={"x": "y" * 9_000}) for number in range(1, 101)]
    assert sender.send(records) == 100
    assert sender.send([make_span()]) == 1
    assert spans_of(secure) == [*records, make_span()]
    assert len({request.port for request in secure.requests}) == 1
    assert counts.snapshot() == {}


def test_tls_with_a_bundle_from_the_environment(secure, certificate, make, make_span, monkeypatch):
    """REQUESTS_CA_BUNDLE counts, on loopback as elsewhere."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert make(HTTPSender, secure.url).send([make_span()]) == 1


def test_a_stranger_is_not_trusted_and_not_asked_again(secure, make, make_span, counts, caplog):
    assert make(HTTPSender, secure.url).send([make_span()]) == 0
    assert secure.requests == []
    assert counts.snapshot() == {"sender_spans_failed": 1}
    assert "self-signed certificate" in caplog.text


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_can_be_switched_off(secure, make, make_span, monkeypatch, tmp_path):
    """Even where the environment names a bundle."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert make(HTTPSender, secure.url, verify=False).send([make_span()]) == 1


@pytest.mark.parametrize("as_pair", [False, True])
def test_our_own_certificate_is_shown(certificate, start_collector, make, make_span, caplog, as_pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    collector = start_collector(tls=context)
    pair = (str(certificate.with_suffix(".crt")), str(certificate.with_suffix(".key")))
    cert = pair if as_pair else str(certificate)
    assert make(HTTPSender, collector.url, ca=str(certificate), retry_for=0).send([make_span()]) == 0
    assert "SSL" in caplog.text
    assert make(HTTPSender, collector.url, ca=str(certificate), cert=cert).send([make_span()]) == 1


def test_a_slow_answer_over_tls_is_given_up_too(secure, certificate, make, make_span, counts):
    secure.answers = [secure.dripping(b"HTTP/1.1 202 ")]
    assert make(HTTPSender, secure.url, ca=str(certificate), timeout=0.4, retry_for=0).send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


def test_a_server_that_never_ends_the_handshake_is_given_up(make, make_span, counts):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = make(HTTPSender, f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3, retry_for=0)
        assert sender.send([make_span()]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 1}


# -- configuration -----------------------------------------------------------------------------------------------------

WRONG = [
    ("", {}, "http://collector:14268"),
    (None, {}, "http://collector:14268"),
    (b"http://a", {}, "http://collector:14268"),
    ("collector:14268", {}, "http:// or https://"),
    ("http://", {}, "and a host"),
    ("http://a:99999", {}, "not valid"),
    ("http://[::1", {}, "not valid"),
    ("http://a b/", {}, "space"),
    ("http://a/\n", {}, "invisible"),
    ("http://*.a/", {}, "no request can be made"),
    ("http://a", {"token": "t", "user": "u"}, "both a token and a user"),
    ("http://a", {"password": "p"}, "set user= too"),
    ("http://a", {"user": "a:b"}, "colon"),
    ("http://u@a", {"user": "u"}, "keep one"),
    ("http://a", {"token": " "}, "token is empty"),
    ("http://a", {"token": "a\nb"}, "on one line"),
    ("http://a", {"token": "ü"}, "ASCII"),
    ("http://a", {"token": "t", "headers": {"authorization": "x"}}, "keep one"),
    ("http://a", {"headers": {"a": 1}}, "'a' does not"),
    ("http://a", {"headers": [("a", "b")]}, "headers must map"),
    ("http://a", {"headers": {"a": "b\r\nc: d"}}, "on one line"),
    ("http://a", {"headers": {"Content-Type": "x"}}, "'Content-Type' is the sender's own"),
    ("http://a", {"headers": {"B3": "x"}}, "the sender's own"),
    ("http://a", {"timeout": 0}, "timeout must be a number of seconds"),
    ("http://a", {"timeout": True}, "timeout"),
    ("http://a", {"timeout": "5"}, "timeout"),
    ("http://a", {"timeout": float("nan")}, "timeout"),
    ("http://a", {"retry_for": -1}, "retry_for"),
    ("http://a", {"retry_for": float("inf")}, "retry_for"),
    ("http://a", {"max_batch_bytes": 100}, "max_batch_bytes must be a whole number from 4096"),
    ("http://a", {"max_batch_bytes": 1e6}, "max_batch_bytes"),
    ("http://a", {"verify": "/ca.pem"}, "ca="),
    ("http://a", {"verify": False, "ca": "/ca.pem"}, "remove one"),
    ("http://a", {"ca": "/nowhere/ca.pem"}, "cannot be read"),
    ("http://a", {"ca": __file__}, "cannot be read"),
    ("http://a", {"cert": "/nowhere/me.pem"}, "cannot be read"),
    ("http://a", {"cert": ("a", "b", "c")}, "cannot be read"),
    ("http://a", {"compress": "gzip"}, "compress"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "options", "words"), WRONG)
def test_a_wrong_setting_says_what_would_be_right(url, options, words):
    """Wrong configuration fails at construction, with the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        HTTPSender(url, **options)


SECRETS = ("abc123@hash", "s3cret", "t0ken", "passw0rd", "k3y")


def test_secrets_are_never_shown(collector, make, make_span, caplog):
    """Not in repr, errors, log lines of ours or of urllib3 at level DEBUG, even if the server repeats them."""
    path = "/adapt_abc123@hash_abc123@hash/api/traces?key=s3cret"
    sender = make(HTTPSender, collector.url + path, user="me", password="passw0rd", headers={"X-Key": "k3y-k3y"})
    collector.answers = [
        lambda handler: collector.answer(
            handler, 400, f"{handler.path} {handler.headers['Authorization']} {handler.headers['X-Key']}".encode()
        ),
        collector.saying(202, b"", Bad_Header="x"),
    ]
    with caplog.at_level(logging.DEBUG):
        assert sender.send([make_span()]) == 0
        assert sender.send([make_span()]) == 1
    shown = caplog.text + repr(sender) + repr(vars(sender)) + repr(vars(sender._poster)) + sender.url
    assert sender.url == collector.url + "/adapt_***/api/traces"
    assert "status 400: " in shown
    basic = base64.b64encode(b"me:passw0rd").decode()
    for secret in (*SECRETS, basic):
        assert secret not in shown.replace(str(sender._headers), ""), secret


def test_errors_of_configuration_show_no_secrets_either():
    for url, options in [
        ("http://u:s3cret@*.a/adapt_abc123@hash/x", {}),
        ("ftp://u:s3cret@a", {}),
        ("http://u:s3cret@a:x/", {}),
        ("http://[s3cret/", {}),
        ("http://a", {"token": "t0ken\n"[::-1]}),
        ("http://a", {"token": "t0ken", "user": "u", "password": "passw0rd"}),
        ("http://a", {"headers": {"x": "k3y\n"[::-1] + "k3y"}}),
    ]:
        try:
            HTTPSender(url, **options)
        except ConfigurationError as error:
            shown = str(error) + repr(error.__context__)
            assert not any(secret in str(error) for secret in SECRETS), shown
