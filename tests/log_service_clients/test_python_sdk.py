"""Alibaba Cloud's Python SDK, unmodified: what it sends is understood, what it reads is what was stored, what it signs is accepted."""

from __future__ import annotations

import itertools

import pytest
from aliyun.log import (
    GetHistogramsRequest,
    GetLogsRequest,
    IndexConfig,
    IndexKeyConfig,
    IndexLineConfig,
    LogClient,
    LogException,
    LogItem,
    PutLogsRequest,
)

ENDPOINT, KEY_ID, SECRET = "cn-hangzhou.log.aliyuncs.com", "testid", "testsecret"

numbers = itertools.count()

TOKENS = [
    ",",
    " ",
    "'",
    '"',
    ";",
    "=",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "?",
    "@",
    "&",
    "<",
    ">",
    "/",
    ":",
    "\n",
    "\t",
    "\r",
]


@pytest.fixture(params=["v1", "v4"])
def client(request, through_proxy):
    return LogClient(
        "http://" + ENDPOINT, KEY_ID, SECRET, source="10.0.0.1", auth_version=request.param, region="cn-hangzhou"
    )


@pytest.fixture
def project(client):
    name = f"project-{next(numbers)}"
    client.create_project(name, "for a test")
    return name


@pytest.fixture
def logstore(client, project):
    client.create_logstore(project, "jaeger-span", ttl=7, shard_count=3)
    keys = {
        "service": IndexKeyConfig(TOKENS, False, "text", doc_value=True),
        "duration": IndexKeyConfig([], False, "long", doc_value=True),
    }
    client.create_index(project, "jaeger-span", IndexConfig(7, IndexLineConfig(TOKENS), keys))
    return "jaeger-span"


def put(client, project, logstore, logs, **options):
    items = [LogItem(time, contents=list(contents.items())) for time, contents in logs]
    client.put_logs(PutLogsRequest(project, logstore, "", "10.0.0.1", items, **options))


def test_a_project(client, project):
    assert client.get_project(project).get_body()["description"] == "for a test"
    with pytest.raises(LogException) as error:
        client.create_project(project, "again")
    assert error.value.get_error_code() == "ProjectAlreadyExist"
    client.delete_project(project)
    with pytest.raises(LogException) as error:
        client.get_project(project)
    assert error.value.get_error_code() == "ProjectNotExist"
    assert error.value.get_request_id()


def test_a_logstore(client, project, logstore):
    found = client.get_logstore(project, logstore)
    assert (found.get_ttl(), found.get_shard_count()) == (7, 3)
    assert client.list_logstore(project).get_logstores() == [logstore]
    client.update_logstore(project, logstore, ttl=30, shard_count=3)
    assert client.get_logstore(project, logstore).get_ttl() == 30
    assert len(client.list_shards(project, logstore).get_shards_info()) == 3
    with pytest.raises(LogException) as error:
        client.create_logstore(project, logstore, 7, 2)
    assert error.value.get_error_code() == "LogStoreAlreadyExist"
    client.delete_logstore(project, logstore)
    with pytest.raises(LogException) as error:
        client.get_logstore(project, logstore)
    assert error.value.get_error_code() == "LogStoreNotExist"


def test_an_index(client, project, logstore):
    found = client.get_index_config(project, logstore).get_index_config()
    assert set(found.key_config_list) == {"service", "duration"}
    assert found.key_config_list["duration"].index_type == "long"
    assert found.line_config.token_list == TOKENS
    keys = {**found.key_config_list, "tags.error": IndexKeyConfig([], False, "text", doc_value=True)}
    client.update_index(project, logstore, IndexConfig(7, IndexLineConfig(TOKENS), keys))
    assert "tags.error" in client.get_index_config(project, logstore).get_index_config().key_config_list
    client.delete_index(project, logstore)
    with pytest.raises(LogException) as error:
        client.get_index_config(project, logstore)
    assert error.value.get_error_code() == "IndexConfigNotExist"


@pytest.mark.parametrize("compress", [True, False])
def test_logs_are_put_and_found(client, project, logstore, now, compress):
    logs = [(now - n, {"service": "details" if n % 2 else "reviews/é", "duration": str(n)}) for n in range(250)]
    put(client, project, logstore, logs, compress=compress)
    request = GetLogsRequest(project, logstore, now - 600, now + 1, query='service: "reviews/é"', line=100, offset=0)
    response = client.get_logs(request)
    assert response.is_completed()
    assert response.get_count() == 100
    assert response.get_logs()[0].contents["service"] == "reviews/é"
    assert response.get_logs()[0].timestamp == now - 248
    rest = client.get_logs(
        GetLogsRequest(project, logstore, now - 600, now + 1, query='service: "reviews/é"', line=100, offset=100)
    )
    assert rest.get_count() == 25
    newest = client.get_log(project, logstore, now - 600, now + 1, query="duration < 10", reverse=True, size=-1)
    assert [log.contents["duration"] for log in newest.get_logs()] == [str(n) for n in range(10)]


def test_analysis(client, project, logstore, now):
    put(client, project, logstore, [(now, {"service": "a" if n < 3 else "b", "duration": str(n)}) for n in range(10)])
    query = "* | select service, count(1) as n, approx_percentile(duration, 0.5) as p from log group by service order by service"
    response = client.get_logs(GetLogsRequest(project, logstore, now - 60, now + 60, query=query))
    assert [(log.contents["service"], log.contents["n"]) for log in response.get_logs()] == [("a", "3"), ("b", "7")]
    assert client.get_log(project, logstore, now - 60, now + 60, query=query, size=500).get_count() == 2
    with pytest.raises(LogException) as error:
        client.get_logs(GetLogsRequest(project, logstore, now - 60, now, query="* | select nothing from log"))
    assert "cannot be resolved" in error.value.get_error_message()


def test_everything_page_by_page(client, project, logstore, now):
    put(client, project, logstore, [(now, {"service": "a", "duration": str(n)}) for n in range(333)])
    pages = list(client.get_log_all(project, logstore, now - 60, now + 60, query="service: a"))
    assert sum(page.get_count() for page in pages) == 333


def test_histograms(client, project, logstore, now):
    put(client, project, logstore, [(now - n, {"service": "a"}) for n in range(50)])
    response = client.get_histograms(GetHistogramsRequest(project, logstore, now - 60, now + 1, query="service: a"))
    assert response.is_completed()
    assert response.get_total_count() == 50
    assert sum(each.get_count() for each in response.get_histograms()) == 50


def test_dashboards(client, project):
    client.create_dashboard(
        project, {"dashboardName": "traces", "displayName": "Traces", "description": "", "charts": []}
    )
    assert client.list_dashboard(project).get_dashboards() == ["traces"]
    assert client.get_dashboard(project, "traces").get_entity().get("displayName") == "Traces"
    client.update_dashboard(project, {"dashboardName": "traces", "displayName": "New", "charts": []})
    assert client.get_dashboard(project, "traces").get_entity().get("displayName") == "New"
    client.delete_dashboard(project, "traces")
    assert client.list_dashboard(project).get_dashboards() == []


@pytest.mark.parametrize(
    ("key_id", "secret", "code"), [(KEY_ID, "wrong", "SignatureNotMatch"), ("wrong", SECRET, "Unauthorized")]
)
@pytest.mark.parametrize("version", ["v1", "v4"])
def test_wrong_keys(through_proxy, key_id, secret, code, version):
    client = LogClient("http://" + ENDPOINT, key_id, secret, source="x", auth_version=version, region="cn-hangzhou")
    with pytest.raises(LogException) as error:
        client.get_project("my-project")
    assert error.value.get_error_code() == code
