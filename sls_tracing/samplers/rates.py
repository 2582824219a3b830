"""What a rate may be: the one place that says so, for settings in code, variables and answers of a sampling server."""

from __future__ import annotations

from sls_tracing.exceptions import ConfigurationError

__all__ = ["MAX_TRACES_PER_SECOND", "check_probability", "check_traces_per_second"]

MAX_TRACES_PER_SECOND = 2**31 - 1
"""What the protocol can say: int32 in Jaeger's proto/api_v2/sampling.proto (i16 in the older sampling.thrift)."""


def check_probability(value: object) -> float:
    """Return ``value`` as a share of all traces, 0.0 to 1.0. Raises :class:`ConfigurationError`, also for NaN and booleans."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        msg = f"the sampling rate must be a number from 0.0 to 1.0, not {_shown(value)}"
        raise ConfigurationError(msg)
    return float(value)


def check_traces_per_second(value: object) -> float:
    """Return ``value`` as traces a second, 0 to 2147483647; below 1 it means one in ``1 / value`` seconds.

    Raises :class:`ConfigurationError`, also for NaN and booleans.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_TRACES_PER_SECOND:
        msg = f"the number of traces a second must be from 0 to {MAX_TRACES_PER_SECOND}, not {_shown(value)}"
        raise ConfigurationError(msg)
    return float(value)


def _shown(value: object) -> str:
    """Return a short ``repr``: the value may come from a server, and an int of 5,000 digits has none."""
    if isinstance(value, int) and not -(10**30) < value < 10**30:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
