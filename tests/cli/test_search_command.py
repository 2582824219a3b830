"""`sls-tracing search` and `sls-tracing provision`, as processes, on a file and through Log Service's API."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.log_service import open_trace_store
from sls_tracing.log_service.analyses import ANALYSES
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects import DIALECTS
from sls_tracing.log_service.embedded_service import EmbeddedProjects
from sls_tracing.log_service.http_api import log_service_app
from sls_tracing.model import Process, Reference, SpanRecord

SECRET = "s3cr3t-of-the-key"
HIDDEN = ("STORAGE_ALIYUN", "ALIBABA_CLOUD", "SLS_TRACING_")


def run(command, *arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    done = subprocess.run(
        [sys.executable, "-m", "sls_tracing", command, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env={**environment, "COLUMNS": "200", **variables},
    )  # fmt: skip
    assert SECRET not in done.stdout + done.stderr
    return done


def make_span(number, parent=None, **changes):
    start = time.time() - 60 + number
    tags = {"span.kind": "server", "http.status_code": 503 if number % 2 else 200, "error": number % 2 == 1}
    references = [Reference("child_of", 0xAB, parent)] if parent else []
    return SpanRecord(
        f"op-{number}", SpanContext(0xAB, number, parent), references, start, start + number / 10, tags, [], Process(f"s{number % 2}"), []
    )._replace(**changes)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Ten spans of two services, each calling the other; the third is odd to print."""
    path = tmp_path_factory.mktemp("search") / "traces.duckdb"
    store = open_trace_store(str(path))
    store.write([make_span(1), *(make_span(n, n - 1) for n in range(2, 11))])
    store.write([make_span(11, 10, operation_name="\x1b[31mred\x07 [bold]ü")])
    store.close()
    return str(path)


def test_spans_as_a_table(file):
    done = run("search", "process.serviceName: s0 and duration > 500000", "--storage", file)
    assert done.returncode == 0, done.stderr
    assert "op-6" in done.stdout
    assert "op-2" not in done.stdout
    assert "3 rows" in done.stdout


def test_json_is_an_object_a_line(file):
    done = run("search", "tags.error: true", "--storage", file, "--format", "json", "--limit", "3")
    spans = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(spans) == 3
    assert all(span["tags.error"] == "true" for span in spans)
    assert spans[0]["__time__"] >= spans[-1]["__time__"]  # newest first


def test_csv(file):
    query = '* | select "process.serviceName" as s, count(1) as n from log group by s order by s'
    done = run("search", query, "--storage", file, "--format", "csv")
    assert list(csv.reader(io.StringIO(done.stdout))) == [["s", "n"], ["s0", "5"], ["s1", "6"]]


def test_a_chart_has_a_bar_for_each_figure(file):
    done = run("search", "--analysis", "p99-by-service", "--storage", file, "--format", "chart")
    assert done.returncode == 0, done.stderr
    assert "Latency by service (ms)" in done.stdout
    assert "█" in done.stdout


@pytest.mark.parametrize("name", ANALYSES)
def test_every_named_analysis_answers(file, name):
    done = run("search", "--analysis", name, "--storage", file, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    for column in (ANALYSES[name].x, *ANALYSES[name].y):
        assert not column or column in rows[0]


def test_the_dependency_table(file):
    done = run("search", "--analysis", "dependencies", "--storage", file, "--format", "json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(row["parent"], row["child"]): (row["calls"], row["errors"]) for row in rows} == {
        ("s0", "s1"): ("5", "5"),
        ("s1", "s0"): ("5", "0"),
    }


def test_durations_are_milliseconds(file):
    """They are stored in microseconds; a dashboard that divides by a million and says ms shows a thousandth."""
    done = run("search", "--analysis", "slowest-traces", "--storage", file, "--format", "json")
    assert json.loads(done.stdout.splitlines()[0])["ms"] == "1100.0"


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "jaeger"])
def test_named_analyses_of_spans_of_other_writers(tmp_path, dialect):
    path = str(tmp_path / "traces.duckdb")
    store = open_trace_store(path, dialect=dialect)
    store.write([make_span(1), make_span(2, 1)])
    store.close()
    done = run("search", "--analysis", "error-rate", "--storage", path, "--format", "json")
    rows = {row["service"]: row["errors"] for row in map(json.loads, done.stdout.splitlines())}
    assert rows == {"s0": "0", "s1": "1"}


