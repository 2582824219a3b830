"""Named analyses of stored spans: what people ask first, as ``search | SQL`` that runs on the real service and on the embedded one.

    >>> from sls_tracing.log_service.analyses import ANALYSES
    >>> print(ANALYSES["error-rate"].query())
    * | select "process.serviceName" as service, count(1) as spans, count_if("tags.error" = 'true') as errors, round(100.0 * count_if("tags.error" = 'true') / count(1), 2) as error_percent from log group by service order by error_percent desc limit 100

Durations are stored in microseconds and shown in milliseconds. (The dashboards that Jaeger on Log Service shipped divide by a million and say
milliseconds: they were written for nanoseconds, and show a thousandth.) `sls-tracing search --analysis NAME` runs one; ``dashboards.py`` makes charts of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sls_tracing.log_service.query.quoting import search_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ANALYSES", "Analysis", "Chart"]

Chart: TypeAlias = Literal["table", "line", "bar", "pie", "number"]

_SERVICE = '"process.serviceName"'
_FAILED = "count_if(\"tags.error\" = 'true')"
_MINUTE = "time_series(__time__, '1m', '%H:%i', '0')"


class Analysis(NamedTuple):
    """One question: ``sql`` over the table ``log``, of the logs that ``search`` finds. ``x`` and ``y`` name the columns of its chart."""

    title: str
    sql: str
    search: str = "*"
    chart: Chart = "table"
    x: str = ""
    y: Sequence[str] = ()
    unit: str = ""

    def query(self, service: str = "") -> str:
        """Return the query, of one service's spans if it is named."""
        search = self.search
        if service:
            term = f"process.serviceName: {search_value(service)}"
            search = term if search == "*" else f"{term} and ({search})"
        return f"{search} | {self.sql}"


ANALYSES: Mapping[str, Analysis] = {
    "p99-by-service": Analysis(
        "Latency by service",
        f"select {_SERVICE} as service, count(1) as spans, round(avg(duration) / 1000.0, 2) as avg_ms, "
        "round(approx_percentile(duration, 0.5) / 1000.0, 2) as p50_ms, round(approx_percentile(duration, 0.99) / 1000.0, 2) as p99_ms "
        "from log group by service order by p99_ms desc limit 100",
        chart="bar",
        x="service",
        y=("p50_ms", "p99_ms"),
        unit="ms",
    ),
    "p99-by-operation": Analysis(
        "Latency by service and operation",
        f"select {_SERVICE} as service, operationName as operation, count(1) as spans, "
        "round(approx_percentile(duration, 0.99) / 1000.0, 2) as p99_ms from log group by service, operation order by p99_ms desc limit 100",
        unit="ms",
    ),
    "error-rate": Analysis(
        "Errors by service",
        f"select {_SERVICE} as service, count(1) as spans, {_FAILED} as errors, "
        f"round(100.0 * {_FAILED} / count(1), 2) as error_percent from log group by service order by error_percent desc limit 100",
        chart="bar",
        x="service",
        y=("error_percent",),
        unit="%",
    ),
    "slowest-operations": Analysis(
        "Slowest operations",
        f"select operationName as operation, {_SERVICE} as service, round(max(duration) / 1000.0, 2) as max_ms, "
        "max_by(traceID, duration) as trace from log group by operation, service order by max_ms desc limit 20",
        unit="ms",
    ),
    "slowest-traces": Analysis(
        "Slowest traces",
        f"select traceID, round(max(duration) / 1000.0, 2) as ms, max_by(operationName, duration) as operation, "
        f"max_by({_SERVICE}, duration) as service, count(1) as spans from log group by traceID order by ms desc limit 20",
        unit="ms",
    ),
    "traffic": Analysis(
        "Requests a minute",
        f"select {_MINUTE} as t, count(1) as requests from log group by t order by t limit 10000",
        search="parentSpanID: 0",
        chart="line",
        x="t",
        y=("requests",),
    ),
    "traffic-by-service": Analysis(
        "Spans by service",
        f"select {_SERVICE} as service, count(1) as spans from log group by service order by spans desc limit 100",
        chart="pie",
        x="service",
        y=("spans",),
    ),
    "entry-latency": Analysis(
        "Latency of whole requests",
        f"select {_MINUTE} as t, round(approx_percentile(duration, 0.5) / 1000.0, 2) as p50_ms, "
        "round(approx_percentile(duration, 0.99) / 1000.0, 2) as p99_ms from log group by t order by t limit 10000",
        search="parentSpanID: 0",
        chart="line",
        x="t",
        y=("p50_ms", "p99_ms"),
        unit="ms",
    ),
    "entry-p99": Analysis(
        "99 % of requests within",
        "select round(approx_percentile(duration, 0.99) / 1000.0, 2) as p99_ms from log",
        search="parentSpanID: 0",
        chart="number",
        y=("p99_ms",),
        unit="ms",
    ),
    "requests": Analysis(
        "Requests", "select count(1) as requests from log", search="parentSpanID: 0", chart="number", y=("requests",)
    ),
    "status-codes": Analysis(
        "HTTP status codes",
        'select "tags.http.status_code" as status, count(1) as spans from log where "tags.http.status_code" is not null '
        "group by status order by spans desc limit 100",
        chart="pie",
        x="status",
        y=("spans",),
    ),
    "errors": Analysis(
        "Where errors are",
        f'select {_SERVICE} as service, operationName as operation, "tags.http.status_code" as status, count(1) as errors '
        "from log group by service, operation, status order by errors desc limit 100",
        search="tags.error: true",
    ),
    "dependencies": Analysis(
        "Which service calls which",
        'select p."process.serviceName" as parent, c."process.serviceName" as child, count(1) as calls, '
        "count_if(c.\"tags.error\" = 'true') as errors, round(approx_percentile(c.duration, 0.5) / 1000.0, 2) as p50_ms, "
        "round(approx_percentile(c.duration, 0.99) / 1000.0, 2) as p99_ms from log c join log p "
        "on c.traceID = p.traceID and c.parentSpanID = p.spanID "
        'where c."process.serviceName" <> p."process.serviceName" group by parent, child order by calls desc limit 1000',
        unit="ms",
    ),
}
