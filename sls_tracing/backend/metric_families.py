"""What Jaeger's Monitor tab asks: latencies, calls and errors over time, in its MetricFamily (OpenMetrics in protobuf's JSON, no envelope).

Parameters and shape: jaegertracing/jaeger v1.65.0, cmd/query/app/query_parser.go and model/proto/metrics. Jaeger reads them from Prometheus;
here they come from the spans themselves.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sls_tracing.backend.query_params import ParameterError, Parameters, first, parse_milliseconds
from sls_tracing.log_service.trace_analysis import MetricsQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.backend.trace_json import JSONObject
    from sls_tracing.log_service.trace_analysis import Measure, MetricSeries

__all__ = ["MIN_STEP_MS", "metric_family", "parse_metrics_query"]

MIN_STEP_MS = 1000
"""The shortest step: log time is whole seconds."""

MAX_POINTS = 11_000
"""Points of one series, as in Prometheus."""

_LOOKBACK, _STEP, _WINDOW = 3600.0, 5.0, 600.0
_KINDS: Mapping[str, str] = {
    "unspecified": "",
    **{kind: kind for kind in ("internal", "server", "client", "producer", "consumer")},
}
_NAMES: Mapping[Measure, tuple[str, str]] = {
    "latencies": ("latencies", "Duration within which the quantile of spans ends, in milliseconds"),
    "calls": ("call_rate", "Spans a second"),
    "errors": ("error_rate", "Share of spans that failed, 0 to 1"),
}


def parse_metrics_query(measure: Measure, parameters: Parameters, now: float) -> MetricsQuery:
    """Return what to compute. Raises :class:`ParameterError`."""
    services = [service for service in parameters.get("service", ()) if service]
    if not services:
        raise ParameterError("please provide at least one service name: parameter 'service' is required")
    end = parse_milliseconds(parameters, "endTs")
    end = now if end is None else end
    lookback = _length(parameters, "lookback", _LOOKBACK)
    step = max(MIN_STEP_MS / 1e3, _length(parameters, "step", _STEP))
    if lookback / step > MAX_POINTS:
        raise ParameterError(f"more than {MAX_POINTS} points: give a longer 'step' or a shorter 'lookback'")
    if not 0 <= end <= 2**32:
        raise ParameterError("parameter 'endTs' is not a time in milliseconds since 1970")
    return MetricsQuery(
        measure,
        services,
        start=max(0, int(end - lookback)),
        end=int(end),
        step=round(step),
        window=math.ceil(_length(parameters, "ratePer", _WINDOW)),
        quantile=_quantile(parameters) if measure == "latencies" else 0.0,
        span_kinds=_span_kinds(parameters),
        by_operation=_boolean(parameters, "groupByOperation"),
    )


def _length(parameters: Parameters, name: str, default: float) -> float:
    seconds = parse_milliseconds(parameters, name)
    if seconds is None:
        return default
    if not 0 < seconds <= 366 * 86400:
        raise ParameterError(f"unable to parse param '{name}': {seconds:g} s is not more than 0 and at most a year")
    return seconds


def _quantile(parameters: Parameters) -> float:
    text = first(parameters, "quantile")
    try:
        quantile = float(text)
    except ValueError:
        quantile = math.nan
    if not 0 <= quantile <= 1:
        raise ParameterError(f"unable to parse param 'quantile': {text[:40]!r} is not a number from 0 to 1")
    return quantile


def _span_kinds(parameters: Parameters) -> Sequence[str]:
    names = [name for name in parameters.get("spanKind", ()) if name] or ["server"]
    for name in names:
        if name not in _KINDS:
            raise ParameterError(f"unsupported span kind {name[:40]!r}; spanKind is one of {', '.join(_KINDS)}")
    return [_KINDS[name] for name in names]


def _boolean(parameters: Parameters, name: str) -> bool:
    text = first(parameters, name)
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("", "0", "f", "false"):
        return False
    raise ParameterError(f"unable to parse param '{name}': {text[:40]!r} is neither true nor false")


def metric_family(query: MetricsQuery, series: Sequence[MetricSeries]) -> JSONObject:
    """Return the answer's object."""
    name, description = _NAMES[query.measure]
    return {
        "name": f"service_{'operation_' if query.by_operation else ''}{name}",
        "type": "GAUGE",
        "help": f"{description}, of each {'operation' if query.by_operation else 'service'}",
        "metrics": [_metric(each, query) for each in series],
    }


def _metric(series: MetricSeries, query: MetricsQuery) -> JSONObject:
    labels = [{"name": "service_name", "value": series.service}]
    if query.by_operation:
        labels.append({"name": "operation", "value": series.operation})
    scale = 1e3 if query.measure == "latencies" else 1.0
    points = [
        {
            # The UI draws a gap for protobuf's spelling of what is not a number.
            "gaugeValue": {"doubleValue": "NaN" if math.isnan(value) else round(value * scale, 6)},
            "timestamp": datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for time, value in series.points
    ]
    return {"labels": labels, "metricPoints": points}
