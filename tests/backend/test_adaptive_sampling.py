from __future__ import annotations

import random
from collections import defaultdict

import pytest

from sls_tracing.backend.adaptive_sampling import AdaptiveSampling, AdaptiveSettings, next_probability
from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import open_trace_store
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.sampled_roots import SampledRoots
from sls_tracing.metrics import Counters
from sls_tracing.model import Process, SpanRecord
from sls_tracing.testing import FakeClock

SETTINGS = AdaptiveSettings()
START = 1_700_000_040.0  # a multiple of the interval
SERVICE = "shop"


@pytest.fixture
def store():
    store = open_trace_store()
    yield store
    store.close()


def root(number, operation, start, sampler="probabilistic", probability=0.001, parent_id=None, service=SERVICE):
    tags = {"sampler.type": sampler, "sampler.param": probability}
    context = SpanContext(trace_id=number, span_id=number, parent_id=parent_id, sampled=True)
    return SpanRecord(operation, context, [], start, start + 0.01, tags, (), Process(service))


def roots(traces, probability, *, probabilistic=True):
    return SampledRoots(SERVICE, "op", probabilistic, probability, traces, START)


def probabilities(sampling, service=SERVICE):
    strategies = sampling.strategy(service)["operationSampling"]["perOperationStrategies"]
    return {each["operation"]: each["probabilisticSampling"]["samplingRate"] for each in strategies}


class Simulation:
    """Clients that call operations at given rates, sample as they were told when they last asked (once a minute), and store what they sampled."""

    def __init__(self, store, rates, seed=1, collectors=1, settings=SETTINGS):
        self.store = store
        self.rates = rates
        self.settings = settings
        self.clock = FakeClock(START)
        self.collectors = [self.collector() for _ in range(collectors)]
        self.known = {}
        self.sampled = defaultdict(list)
        self._rng = random.Random(seed)
        self._number = 0

    def collector(self):
        return AdaptiveSampling(self.store, self.settings, clock=self.clock, counters=Counters())

    def minute(self, rates=None):
        spans = []
        for operation, rate in (rates or self.rates).items():
            probability = self.known.get(operation, self.settings.initial)
            calls = round(rate * 60)
            hits = sum(self._rng.random() < probability for _ in range(calls))
            # One process: its lower bound lets one through a minute if nothing else did.
            samplers = ["probabilistic"] * hits or ["lowerbound"] * min(1, calls)
            self.sampled[operation].append(len(samplers))
            for sampler in samplers:
                self._number += 1
                start = self.clock.now + self._rng.random() * 59
                spans.append(root(self._number, operation, start, sampler, probability))
        self.store.write(spans)
        self.clock.advance(60)
        for collector in self.collectors:
            assert collector.advance()
        self.known = probabilities(self._rng.choice(self.collectors))


def rate_of(simulation, operation, minutes):
    return sum(simulation.sampled[operation][-minutes:]) / minutes / 60


def test_every_operation_comes_to_the_target(store):
    """From a thousandth for all, operations of 2,000, 20 and 0.2 calls a second get about one trace a second, or all that there are."""
    simulation = Simulation(store, {"hot": 2000, "warm": 20, "rare": 0.2})
    for _ in range(45):
        simulation.minute()
    known = simulation.known
    assert 0.5 <= 2000 * known["hot"] <= 1.7
    assert 0.5 <= 20 * known["warm"] <= 1.7
    assert known["rare"] == 1
    for operation in ("hot", "warm"):
        assert 0.5 <= rate_of(simulation, operation, 10) <= 1.5


def test_a_rush_is_answered_at_once(store):
    """A hundred times the calls: the first calculation that sees them brings the probability down to where it belongs, without overshooting."""
    simulation = Simulation(store, {"op": 10})
    for _ in range(25):
        simulation.minute()
    before = simulation.known["op"]
    lows = []
    for _ in range(8):
        simulation.minute({"op": 1000})
        lows.append(simulation.known["op"])
    assert lows[0] == pytest.approx(before, rel=0.5)  # its minute is not yet old enough to be looked at
    settled = [low for low in lows if low < before / 10]
    assert settled
    assert all(0.6 <= 1000 * each <= 1.4 for each in settled)


def test_several_collectors_agree_and_a_new_one_joins_them(store):
    """No leader: from the same store each comes to the same, within the tolerance; one that starts later reads what is in force from the spans."""
    simulation = Simulation(store, {"hot": 500, "warm": 5}, collectors=2)
    for _ in range(25):
        simulation.minute()
    late = simulation.collector()
    assert late.advance()
    first, second = map(probabilities, simulation.collectors)
    assert first == second
    for operation, probability in first.items():
        assert probabilities(late)[operation] == pytest.approx(probability, rel=0.7)
    simulation.collectors.append(late)
    for _ in range(5):
        simulation.minute()
    for operation, probability in probabilities(simulation.collectors[0]).items():
        assert probabilities(late)[operation] == pytest.approx(probability, rel=0.6)


