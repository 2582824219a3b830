"""Signatures against vectors that the official SDKs have made (Python SDK 0.9.52, Rust producer 0.1.2); against the SDK itself: tests/log_service_clients."""

from __future__ import annotations

import hashlib
import json

import pytest

from sls_tracing.log_service.signing import sign_v1, sign_v4, signed_headers_v1, signed_headers_v4

BASE = {"x-log-apiversion": "0.6.0", "x-log-signaturemethod": "hmac-sha1"}
QUERY = {
    "from": "1541041445",
    "line": "100",
    "offset": "0",
    "query": 'traceID: "0a" | select 1',
    "to": "1541045045",
    "type": "log",
}
GET_LOGS = {
    "from": "1700000000", "to": "1700000900", "line": "100", "offset": "0", "powerSql": "False", "accurate": "True", "fromNs": "0",
    "toNs": "0", "query": 'traceID: "00000000deadbeef"', "type": "log", "reverse": "false",
}  # fmt: skip
SEARCH = json.dumps({
    "from": 1700000000, "to": 1700000900, "line": 100, "offset": 0, "powerSql": False, "accurate": True, "fromNs": 0, "toNs": 0,
    "query": 'traceID: "00000000deadbeef"', "reverse": False, "forward": True,
}).encode()  # fmt: skip
MOMENT = 1795378668  # Sun, 22 Nov 2026 20:17:48 GMT


def test_v1_with_a_body():
    """The signature covers the bytes as they are sent."""
    body = bytes.fromhex("0a07080112030a0161")
    headers = {
        **BASE, "content-type": "application/x-protobuf", "date": "Thu, 01 Nov 2018 03:04:05 GMT", "x-log-bodyrawsize": "9",
        "x-log-compresstype": "lz4", "content-md5": hashlib.md5(body).hexdigest().upper(),
    }  # fmt: skip
    assert sign_v1("testSK", "POST", "/logstores/ls/shards/lb", {}, headers) == "m95MvraGYyQMd5m4WCT6o4hekTg="


def test_v1_with_a_query():
    """Parameters are sorted and signed decoded."""
    headers = {**BASE, "date": "Thu, 01 Nov 2018 03:04:05 GMT", "x-log-bodyrawsize": "0"}
    assert sign_v1("testSK", "GET", "/logstores/ls", QUERY, headers) == "sFDeLB38L0KCcc1SFF7HBU3/ols="


def test_v4_with_a_query():
    """Parameters are sorted and signed encoded."""
    headers = {
        "host": "proj.cn-hangzhou.log.aliyuncs.com", "x-log-apiversion": "0.6.0", "x-log-bodyrawsize": "0",
        "x-log-content-sha256": hashlib.sha256(b"").hexdigest(), "x-log-date": "20181101T030405Z",
    }  # fmt: skip
    expected = "e0ce53db6ce5dd1ea55c6298f2f6617f29abdce28bbb5d0137f5c8cae981a9a2"
    assert sign_v4("testSK", "GET", "/logstores/ls", QUERY, headers, "cn-hangzhou") == expected


def test_v4_with_a_token_and_a_body():
    """What the SDK sends for get_logs with a token of STS."""
    headers = {"host": "my-proj.localhost", "content-type": "application/json", "x-acs-security-token": "STSTOKEN"}
    moment = MOMENT
    signed = signed_headers_v4(
        "testid", "testsecret", "cn-hangzhou", "POST", "/logstores/jaeger-span/logs", {}, headers, SEARCH, moment
    )
    assert signed["x-log-date"] == "20261122T201748Z"
    assert signed["authorization"] == (
        "SLS4-HMAC-SHA256 Credential=testid/20261122/cn-hangzhou/sls/aliyun_v4_request,"
        "Signature=5f87bfdb89f05b19fe564d38efb53bc3640c2d2139892ab9dafaee693187c8b8"
    )


@pytest.mark.parametrize(
    ("method", "path", "params", "headers", "body", "signature"),
    [
        ("POST", "/logstores/jaeger-span/logs", {}, {"content-type": "application/json"}, SEARCH, "04DfX44BItJs1NjpFRgTm1YALNA="),
        ("GET", "/logstores/jaeger-span", GET_LOGS, {}, b"", "Olle/Wb0ArPmtcSpg/Oq7EQ6Cvw="),
        (
            "POST", "/", {}, {"content-type": "application/json"},
            b'{"projectName": "my-proj", "description": "desc", "resourceGroupId": ""}', "hf9iano0vr9ls/aACxRL66m8juA=",
        ),
    ],
)  # fmt: skip
def test_v1_requests_of_the_sdk(method, path, params, headers, body, signature):
    """Date, Content-MD5 and the raw size are added as the SDK adds them."""
    signed = signed_headers_v1("testid", "testsecret", method, path, params, headers, body, MOMENT)
    assert signed["date"] == "Sun, 22 Nov 2026 20:17:48 GMT"
    assert signed["authorization"] == f"LOG testid:{signature}"


def test_v1_of_a_dashboard():
    """The SDK says that a dashboard's raw size is nothing, and signs that: a size that is given is kept."""
    headers = {"content-type": "application/json", "x-log-bodyrawsize": "0"}
    body = b'{"dashboardName": "d", "displayName": "D", "charts": []}'
    signed = signed_headers_v1("testid", "testsecret", "POST", "/dashboards", {}, headers, body, MOMENT + 1)
    assert signed["authorization"] == "LOG testid:28+Qb+hEdyITk6NPnC51jAKwMdg="
