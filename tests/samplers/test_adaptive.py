"""A strategy for each operation."""

from __future__ import annotations

import threading

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.samplers import AdaptiveSampler, PerOperationStrategies
from sls_tracing.testing import FakeClock

LEFT = 2**63 - 1  # by every rate below 1


def strategies(default=0.0, lower_bound=0.0, **rates):
    return PerOperationStrategies(default, lower_bound, rates)


def test_each_operation_has_its_own_rate_and_others_the_default():
    sampler = AdaptiveSampler(strategies(0.25, always=1.0, never=0.0))
    assert sampler.is_sampled(LEFT, "always") == (True, {"sampler.type": "probabilistic", "sampler.param": 1.0})
    assert not sampler.is_sampled(1, "never").sampled
    assert sampler.is_sampled(1, "other") == (True, {"sampler.type": "probabilistic", "sampler.param": 0.25})
    assert not sampler.is_sampled(LEFT, "other").sampled


def test_jaegers_json_is_taken_as_it_is():
    sampler = AdaptiveSampler(
        {
            "defaultSamplingProbability": 0.5,
            "defaultLowerBoundTracesPerSecond": 0,
            "perOperationStrategies": [{"operation": "a", "probabilisticSampling": {"samplingRate": 1}}],
            "defaultUpperBoundTracesPerSecond": 5.0,
        },
        10,
    )
    assert sampler.is_sampled(LEFT, "a").sampled
    assert not sampler.is_sampled(LEFT, "b").sampled
    assert str(sampler) == "AdaptiveSampler(0.500000, 0.000000, 10)"


def test_a_changed_default_reaches_operations_that_are_known_already():
    """jaeger-client's issue 273."""
    sampler = AdaptiveSampler(strategies(0.0, named=0.0))
    assert not sampler.is_sampled(1, "met").sampled
    sampler.update(strategies(1.0, named=0.0))
    assert sampler.is_sampled(LEFT, "met") == (True, {"sampler.type": "probabilistic", "sampler.param": 1.0})
    assert not sampler.is_sampled(1, "named").sampled


def test_a_changed_lower_bound_reaches_all_operations():
    clock = FakeClock()
    sampler = AdaptiveSampler(strategies(0.0, 1 / 600, named=0.0), clock=clock)
    for operation in ("named", "met"):
        assert sampler.is_sampled(LEFT, operation).sampled
    sampler.update(strategies(0.0, 1.0, named=0.0))
    clock.advance(1)
    for operation in ("named", "met"):
        assert sampler.is_sampled(LEFT, operation).sampled


def test_an_operation_that_vanishes_falls_back_to_the_default():
    sampler = AdaptiveSampler(strategies(0.0, 1.0, gone=1.0), clock=FakeClock())
    assert sampler.is_sampled(LEFT, "gone").sampled
    sampler.update(strategies(0.0, 1.0))
    assert not sampler.is_sampled(LEFT, "gone").sampled, "the default rate, and the credit of the lower bound is spent"


def test_credit_survives_updates():
    """Go's client makes operations that no strategy names anew at each poll: each then gets a trace a minute instead of one in ten."""
    sampler = AdaptiveSampler(strategies(0.0, 1 / 600, named=0.0), clock=FakeClock())
    for operation in ("named", "met"):
        assert sampler.is_sampled(LEFT, operation).sampled
        for rate in (0.1, 0.2):
            sampler.update(strategies(rate, 1 / 600, named=rate))
            assert not sampler.is_sampled(LEFT, operation).sampled


def test_what_is_remembered_is_bounded():
    sampler = AdaptiveSampler(strategies(1.0, 1.0, named=0.0), 10)
    for number in range(1000):
        assert sampler.is_sampled(LEFT, f"path {number}").sampled
    assert len(sampler._samplers) == 10


def test_an_operation_beyond_the_bound_has_the_default_rate_and_no_lower_bound():
    sampler = AdaptiveSampler(strategies(0.5, 100.0, named=0.0), 1)
    assert sampler.is_sampled(1, "other") == (True, {"sampler.type": "probabilistic", "sampler.param": 0.5})
    assert not sampler.is_sampled(LEFT, "other").sampled


