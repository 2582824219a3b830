"""A strategy for each operation, as a sampling server hands them out."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING

from sls_tracing.clock import monotonic_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forks import call_in_child
from sls_tracing.guard import limited_log
from sls_tracing.samplers.guaranteed_throughput import GuaranteedThroughputProbabilisticSampler
from sls_tracing.samplers.probabilistic import ProbabilisticSampler
from sls_tracing.samplers.rates import check_probability, check_traces_per_second
from sls_tracing.samplers.strategies import PerOperationStrategies, read_per_operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.clock import Clock
    from sls_tracing.samplers.sampler import Decision

__all__ = ["AdaptiveSampler"]


class AdaptiveSampler:
    """Samples each operation by its own rate, and at least a little of each.

    - ``strategies``: a :class:`PerOperationStrategies`, or the mapping of Jaeger's JSON (``operationSampling``).
    - ``max_operations`` bounds what is remembered. Operations beyond it share the default rate and have no lower bound. Those that the
      strategies name come first.
    - ``lower_bound_at_zero_rate=False`` lets a rate of 0 mean never. Jaeger's clients sample such an operation too, up to the lower
      bound, which surprises whoever set a health check to 0.

    An operation that no strategy names follows the default rate, also when that changes and also when it had a rate of its own before
    (jaeger-client kept the old one for ever, its issue 273). Credit survives every update.
    """

    def __init__(
        self,
        strategies: PerOperationStrategies | Mapping[str, object],
        max_operations: int = 2000,
        *,
        lower_bound_at_zero_rate: bool = True,
        clock: Clock = monotonic_clock,
    ) -> None:
        if isinstance(max_operations, bool) or not isinstance(max_operations, int) or max_operations < 1:
            msg = f"max_operations must be a whole number, 1 or more, not {max_operations!r}"
            raise ConfigurationError(msg)
        self.max_operations = max_operations
        self._lower_bound_at_zero_rate = lower_bound_at_zero_rate
        self._clock = clock
        self._samplers: dict[str, GuaranteedThroughputProbabilisticSampler] = {}
        self._renew_lock()
        call_in_child(self._renew_lock)
        self.update(strategies)

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Ask the operation's own sampler. Takes no lock but that sampler's, save for an operation's first trace."""
        sampler = self._samplers.get(operation_name)
        if sampler is not None:
            return sampler.is_sampled(trace_id)
        return self._meet(operation_name).is_sampled(trace_id)

    def update(self, strategies: PerOperationStrategies | Mapping[str, object]) -> None:
        """Take over new strategies. Raises :class:`ConfigurationError` for wrong ones, and then changes nothing."""
        if not isinstance(strategies, PerOperationStrategies):
            strategies = read_per_operation(strategies)
        check_traces_per_second(strategies.lower_bound)
        for rate in strategies.rates.values():
            check_probability(rate)
        default = ProbabilisticSampler(strategies.default_rate)
        if len(strategies.rates) > self.max_operations:
            limited_log.warning(
                "sampler_operations",
                "the sampling server names %d operations; those after the first %d get the default rate",
                len(strategies.rates),
                self.max_operations,
            )
        with self._lock:
            before = self._samplers
            self.strategies = strategies
            self._default = default
            samplers = {
                operation: self._renewed(before.get(operation), operation, rate)
                for operation, rate in islice(strategies.rates.items(), self.max_operations)
            }
            for operation, sampler in before.items():
                if len(samplers) >= self.max_operations:
                    break
                # One whose lower bound is untouched is made anew when it is met again. Without forgetting, names that never
                # return (a path with an id in it) would fill the table for ever.
                if operation not in samplers and not sampler.is_rested():
                    samplers[operation] = self._renewed(sampler, operation, strategies.default_rate)
            self._samplers = samplers

    def close(self) -> None:
        """Nothing to release."""

    def _meet(self, operation: str) -> GuaranteedThroughputProbabilisticSampler | ProbabilisticSampler:
        """Make the sampler of an operation that is not known yet, if there is room."""
        if len(self._samplers) >= self.max_operations:
            return self._default
        with self._lock:
            sampler = self._samplers.get(operation)
            if sampler is None:
                if len(self._samplers) >= self.max_operations:
                    return self._default
                sampler = self._renewed(None, operation, self.strategies.default_rate)
                self._samplers[operation] = sampler
            return sampler

    def _renewed(
        self, sampler: GuaranteedThroughputProbabilisticSampler | None, operation: str, rate: float
    ) -> GuaranteedThroughputProbabilisticSampler:
        lower_bound = self.strategies.lower_bound if rate or self._lower_bound_at_zero_rate else 0.0
        if sampler is None:
            return GuaranteedThroughputProbabilisticSampler(operation, lower_bound, rate, self._clock)
        sampler.update(lower_bound, rate)
        return sampler

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # re-entrant: see Counters

    def __repr__(self) -> str:
        strategies = self.strategies
        return f"AdaptiveSampler({strategies.default_rate:f}, {strategies.lower_bound:f}, {self.max_operations})"
