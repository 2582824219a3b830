"""What Log Service's SQL says beyond what DuckDB and sqlglot agree on."""

from __future__ import annotations

import json

import pytest

from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.logstore import Log, LogGroup, LogServiceError

NOW = 1_700_000_000  # 2023-11-14 22:13:20 UTC


@pytest.fixture(scope="module")
def logstore():
    """Twenty logs, one a minute; a service of three, errors in every other one; url and JSON in tags."""
    logstore = EmbeddedLogstore(index=INDEX._replace(any_key=True))
    logs = [
        Log(
            NOW + 60 * n,
            [
                ("traceID", f"{n:x}"), ("process.serviceName", f"s{n % 3}"), ("operationName", "get /a"), ("duration", str(100 * n)),
                ("tags.http.url", "http://user@host:8080/p/q?a=1&b=x#f"), ("json", '{"a":{"b":[1,2]},"c":"d"}' if n else "{cut"),
            ],
        )
        for n in range(20)
    ]  # fmt: skip
    logstore.put_logs(LogGroup(logs))
    yield logstore
    logstore.close()


def ask(logstore, sql, begin=0, end=2**32 - 1):
    return [dict(row) for row in logstore.get_logs(f"* | {sql}", begin, end).logs]


def only(logstore, expression):
    return ask(logstore, f"select {expression} as x from log where duration = 500")[0]["x"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("duration / 300", "1"),
        ("duration / 300.0", "1.6666666666666667"),
        ("(duration + 100) / 7 * 7", "595"),
        ("__time__ / 60 * 60", f"{(NOW + 300) // 60 * 60}"),
        ("cast(duration as double) / 300", "1.6666666666666667"),
        ("sum(duration) / count(1)", "500"),
        ("from_unixtime(__time__)", "2023-11-14 22:18:20.000"),
        ("from_unixtime(__time__, 'Asia/Shanghai')", "2023-11-15 06:18:20.000"),
        ("from_unixtime(__time__) at time zone 'Asia/Shanghai'", "2023-11-15 06:18:20.000"),
        ("date_trunc('hour', __time__)", "2023-11-14 22:00:00.000"),
        ("date_trunc('hour', from_unixtime(__time__))", "2023-11-14 22:00:00.000"),
        ("date_format(__time__, '%H:%i')", "22:18"),
        ("date_format(date_trunc('minute', __time__), '%H:%i:%s')", "22:18:00"),
        ("date_format(__time__ - __time__ % 600, '%H:%i')", "22:10"),
        ("date_parse('2023-11-14', '%Y-%m-%d')", "2023-11-14 00:00:00.000"),
        ("date_diff('minute', from_unixtime(__time__), from_unixtime(__time__ + 120))", "2"),
        ("date_add('day', 1, from_unixtime(__time__))", "2023-11-15 22:18:20.000"),
        ("to_unixtime(from_unixtime(__time__))", f"{NOW + 300}.0"),
        ("hour(__time__)", "22"),
        ("extract(minute from from_unixtime(__time__))", "18"),
        ("format_datetime(from_unixtime(__time__), 'yyyy-MM-dd HH:mm')", "2023-11-14 22:18"),
        ("to_iso8601(from_unixtime(__time__))", "2023-11-14T22:18:20.000Z"),
        ("date(from_unixtime(__time__))", "2023-11-14"),
        ('url_extract_host("tags.http.url")', "host"),
        ('url_extract_port("tags.http.url")', "8080"),
        ('url_extract_path("tags.http.url")', "/p/q"),
        ('url_extract_query("tags.http.url")', "a=1&b=x"),
        ('url_extract_protocol("tags.http.url")', "http"),
        ("url_extract_parameter(\"tags.http.url\", 'b')", "x"),
        ("url_extract_parameter(\"tags.http.url\", 'z')", "null"),
        ("json_extract_scalar(json, '$.c')", "d"),
        ("json_extract(json, '$.a')", '{"b":[1,2]}'),
        ("json_array_length(json_extract(json, '$.a.b'))", "2"),
        ("regexp_extract(operationName, '/(.)', 1)", "a"),
        ("split_part(operationName, ' ', 1)", "get"),
        ("try(cast(operationName as bigint))", "null"),
        ("approx_percentile(duration, 0.5)", "500"),
    ],
)  # fmt: skip
def test_functions(logstore, expression, value):
    assert only(logstore, expression) == value


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ('select histogram("process.serviceName") as h', [{"h": '{"s0": 7, "s1": 7, "s2": 6}'}]),
        ("select count_if(duration > 10000) as n", [{"n": "0"}]),
        ('select count_if("tags.none" = 1) as n', [{"n": "0"}]),
        ("select max_by(traceID, duration) as a, min_by(traceID, duration) as b", [{"a": "13", "b": "0"}]),
        ("select approx_distinct(traceID) between 16 and 24 as n", [{"n": "true"}]),
        ("select round(geometric_mean(duration)) as n from log where duration in (100, 400)", [{"n": "200.0"}]),
        ("select count(1), max(duration) as m, 1 + 1 from log", [{"_col0": "20", "m": "1900", "_col2": "2"}]),
        (
            "select x from log cross join unnest(split('a,b', ',')) as t(x) where duration = 100",
            [{"x": "a"}, {"x": "b"}],
        ),
        (
            "select s.n from log l right join (select traceID, count(1) as n from log group by traceID) s on l.traceID = s.traceID limit 1",
            [{"n": "1"}],
        ),
        ("with slow as (select traceID from log where duration > 1700) select count(1) as n from slow", [{"n": "2"}]),
        (
            "select traceID from log where duration > (select avg(duration) from log) order by duration limit 1",
            [{"traceID": "a"}],
        ),
        (
            "select duration from log order by duration limit 2, 3",
            [{"duration": "200"}, {"duration": "300"}, {"duration": "400"}],
        ),
        (
            "select t, count(1) as n from (select time_series(__time__, '5m', '%H:%i', '0') as t from log) group by t order by t limit 2",
            [{"t": "22:10", "n": "2"}, {"t": "22:15", "n": "5"}],
        ),
    ],
)
def test_statements(logstore, sql, rows):
    assert ask(logstore, sql) == rows


