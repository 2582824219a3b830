"""Self metrics under Jaeger's names: the table that translates our counters, and the observer that counts traces and spans.

Both exist only for a tracer that was given a metrics factory; the path of a span costs nothing otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.guard import Guard
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.context import SpanContext
    from sls_tracing.metrics_factory import MetricsFactory
    from sls_tracing.model import SpanRecord
    from sls_tracing.span import Span

__all__ = ["JAEGER_METRICS", "Metric", "PublishedCounters", "SpanMetrics"]

_guard = Guard("metrics")


class Metric(NamedTuple):
    """A counter of Jaeger's clients."""

    name: str
    tags: Mapping[str, str]


def _results(metric: str, ours: str, **results: str) -> dict[str, Metric]:
    return {f"{ours}_{end}": Metric(metric, {"result": result}) for result, end in results.items()}


JAEGER_METRICS: dict[str, Metric] = {
    # jaeger-client's own (its reporter.py, sampler.py, throttler.py, tracer.py)
    **_results("jaeger:reporter_spans", "reporter_spans", ok="sent", err="failed", dropped="dropped"),
    **_results("jaeger:sampler_queries", "sampler_queries", ok="ok", err="failed"),
    **_results("jaeger:sampler_updates", "sampler_updates", ok="ok", err="failed"),
    **_results("jaeger:throttler_update", "throttler_updates", ok="ok", err="failed"),
    "throttled_debug_spans": Metric("jaeger:throttled_debug_spans", {}),
    # Of the Go and Java clients (metrics.go, Metrics.java)
    "propagation_headers_malformed": Metric("jaeger:span_context_decoding_errors", {}),
    **_results("jaeger:baggage_updates", "baggage_updates", ok="ok", err="failed"),
    "baggage_truncations": Metric("jaeger:baggage_truncations", {}),
    **_results("jaeger:baggage_restrictions_updates", "baggage_restrictions_updates", ok="ok", err="failed"),
    # Ours alone
    **_results(
        "jaeger:sender_spans",
        "sender_spans",
        trimmed="trimmed",
        too_large="too_large",
        unencodable="unencodable",
        err="failed",
        refused="refused",
    ),
    "span_logs_dropped": Metric("jaeger:span_logs_dropped", {}),
    "propagation_baggage_dropped": Metric("jaeger:propagation_baggage_dropped", {}),
}
"""Our counters' names to Jaeger's."""


class PublishedCounters(Counters):
    """Counters of one tracer's components, which also count in ``parent`` (the process's) and in the metrics of ``factory``."""

    def __init__(self, factory: MetricsFactory, parent: Counters = counters) -> None:
        super().__init__()
        self._parent = parent
        self._increments = {
            name: factory.create_counter(metric.name, dict(metric.tags)) for name, metric in JAEGER_METRICS.items()
        }
        self._set_queue_length = factory.create_gauge("jaeger:reporter_queue_length")
        self._queue_length: Callable[[], int] | None = None

    def add(self, name: str, amount: int = 1) -> None:
        """Add ``amount`` in all three places."""
        super().add(name, amount)
        self._parent.add(name, amount)
        increment = self._increments.get(name)
        if increment is not None:
            _guard.call(None, increment, amount)
        # The reporter counts after every batch and every drop: the moments at which the queue's length tells something.
        if self._queue_length is not None and name.startswith("reporter_spans_"):
            _guard.call(None, self._set_queue_length, self._queue_length())

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Publish ``length()`` as the gauge ``jaeger:reporter_queue_length`` from now on."""
        self._queue_length = length


class SpanMetrics:
    """Counts ``jaeger:traces``, ``jaeger:started_spans`` and ``jaeger:finished_spans``, as a tracer's observer.

    A trace is ``started`` by its root and ``joined`` by a server span under a caller's (Go's rule; jaeger-client's own never counts a
    real one). The tags of unsampled spans are not kept, so of those only starts are told apart.
    """

    def __init__(self, factory: MetricsFactory) -> None:
        def by_decision(name: str, **tags: str) -> dict[bool, Callable[[int], object]]:
            return {
                kept: factory.create_counter(name, {**tags, "sampled": "y" if kept else "n"}) for kept in (True, False)
            }

        self._roots = by_decision("jaeger:traces", state="started")
        self._joined = by_decision("jaeger:traces", state="joined")
        self._starts = by_decision("jaeger:started_spans")
        self._finishes = by_decision("jaeger:finished_spans")

    def started(self, span: Span, parent: SpanContext | None) -> None:
        """Count a start."""
        sampled = bool(span.context.sampled)
        self._starts[sampled](1)
        if parent is None or parent.trace_id is None:
            self._roots[sampled](1)
        elif span.tags.get("span.kind") == "server":
            self._joined[sampled](1)

    def finished(self, span: Span, record: SpanRecord | None) -> None:
        """Count an end."""
        self._finishes[record is not None](1)
