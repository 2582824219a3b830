"""What a sampling server may answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.samplers.strategies import (
    PerOperationStrategies,
    ProbabilisticStrategy,
    RateLimitingStrategy,
    read_strategy,
)

P, R = {"samplingRate": 0.25}, {"maxTracesPerSecond": 7}
GOOD = [
    ({"strategyType": "PROBABILISTIC", "probabilisticSampling": P}, ProbabilisticStrategy(0.25)),
    ({"strategyType": 0, "probabilisticSampling": P}, ProbabilisticStrategy(0.25)),
    ({"probabilisticSampling": P}, ProbabilisticStrategy(0.25)),
    ({"strategyType": "RATE_LIMITING", "rateLimitingSampling": R}, RateLimitingStrategy(7)),
    ({"strategyType": 1, "rateLimitingSampling": R}, RateLimitingStrategy(7)),
    ({"rateLimitingSampling": R}, RateLimitingStrategy(7)),
    # The member that is there decides; the type only between two.
    ({"strategyType": "PROBABILISTIC", "rateLimitingSampling": R}, RateLimitingStrategy(7)),
    ({"strategyType": 99, "probabilisticSampling": P}, ProbabilisticStrategy(0.25)),
    ({"strategyType": [], "probabilisticSampling": P}, ProbabilisticStrategy(0.25)),
    ({"strategyType": 1, "probabilisticSampling": P, "rateLimitingSampling": R}, RateLimitingStrategy(7)),
    ({"strategyType": 0, "probabilisticSampling": P, "rateLimitingSampling": R}, ProbabilisticStrategy(0.25)),
    ({"strategyType": None, "probabilisticSampling": P, "rateLimitingSampling": R}, ProbabilisticStrategy(0.25)),
    # Nulls are absent members.
    (
        {"strategyType": 0, "probabilisticSampling": P, "rateLimitingSampling": None, "operationSampling": None},
        ProbabilisticStrategy(0.25),
    ),
    ({"probabilisticSampling": None, "rateLimitingSampling": R}, RateLimitingStrategy(7)),
    # Missing numbers have jaeger-client's defaults.
    ({"probabilisticSampling": {}}, ProbabilisticStrategy(0.001)),
    ({"probabilisticSampling": {"samplingRate": None}}, ProbabilisticStrategy(0.001)),
    ({"rateLimitingSampling": {}}, RateLimitingStrategy(1 / 600)),
    # More than jaeger-client's 500 traces a second.
    ({"rateLimitingSampling": {"maxTracesPerSecond": 32767}}, RateLimitingStrategy(32767)),
    # Operations come first; an empty member says nothing.
    ({"probabilisticSampling": P, "operationSampling": {"x": 1}}, PerOperationStrategies(0.001, 1 / 600, {})),
    ({"probabilisticSampling": P, "operationSampling": {}}, ProbabilisticStrategy(0.25)),
    (
        {
            "strategyType": "PROBABILISTIC",
            "operationSampling": {
                "defaultSamplingProbability": 0.1,
                "defaultLowerBoundTracesPerSecond": 1,
                "perOperationStrategies": [
                    {"operation": "x", "probabilisticSampling": {"samplingRate": 0.9}},
                    {"operation": "y", "probabilisticSampling": None},
                    {"operation": "z", "probabilisticSampling": {}},
                    {"operation": "x", "probabilisticSampling": {"samplingRate": 0.8}, "unknown": []},
                    {"operation": "", "probabilisticSampling": {"samplingRate": 0}},
                ],
                "defaultUpperBoundTracesPerSecond": None,
            },
        },
        PerOperationStrategies(0.1, 1.0, {"x": 0.8, "y": 0.1, "z": 0.1, "": 0.0}),
    ),
    ({"operationSampling": {"perOperationStrategies": None, "defaultSamplingProbability": 1}}, (1.0, 1 / 600, {})),
]


@pytest.mark.parametrize(("answer", "strategy"), GOOD)
def test_what_makes_sense_is_understood(answer, strategy):
    assert read_strategy(json.loads(json.dumps(answer))) == strategy


BAD = [
    None,
    [],
    "PROBABILISTIC",
    0.5,
    {},
    {"strategyType": "PROBABILISTIC"},
    {"probabilisticSampling": None},
    {"probabilisticSampling": 0.5},
    {"probabilisticSampling": []},
    {"probabilisticSampling": {"samplingRate": "0.5"}},
    {"probabilisticSampling": {"samplingRate": True}},
    {"probabilisticSampling": {"samplingRate": 1.5}},
    {"probabilisticSampling": {"samplingRate": float("nan")}},
    {"rateLimitingSampling": {"maxTracesPerSecond": -1}},
    {"rateLimitingSampling": {"maxTracesPerSecond": 2**40}},
    {"rateLimitingSampling": {"maxTracesPerSecond": float("inf")}},
    {"rateLimitingSampling": "7"},
    {"operationSampling": [1], "probabilisticSampling": P},
    {"operationSampling": "x"},
    {"operationSampling": {"perOperationStrategies": {}}},
    {"operationSampling": {"perOperationStrategies": [None]}},
    {"operationSampling": {"perOperationStrategies": [{"probabilisticSampling": P}]}},
    {"operationSampling": {"perOperationStrategies": [{"operation": 7, "probabilisticSampling": P}]}},
    {"operationSampling": {"perOperationStrategies": [{"operation": "x", "probabilisticSampling": 1}]}},
    {
        "operationSampling": {
            "perOperationStrategies": [{"operation": "x", "probabilisticSampling": {"samplingRate": 2}}]
        }
    },
    {"operationSampling": {"defaultSamplingProbability": "1"}},
    {"operationSampling": {"defaultLowerBoundTracesPerSecond": -1}},
]


@pytest.mark.parametrize("answer", BAD, ids=repr)
def test_what_makes_no_sense_is_refused_with_a_reason(answer):
    with pytest.raises(ConfigurationError, match=r"must be|holds none"):
        read_strategy(answer)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("strategyType", "probabilisticSampling", "samplingRate", "rateLimitingSampling"),
                    *("maxTracesPerSecond", "operationSampling", "perOperationStrategies", "operation"),
                    "defaultSamplingProbability",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(_json)
def test_any_json_is_a_strategy_or_refused(answer):
    try:
        strategy = read_strategy(answer)
    except ConfigurationError:
        return
    assert isinstance(strategy, (ProbabilisticStrategy, RateLimitingStrategy, PerOperationStrategies))