def test_stored_control_characters_do_not_reach_the_terminal(file):
    done = run("search", "spanID: b", "--storage", file)
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "[bold]ü" in done.stdout


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("duration >", ["  duration >", "            ^"]),
        ("a and (b", ["  a and (b", "        ^"]),
        ("* | select duration from log where", ["   select duration from log where", "^"]),
        ("* | drop table log", ["an analysis is one SELECT"]),
        ("* | select nothing.x from log", ["nothing"]),
    ],
)
def test_a_wrong_query_is_told_with_its_place(file, query, shown):
    done = run("search", query, "--storage", file)
    assert done.returncode == 1
    for line in shown:
        assert line in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--storage", "memory:"], "memory: holds nothing"),
        (["--storage", "/nowhere/x.duckdb"], "there is no file"),
        (["--from", "yesterday"], "'yesterday' is no time"),
        (["--from", "-1h", "--to", "-2h"], "is not before"),
        (["--storage", "log-service:"], "STORAGE_ALIYUN_SLS_ENDPOINT"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_says_why(file, arguments, said):
    if "--storage" not in arguments:
        arguments = [*arguments, "--storage", file]
    done = run("search", "*", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


# -- provisioning, then searching, over HTTP -------------------------------------------------------------------------------


@pytest.fixture
def service(serve):
    """An empty Log Service; the variables that lead there."""
    projects = EmbeddedProjects()
    key = AccessKey("LTAIidentifier", SECRET)
    yield (
        {
            "STORAGE_ALIYUN_SLS_ENDPOINT": "cn-hangzhou.log.aliyuncs.com",
            "STORAGE_ALIYUN_SLS_PROJECT": "my-project",
            "STORAGE_ALIYUN_SLS_CONNECT": serve(log_service_app(projects, key)),
            "STORAGE_ALIYUN_SLS_ACCESSKEY_ID": key.key_id,
            "STORAGE_ALIYUN_SLS_ACCESSKEY_SECRET": SECRET,
        },
        projects,
    )
    projects.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_provisioning_twice_makes_once(service, dialect):
    variables, projects = service
    variables = {**variables, "STORAGE_ALIYUN_SLS_DIALECT": dialect}
    planned = run("provision", "--dry-run", **variables)
    assert planned.stdout.count("would be created") == 4
    assert projects.names() == ["sls-tracing"]
    first = run("provision", "--retention-days", "30", **variables)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count(": created") == 4
    second = run("provision", **variables)
    assert second.stdout.count(": is there") == 4
    assert projects.project("my-project").get_logstore("jaeger-span").retention_days == 30


def test_provisioning_adds_to_an_index_and_overwrites_nothing(service):
    from sls_tracing.log_service.index import FieldIndex, Index
    from sls_tracing.log_service.service import LogstoreInfo

    variables, projects = service
    project = projects.project("my-project")
    project.create_project()
    project.create_logstore(LogstoreInfo("jaeger-span", retention_days=3))
    mine = FieldIndex("text", tokens=("x",), case_sensitive=True)
    project.logstore("jaeger-span").set_index(Index({"traceID": mine, "my.own": mine}, line=None))
    done = run("provision", **variables)
    assert "changed (added" in done.stdout
    assert "tags.error" in done.stdout
    index = project.logstore("jaeger-span").get_index()
    assert (index.keys["traceID"], index.keys["my.own"], index.line) == (mine, mine, None)
    assert project.get_logstore("jaeger-span").retention_days == 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_chart_of_the_dashboard_answers(service, dialect):
    """The queries run as they are in the console; titles and units say milliseconds where the figures are."""
    variables, projects = service
    variables = {**variables, "STORAGE_ALIYUN_SLS_DIALECT": dialect}
    run("provision", **variables)
    project = projects.project("my-project")
    from sls_tracing.log_service.dialects import find_dialect
    from sls_tracing.log_service.logstore import LogGroup

    to_log = find_dialect(dialect).to_log
    project.logstore("jaeger-span").put_logs(LogGroup([to_log(make_span(1)), to_log(make_span(2, 1))]))
    dashboard = project.get_dashboard("my-project-jaeger-span")
    assert len(dashboard["charts"]) == len(ANALYSES)
    for chart in dashboard["charts"]:
        rows = project.logstore("jaeger-span").get_logs(chart["search"]["query"], 0, 2**32 - 1).logs
        assert rows, chart["title"]
        for column in (*chart["display"]["xAxis"], *chart["display"]["yAxis"]):
            assert column in rows[0]
        if any(column.endswith("_ms") for column in chart["display"]["yAxis"]):
            assert chart["display"]["unit"] == "ms"
    found = run("search", "--analysis", "dependencies", "--storage", "log-service:", "--format", "json", **variables)
    assert [json.loads(line)["calls"] for line in found.stdout.splitlines()] == ["1"]


def test_wrong_names_are_refused_with_the_rule(service):
    variables, _ = service
    done = run("provision", **{**variables, "STORAGE_ALIYUN_SLS_PROJECT": "My_Project"})
    assert done.returncode == 2
    assert "3 to 63 characters" in done.stderr
