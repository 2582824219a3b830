"""The SDK as an oracle: log groups and signatures of ours are its, byte for byte."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from aliyun.log.auth import AuthV1, AuthV4
from aliyun.log.credentials import StaticCredentialsProvider
from aliyun.log.log_logs_raw_pb2 import LogGroupRaw
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_tracing.log_service.logstore import Log, LogGroup
from sls_tracing.log_service.signing import signed_headers_v1, signed_headers_v4
from sls_tracing.log_service.wire import decode_log_group, encode_log_group

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
pairs = st.lists(st.tuples(texts, texts), max_size=5)
logs = st.builds(Log, st.integers(0, 2**32 - 1), pairs, st.none() | st.integers(0, 10**9 - 1))
groups = st.builds(LogGroup, st.lists(logs, max_size=5), texts, texts, pairs)

header_texts = st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), min_size=1, max_size=20).map(
    str.strip
)
values = st.text(st.characters(codec="utf-8"), max_size=20)
params = st.dictionaries(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8), values, max_size=4)
bodies = st.binary(max_size=100)
MOMENT = 1795378668


def to_message(group):
    message = LogGroupRaw()
    for log in group.logs:
        each = message.Logs.add(Time=log.time)
        if log.time_ns is not None:
            each.Time_ns = log.time_ns
        for key, value in log.contents:
            each.Contents.add(Key=key, Value=value.encode())
    message.Topic = group.topic  # written even if empty: the SDK's put_logs sets both
    message.Source = group.source
    for key, value in group.tags:
        message.LogTags.add(Key=key, Value=value)
    return message


@settings(max_examples=300, deadline=None)
@given(groups)
def test_log_groups(group):
    raw = encode_log_group(group)
    assert raw == to_message(group).SerializeToString()
    again = decode_log_group(to_message(group).SerializeToString())
    assert (again.topic, again.source) == (group.topic, group.source)
    assert [(log.time, list(log.contents), log.time_ns) for log in again.logs] == [
        (log.time, log.contents, log.time_ns) for log in group.logs
    ]


class Frozen(datetime):
    """The SDK asks datetime itself what time it is."""

    @classmethod
    def utcnow(cls):
        return datetime.fromtimestamp(MOMENT, timezone.utc).replace(tzinfo=None)


@pytest.fixture(autouse=True)
def frozen(monkeypatch):
    monkeypatch.setattr("aliyun.log.auth.datetime", Frozen)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_signatures_v1(method):
    @settings(max_examples=150, deadline=None)
    @given(params, bodies, st.sampled_from(["", "token"]))
    def check(params, body, token):
        headers = {"x-log-apiversion": "0.6.0", "x-log-bodyrawsize": str(len(body))}
        if body:
            headers["Content-Type"] = "application/x-protobuf"
        theirs = dict(headers)
        AuthV1(StaticCredentialsProvider("id", "secret", token)).sign_request(
            method, "/logstores/a/b", params, theirs, body
        )
        given_headers = {"content-type": "application/x-protobuf"} if body else {}
        if token:
            given_headers["x-acs-security-token"] = token
        ours = signed_headers_v1("id", "secret", method, "/logstores/a/b", params, given_headers, body, MOMENT)
        assert ours["authorization"] == theirs["Authorization"]
        assert ours["date"] == theirs["Date"]

    check()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_signatures_v4(method):
    @settings(max_examples=150, deadline=None)
    @given(params, bodies, st.sampled_from(["", "token"]))
    def check(params, body, token):
        theirs = {
            "Host": "p.cn-hangzhou.log.aliyuncs.com",
            "x-log-apiversion": "0.6.0",
            "x-log-bodyrawsize": str(len(body)),
        }
        auth = AuthV4(StaticCredentialsProvider("id", "secret", token), "cn-hangzhou")
        auth.sign_request(method, "/logstores/a/b", params, theirs, body)
        given_headers = {"host": "p.cn-hangzhou.log.aliyuncs.com"}
        if token:
            given_headers["x-acs-security-token"] = token
        ours = signed_headers_v4(
            "id", "secret", "cn-hangzhou", method, "/logstores/a/b", params, given_headers, body, MOMENT
        )
        assert ours["authorization"] == theirs["Authorization"]

    check()
