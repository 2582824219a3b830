"""A bad day at Log Service: each fault happens on the embedded one's HTTP face, and each tells what to do. No key is in any message."""

from __future__ import annotations

import argparse
import json
import threading
from contextlib import closing

import pytest

from sls_tracing.cli.storage_options import add_storage_options, open_and_provision
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.credentials import AccessKey, RAMRole
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded_service import HOME_PROJECT, EmbeddedProjects
from sls_tracing.log_service.faults import SHARES, Faults
from sls_tracing.log_service.http_api import log_service_app
from sls_tracing.log_service.logstore import Log, LogGroup, LogServiceError
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import LogServiceSettings
from sls_tracing.log_service.trace_store import TraceStore
from sls_tracing.metrics import Counters

NOW = 1_700_000_000
KEY = AccessKey("LTAIidentifier", "s3cr3t-of-the-key")


class Service:
    """The embedded Log Service over HTTP with a logstore, and what its client counted."""

    def __init__(self, serve):
        self._serve = serve
        self.projects = EmbeddedProjects(clock=lambda: NOW)
        self.projects.project().create_logstore(LogstoreInfo("jaeger-span", retention_days=3650))
        self.projects.project().logstore("jaeger-span").set_index(INDEX)
        self.counters = Counters()
        self.clients = []

    def client(self, *, key=KEY, server_key=KEY, faults=(), clock=lambda: NOW, project=HOME_PROJECT, **settings):
        app = log_service_app(self.projects, server_key, faults=Faults.read(faults, seed=3), clock=lambda: NOW)
        credentials = key if callable(key) else lambda: key
        made = LogServiceSettings(
            "cn-hangzhou.log.aliyuncs.com",
            project,
            credentials=credentials,
            connect=self._serve(app),
            **{"retry_for": 0, **settings},
        )
        service = AliyunLogService(made, clock=clock, counters=self.counters)
        self.clients.append(service)
        return service

    def logstore(self, **more):
        return self.client(**more).logstore("jaeger-span")

    def stored(self):
        return self.projects.project().logstore("jaeger-span").get_logs("*", 0, 2**32 - 1).logs


@pytest.fixture
def service(serve):
    service = Service(serve)
    yield service
    for client in service.clients:
        client.close()
    service.projects.close()


GROUP = LogGroup([Log(NOW, [("traceID", "ab"), ("duration", "1")])])


def refused(ask):
    with pytest.raises(LogServiceError) as caught:
        ask()
    for secret in (KEY.secret, KEY.key_id):
        assert secret not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_a_wrong_secret(service, signature):
    logstore = service.logstore(key=KEY._replace(secret="another"), signature=signature)
    for ask in (lambda: logstore.put_logs(GROUP), lambda: logstore.get_logs("*", 0, NOW)):
        error = refused(ask)
        assert (error.status, error.code) == (401, "SignatureNotMatch")
        assert "secret is wrong" in error.message
        assert error.request_id


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_an_unknown_key(service, signature):
    error = refused(
        lambda: service.logstore(key=AccessKey("LTAIother", KEY.secret), signature=signature).put_logs(GROUP)
    )
    assert (error.status, error.code) == (401, "Unauthorized")
    assert "access key is unknown" in error.message


def test_an_expired_security_token(service):
    error = refused(lambda: service.logstore(key=KEY._replace(token="t"), faults=["expired=1"]).put_logs(GROUP))
    assert (error.status, error.code) == (401, "Unauthorized")
    assert "has expired" in error.message
    assert "token is over" in error.message


