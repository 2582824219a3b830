"""Self metrics for Prometheus: ``pip install prometheus_client``; loaded by nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics_factory import MetricsFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

__all__ = ["PrometheusMetricsFactory"]

_made: WeakKeyDictionary[CollectorRegistry, dict[str, Any]] = WeakKeyDictionary()
_lock = threading.Lock()


class PrometheusMetricsFactory(MetricsFactory):
    """Registers metrics with prometheus_client, those that another tracer of the process has registered already are shared.

    - ``namespace``: put before each name, with an underscore.
    - ``service_name_label``: the value of a label ``service`` on every metric; needed to tell several tracers of a process apart.
    - ``prefix``: jaeger-client's names begin with ``jaeger:``, although Prometheus keeps colons for recording rules. The Go and Java
      clients' is ``jaeger_tracer_``.
    - ``registry``: prometheus_client's default one if None.

    Timers become histograms of seconds, ``…_seconds``. Raises :class:`ConfigurationError`: prometheus_client is missing, or a name is taken.
    """

    def __init__(
        self,
        namespace: str = "",
        service_name_label: str | None = None,
        *,
        prefix: str = "jaeger:",
        registry: CollectorRegistry | None = None,
    ) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ConfigurationError("prometheus_client is not installed: pip install prometheus_client") from None
        self._library = prometheus_client
        self._namespace = namespace
        self._service_name_label = service_name_label
        self._prefix = prefix
        self._registry = prometheus_client.REGISTRY if registry is None else registry

    def create_counter(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[int], object]:
        """Return a counter's ``inc``; samples are called ``…_total``."""
        increment: Callable[[int], object] = self._metric(self._library.Counter, name, tags).inc
        return increment

    def create_gauge(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return a gauge's ``set``."""
        update: Callable[[float], object] = self._metric(self._library.Gauge, name, tags).set
        return update

    def create_timer(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return a function of microseconds that fills a histogram of seconds."""
        histogram = self._metric(self._library.Histogram, name + "_seconds", tags)
        return lambda microseconds: histogram.observe(microseconds / 1e6)

    def _metric(self, kind: type[Any], name: str, tags: Mapping[str, str] | None) -> Any:
        if name.startswith("jaeger:"):
            name = self._prefix + name.removeprefix("jaeger:")
        labels = {**(tags or {}), **({"service": self._service_name_label} if self._service_name_label else {})}
        with _lock:
            made = _made.setdefault(self._registry, {})
            full_name = f"{self._namespace}_{name}" if self._namespace else name
            if full_name not in made:
                try:
                    made[full_name] = (
                        kind(name, name, tuple(labels), namespace=self._namespace, registry=self._registry),
                        {*labels},
                    )
                except ValueError as error:
                    raise ConfigurationError(
                        f"Prometheus refuses the metric {full_name!r}: {error}; set namespace= or prefix="
                    ) from None
            metric, known_labels = made[full_name]
        if {*labels} != known_labels:
            raise ConfigurationError(
                f"the metric {full_name!r} has the labels {sorted(known_labels)} already, not {sorted(labels)}: "
                "give service_name_label= to all factories of the process, or to none"
            )
        return metric.labels(**labels) if labels else metric