def test_a_map_comes_as_json(logstore):
    row = ask(logstore, "select map_agg(traceID, duration) as m from log where duration < 300")[0]
    assert json.loads(row["m"]) == {"0": 0, "1": 100, "2": 200}


def test_text_that_is_no_json_holds_nothing(logstore):
    """One log that was cut does not fail the query for all."""
    rows = ask(logstore, "select json_extract_scalar(json, '$.c') as c, count(1) as n group by c order by n")
    assert rows == [{"c": "null", "n": "1"}, {"c": "d", "n": "19"}]


def test_compare_with_one_value(logstore):
    """The ten minutes before had ten logs, too; those before that none."""
    sql = "select d[1] as now, d[2] as before, d[3] as ratio from (select compare(n, 600) as d from (select count(1) as n from log))"
    assert ask(logstore, sql, NOW + 600, NOW + 1200) == [{"now": "10.0", "before": "10.0", "ratio": "1.0"}]
    assert ask(logstore, sql, NOW, NOW + 300) == [{"now": "5.0", "before": "0.0", "ratio": "null"}]


def test_compare_of_each_group_with_its_own(logstore):
    """As the documentation shows it for times of day."""
    sql = (
        "select s, d[1] as now, d[2] as before from (select s, compare(n, 600) as d from "
        '(select "process.serviceName" as s, sum(duration) as n from log group by s) group by s) order by s'
    )
    assert ask(logstore, sql, NOW + 600, NOW + 780) == [
        {"s": "s0", "now": "1200.0", "before": "0.0"},
        {"s": "s1", "now": "1000.0", "before": "100.0"},
        {"s": "s2", "now": "1100.0", "before": "200.0"},
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select ip_to_country('1.2.3.4')", "function ip_to_country is not supported"),
        ("select approx_percentile(duration, 1, 0.9)", "weights are not supported"),
        ("select map_agg(traceID)", "map_agg takes 2 arguments, not 1"),
        ("select format_datetime(from_unixtime(__time__), 'EEE')", "'E' is not known"),
        ("select url_extract_parameter(traceID, duration)", "name as text"),
        ("select duration from log where", "line 1, column"),
        ("select nothing.x from log", "nothing"),
        ("select duration from elsewhere", "the only one is log"),
        ("select 1 from log limit 2000000", "at most 1000000"),
        ("select compare(count(1), 3) from log", "a column of the one sub-query"),
        ("select time_series(__time__, '5x', '%H', '0') from log", "is no window"),
        ("select read_text('/etc/passwd')", "not supported"),
        ("drop table log", "an analysis is one SELECT"),
        ("select 1; select 2", "an analysis is one SELECT"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named(logstore, sql, said):
    with pytest.raises(LogServiceError, match=said) as caught:
        ask(logstore, sql)
    assert caught.value.code == "ParameterInvalid"
