"""Figures over many traces, computed from the spans by the store: who calls whom, and rate, errors and latency over time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sls_tracing.log_service.query.quoting import search_value, sql_name, sql_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sls_tracing.log_service.index import Index

__all__ = [
    "Dependency",
    "Measure",
    "MetricSeries",
    "MetricsQuery",
    "dependencies_statement",
    "metrics_statement",
    "read_dependencies",
    "read_metrics",
]

MAX_ROWS = 200_000

Measure: TypeAlias = Literal["latencies", "calls", "errors"]


class Dependency(NamedTuple):
    """How often one service called another one, how often that failed, and how long it took: 50 % and 99 % within, in seconds."""

    parent: str
    child: str
    calls: int
    errors: int
    p50: float
    p99: float


class MetricsQuery(NamedTuple):
    """Which figures: of which services' spans of which kinds, at ``end`` and every ``step`` before it down to ``start``, all in whole seconds.

    Each figure is over the ``window`` seconds before its time, rounded up to whole steps, as Prometheus's ``rate`` has it. Of the kinds
    an empty one stands for spans that do not say; no services or no kinds at all mean every one.
    """

    measure: Measure
    services: Sequence[str]
    start: int
    end: int
    step: int = 60
    window: int = 600
    quantile: float = 0.95
    span_kinds: Sequence[str] = ("server",)
    by_operation: bool = False

    @property
    def steps_of_window(self) -> int:
        """How many steps one figure is over."""
        return max(1, -(-self.window // self.step))


class MetricSeries(NamedTuple):
    """One figure over time, oldest first, as (time in seconds, value): a latency in seconds, spans a second, or a share of 0 to 1.

    Latency and share are not a number where there were no spans. ``operation`` is empty for a whole service.
    """

    service: str
    operation: str
    points: Sequence[tuple[int, float]]


def dependencies_statement(index: Index) -> str:
    """Return the statement that counts calls between services.

    A span whose parent is another service's is a call; calls within a service are none, its sidecar's under its own name for one.
    Zipkin's shared spans have both sides of a call under one id: the server's is a call of the client's, and a child of that id is a call only
    if none of the two sides is its own service's. A span that was delivered twice counts once.
    """
    kind = _optional("tags.span.kind", index)
    return (
        f'* | with spans as (select traceID, spanID, parentSpanID, "process.serviceName" as service, {kind} as kind, '
        f"max(duration) as took, max(case when {_optional('tags.error', index)} = 'true' then 1 else 0 end) as failed "
        "from log group by 1, 2, 3, 4, 5), "
        "clients as (select traceID, spanID, max(service) as service from spans where kind = 'client' group by 1, 2), "
        "calls as (select c.traceID, c.spanID, c.service as child, max(p.service) as parent, max(c.took) as took, "
        "max(c.failed) as failed, max(case when p.service = c.service then 1 else 0 end) as within "
        "from spans c left join clients k on c.kind = 'server' and k.traceID = c.traceID and k.spanID = c.spanID "
        "and k.service <> c.service "
        "join spans p on p.traceID = c.traceID and p.spanID = coalesce(k.spanID, c.parentSpanID) "
        "and (k.spanID is null or p.kind = 'client') group by c.traceID, c.spanID, c.service, c.kind) "
        "select parent, child, count(1) as calls, sum(failed) as errors, approx_percentile(took, 0.5) as p50, "
        "approx_percentile(took, 0.99) as p99 from calls where within = 0 group by 1, 2 "
        "order by calls desc, parent, child limit 10000"
    )


def _optional(field: str, index: Index) -> str:
    """Return the field as SQL; nothing where the index, Jaeger's own for one, does not have it: Log Service would refuse the statement."""
    return sql_name(field) if index.can_search(field) else "''"


def read_dependencies(rows: Iterable[Mapping[str, str]]) -> Iterator[Dependency]:
    """Read the answer to :func:`dependencies_statement`."""
    for row in rows:
        yield Dependency(
            row["parent"],
            row["child"],
            int(row["calls"]),
            int(row["errors"]),
            float(row["p50"]) / 1e6,
            float(row["p99"]) / 1e6,
        )


_BINS = 24
"""Bins of durations for each factor e: a quantile is off by 4 % at most, and exact where all spans of a bin take the same time."""


