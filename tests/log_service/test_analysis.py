"""The SQL part of a query: Presto's dialect over the table ``log``, SELECT only."""

from __future__ import annotations

import pytest

from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.index import FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log, LogGroup, LogServiceError

INDEX = Index(
    {
        "process.serviceName": FieldIndex(),
        "operationName": FieldIndex(),
        "traceID": FieldIndex(),
        "spanID": FieldIndex(),
        "parentSpanID": FieldIndex(),
        "duration": FieldIndex("long"),
        "tags.http.status_code": FieldIndex(),
        "hidden": FieldIndex(doc_value=False),
    },
    any_key=True,
)


@pytest.fixture(scope="module")
def logstore():
    logstore = EmbeddedLogstore(index=INDEX)
    logs = []
    for n in range(200):
        service, status = ("web", "200") if n % 2 else ("db", "500" if n % 4 else "200")
        contents = {
            "process.serviceName": service,
            "operationName": f"op{n % 3}",
            "traceID": str(n // 2),
            "spanID": str(n + 1),
            "parentSpanID": "0" if n % 2 else str(n + 2),
            "duration": str(n * 1000),
            "tags.http.status_code": status,
            "free": f"f{n % 5}",
        }
        logs.append(Log(1_700_000_000 + n, list(contents.items())))
    logstore.put_logs(LogGroup(logs))
    yield logstore
    logstore.close()


def ask(logstore, sql, search="*"):
    return logstore.get_logs(f"{search} | {sql}", 0, END_OF_TIME)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ('select "process.serviceName" as s, count(1) as n from log group by s order by s', [("db", "100"), ("web", "100")]),
        ('select "process.serviceName", count(*) c group by "process.serviceName" order by c, 1', [("db", "100"), ("web", "100")]),
        ("select count(1) as n", [("200",)]),
        ("select max_by(operationName, duration) as op, max(duration)/1000.0 as ms", [("op1", "199.0")]),
        (
            'select "process.serviceName" as service, round(100.0*count_if(try_cast("tags.http.status_code" as bigint)>=500)/count(1),2) as err_pct group by service order by 1',
            [("db", "50.0"), ("web", "0.0")],
        ),
        ("select approx_percentile(duration, 0.5) / 1000.0 > 90 as p", [("true",)]),
        ("select count(1) as n from (select distinct traceID from log) t", [("100",)]),
        ("with t as (select traceID, count(1) as n from log group by traceID) select sum(n) as total from t", [("200",)]),
        (
            'select p."process.serviceName" as parent, c."process.serviceName" as child, count(1) as calls from log c join log p '
            "on c.traceID = p.traceID and c.parentSpanID = p.spanID "
            'where c."process.serviceName" <> p."process.serviceName" group by 1,2 limit 1000',
            [("web", "db", "100")],
        ),
        ("select free, count(1) as n group by free order by free limit 2", [("f0", "40"), ("f1", "40")]),
        ("select count(1) as free from log group by operationName order by free desc limit 1", [("67",)]),
        ('select nothing as x, "process.serviceName" as y limit 1', [("null", "db")]),
        ("select case when duration > 100000 then 'slow' else 'fast' end as k, count(1) as n group by k order by k",
         [("fast", "101"), ("slow", "99")]),
        ("select min(__time__) as t, max(__source__) as s", [("1700000000", "")]),
        ("select cast(from_unixtime(min(__time__)) as varchar) as t", [("2023-11-14 22:13:20",)]),
        ("select from_unixtime(min(__time__)) as t", [("2023-11-14 22:13:20.000",)]),
        ("select date_format(from_unixtime(__time__), '%H:%i') as t, count(1) as n group by t order by t limit 1", [("22:13", "40")]),
        ("select year(now()) > 2000 as t limit 1", [("true",)]),
        ("select spanID from log where operationName like 'op1%' order by duration limit 1, 1", [("5",)]),
        ("select 1 as a union all select 2 as a order by a desc limit 1", [("2",)]),
        ("SELECT COUNT(1) AS n FROM LOG", [("200",)]),
        ("select TRACEID from log order by cast(spanid as bigint) limit 1", [("0",)]),
        ("select array_agg(operationName) as a from (select distinct operationName from log order by 1) x", [('["op0", "op1", "op2"]',)]),
    ],
)  # fmt: skip
def test_analysis(logstore, sql, rows):
    result = ask(logstore, sql)
    assert result.has_sql
    assert [tuple(log.values()) for log in result.logs] == rows


