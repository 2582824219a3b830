"""The strategy that a Jaeger agent, collector or any other sampling server hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.http_fetch import FetchAbortedError, FetchError, JSONFetcher, agent_url
from sls_tracing.metrics import Counters, counters
from sls_tracing.polling import Poller, polling_log
from sls_tracing.samplers.adaptive import AdaptiveSampler
from sls_tracing.samplers.probabilistic import ProbabilisticSampler
from sls_tracing.samplers.rate_limiting import RateLimitingSampler
from sls_tracing.samplers.strategies import (
    PerOperationStrategies,
    ProbabilisticStrategy,
    RateLimitingStrategy,
    read_strategy,
)

if TYPE_CHECKING:
    from sls_tracing.samplers.sampler import Decision, Sampler
    from sls_tracing.samplers.strategies import Strategy

__all__ = ["RemoteControlledSampler"]

_LOG_KIND = "remote sampler"


class RemoteControlledSampler:
    """Samples as a server says; it is asked at once and then every ``refresh_interval`` seconds, from a background thread.

    - ``url``: whom to ask, with any query of its own; ``service`` is added to it. Jaeger's agent answers at
      ``http://HOST:5778/sampling``, its collector at ``http://HOST:14268/api/sampling``. If None, the agent at ``host`` and ``port``.
    - ``initial_sampler`` decides until the first answer: one trace in a thousand if None.
    - ``max_operations``, ``lower_bound_at_zero_rate``: see :class:`AdaptiveSampler`, which takes strategies for operations.
    - ``timeout``: seconds for one whole exchange.

    No answer, or one that makes no sense, changes nothing: the last good strategy stays. Counted as ``sampler_queries_ok``,
    ``sampler_queries_failed``, ``sampler_updates_ok`` (the strategy is another one) and ``sampler_updates_failed`` (JSON, but no strategy).
    The thread starts with the first trace, in a forked child with the child's first.
    """

    def __init__(
        self,
        service_name: str,
        *,
        url: str | None = None,
        host: str = "localhost",
        port: int = 5778,
        initial_sampler: Sampler | None = None,
        refresh_interval: float = 60.0,
        max_operations: int = 2000,
        lower_bound_at_zero_rate: bool = True,
        timeout: float = 10.0,
        counters: Counters = counters,
    ) -> None:
        if isinstance(max_operations, bool) or not isinstance(max_operations, int) or max_operations < 1:
            msg = f"max_operations must be a whole number, 1 or more, not {max_operations!r}"
            raise ConfigurationError(msg)
        self.service_name = service_name
        self.sampler: Sampler = initial_sampler if initial_sampler is not None else ProbabilisticSampler(0.001)
        """The one that decides at the moment."""
        self._strategy: Strategy | None = None
        self._max_operations = max_operations
        self._lower_bound_at_zero_rate = lower_bound_at_zero_rate
        self._counters = counters
        self._fetcher = JSONFetcher(url if url is not None else agent_url(host, port, "/sampling"), timeout=timeout)
        self._poller = Poller("sampler", self._poll, refresh_interval, self._fetcher.abort)

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Ask the current sampler. Takes no lock and never waits for the server."""
        if not self._poller.started:
            self._poller.start()
        return self.sampler.is_sampled(trace_id, operation_name)

    def close(self) -> None:
        """Stop asking the server; the last strategy goes on deciding."""
        self._poller.close()
        self.sampler.close()

    def _poll(self) -> bool:
        try:
            answer = self._fetcher.fetch({"service": self.service_name})
        except FetchAbortedError:
            return False
        except FetchError as error:
            self._failed("sampler_queries_failed", error)
            return False
        self._counters.add("sampler_queries_ok")
        try:
            strategy = read_strategy(answer)
        except ConfigurationError as error:
            self._failed("sampler_updates_failed", error)
            return False
        if strategy != self._strategy:
            self._counters.add("sampler_updates_ok")
        self._follow(strategy)
        polling_log.recovered(_LOG_KIND, "the sampling strategy is again known from %s", self._fetcher.shown_url)
        return True

    def _follow(self, strategy: Strategy) -> None:
        """Change the current sampler as little as the strategy demands, so that its credit survives.

        The initial sampler is the caller's own: it is replaced, never changed.
        """
        current, ours = self.sampler, self._strategy is not None
        if isinstance(strategy, PerOperationStrategies):
            if ours and isinstance(current, AdaptiveSampler):
                current.update(strategy)  # also if it is the same one: operations that rest are forgotten
            else:
                self.sampler = AdaptiveSampler(
                    strategy, self._max_operations, lower_bound_at_zero_rate=self._lower_bound_at_zero_rate
                )
        elif isinstance(strategy, RateLimitingStrategy):
            if ours and isinstance(current, RateLimitingSampler):
                current.update(strategy.max_traces_per_second)
            else:
                self.sampler = RateLimitingSampler(strategy.max_traces_per_second)
        elif isinstance(strategy, ProbabilisticStrategy) and strategy != self._strategy:
            self.sampler = ProbabilisticSampler(strategy.rate)
        # Last, so that a fork in between leaves the child with a strategy that it takes for changed.
        self._strategy = strategy

    def _failed(self, counter: str, error: Exception) -> None:
        self._counters.add(counter)
        polling_log.warning(
            _LOG_KIND,
            "no sampling strategy from %s (%s); sampling goes on with %r",
            self._fetcher.shown_url,
            error,
            self.sampler,
        )

    def __repr__(self) -> str:
        return f"RemoteControlledSampler({self.service_name!r}, {self._fetcher.shown_url}, now {self.sampler!r})"