def test_an_operation_that_is_no_longer_called_is_forgotten_after_it_doubled_to_one(store):
    """Memory of operations has an end."""
    simulation = Simulation(store, {"op": 100})
    for _ in range(5):
        simulation.minute()
    for _ in range(20):
        simulation.minute({"other": 1})
    assert simulation.known["op"] == 1
    for _ in range(60):
        simulation.minute({"other": 1})
    assert "op" not in simulation.known


def test_what_counts(store):
    """Roots of adaptive samplers, each trace once: no children, no other samplers, no nonsense in the tags, no repeated write."""
    clock = FakeClock(START + 60 + SETTINGS.delay)
    sampled = [root(number, "op", START + 1, probability=0.5) for number in range(1, 601)]
    store.write(sampled)
    store.write(sampled[:300])
    store.write([root(1000 + number, "child", START + 1, parent_id=7) for number in range(10)])
    store.write(
        [root(2000, "constant", START + 1, "const", True), root(2001, "limited", START + 1, "ratelimiting", 2.0)]
    )
    store.write(
        [
            root(3000 + number, "nonsense", START + 1, "probabilistic", bad)
            for number, bad in enumerate(["x", 0, -1, 2, float("nan")])
        ]
    )
    store.write([root(4000, "later", START + 61)])
    sampling = AdaptiveSampling(store, clock=clock, counters=Counters())
    assert sampling.advance()
    assert probabilities(sampling) == {"op": pytest.approx(0.05)}  # 1,200 calls a minute


def test_the_form_of_a_strategy(store):
    """What Jaeger's clients read: default and lower bound for what is unknown, one probability an operation for what is known."""
    sampling = AdaptiveSampling(store, clock=FakeClock(START), counters=Counters())
    assert sampling.strategy("anything") == {
        "strategyType": "PROBABILISTIC",
        "probabilisticSampling": {"samplingRate": 0.001},
        "operationSampling": {
            "defaultSamplingProbability": 0.001,
            "defaultLowerBoundTracesPerSecond": 1 / 60,
            "perOperationStrategies": [],
        },
    }


def test_a_store_that_does_not_answer_changes_nothing():
    """What was in force stays, the failure is counted, and the intervals that were missed are worked in later."""

    class Store:
        def __init__(self):
            self.fails = False
            self.asked = []

        def sampled_roots(self, start, end):
            if self.fails:
                raise LogServiceError("ServerBusy", "later")
            self.asked.append((start - START, end - START))
            return [SampledRoots(SERVICE, "op", True, 0.5, 60, start)]

    store, clock, counters = Store(), FakeClock(START + 180), Counters()
    sampling = AdaptiveSampling(store, clock=clock, counters=counters)
    assert sampling.advance()
    before = probabilities(sampling)
    store.fails = True
    clock.advance(120)
    assert not sampling.advance()
    assert probabilities(sampling) == before
    assert counters.get("adaptive_sampling_failed") == 1
    store.fails = False
    assert sampling.advance()
    assert store.asked == [(-3600, 0), (0, 60), (60, 120), (120, 180)]
    assert sampling.advance()  # nothing new: nothing asked
    assert len(store.asked) == 4


@pytest.mark.parametrize(
    ("found", "current", "expected"),
    [
        ([roots(60, 0.1)], 0.1, 0.1),  # on target
        ([roots(77, 0.1)], 0.1, 0.1),  # off by less than the tolerance
        ([roots(120, 0.1)], 0.1, 0.05),
        ([roots(6000, 0.1)], 0.1, 0.001),  # a decrease is immediate
        ([roots(6, 0.1)], 0.1, 0.15),  # an increase is not
        ([], 0.1, 0.2),
        ([], 0.9, 1.0),
        ([roots(1, 0.1, probabilistic=False)], 0.1, 0.2),  # the lower bound says that it is there, no more
        ([roots(60_000_000, 1.0)], 1.0, 1e-5),  # never below the minimum
        ([roots(50, 1.0)], 1.0, 1.0),
        ([roots(2, 1.0)], 1.0, 1.0),  # never above 1
        (
            [roots(60, 0.5), roots(6, 0.05)],
            0.05,
            0.075,
        ),  # clients that have not asked again do not count as more traffic
    ],
)
def test_one_calculation(found, current, expected):
    """Target 1 a second, tolerance 30 %, at most half as much again."""
    assert next_probability(current, found, SETTINGS) == pytest.approx(expected)


@pytest.mark.parametrize(
    "settings", [{"target": 0}, {"target": float("nan")}, {"initial": 0}, {"initial": 1.5}, {"interval": 0}]
)
def test_settings_that_cannot_work(store, settings):
    """Refused at the start."""
    with pytest.raises(ConfigurationError):
        AdaptiveSampling(store, AdaptiveSettings(**settings))


def test_the_thread_calculates_and_stops(store, eventually):
    """start() works in what is stored without being asked; close() ends it."""
    store.write([root(number, "op", START + 1, probability=0.5) for number in range(1, 601)])
    sampling = AdaptiveSampling(store, clock=FakeClock(START + 180), counters=Counters())
    sampling.start()
    eventually(lambda: probabilities(sampling) == {"op": pytest.approx(0.05)})
    sampling.close()
