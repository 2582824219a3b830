"""Spans straight into Log Service, over HTTP to the embedded one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import time

import pytest

from sls_tracing import BatchingReporter, Config, LogServiceSender, Tracer
from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.guard import LimitedLog
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects import DIALECTS
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded_service import HOME_PROJECT, EmbeddedProjects
from sls_tracing.log_service.faults import Faults
from sls_tracing.log_service.http_api import log_service_app
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.trace_store import TraceStore
from sls_tracing.metrics import Counters
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

ENDPOINT = "cn-hangzhou.log.aliyuncs.com"
KEY = AccessKey("LTAIidentifier", "s3cr3t-of-the-key")


def make_span(number, *, start=0.0, **changes):
    begin = round(time.time()) + start
    return SpanRecord(
        "op", SpanContext(0xAB, number, 7, wide=False), [Reference("child_of", 0xAB, 7)], begin, begin + 0.25, {"n": number, "ok": True},
        [LogRecord(begin, {"event": "x"})], Process("shop", {"pid": 1}), [],
    )._replace(**changes)  # fmt: skip


@pytest.fixture
def projects():
    projects = EmbeddedProjects()
    projects.project().create_logstore(LogstoreInfo("jaeger-span", retention_days=3650))
    projects.project().logstore("jaeger-span").set_index(INDEX._replace(any_key=True))
    yield projects
    projects.close()


@pytest.fixture
def store(projects):
    return TraceStore(projects.project().logstore("jaeger-span"))


@pytest.fixture
def make_sender(serve, projects):
    made = []

    def make(*, faults=(), **options):
        url = serve(log_service_app(projects, KEY, faults=Faults.read(faults, seed=5)))
        keys = {"access_key_id": KEY.key_id, "access_key_secret": KEY.secret} if "credentials" not in options else {}
        more = {"connect": url, "counters": Counters(), "log": LimitedLog(), **keys, **options}
        made.append(LogServiceSender(ENDPOINT, HOME_PROJECT, **more))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_spans_come_back_as_they_were_sent(make_sender, store, dialect, signature):
    spans = [make_span(n, start=n / 8) for n in range(1, 4)]
    assert make_sender(dialect=dialect, signature=signature).send(spans) == 3
    assert store.get_trace(0xAB) == spans


def test_the_whole_way_from_a_tracer(make_sender, store):
    tracer = Tracer("shop", BatchingReporter(make_sender()))
    for n in range(50):
        with tracer.start_active_span(f"op-{n}"):
            tracer.start_span("inner").finish()
    tracer.close()
    assert store.services() == ["shop"]
    assert len(store.operations("shop")) == 51


def test_faults_lose_nothing(make_sender, store):
    sender = make_sender(faults=["throttle=0.3", "error=0.1", "busy=0.1", "cut=0.1", "html=0.1"], retry_for=60)
    for n in range(1, 16):
        assert sender.send([make_span(n)]) == 1
    assert sender._counters.get("log_service_retries") > 0
    assert len(store.get_trace(0xAB)) == 15


def test_untimely_spans_cost_the_others_nothing(make_sender, store, caplog):
    """The service refuses a request for one log of more than 7 days ago or 15 minutes ahead: they go in a request of their own."""
    sender = make_sender(faults=["strict=1"])
    assert sender.send([make_span(1), make_span(2, start=-8 * 86400), make_span(3, start=3600), make_span(4)]) == 2
    assert [span.context.span_id for span in store.get_trace(0xAB)] == [1, 4]
    assert sender._counters.get("sender_spans_failed") == 2
    assert "last 7 days" in caplog.text


def test_wrong_keys_are_told_once_and_never_shown(make_sender, caplog):
    caplog.set_level(logging.DEBUG)
    sender = make_sender(access_key_secret="an0ther-s3cret")
    assert [sender.send([make_span(n)]) for n in range(1, 4)] == [0, 0, 0]
    assert sender._counters.get("sender_spans_failed") == 3
    warnings = [
        record for record in caplog.records if record.levelno >= logging.WARNING and record.name.startswith("sls")
    ]
    assert len(warnings) == 1
    assert "secret is wrong" in warnings[0].getMessage()
    for secret in ("an0ther-s3cret", KEY.secret, KEY.key_id):
        assert secret not in caplog.text + repr(sender)


def test_a_span_that_cannot_be_a_log_costs_itself_only(make_sender, store):
    sender = make_sender()
    assert sender.send([make_span(1), make_span(2, context=SpanContext()), make_span(3, tags=None), make_span(4)]) == 2
    assert sender._counters.get("sender_spans_unencodable") == 2
    assert [span.context.span_id for span in store.get_trace(0xAB)] == [1, 4]


def test_a_span_with_a_value_that_is_too_long_is_trimmed(make_sender, store):
    sender = make_sender()
    assert sender.send([make_span(1, tags={"long": "ü" * 600_000, "n": 1}), make_span(2)]) == 2
    trimmed = store.get_trace(0xAB)[0]
    assert len(trimmed.tags["long"]) == 8192
    assert trimmed.tags["sls.trimmed"] is True
    assert sender._counters.get("sender_spans_trimmed") == 1


def test_many_spans_go_in_requests_of_bounded_size(make_sender, store, monkeypatch):
    sender = make_sender()
    sizes = []
    put_raw = sender._logstore.put_raw
    monkeypatch.setattr(sender._logstore, "put_raw", lambda raw: sizes.append(len(raw)) or put_raw(raw))
    spans = [make_span(n, tags={"text": "x" * 90_000}) for n in range(1, 101)]
    assert sender.send(spans) == 100
    assert len(sizes) == 4
    assert max(sizes) <= 3_000_000


def test_a_key_that_changes_is_asked_for_each_time(make_sender):
    """As a temporary one does (STS)."""
    keys = [AccessKey("LTAIother", "x"), KEY, KEY]
    sender = make_sender(credentials=lambda: keys.pop(0))
    assert [sender.send([make_span(n)]) for n in range(1, 4)] == [0, 1, 1]


def test_a_closed_sender_says_so(make_sender):
    sender = make_sender()
    sender.close()
    sender.close()
    with pytest.raises(SenderError, match="closed"):
        sender.send([make_span(1)])


def test_closing_ends_a_send_that_waits(make_sender):
    """A service that refuses for ever does not hold up the application's end."""
    reporter = BatchingReporter(make_sender(faults=["busy=1"], retry_for=300))
    tracer = Tracer("shop", reporter)
    tracer.start_span("op").finish()
    began = time.monotonic()
    tracer.close()
    assert time.monotonic() - began < 60


