"""Sampling strategies in Jaeger's file format, for the remote samplers of clients in any language.

    {"default_strategy": {"type": "probabilistic", "param": 0.1,
                          "operation_strategies": [{"operation": "/health", "type": "probabilistic", "param": 0.0}]},
     "service_strategies": [{"service": "productpage", "type": "ratelimiting", "param": 5}]}

Rules are Jaeger's (v1.65.0 plugin/sampling/strategyprovider/static): without a file, or a default in it, one trace in a thousand; a service takes over the
default's operations, its own first. Unlike Jaeger's, a file is read again whenever it changes, and a bad one is refused: at the start
with an error, later by keeping the last good one.
"""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import limited_log
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_PROBABILITY", "Strategies", "StrategiesFile", "StrategyProvider", "read_strategies"]

DEFAULT_PROBABILITY = 0.001

_LOOK_EVERY = 1.0
_LARGEST_FILE = 16 << 20
_INT32 = 2**31 - 1

Strategy = dict[str, Any]
"""What a client gets: the JSON of ``/sampling``."""


class StrategyProvider(Protocol):
    """Says how a service shall sample. Asked from several threads."""

    def strategy(self, service: str) -> Strategy:
        """Return the strategy of a service."""


class Strategies(NamedTuple):
    """Every service's strategy; those that are not named get the default."""

    default: Strategy
    services: Mapping[str, Strategy]

    def strategy(self, service: str) -> Strategy:
        """Return the strategy of a service."""
        return self.services.get(service, self.default)


class StrategiesFile:
    """Strategies from a file, as it is now. ``path`` None: Jaeger's default for all. Raises ConfigurationError for a bad file at the start."""

    def __init__(self, path: str | None, *, counters: Counters = counters) -> None:
        self._path = Path(path) if path else None
        self._counters = counters
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._stamp = self._look()
        self._strategies = read_strategies(self._read()) if self._path else read_strategies({})

    def strategy(self, service: str) -> Strategy:
        """Return the strategy of a service, from the last good version of the file."""
        if self._path is not None:
            self._reload()
        return self._strategies.strategy(service)

    def _reload(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked < _LOOK_EVERY:
                return
            self._looked = time.monotonic()
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._strategies = read_strategies(self._read())
            except ConfigurationError as error:
                self._counters.add("sampling_strategies_bad")
                limited_log.warning("sampling_strategies_bad", "the last good strategies stay in force: %s", error)
            else:
                self._counters.add("sampling_strategies_reloaded")

    def _look(self) -> object:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None

    def _read(self) -> Any:
        assert self._path is not None
        try:
            if self._path.stat().st_size > _LARGEST_FILE:
                raise ConfigurationError(
                    f"the sampling strategies in {self._path} are larger than {_LARGEST_FILE} bytes"
                )
            return json.loads(self._path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"cannot read the sampling strategies in {self._path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"the sampling strategies in {self._path} are no JSON: {error}") from None


def read_strategies(form: Any) -> Strategies:
    """Read the file's JSON. Raises ConfigurationError that names the member."""
    if not isinstance(form, dict):
        raise ConfigurationError(
            "sampling strategies must be a JSON object with default_strategy and service_strategies"
        )
    default_form = form.get("default_strategy")
    if default_form is None:
        default_form = {"type": "probabilistic", "param": DEFAULT_PROBABILITY}
    default = _read_one(default_form, "default_strategy")
    services: dict[str, Strategy] = {}
    for number, each in enumerate(_list(form.get("service_strategies"), "service_strategies")):
        where = f"service_strategies[{number}]"
        own = _read_one(each, where)
        name = each.get("service")
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{where} needs a service")
        services[name] = _with_operations(own, default)
    return Strategies(default, services)


def _read_one(form: Any, where: str) -> Strategy:
    if not isinstance(form, dict):
        raise ConfigurationError(f"{where} must be an object with type and param")
    kind, param = form.get("type"), form.get("param")
    if isinstance(param, bool) or not isinstance(param, (int, float)) or not math.isfinite(param) or param < 0:
        raise ConfigurationError(f"{where}: param must be a number of 0 or more, not {param!r}")
    if kind == "probabilistic":
        if param > 1:
            raise ConfigurationError(
                f"{where}: the param of a probabilistic strategy must be from 0 to 1, not {param!r}"
            )
        found: Strategy = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": float(param)}}
    elif kind == "ratelimiting":
        found = {
            "strategyType": "RATE_LIMITING",
            "rateLimitingSampling": {"maxTracesPerSecond": min(int(param), _INT32)},
        }
    else:
        raise ConfigurationError(f"{where}: type must be probabilistic or ratelimiting, not {kind!r}")
    operations = [
        _operation(each, f"{where}.operation_strategies[{number}]")
        for number, each in enumerate(_list(form.get("operation_strategies"), f"{where}.operation_strategies"))
    ]
    if operations:
        found["operationSampling"] = _operation_sampling(found, operations)
    return found


def _operation(form: Any, where: str) -> Strategy:
    own = _read_one({**form, "operation_strategies": None} if isinstance(form, dict) else form, where)
    if own["strategyType"] != "PROBABILISTIC":
        raise ConfigurationError(
            f"{where}: an operation can only be probabilistic (Jaeger's clients know nothing else)"
        )
    name = form.get("operation")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{where} needs an operation")
    return {"operation": name, "probabilisticSampling": own["probabilisticSampling"]}


def _operation_sampling(own: Strategy, operations: list[Strategy]) -> Strategy:
    probability = own.get("probabilisticSampling", {}).get("samplingRate", DEFAULT_PROBABILITY)
    return {
        "defaultSamplingProbability": probability,
        "defaultLowerBoundTracesPerSecond": 0.0,
        "perOperationStrategies": operations,
    }


def _with_operations(own: Strategy, default: Strategy) -> Strategy:
    """Add the default's operations that the service does not set itself."""
    inherited = default.get("operationSampling", {}).get("perOperationStrategies", [])
    operations = own.get("operationSampling", {}).get("perOperationStrategies", [])
    names = {each["operation"] for each in operations}
    merged = [*operations, *(each for each in inherited if each["operation"] not in names)]
    return {**own, "operationSampling": _operation_sampling(own, merged)} if merged else own


def _list(found: Any, where: str) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise ConfigurationError(f"{where} must be a list")
    return found
