"""The embedded Log Service over HTTP, asked by our own client: every call, every compression and signature; and what it refuses."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
import requests

from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded_service import EmbeddedProjects
from sls_tracing.log_service.faults import Faults
from sls_tracing.log_service.http_api import _project, log_service_app
from sls_tracing.log_service.logstore import Log, LogGroup, LogServiceError, search_all
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import LogServiceSettings
from sls_tracing.log_service.signing import signed_headers_v1

KEY = AccessKey("testid", "testsecret")
ENDPOINT = "cn-hangzhou.log.aliyuncs.com"


@pytest.fixture
def projects():
    with closing(EmbeddedProjects()) as projects:
        yield projects


@pytest.fixture
def url(serve, projects):
    return serve(log_service_app(projects, KEY))


@pytest.fixture
def connect(url):
    """Make clients; they are closed at the end."""
    made = []

    def connect(project="my-project", key=KEY, *, url=url, **options):
        settings = LogServiceSettings(ENDPOINT, project, credentials=lambda: key, connect=url, **options)
        made.append(AliyunLogService(settings))
        return made[-1]

    yield connect
    for service in made:
        service.close()


@pytest.fixture
def service(connect):
    service = connect()
    service.create_project("traces")
    service.create_logstore(LogstoreInfo("jaeger-span", 7, 3))
    service.logstore("jaeger-span").set_index(INDEX)
    return service


def put(service, count=1, *, now=None, **contents):
    now = int(time.time()) if now is None else now
    logs = [Log(now, [("process.serviceName", "a b ü"), ("duration", str(n)), *contents.items()]) for n in range(count)]
    service.logstore("jaeger-span").put_logs(LogGroup(logs, source="10.0.0.1"))
    return now


def test_resources(service):
    """Projects, logstores, indexes and dashboards are what they were made as."""
    assert service.get_project()["projectName"] == "my-project"
    assert service.get_logstore("jaeger-span") == LogstoreInfo("jaeger-span", 7, 3)
    assert service.list_logstores() == ["jaeger-span"]
    assert service.logstore("jaeger-span").get_index() == INDEX
    service.create_dashboard({"dashboardName": "d", "displayName": "D", "charts": []})
    assert service.list_dashboards() == ["d"]
    assert service.get_dashboard("d")["displayName"] == "D"


@pytest.mark.parametrize("signature", ["v1", "v4"])
@pytest.mark.parametrize("compression", ["", "deflate", "lz4", "zstd"])
@pytest.mark.parametrize("api", ["v1", "v3"])
def test_logs(service, connect, signature, compression, api):
    """What is put is found, whole and in pages, and analysed, whatever the form."""
    client = connect(signature=signature, compression=compression)
    now = put(client, 250)
    logstore = client.logstore("jaeger-span", api=api)
    found = list(search_all(logstore, 'process.serviceName: "a b ü"', now - 1, now + 1))
    assert [log["duration"] for log in found] == [str(n) for n in range(250)]
    assert found[0]["__source__"] == "10.0.0.1"
    result = logstore.get_logs("* | select count(1) as n, max(duration) as most from log", now - 1, now + 1)
    assert (result.has_sql, result.logs) == (True, [{"n": "250", "most": "249"}])
    assert logstore.get_logs("*", now - 1, now + 1, line=1, reverse=True).logs[0]["duration"] == "249"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda service: service.create_project(), "ProjectAlreadyExist"),
        (lambda service: service.get_logstore("nothing"), "LogStoreNotExist"),
        (lambda service: service.logstore("nothing").get_logs("*", 0, 1), "LogStoreNotExist"),
        (lambda service: service.logstore("nothing").put_logs(LogGroup([Log(1, [("a", "b")])])), "LogStoreNotExist"),
        (lambda service: service.create_logstore(LogstoreInfo("jaeger-span")), "LogStoreAlreadyExist"),
        (lambda service: service.create_logstore(LogstoreInfo("Bad Name")), "LogStoreInfoInvalid"),
        (lambda service: service.create_logstore(LogstoreInfo("other", 0)), "LogStoreInfoInvalid"),
        (lambda service: service.get_dashboard("nothing"), "DashboardNotExist"),
        (lambda service: service.create_dashboard({}), "ParameterInvalid"),
        (lambda service: service.logstore("jaeger-span").get_logs("nothing: 1", 0, 1), "ParameterInvalid"),
        (lambda service: service.logstore("jaeger-span").get_logs("a and (", 0, 1), "ParameterInvalid"),
        (lambda service: service.logstore("jaeger-span").get_logs("* | drop table log", 0, 1), "ParameterInvalid"),
        (lambda service: service.logstore("jaeger-span").put_raw(b"\xff\xff"), "PostBodyInvalid"),
    ],
)
def test_refusals(service, ask, code):
    """Each with Log Service's own code and a request id, and never tried again."""
    with pytest.raises(LogServiceError) as error:
        ask(service)
    assert error.value.code == code
    assert error.value.status in (400, 404)
    assert error.value.request_id


def test_another_project_is_not_there(service, connect):
    """Projects do not see each other; a logstore without an index cannot be searched."""
    other = connect("other-project")
    with pytest.raises(LogServiceError, match="ProjectNotExist"):
        other.list_logstores()
    other.create_project()
    assert other.list_logstores() == []
    other.create_logstore(LogstoreInfo("jaeger-span"))
    with pytest.raises(LogServiceError, match="IndexConfigNotExist"):
        other.logstore("jaeger-span").get_logs("*", 0, 1)