def test_a_forked_child_sends_over_connections_of_its_own(make_sender, store):
    sender = make_sender()
    assert sender.send([make_span(1)]) == 1
    child = os.fork()
    if child == 0:
        sender.after_fork()
        os._exit(0 if sender.send([make_span(2)]) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.send([make_span(3)]) == 1
    assert [span.context.span_id for span in store.get_trace(0xAB)] == [1, 2, 3]


# -- configuration ---------------------------------------------------------------------------------------------------------

VARIABLES = {
    "STORAGE_ALIYUN_SLS_ENDPOINT": ENDPOINT,
    "STORAGE_ALIYUN_SLS_PROJECT": HOME_PROJECT,
    "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY.key_id,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY.secret,
}


@pytest.fixture
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("STORAGE_ALIYUN", "ALIBABA_CLOUD", "JAEGER_", "SLS_TRACING_")):
            monkeypatch.delenv(name)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_environment_tells_where_to(environment):
    assert LogServiceSender().url == f"https://{HOME_PROJECT}.{ENDPOINT}/logstores/jaeger-span"


def test_a_service_chooses_it_by_one_variable(environment, serve, projects, store):
    environment.setenv("SLS_TRACING_LOG_SERVICE", "true")
    environment.setenv("STORAGE_ALIYUN_SLS_CONNECT", serve(log_service_app(projects, KEY)))
    tracer = Config({}, service_name="shop").new_tracer()
    tracer.start_span("op").finish()
    tracer.close()
    assert store.services() == ["shop"]


def test_a_dictionary_beats_the_environment(environment, serve, projects, store):
    url = serve(log_service_app(projects, KEY))
    environment.setenv("STORAGE_ALIYUN_SLS_PROJECT", "another-one")
    settings = {"endpoint": ENDPOINT, "project": HOME_PROJECT, "connect": url, "dialect": "trace-service"}
    tracer = Config({"log_service": settings}, service_name="shop", validate=True).new_tracer()
    tracer.start_span("op").finish()
    tracer.close()
    assert store.services() == ["shop"]


def test_two_ways_out_are_a_mistake(environment):
    with pytest.raises(ConfigurationError, match=r"either to collector\.endpoint"):
        Config(
            {"log_service": {"enabled": True}, "collector": {"endpoint": "http://c:14268"}}, service_name="shop"
        ).new_tracer()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "http://"}, "must be a host"),
        ({"project": "No"}, "3 to 63 characters"),
        ({"logstore": "-x"}, "2 to 63 characters"),
        ({"access_key_id": "x"}, "belong together"),
        ({"signature": "v9"}, "one of v1, v4"),
        ({"dialect": "x"}, "one of jaeger"),
        ({"timeout": -1}, "number of seconds"),
        ({"project": 7}, "must be text"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_at_once(environment, options, said):
    with pytest.raises(ConfigurationError, match=said):
        LogServiceSender(**options)


def test_without_a_key_the_message_names_the_variables(environment):
    environment.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID")
    environment.delenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    with pytest.raises(ConfigurationError, match="STORAGE_ALIYUN_SLS_ACCESSKEY_ID"):
        LogServiceSender()


def test_nothing_of_the_server_is_needed():
    """A service that reports installs no DuckDB."""
    program = """
        import sys
        for name in ("duckdb", "sqlglot", "starlette", "rich"):
            sys.modules[name] = None
        from sls_tracing import LogServiceSender
        LogServiceSender("cn-hangzhou.log.aliyuncs.com", "my-project", access_key_id="a", access_key_secret="b").close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
