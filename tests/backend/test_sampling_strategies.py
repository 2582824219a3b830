from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
import requests
from starlette.applications import Starlette

from sls_tracing.backend import sampling_strategies
from sls_tracing.backend.sampling_http import agent_routes, sampling_routes
from sls_tracing.backend.sampling_strategies import StrategiesFile, read_strategies
from sls_tracing.exceptions import ConfigurationError, TracingError
from sls_tracing.metrics import Counters

FILE = {
    "default_strategy": {
        "type": "probabilistic",
        "param": 0.5,
        "operation_strategies": [
            {"operation": "/health", "type": "probabilistic", "param": 0},
            {"operation": "/metrics", "type": "probabilistic", "param": 0},
        ],
    },
    "service_strategies": [
        {"service": "limited", "type": "ratelimiting", "param": 5},
        {
            "service": "shop",
            "type": "probabilistic",
            "param": 0.8,
            "operation_strategies": [{"operation": "/health", "type": "probabilistic", "param": 0.2}],
        },
    ],
}


def probabilistic(rate):
    return {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": rate}}


def operations(strategy):
    found = strategy["operationSampling"]["perOperationStrategies"]
    return {each["operation"]: each["probabilisticSampling"]["samplingRate"] for each in found}


def test_without_a_file_one_in_a_thousand():
    """Jaeger's default, which holds for a file without a default too."""
    assert StrategiesFile(None).strategy("any") == probabilistic(0.001)
    assert read_strategies({"service_strategies": FILE["service_strategies"]}).strategy("any") == probabilistic(0.001)


def test_a_service_inherits_the_operations_of_the_default():
    """Its own win, its own probability is that of other operations; a service under a rate limit gets them too, with Jaeger's default for others."""
    strategies = read_strategies(FILE)
    assert strategies.strategy("unknown")["probabilisticSampling"] == {"samplingRate": 0.5}
    shop = strategies.strategy("shop")
    assert operations(shop) == {"/health": 0.2, "/metrics": 0}
    assert shop["operationSampling"]["defaultSamplingProbability"] == 0.8
    limited = strategies.strategy("limited")
    assert limited["strategyType"] == "RATE_LIMITING"
    assert limited["rateLimitingSampling"] == {"maxTracesPerSecond": 5}
    assert operations(limited) == {"/health": 0, "/metrics": 0}
    assert limited["operationSampling"]["defaultSamplingProbability"] == 0.001


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ([], "JSON object"),
        ({"default_strategy": []}, "default_strategy"),
        ({"default_strategy": {"type": "const", "param": 1}}, "default_strategy: type"),
        ({"default_strategy": {"type": "probabilistic", "param": 1.1}}, "from 0 to 1"),
        ({"default_strategy": {"type": "probabilistic", "param": "0.1"}}, "param must be a number"),
        ({"default_strategy": {"type": "probabilistic", "param": float("nan")}}, "param must be a number"),
        ({"service_strategies": {}}, "service_strategies must be a list"),
        ({"service_strategies": [{"type": "probabilistic", "param": 1}]}, r"service_strategies\[0\] needs a service"),
        (
            {
                "default_strategy": {
                    "type": "probabilistic",
                    "param": 1,
                    "operation_strategies": [{"operation": "x", "type": "ratelimiting", "param": 1}],
                }
            },
            r"operation_strategies\[0\]: an operation can only be probabilistic",
        ),
    ],
)
def test_a_bad_file_names_the_member(change, member):
    """At the start it is an error."""
    with pytest.raises(ConfigurationError, match=member):
        read_strategies(change)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"])
def test_a_file_that_is_no_json(text, tmp_path):
    """At the start it is an error with the file's name; so is a file that is not there."""
    file = tmp_path / "strategies.json"
    file.write_bytes(text.encode("latin-1"))
    for path in (file, tmp_path / "missing.json"):
        with pytest.raises(ConfigurationError, match=path.name):
            StrategiesFile(str(path))