def test_strategies_for_more_operations_than_the_bound_are_cut():
    sampler = AdaptiveSampler(PerOperationStrategies(0.0, 0.0, {f"op{number}": 1.0 for number in range(50)}), 10)
    assert [sampler.is_sampled(LEFT, f"op{number}").sampled for number in (0, 9, 10, 49)] == [True, True, False, False]
    assert len(sampler._samplers) == 10


def test_operations_that_rest_make_room_for_new_ones_at_an_update():
    clock = FakeClock()
    sampler = AdaptiveSampler(strategies(0.0, 0.5), 3, clock=clock)
    for number in range(3):
        assert sampler.is_sampled(LEFT, f"old {number}").sampled
    assert not sampler.is_sampled(LEFT, "new").sampled
    clock.advance(2)
    sampler.update(strategies(0.0, 0.5))
    assert sampler.is_sampled(LEFT, "new").sampled


def test_named_operations_come_before_those_that_were_met():
    sampler = AdaptiveSampler(strategies(0.0, 1.0), 2, clock=FakeClock())
    for operation in ("a", "b"):
        sampler.is_sampled(LEFT, operation)
    sampler.update(strategies(0.0, 1.0, c=1.0, d=1.0))
    assert all(sampler.is_sampled(LEFT, operation).tags["sampler.param"] == 1.0 for operation in ("c", "d"))
    assert len(sampler._samplers) == 2


def test_a_rate_of_0_still_has_the_lower_bound_as_in_jaegers_clients():
    sampler = AdaptiveSampler(strategies(1.0, 1.0, health=0.0), clock=FakeClock())
    assert sampler.is_sampled(LEFT, "health") == (True, {"sampler.type": "lowerbound", "sampler.param": 0.0})


def test_a_rate_of_0_means_never_where_that_is_asked_for():
    clock = FakeClock()
    sampler = AdaptiveSampler(strategies(0.5, 1.0, health=0.0), lower_bound_at_zero_rate=False, clock=clock)
    assert not sampler.is_sampled(LEFT, "health").sampled
    assert sampler.is_sampled(LEFT, "other").sampled
    sampler.update(strategies(0.0, 1.0, health=0.5))
    clock.advance(1)
    assert sampler.is_sampled(LEFT, "health").sampled
    assert not sampler.is_sampled(LEFT, "other").sampled


def test_wrong_strategies_change_nothing():
    sampler = AdaptiveSampler(strategies(0.0, a=1.0))
    for wrong in (
        strategies(2.0, a=0.0),
        strategies(0.0, -1.0, a=0.0),
        strategies(0.0, a=0.0, b=2.0),
        {"defaultSamplingProbability": 1, "perOperationStrategies": [{}]},
    ):
        with pytest.raises(ConfigurationError):
            sampler.update(wrong)
        assert sampler.is_sampled(LEFT, "a").sampled
        assert not sampler.is_sampled(LEFT, "other").sampled


def test_threads_that_meet_one_operation_share_its_lower_bound():
    clock = FakeClock()
    for attempt in range(20):
        sampler = AdaptiveSampler(strategies(0.0, 1.0), clock=clock)
        together = threading.Barrier(4)
        sampled = []

        def meet(sampler=sampler, together=together, sampled=sampled, name=f"op {attempt}"):
            together.wait()
            sampled.extend(sampler.is_sampled(LEFT, name).sampled for _ in range(50))

        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sampled.count(True) == 1


def test_updates_while_threads_decide_leave_a_whole_sampler():
    """Every decision is by the old or by the new strategies: rate 1 and rate 1 with another lower bound sample all."""
    sampler = AdaptiveSampler(strategies(1.0, 1.0), 100)
    stop = threading.Event()
    failures = []

    def decide():
        number = 0
        while not stop.is_set():
            number += 1
            if not sampler.is_sampled(LEFT, f"op {number % 300}").sampled:
                failures.append(number)

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(100):
        sampler.update(
            PerOperationStrategies(1.0, float(round_ % 3), {f"op {each}": 1.0 for each in range(round_ % 50)})
        )
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(sampler._samplers) <= 100
