"""Where self metrics go: the interface of jaeger-client's metrics factories, and the adapter for its older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LegacyMetricsFactory", "Metrics", "MetricsFactory"]


class MetricsFactory:
    """Makes metrics; this one makes metrics that go nowhere. Subclasses override what they offer.

    Each method returns a function that is called from any thread and must be quick; what it raises is swallowed.
    """

    def create_counter(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[int], object]:
        """Return ``increment(by)``."""
        return _ignore

    def create_timer(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return ``record(microseconds)``."""
        return _ignore

    def create_gauge(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return ``update(value)``."""
        return _ignore


def _ignore(value: float) -> None:
    return None


class Metrics:
    """Three functions, each of a key and a value; timings are in milliseconds. One that is None is not called."""

    def __init__(
        self,
        count: Callable[[str, int], object] | None = None,
        gauge: Callable[[str, float], object] | None = None,
        timing: Callable[[str, float], object] | None = None,
    ) -> None:
        self._count = count
        self._gauge = gauge
        self._timing = timing

    def count(self, key: str, value: int) -> None:
        """Add to a counter."""
        if callable(self._count):
            self._count(key, value)

    def gauge(self, key: str, value: float) -> None:
        """Set a gauge."""
        if callable(self._gauge):
            self._gauge(key, value)

    def timing(self, key: str, value: float) -> None:
        """Record milliseconds."""
        if callable(self._timing):
            self._timing(key, value)


class LegacyMetricsFactory(MetricsFactory):
    """For statsd and the like, which know keys but no tags: ``jaeger:traces.sampled_y.state_started``, tags sorted by name."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def create_counter(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[int], object]:
        """Return a function that calls ``metrics.count``."""
        key = _key(name, tags)
        return lambda value: self._metrics.count(key, value)

    def create_timer(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return a function that calls ``metrics.timing``, in milliseconds."""
        key = _key(name, tags)
        return lambda microseconds: self._metrics.timing(key, microseconds / 1000.0)

    def create_gauge(self, name: str, tags: Mapping[str, str] | None = None) -> Callable[[float], object]:
        """Return a function that calls ``metrics.gauge``."""
        key = _key(name, tags)
        return lambda value: self._metrics.gauge(key, value)


def _key(name: str, tags: Mapping[str, str] | None) -> str:
    return ".".join((name, *(f"{tag}_{value}" for tag, value in sorted((tags or {}).items()))))