def test_a_change_is_taken_over_and_a_bad_one_is_not(tmp_path, monkeypatch):
    """Replaced, rewritten, broken, removed, repaired: the last good version is in force, and each change is counted once."""
    monkeypatch.setattr(sampling_strategies, "_LOOK_EVERY", 0.0)
    file, counters = tmp_path / "strategies.json", Counters()

    def write(text, moment):
        file.write_text(text)
        os.utime(file, (moment, moment))  # the clock of a file system may stand still between two writes

    def form(rate):
        return json.dumps({"default_strategy": {"type": "probabilistic", "param": rate}})

    write(form(0.1), 1000)
    strategies = StrategiesFile(str(file), counters=counters)
    assert strategies.strategy("any") == probabilistic(0.1)
    write(form(0.2), 1001)
    assert strategies.strategy("any") == probabilistic(0.2)
    other = tmp_path / "other.json"  # as Kubernetes and editors do it: another file under the name
    other.write_text(form(0.3))
    other.replace(file)
    assert strategies.strategy("any") == probabilistic(0.3)
    write("{", 1002)
    for _ in range(3):
        assert strategies.strategy("any") == probabilistic(0.3)
    assert counters.snapshot() == {"sampling_strategies_bad": 1, "sampling_strategies_reloaded": 2}
    file.unlink()
    assert strategies.strategy("any") == probabilistic(0.3)
    write(form(0.4), 1003)
    assert strategies.strategy("any") == probabilistic(0.4)
    assert counters.snapshot() == {"sampling_strategies_bad": 2, "sampling_strategies_reloaded": 3}


def test_what_clients_are_answered(serve):
    """The collector's path, the agent's, and the agent's old one with numbers; a service exactly once."""
    strategies = read_strategies(FILE)
    collector = serve(Starlette(routes=sampling_routes(strategies)))
    agent = serve(Starlette(routes=agent_routes(strategies, lambda service: [])))
    for url in (collector + "/api/sampling", agent + "/sampling"):
        assert requests.get(url, {"service": "shop"}, timeout=20).json() == strategies.strategy("shop")
    assert requests.get(agent, {"service": "shop"}, timeout=20).json()["strategyType"] == 0
    assert requests.get(agent, {"service": "limited"}, timeout=20).json()["strategyType"] == 1
    assert requests.get(agent + "/baggageRestrictions", {"service": "shop"}, timeout=20).json() == []
    for query in ("", "?service=a&service=b"):
        response = requests.get(agent + "/sampling" + query, timeout=20)
        assert (response.status_code, response.text) == (400, "'service' parameter must be provided once\n")


def test_a_collector_that_cannot_be_asked_is_an_error_of_its_own(serve):
    """500 with Jaeger's words: the client keeps its sampler."""

    class Failing:
        def strategy(self, service):
            raise TracingError("nobody there")

    response = requests.get(serve(Starlette(routes=agent_routes(Failing(), list))) + "/sampling?service=a", timeout=20)
    assert (response.status_code, response.text) == (500, "collector error: nobody there\n")


def test_jaegers_own_client_understands_them():
    """jaeger-client's remote sampler builds from each answer what it says."""
    from jaeger_client.sampler import (
        AdaptiveSampler,
        ProbabilisticSampler,
        RateLimitingSampler,
        RemoteControlledSampler,
    )

    strategies = read_strategies(FILE)
    plain = read_strategies({"default_strategy": {"type": "ratelimiting", "param": 5}})
    for strategy, kind in (
        (strategies.strategy("shop"), AdaptiveSampler),
        (plain.strategy("any"), RateLimitingSampler),
        (StrategiesFile(None).strategy("any"), ProbabilisticSampler),
    ):
        # A channel without a loop asks nobody; it is handed the answer.
        sampler = RemoteControlledSampler(SimpleNamespace(io_loop=None), "svc")
        sampler._update_sampler(strategy)
        assert isinstance(sampler.sampler, kind)
