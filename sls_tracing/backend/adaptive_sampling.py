"""Sampling probabilities computed from stored traffic: so many traces a second of every operation, whether it is called once an hour or a thousand times a second.

The behaviour is that of Jaeger's adaptive sampling (jaegertracing/jaeger v1.65.0 plugin/sampling/strategyprovider/adaptive) with its defaults: once an
interval, each operation's probability is multiplied by target / rate, within a tolerance left as it is, never raised by more than half at once, doubled
where no trace came. Two things are better here because the spans themselves say under which probability they were sampled (``sampler.param``).

* The traffic is estimated as the sum of 1 / probability. Jaeger counts traces and compares them with the probability that it served last, so while
  clients have not yet asked again (they do once a minute) it corrects what it has corrected already.
* What was in force is in the store. Nothing else has to survive a restart, and several collectors need no leader: from the same stored traffic
  each of them comes to the same probabilities, within the tolerance.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sls_tracing.clock import Clock, wall_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard, limited_log
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.log_service.sampled_roots import SampledRoots

__all__ = ["AdaptiveSampling", "AdaptiveSettings", "SampledTraffic", "next_probability"]

MEMORY = 60
"""Intervals without a trace after which an operation is forgotten, and starts over from the initial probability. Long before, it has doubled to 1."""

_Key = tuple[str, str]  # service and operation


class SampledTraffic(Protocol):
    """What is asked of a trace store."""

    def sampled_roots(self, start: int, end: int) -> Iterable[SampledRoots]:
        """Return the roots that started from ``start`` until before ``end``, in seconds."""


class AdaptiveSettings(NamedTuple):
    """Jaeger's settings with its defaults. Raises nothing: :meth:`checked` does."""

    target: float = 1.0
    """Traces a second of one operation of one service, over all its processes."""
    initial: float = 0.001
    """Probability of an operation that nothing is known of yet."""
    minimum: float = 1e-5
    """The lowest probability."""
    lower_bound: float = 1 / 60
    """Traces a second of one operation that each process samples at least."""
    tolerance: float = 0.3
    """Part of the target by which the rate may be off before anything is changed."""
    largest_increase: float = 0.5
    """Part of a probability that one interval may add to it. A decrease is immediate: it is what protects."""
    interval: int = 60
    """Seconds of traffic that one calculation looks at, and between calculations."""
    delay: int = 120
    """Seconds that the traffic looked at is old at least: spans are stored some time after they started."""

    def checked(self) -> AdaptiveSettings:
        """Return these settings. Raises ConfigurationError for what cannot work."""
        if not 0 < self.target < float("inf"):
            raise ConfigurationError(
                f"the target of adaptive sampling must be above 0 traces a second, not {self.target}"
            )
        if not 0 < self.minimum <= self.initial <= 1:
            raise ConfigurationError(
                f"the initial probability must be from {self.minimum:g} to 1, not {self.initial:g}"
            )
        if self.interval < 1 or self.delay < 0 or self.tolerance < 0 or self.largest_increase <= 0:
            raise ConfigurationError(
                "interval, delay, tolerance and largest increase must not be below 0, nor 0 the first and last"
            )
        return self


class _State(NamedTuple):
    probability: float
    idle: int = 0
    """Intervals since the last trace."""