@pytest.mark.parametrize("signature", ["v1", "v4"])
@pytest.mark.parametrize(
    ("key", "code"),
    [
        (AccessKey("testid", "not-the-secret"), "SignatureNotMatch"),
        (AccessKey("wrong", "testsecret"), "Unauthorized"),
    ],
)
def test_wrong_keys(connect, key, code, signature):
    with pytest.raises(LogServiceError) as error:
        connect(key=key, signature=signature).get_project()
    assert (error.value.code, error.value.status) == (code, 401)
    assert "access key" in str(error.value)
    assert key.secret not in str(error.value)


def test_a_token_is_part_of_the_key(serve, projects, connect):
    """Temporary keys: without their token, or with another one, nothing is granted."""
    url = serve(log_service_app(projects, KEY._replace(token="sts")))
    assert connect("sls-tracing", KEY._replace(token="sts"), url=url).get_project()
    for token in ("", "other"):
        with pytest.raises(LogServiceError, match="Unauthorized"):
            connect("sls-tracing", KEY._replace(token=token), url=url).get_project()


def raw(url, *, method="GET", path="/", headers=None, body=b"", moment=None, project="sls-tracing"):
    """Send a signed request of which a test has changed something afterwards."""
    moment = time.time() if moment is None else moment
    base = {"content-type": "application/x-protobuf"} if body else {}
    signed = signed_headers_v1(KEY.key_id, KEY.secret, method, path, {}, base, body, moment)
    signed |= {"host": f"{project}.{ENDPOINT}"} | (headers or {})
    response = requests.request(method, url + path, headers=signed, data=body, timeout=30)
    return response.status_code, response.json() if response.content else None


def test_what_is_not_signed_right(url):
    assert raw(url)[0] == 200
    assert raw(url, moment=time.time() - 1000)[1]["errorCode"] == "RequestTimeTooSkewed"
    assert raw(url, headers={"date": "yesterday"})[1]["errorCode"] == "ParameterInvalid"
    assert raw(url, headers={"authorization": ""})[1]["errorCode"] == "MissAccessKeyId"
    assert raw(url, headers={"authorization": "Basic x"})[1]["errorCode"] == "Unauthorized"
    assert raw(url, headers={"x-log-apiversion": "0.5.0"})[1]["errorCode"] == "SignatureNotMatch"
    assert raw(url, method="POST", body=b"x", headers={"content-md5": "0" * 32})[1]["errorCode"] == "PostBodyInvalid"
    assert raw(url, path="/nothing")[1]["errorCode"] == "InvalidOperation"
    assert raw(url, headers={"host": "127.0.0.1"}, path="/logstores")[1]["errorCode"] == "ProjectNotExist"


def test_bodies_that_are_too_large(url, service):
    """More than is allowed as it is sent, or as it says it is when unpacked, is refused; what unpacks to more than it says, too."""
    status, error = raw(url, method="POST", path="/logstores/x/shards/lb", body=bytes(13 << 20))
    assert (status, error["errorCode"]) == (400, "PostBodyTooLarge")
    with pytest.raises(LogServiceError, match="PostBodyTooLarge"):
        service.logstore("jaeger-span").put_raw(bytes(10_000_001))


@pytest.mark.parametrize(
    ("host", "project"),
    [
        (f"my-project.{ENDPOINT}", "my-project"),
        (f"my-project.{ENDPOINT}:80", "my-project"),
        (ENDPOINT, ""),
        ("my-project.127.0.0.1", "my-project"),
        ("127.0.0.1:8080", ""),
        ("my-project.localhost:8080", "my-project"),
        ("localhost", ""),
        ("my-project.cn-hangzhou-intranet.log.aliyuncs.com", "my-project"),
    ],
)
def test_the_host_names_the_project(host, project):
    assert _project(host) == project


def test_through_a_proxy_setting(url, service):
    """A client that takes us for a proxy sends the whole URL: it is served all the same."""
    settings = LogServiceSettings("http://" + ENDPOINT, "my-project", credentials=lambda: KEY)
    signed = signed_headers_v1(KEY.key_id, KEY.secret, "GET", "/logstores", {}, {}, b"", time.time())
    response = requests.get(settings.url + "/logstores", headers=signed, proxies={"http": url}, timeout=30)
    assert response.json()["logstores"] == ["jaeger-span"]


def test_faults_are_survived(serve, projects, connect):
    """A client that tries again gets through a service that throttles, fails and answers in parts; nothing is lost or doubled."""
    url = serve(log_service_app(projects, KEY, faults=Faults(0.2, 0.2, 0.2, 0.3, seed=5)))
    service = connect("sls-tracing", url=url)
    service.create_logstore(LogstoreInfo("jaeger-span"))
    service.logstore("jaeger-span").set_index(INDEX)
    for _ in range(10):
        now = put(service, 15)
    found = list(search_all(service.logstore("jaeger-span"), "*", now - 60, now + 60))
    assert len(found) == 150


def test_what_is_over_is_deleted(serve, clock, connect):
    """Logs older than the retention go away while new ones come."""
    with closing(EmbeddedProjects(clock=clock)) as projects:
        service = projects.project()
        service.create_logstore(LogstoreInfo("jaeger-span", retention_days=7))
        logstore = service.logstore("jaeger-span")
        logstore.set_index(INDEX)
        start = int(clock())
        logstore.put_logs(LogGroup([Log(start, [("duration", "1")])]))
        clock.advance(6 * 86400)
        logstore.put_logs(LogGroup([Log(start + 6 * 86400, [("duration", "2")])]))
        assert len(logstore.get_logs("*", 0, 2**32 - 1).logs) == 2
        clock.advance(2 * 86400)
        logstore.put_logs(LogGroup([Log(start + 8 * 86400, [("duration", "3")])]))
        assert [log["duration"] for log in logstore.get_logs("*", 0, 2**32 - 1).logs] == ["2", "3"]