def metrics_statement(query: MetricsQuery, index: Index) -> str:
    """Return the statement that counts spans a step, service and bin of durations. What windows share is counted once and added up here."""
    operation = "operationName" if query.by_operation else "''"
    bin_ = f"cast(floor(ln(duration + 1) * {_BINS}) as bigint)" if query.measure == "latencies" else "0"
    age = f"({int(query.end)} - __time__)"
    search = " or ".join(f"process.serviceName: {search_value(service)}" for service in query.services) or "*"
    where = [f'"process.serviceName" in ({", ".join(map(sql_value, query.services))})'] if query.services else []
    if query.span_kinds:
        where.append(
            f"coalesce({_optional('tags.span.kind', index)}, '') in ({', '.join(map(sql_value, query.span_kinds))})"
        )
    conditions = f" where {' and '.join(where)}" if where else ""
    return (
        f'{search} | select "process.serviceName" as service, {operation} as operation, {age} - {age} % {int(query.step)} as age, '
        f"{bin_} as bin, count(1) as calls, sum(case when {_optional('tags.error', index)} = 'true' then 1 else 0 end) as errors, "
        "min(duration) as low, max(duration) as high "
        f"from log{conditions} group by 1, 2, 3, 4 order by age, service, operation, bin limit {MAX_ROWS}"
    )


class _Step(NamedTuple):
    """What happened to one service or operation in one step."""

    errors: int
    calls: Counter[int]
    """By bin."""


class _Recorded:
    """One service or operation: its steps by their age in steps, and the bounds of its bins."""

    def __init__(self) -> None:
        self.steps: dict[int, _Step] = {}
        self.bounds: dict[int, tuple[float, float]] = {}

    def add(self, age: int, errors: int, bin_: int, calls: int, bounds: tuple[float, float]) -> None:
        step = self.steps.get(age, _Step(0, Counter()))
        step.calls[bin_] += calls
        self.steps[age] = step._replace(errors=step.errors + errors)
        low, high = self.bounds.get(bin_, bounds)
        self.bounds[bin_] = min(low, bounds[0]), max(high, bounds[1])


def read_metrics(rows: Iterable[Mapping[str, str]], query: MetricsQuery) -> Iterator[MetricSeries]:
    """Read the answer to :func:`metrics_statement`; series are sorted by name, and those without a span are left out."""
    recorded: dict[tuple[str, str], _Recorded] = defaultdict(_Recorded)
    for row in rows:
        bounds = float(row["low"]) / 1e6, float(row["high"]) / 1e6
        age = int(row["age"]) // query.step
        series = recorded[row["service"], row["operation"]]
        series.add(age, int(row["errors"]), int(row["bin"]), int(row["calls"]), bounds)
    for (service, operation), series in sorted(recorded.items()):
        yield MetricSeries(service, operation, list(_points(series, query)))


def _points(series: _Recorded, query: MetricsQuery) -> Iterator[tuple[int, float]]:
    """Slide the window from the oldest figure to the newest: each step enters once and leaves once."""
    oldest = (query.end - query.start) // query.step
    width = query.steps_of_window
    calls: Counter[int] = Counter()
    errors = 0
    for age in range(oldest + width - 1, -1, -1):
        for entering, sign in ((age, 1), (age + width, -1)):
            step = series.steps.get(entering)
            if step is None or entering > oldest + width - 1:
                continue
            errors += sign * step.errors
            for bin_, count in step.calls.items():
                calls[bin_] += sign * count
        if age <= oldest:
            yield query.end - age * query.step, _figure(calls, errors, series.bounds, query)


def _figure(calls: Counter[int], errors: int, bounds: Mapping[int, tuple[float, float]], query: MetricsQuery) -> float:
    total = calls.total()
    if query.measure == "calls":
        return total / (query.steps_of_window * query.step)
    if not total:
        return math.nan
    return errors / total if query.measure == "errors" else _quantile(calls, total, bounds, query.quantile)


def _quantile(calls: Counter[int], total: int, bounds: Mapping[int, tuple[float, float]], quantile: float) -> float:
    """Return the quantile in seconds, between the bounds of its bin in proportion, as Prometheus's ``histogram_quantile``."""
    wanted = quantile * total
    below = 0
    for bin_ in sorted(bin_ for bin_, count in calls.items() if count):
        if below + calls[bin_] >= wanted:
            low, high = bounds[bin_]
            return low + (high - low) * max(0.0, wanted - below) / calls[bin_]
        below += calls[bin_]
    return math.nan  # not reached: a quantile is 1 at most
