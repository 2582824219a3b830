"""What a sampling server answers, read and checked: Jaeger's JSON in, one of three small strategies out.

    {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.25}}
    {"strategyType": 1, "rateLimitingSampling": {"maxTracesPerSecond": 7}, "operationSampling": null}

``strategyType`` is text in newer servers and a number in older ones, and some write null for what is absent. So the reader looks at
the members that are there, ``operationSampling`` first, as proto/api_v2/sampling.proto of jaeger-idl advises; the type decides only between
two that are both there. Unknown members are ignored.

A number that is missing inside a member that is there gets jaeger-client's default, 0.001 and one trace in ten minutes. Proto3's JSON
leaves out zeros, so such a server may have meant 0: the defaults are as good as that, and an operation is still seen.
A value that is there but wrong refuses the whole answer; half of a strategy is nobody's strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.samplers.rates import check_probability, check_traces_per_second

__all__ = [
    "PerOperationStrategies",
    "ProbabilisticStrategy",
    "RateLimitingStrategy",
    "Strategy",
    "read_per_operation",
    "read_strategy",
]

DEFAULT_RATE = 0.001
DEFAULT_LOWER_BOUND = 1 / 600


class ProbabilisticStrategy(NamedTuple):
    """One share for everything."""

    rate: float


class RateLimitingStrategy(NamedTuple):
    """So many traces a second."""

    max_traces_per_second: float


class PerOperationStrategies(NamedTuple):
    """A share an operation; ``default_rate`` for those not in ``rates``; at least ``lower_bound`` traces a second of each."""

    default_rate: float = DEFAULT_RATE
    lower_bound: float = DEFAULT_LOWER_BOUND
    rates: Mapping[str, float] = {}


Strategy: TypeAlias = ProbabilisticStrategy | RateLimitingStrategy | PerOperationStrategies


def read_strategy(answer: object) -> Strategy:
    """Read a whole answer. Raises :class:`ConfigurationError` (a ValueError) for one that holds no strategy or a wrong value."""
    answer = _mapping(answer, "the answer")
    # An empty operationSampling says nothing, and jaeger-client passes over it too.
    if answer.get("operationSampling"):
        return read_per_operation(answer["operationSampling"])
    probabilistic, limiting = answer.get("probabilisticSampling"), answer.get("rateLimitingSampling")
    if limiting is not None and (probabilistic is None or answer.get("strategyType") in ("RATE_LIMITING", 1)):
        traces = _mapping(limiting, "rateLimitingSampling").get("maxTracesPerSecond")
        return RateLimitingStrategy(DEFAULT_LOWER_BOUND if traces is None else check_traces_per_second(traces))
    if probabilistic is not None:
        return ProbabilisticStrategy(_rate(probabilistic, DEFAULT_RATE))
    msg = "it holds none of operationSampling, probabilisticSampling, rateLimitingSampling"
    raise ConfigurationError(msg)


def read_per_operation(member: object) -> PerOperationStrategies:
    """Read ``operationSampling``. An operation that is named twice has its last rate; one without a rate has the default."""
    member = _mapping(member, "operationSampling")
    default_rate, lower_bound = member.get("defaultSamplingProbability"), member.get("defaultLowerBoundTracesPerSecond")
    default_rate = DEFAULT_RATE if default_rate is None else check_probability(default_rate)
    strategies = member.get("perOperationStrategies")
    if not isinstance(strategies, (list, tuple, type(None))):
        msg = f"perOperationStrategies must be a list, not {type(strategies).__name__}"
        raise ConfigurationError(msg)
    rates = {}
    for strategy in strategies or ():
        strategy = _mapping(strategy, "an element of perOperationStrategies")  # noqa: PLW2901 - the same thing, checked
        operation = strategy.get("operation")
        if not isinstance(operation, str):
            msg = f"an operation's name must be text, not {type(operation).__name__}"
            raise ConfigurationError(msg)
        probabilistic = strategy.get("probabilisticSampling")
        rates[operation] = default_rate if probabilistic is None else _rate(probabilistic, default_rate)
    return PerOperationStrategies(
        default_rate, DEFAULT_LOWER_BOUND if lower_bound is None else check_traces_per_second(lower_bound), rates
    )


def _rate(probabilistic: object, default: float) -> float:
    rate = _mapping(probabilistic, "probabilisticSampling").get("samplingRate")
    return default if rate is None else check_probability(rate)


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        msg = f"{what} must be an object, not {type(value).__name__}"
        raise ConfigurationError(msg)
    return value