class AdaptiveSampling:
    """A StrategyProvider that works out its strategies in a thread of its own, from :meth:`start` to :meth:`close`.

    Counts ``adaptive_sampling_rounds`` and ``…_failed`` (the store did not answer: what was in force stays so).
    """

    def __init__(
        self,
        store: SampledTraffic,
        settings: AdaptiveSettings = AdaptiveSettings(),  # noqa: B008 - immutable
        *,
        clock: Clock = wall_clock,
        counters: Counters = counters,
    ) -> None:
        self.settings = settings.checked()
        self._store = store
        self._clock = clock
        self._counters = counters
        self._states: Mapping[_Key, _State] = {}
        self._by_service: Mapping[str, Mapping[str, float]] = {}
        self._until: int | None = None  # the end of the traffic that is worked into the states
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._guard = Guard("adaptive_sampling", counters=counters)

    def start(self) -> None:
        """Begin to calculate."""
        self._thread = threading.Thread(target=self._work, name="sls-tracing-adaptive-sampling", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def strategy(self, service: str) -> dict[str, Any]:
        """Return the strategy of a service: a probability for each operation that is known, the initial one for others."""
        known = self._by_service.get(service, {})
        return {
            "strategyType": "PROBABILISTIC",
            "probabilisticSampling": {"samplingRate": self.settings.initial},
            "operationSampling": {
                "defaultSamplingProbability": self.settings.initial,
                "defaultLowerBoundTracesPerSecond": self.settings.lower_bound,
                "perOperationStrategies": [
                    {"operation": operation, "probabilisticSampling": {"samplingRate": probability}}
                    for operation, probability in known.items()
                ],
            },
        }

    def advance(self) -> bool:
        """Work in the traffic of every interval that is complete by now; False if the store did not answer.

        Intervals begin at multiples of their length, so that all collectors look at the same ones. After a restart, or a store that was away for long, the
        probabilities that were in force last are read from the traffic itself.
        """
        interval = self.settings.interval
        end = (int(self._clock()) - self.settings.delay) // interval * interval
        try:
            if self._until is None or end - self._until > MEMORY * interval:
                self._states = self._recall(end)
                self._until = end - interval
            while self._until < end:
                self._states = self._next(self._until)
                self._until += interval
                self._counters.add("adaptive_sampling_rounds")
        except LogServiceError as error:
            self._counters.add("adaptive_sampling_failed")
            limited_log.warning("adaptive_sampling", "the last sampling probabilities stay in force: %s", error)
            return False
        finally:
            self._by_service = _by_service(self._states)
        return True

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._guard:
                self.advance()
            self._stop.wait(self.settings.interval / 4)

    def _recall(self, end: int) -> dict[_Key, _State]:
        """Return the states before the last interval, as the spans before it tell them."""
        interval = self.settings.interval
        begin = end - interval
        states = {}
        for roots in self._store.sampled_roots(begin - MEMORY * interval, begin):  # the latest come last
            idle = max(0, int((begin - roots.latest) // interval))
            probability = self._within(roots.probability * 2.0**idle)
            states[roots.service, roots.operation] = _State(probability, idle)
        return states

    def _next(self, begin: int) -> dict[_Key, _State]:
        """Return the states after the interval that starts at ``begin``."""
        seen: dict[_Key, list[SampledRoots]] = defaultdict(list)
        for roots in self._store.sampled_roots(begin, begin + self.settings.interval):
            seen[roots.service, roots.operation].append(roots)
        states = {
            key: _State(next_probability(self._current(key, found), found, self.settings))
            for key, found in seen.items()
        }
        for key, state in self._states.items():
            if key not in seen and state.idle < MEMORY:
                states[key] = _State(next_probability(state.probability, [], self.settings), state.idle + 1)
        return states

    def _current(self, key: _Key, found: Sequence[SampledRoots]) -> float:
        state = self._states.get(key)
        return state.probability if state else self._within(found[-1].probability)

    def _within(self, probability: float) -> float:
        return min(1.0, max(self.settings.minimum, probability))


def next_probability(current: float, found: Iterable[SampledRoots], settings: AdaptiveSettings) -> float:
    """Return the probability of one operation after an interval in which ``found`` was stored.

    What a lower bound let through says that the operation is there, not how often it is called.
    """
    traffic = sum(roots.traces / roots.probability for roots in found if roots.probabilistic) / settings.interval
    if not traffic:
        return min(1.0, current * 2)
    rate = traffic * current
    if abs(rate - settings.target) <= settings.tolerance * settings.target:
        return current
    wanted = min(settings.target / traffic, current * (1 + settings.largest_increase))
    return min(1.0, max(settings.minimum, wanted))


def _by_service(states: Mapping[_Key, _State]) -> dict[str, dict[str, float]]:
    services: dict[str, dict[str, float]] = defaultdict(dict)
    for (service, operation), state in states.items():
        services[service][operation] = state.probability
    return dict(services)
