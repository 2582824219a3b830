"""From settings to a tracer."""

import logging
import threading

import opentracing
import pytest

from sls_tracing import BatchingReporter, ConstSampler, ProbabilisticSampler, RateLimitingSampler, config, init_tracer
from sls_tracing.assembly import make_sampler, make_tracer
from sls_tracing.config import check_settings
from sls_tracing.environment import VARIABLES
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.settings import with_defaults

requirement = pytest.mark.requirement


@pytest.fixture(autouse=True)
def process(monkeypatch):
    """A process that has initialised nothing; what a test initialises is closed after it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(config, "_initialized", None)
    monkeypatch.setattr(opentracing, "tracer", opentracing.Tracer())
    monkeypatch.setattr(opentracing, "is_tracer_registered", False)
    yield
    if config._initialized is not None:
        config._initialized.close()


@requirement("OT-N01", "OT-N02")
def test_init_tracer_sets_the_global_tracer():
    """Until then OpenTracing's no-op tracer is there, which ours extends."""
    assert not opentracing.is_global_tracer_registered()
    assert type(opentracing.global_tracer()) is opentracing.Tracer
    tracer = init_tracer("shop")
    assert opentracing.global_tracer() is tracer
    assert opentracing.is_global_tracer_registered()
    assert isinstance(tracer, opentracing.Tracer)
    with pytest.raises(ValueError, match="None"):
        opentracing.set_global_tracer(None)


def test_the_defaults():
    """Everything is sampled and goes through a queue to the agent on this host, in B3; no thread runs before the first span."""
    before = threading.active_count()
    tracer = init_tracer("shop")
    assert tracer.service_name == "shop"
    assert isinstance(tracer.sampler, ConstSampler)
    assert tracer.sampler.decision is True
    assert isinstance(tracer.reporter, BatchingReporter)
    assert threading.active_count() == before
    carrier = {}
    tracer.inject(tracer.start_span("x").context, opentracing.Format.HTTP_HEADERS, carrier)
    assert set(carrier) == {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled"}


def test_the_environment_decides(monkeypatch):
    """Service, sampler, tags and propagation."""
    monkeypatch.setenv("JAEGER_SERVICE_NAME", "shop")
    monkeypatch.setenv("JAEGER_SAMPLER_TYPE", "probabilistic")
    monkeypatch.setenv("JAEGER_SAMPLER_PARAM", "0.25")
    monkeypatch.setenv("JAEGER_TAGS", "zone=eu")
    monkeypatch.setenv("JAEGER_PROPAGATION", "b3-single")
    tracer = init_tracer()
    assert tracer.service_name == "shop"
    assert (type(tracer.sampler), tracer.sampler.rate) == (ProbabilisticSampler, 0.25)
    assert tracer._process.tags["zone"] == "eu"
    carrier = {}
    tracer.inject(tracer.start_span("x").context, opentracing.Format.HTTP_HEADERS, carrier)
    assert set(carrier) == {"b3"}


def test_the_argument_beats_the_environment(monkeypatch):
    """For the service's name."""
    monkeypatch.setenv("JAEGER_SERVICE_NAME", "environment")
    assert init_tracer("argument").service_name == "argument"


@requirement("OT-N04")
def test_a_second_call_returns_the_same_tracer(caplog):
    """A service that was instrumented from outside may call it too; another name is logged, no name or the same is not."""
    tracer = init_tracer("shop")
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        assert init_tracer() is tracer
        assert init_tracer("shop") is tracer
        assert caplog.messages == []
        assert init_tracer("other") is tracer
    assert "'shop'" in caplog.text
    assert "'other'" in caplog.text


def test_after_close_a_new_one_is_made():
    """Test suites do so."""
    first = init_tracer("shop")
    first.close()
    second = init_tracer("shop")
    assert second is not first
    assert opentracing.global_tracer() is second


def test_many_threads_get_one_tracer():
    """Whoever comes first makes it."""
    barrier, made = threading.Barrier(8), []

    def work():
        barrier.wait()
        made.append(init_tracer("shop"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(tracer) for tracer in made}) == 1


def test_no_service_name_is_refused():
    """Both ways to give one are named; nothing is registered."""
    for name in (None, "", "  "):
        with pytest.raises(ConfigurationError, match="JAEGER_SERVICE_NAME"):
            init_tracer(name)
    assert not opentracing.is_global_tracer_registered()


@pytest.mark.parametrize(
    ("kind", "param", "made"),
    [
        ("const", None, ConstSampler),
        ("const", 0.0, ConstSampler),
        ("probabilistic", None, ProbabilisticSampler),
        ("probabilistic", 1.0, ProbabilisticSampler),
        ("ratelimiting", None, RateLimitingSampler),
        ("ratelimiting", 5.0, RateLimitingSampler),
    ],
)
def test_samplers_by_name(kind, param, made):
    """Each from its parameter, or with Jaeger's default for it."""
    sampler = make_sampler(with_defaults({"sampler.type": kind, "sampler.param": param}))
    assert type(sampler) is made
    values = {
        ConstSampler: lambda: float(sampler.decision),
        ProbabilisticSampler: lambda: sampler.rate,
        RateLimitingSampler: lambda: sampler.max_traces_per_second,
    }
    assert values[made]() == (param if param is not None else {"probabilistic": 0.001}.get(kind, 1.0))


@pytest.mark.parametrize(
    ("kind", "param"),
    [
        ("const", "2"),
        ("const", "0.5"),
        ("const", "nan"),
        ("probabilistic", "2"),
        ("probabilistic", "-1"),
        ("probabilistic", "nan"),
        ("ratelimiting", "-5"),
        ("ratelimiting", "inf"),
    ],
)
def test_a_parameter_that_does_not_fit_the_sampler(kind, param):
    """Both variables are named, before anything is started."""
    environ = {"JAEGER_SAMPLER_TYPE": kind, "JAEGER_SAMPLER_PARAM": param}
    with pytest.raises(ConfigurationError, match=f"JAEGER_SAMPLER_PARAM.*JAEGER_SAMPLER_TYPE. = '{kind}'"):
        check_settings(environ)
    with pytest.raises(ConfigurationError, match="JAEGER_SAMPLER_PARAM"):
        init_tracer("shop", environ=environ)
    assert not opentracing.is_global_tracer_registered()


def test_check_settings_starts_nothing():
    """It returns what would be used."""
    before = threading.active_count()
    assert check_settings({"JAEGER_SERVICE_NAME": "shop", "JAEGER_SAMPLER_TYPE": "const"}) == {
        "service_name": "shop",
        "sampler.type": "const",
    }
    assert threading.active_count() == before


def test_make_tracer_registers_nothing():
    """It is the part without the process."""
    tracer = make_tracer({"service_name": "shop", "tags": {"a": "b"}})
    assert tracer._process.tags["a"] == "b"
    assert not opentracing.is_global_tracer_registered()
    assert tracer.close()