def test_a_roles_token_is_fetched_anew_when_it_is_refused(service, serve):
    """It may be over before its time: another one is asked for, once, and the request is made again."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    served = []

    async def metadata(request):
        if request.path_params["role"] == "":
            return PlainTextResponse("the-role")
        served.append(1)
        token = "good" if len(served) > 1 else "over"
        form = {"AccessKeyId": KEY.key_id, "AccessKeySecret": KEY.secret, "SecurityToken": token}
        return PlainTextResponse(json.dumps({**form, "Expiration": "2033-01-01T00:00:00Z"}))

    url = serve(Starlette(routes=[Route("/{role:path}", metadata)]))
    logstore = service.logstore(key=RAMRole(url=url, clock=lambda: NOW), server_key=KEY._replace(token="good"))
    logstore.put_logs(GROUP)
    assert (len(service.stored()), len(served)) == (1, 2)


@pytest.mark.parametrize("off", [-1200, 1200])
@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_a_clock_that_is_20_minutes_off_is_corrected_by_the_services(service, off, signature):
    logstore = service.logstore(clock=lambda: NOW + off, signature=signature, retry_for=10)
    logstore.put_logs(GROUP)
    logstore.put_logs(GROUP)
    assert len(service.stored()) == 2
    assert service.counters.get("log_service_retries") == 1  # learned once


def test_a_clock_that_is_off_and_nothing_to_correct_it_by(service):
    error = refused(lambda: service.logstore(clock=lambda: NOW + 1200).put_logs(GROUP))
    assert error.code == "RequestTimeTooSkewed"
    assert "set this machine's clock" in error.message


def test_a_missing_project(service):
    error = refused(lambda: service.logstore(project="not-there").put_logs(GROUP))
    assert (error.status, error.code) == (404, "ProjectNotExist")
    assert "sls-tracing provision" in error.message


def test_a_missing_logstore_and_a_missing_index(service):
    error = refused(lambda: service.client().logstore("other").put_logs(GROUP))
    assert (error.code, "sls-tracing provision" in error.message) == ("LogStoreNotExist", True)
    service.projects.project().create_logstore(LogstoreInfo("bare"))
    error = refused(lambda: service.client().logstore("bare").get_logs("*", 0, NOW))
    assert (error.code, "sls-tracing provision" in error.message) == ("IndexConfigNotExist", True)


def arguments(service, project, *more):
    """What the command line says."""
    connect = service.client(project=project)._exchange.settings.connect
    parser = argparse.ArgumentParser()
    add_storage_options(parser)
    options = {
        "endpoint": "cn-hangzhou.log.aliyuncs.com",
        "project": project,
        "accesskey.id": KEY.key_id,
        "accesskey.secret": KEY.secret,
    }
    flags = [f"--storage.aliyun_sls.{name}={value}" for name, value in {**options, "connect": connect}.items()]
    return parser.parse_args(["--storage=log-service:", *flags, *more])


def test_a_collector_that_may_not_provision_says_so_at_start(service):
    with pytest.raises(ConfigurationError) as caught:
        open_and_provision(arguments(service, "not-there", "--storage.aliyun_sls.init-resource-flag=false"))
    assert "ProjectNotExist" in str(caught.value)
    assert "sls-tracing provision" in str(caught.value)
    assert service.projects.names() == [HOME_PROJECT]


def test_a_collector_that_may_provision_makes_what_is_missing(service):
    store = open_and_provision(arguments(service, "not-there"))
    store.close()
    assert "not-there" in service.projects.names()
    assert service.projects.project("not-there").list_logstores() == ["jaeger-span"]


@pytest.mark.parametrize("fault", ["throttle", "error", "busy", "html", "cut"])
def test_what_may_pass_is_tried_again(service, fault):
    """A burst of refusals, 500s, pages of a proxy, connections that end in the middle of an answer: nothing is lost."""
    logstore = service.logstore(faults=[f"{fault}=0.4"], retry_for=60)
    for n in range(15):
        logstore.put_logs(LogGroup([Log(NOW, [("traceID", f"{n:x}")])]))
        assert logstore.get_logs("*", 0, NOW + 1).logs
    assert {log["traceID"] for log in service.stored()} == {f"{n:x}" for n in range(15)}
    assert service.counters.get("log_service_retries") > 3


@pytest.mark.parametrize(
    ("fault", "code", "remedy"),
    [
        ("throttle", "WriteQuotaExceed", "ask Alibaba Cloud for more, or sample less"),
        ("error", "InternalServerError", "try again later"),
        ("busy", "ServerBusy", "try again later"),
        ("html", "BadResponse", "is something else at this address?"),
        ("cut", "RequestError", "check the endpoint"),
    ],
)
def test_what_does_not_pass_says_what_to_do(service, fault, code, remedy):
    error = refused(lambda: service.logstore(faults=[f"{fault}=1"]).put_logs(GROUP))
    assert error.code == code
    assert remedy in error.message


def test_a_write_whose_answer_was_cut_is_stored_once_more_and_shown_once(service, make_span):
    """Writes are not idempotent, so readers leave repetitions out."""
    store = TraceStore(service.logstore(faults=["cut=0.5"], retry_for=60), clock=lambda: NOW)
    for n in range(1, 9):
        store.write([make_span(0xAB, n)])
    assert len(service.stored()) > 8
    assert len(store.get_trace(0xAB)) == 8


def test_an_incomplete_answer_is_asked_for_again(service, make_span):
    store = TraceStore(service.logstore(faults=["incomplete=0.4"], retry_for=60), clock=lambda: NOW)
    store.write([make_span(n, 1) for n in range(1, 5)])
    for n in range(1, 5):
        assert len(store.get_trace(n)) == 1
    assert store.services() == ["a"]


def test_one_untimely_log_costs_the_others_nothing(service, make_span):
    """The real service refuses the request that it is in."""
    logstore = service.logstore(faults=["strict=1"])
    store = TraceStore(logstore, clock=lambda: NOW)
    error = refused(lambda: store.write([make_span(1, 1), make_span(2, 1, start=-8 * 86400)]))
    assert (error.status, error.code) == (400, "PostBodyInvalid")
    assert "last 7 days" in error.message
    assert [log["traceID"] for log in service.stored()] == ["0000000000000001"]


def test_every_thread_of_many_is_served_through_all_faults_at_once(service):
    faults = ["throttle=0.2", "error=0.1", "busy=0.1", "cut=0.1", "html=0.1"]
    logstore = service.logstore(faults=faults, retry_for=60)
    threads = [
        threading.Thread(target=logstore.put_logs, args=[LogGroup([Log(NOW, [("traceID", f"{n:x}")])])])
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {log["traceID"] for log in service.stored()} == {f"{n:x}" for n in range(12)}


def test_nothing_listens(service):
    settings = LogServiceSettings(
        "cn-hangzhou.log.aliyuncs.com", "my-project", credentials=lambda: KEY, connect="http://127.0.0.1:9", retry_for=0
    )
    with closing(AliyunLogService(settings)) as client:
        error = refused(client.get_project)
    assert error.code == "RequestError"
    assert "127.0.0.1:9" in error.message


def test_keys_are_in_no_repr(service):
    client = service.client()
    shown = [repr(each) for each in (client, client.logstore("jaeger-span"), KEY, client._exchange.settings)]
    assert not any(KEY.secret in each or KEY.key_id in each for each in shown)


@pytest.mark.parametrize("word", ["throttle", "throttle=x", "throttle=2", "delay=61", "error=-1", "other=0.1", ""])
def test_a_fault_that_is_none_is_refused(word):
    with pytest.raises(ConfigurationError, match="share from 0 to 1"):
        Faults.read([word])


@pytest.mark.parametrize("name", SHARES)
def test_every_fault_can_be_switched_on(name):
    assert getattr(Faults.read([f"{name}=0.5"]), name) == 0.5