def test_the_search_part_narrows_what_the_sql_sees(logstore):
    assert ask(logstore, "select count(1) as n", "process.serviceName: web and duration >= 100000").logs == [
        {"n": "50"}
    ]


def test_columns_keep_their_order_and_spelling(logstore):
    assert list(ask(logstore, 'select duration as "B c", traceID').keys) == ["B c", "traceID"]
    assert list(ask(logstore, "select * from log limit 1").keys) == [
        "__time__", "__topic__", "__source__", *(name for name in INDEX.keys if name != "hidden")
    ]  # fmt: skip


def test_a_query_that_names_no_limit_gets_100_rows(logstore):
    assert len(ask(logstore, "select spanID").logs) == 100
    assert len(ask(logstore, "select spanID limit 150").logs) == 150


@pytest.mark.parametrize(
    "sql",
    [
        "drop table log",
        "delete from log",
        "insert into log select * from log",
        "update log set duration = 1",
        "create table x as select 1",
        "select 1; select 2",
        "select 1; drop table log",
        "attach 'x.db'",
        "copy log to 'x.csv'",
        "pragma database_list",
        "set threads = 1",
        "call pragma_version()",
        "install httpfs",
        "load httpfs",
        "explain select 1",
        "describe log",
        "show tables",
        "export database 'x'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_csv_auto('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from read_parquet('x')",
        "select * from glob('/*')",
        "select * from '/etc/passwd'",
        'select * from "/etc/passwd"',
        "select * from logstores",
        'select * from "log:jaeger-span"',
        "select * from information_schema.tables",
        "select * from main.log",
        "select * from duckdb_settings()",
        "select * from query('select 1')",
        "select * from sqlite_scan('x', 'y')",
        "select * from (select * from read_text('/etc/passwd'))",
        "with x as (select * from read_text('/etc/passwd')) select * from x",
        "with log as (select 1 as a) select * from log",
        "with recursive t as (select 1 as n union all select n + 1 from t) select * from t",
        "select (select content from read_text('/etc/passwd'))",
        "select getenv('HOME')",
        "select current_setting('threads')",
        "select getvariable('x')",
        "select 'x'.getvariable()",
        "select nextval('x')",
        "select * into x from log",
        "select ? from log",
        "select * from log tablesample (10 percent)",
        "select * from unknown",
        "select hidden from log",
        "select fob(1)",
        "select count( from log",
        "select 1 limit 1000001",
        "select 1 limit (select 1)",
        "select" + "(" * 5000,
        "select '",
        'select "',
    ],
)
def test_anything_but_a_select_over_log_is_refused(logstore, sql):
    with pytest.raises(LogServiceError) as caught:
        ask(logstore, sql)
    assert caught.value.code == "ParameterInvalid"
    assert ask(logstore, "select count(1) as n").logs == [{"n": "200"}]


def test_errors_name_the_place_or_the_thing(logstore):
    with pytest.raises(LogServiceError, match="line 1, column"):
        ask(logstore, "select count( from log")
    with pytest.raises(LogServiceError, match="function fob"):
        ask(logstore, "select fob(1)")
    with pytest.raises(LogServiceError, match="Column 'hidden' cannot be resolved"):
        ask(logstore, "select hidden from log")


def test_what_duckdb_refuses_is_a_log_service_error(logstore):
    with pytest.raises(LogServiceError, match="Could not convert") as caught:
        ask(logstore, "select cast(operationName as bigint) from log")
    assert caught.value.code == "ParameterInvalid"
