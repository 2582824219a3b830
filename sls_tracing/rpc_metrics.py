"""Requests, errors and times of a service, counted from its server spans, as the Go client's ``rpcmetrics`` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.context import SpanContext
    from sls_tracing.metrics_factory import MetricsFactory
    from sls_tracing.model import SpanRecord
    from sls_tracing.span import Span

__all__ = ["RPCMetrics"]

_OTHER = "other"
_UNSAFE = re.compile(r"[^A-Za-z0-9/._-]")


class RPCMetrics:
    """An observer that fills ``jaeger_rpc_requests{endpoint,error}``, ``jaeger_rpc_request_latency{endpoint,error}`` (a timer) and
    ``jaeger_rpc_http_requests{endpoint,status_code}`` with ``2xx`` to ``5xx``.

    The endpoint is the operation's name, unusual characters replaced by ``-``; those after the first ``max_endpoints`` are ``other``. Only
    spans that are recorded have tags, so under a sampler the counts are those of the sample.
    """

    def __init__(self, factory: MetricsFactory, max_endpoints: int = 200) -> None:
        self._factory = factory
        self._max_endpoints = max_endpoints
        self._endpoints: dict[str, str] = {}
        self._counters: dict[tuple[str, str, str], Callable[[int], object]] = {}
        self._timers: dict[tuple[str, str], Callable[[float], object]] = {}

    def started(self, span: Span, parent: SpanContext | None) -> None:
        """Nothing is known yet."""

    def finished(self, span: Span, record: SpanRecord | None) -> None:
        """Count a server span."""
        if record is None or record.tags.get("span.kind") != "server":
            return
        endpoint = self._endpoint(record.operation_name)
        failed = "true" if str(record.tags.get("error", "")).lower() == "true" else "false"
        self._counter("jaeger_rpc_requests", endpoint, "error", failed)(1)
        self._timer(endpoint, failed)((record.finish_time - record.start_time) * 1e6)
        status = str(record.tags.get("http.status_code", ""))
        if re.fullmatch("[2-5][0-9][0-9]", status):
            self._counter("jaeger_rpc_http_requests", endpoint, "status_code", status[0] + "xx")(1)

    def _endpoint(self, operation_name: str) -> str:
        endpoint = self._endpoints.get(operation_name)
        if endpoint is None:
            if not operation_name or len(self._endpoints) >= self._max_endpoints:
                return _OTHER
            endpoint = self._endpoints.setdefault(operation_name, _UNSAFE.sub("-", operation_name))
        return endpoint

    # Two threads that meet an endpoint at once may both make its metric: factories return the same one twice.

    def _counter(self, name: str, endpoint: str, tag: str, value: str) -> Callable[[int], object]:
        counter = self._counters.get((name, endpoint, value))
        if counter is None:
            counter = self._factory.create_counter(name, {"endpoint": endpoint, tag: value})
            self._counters[name, endpoint, value] = counter
        return counter

    def _timer(self, endpoint: str, failed: str) -> Callable[[float], object]:
        timer = self._timers.get((endpoint, failed))
        if timer is None:
            timer = self._factory.create_timer("jaeger_rpc_request_latency", {"endpoint": endpoint, "error": failed})
            self._timers[endpoint, failed] = timer
        return timer
