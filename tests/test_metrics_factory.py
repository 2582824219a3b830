"""Self metrics: factories as jaeger-client has them, Jaeger's names, Prometheus, RPC metrics."""

import subprocess
import sys
import threading
from pathlib import Path

import prometheus_client
import pytest

import sls_tracing
from sls_tracing import Config, ConstSampler, InMemoryReporter, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters, counters
from sls_tracing.metrics_factory import LegacyMetricsFactory, Metrics, MetricsFactory
from sls_tracing.metrics_jaeger import JAEGER_METRICS, PublishedCounters, SpanMetrics
from sls_tracing.metrics_prometheus import PrometheusMetricsFactory
from sls_tracing.rpc_metrics import RPCMetrics


class Noted:
    """What arrived at jaeger-client's older interface, by key."""

    def __init__(self):
        self.counts, self.gauges, self.timings = {}, {}, {}
        self.metrics = Metrics(self._count, self.gauges.__setitem__, self.timings.__setitem__)
        self.factory = LegacyMetricsFactory(self.metrics)

    def _count(self, key, value):
        self.counts[key] = self.counts.get(key, 0) + value


@pytest.fixture
def noted():
    return Noted()


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


def make(factory=None, dictionary=None, **arguments):
    dictionary = {"reporter": InMemoryReporter(), **(dictionary or {})}
    return Config(dictionary, service_name="shop", metrics_factory=factory, environ={}, **arguments).new_tracer()


# -- the interface -------------------------------------------------------------------------------------------------------


def test_the_base_makes_metrics_that_go_nowhere():
    """So a subclass overrides only what it offers."""
    factory = MetricsFactory()
    for make_metric in (factory.create_counter, factory.create_timer, factory.create_gauge):
        assert make_metric("name", {"a": "b"})(1) is None


def test_legacy_keys(noted):
    """Name, then tags sorted by name, as jaeger-client writes them; timers in milliseconds."""
    noted.factory.create_counter("jaeger:traces", {"state": "started", "sampled": "y"})(2)
    noted.factory.create_gauge("jaeger:reporter_queue_length")(5)
    noted.factory.create_timer("latency", {})(1500.0)
    assert noted.counts == {"jaeger:traces.sampled_y.state_started": 2}
    assert noted.gauges == {"jaeger:reporter_queue_length": 5}
    assert noted.timings == {"latency": 1.5}


def test_legacy_keys_are_those_of_jaeger_client(noted):
    """The library itself as the oracle."""
    from jaeger_client.metrics import LegacyMetricsFactory as Theirs
    from jaeger_client.metrics import Metrics as TheirMetrics

    theirs = {}
    for name, tags in [("a", None), ("b", {}), ("c", {"z": "1", "a": "2"}), ("d", {"x": True})]:
        Theirs(TheirMetrics(count=theirs.__setitem__)).create_counter(name, tags)(1)
        noted.factory.create_counter(name, tags)(1)
    assert noted.counts == theirs


def test_functions_that_are_missing_are_not_called():
    """``Metrics()`` alone is nothing, which is jaeger-client's default."""
    metrics = Metrics()
    metrics.count("a", 1)
    metrics.gauge("a", 1)
    metrics.timing("a", 1)


# -- traces and spans ----------------------------------------------------------------------------------------------------


def test_traces_and_spans_are_counted(noted):
    """Started by a root, joined by a server span under a caller; kept or not."""
    tracer = make(noted.factory)
    with tracer.start_active_span("root"):
        tracer.start_span("child").finish()
    caller = tracer.extract("http_headers", {"uber-trace-id": "1:2:0:1"})
    tracer.start_span("server", child_of=caller, tags={"span.kind": "server"}).finish()
    unsampled = tracer.extract("http_headers", {"uber-trace-id": "1:2:0:0"})
    tracer.start_span("server", child_of=unsampled).finish()
    assert {key: value for key, value in noted.counts.items() if "span" in key or "trace" in key} == {
        "jaeger:traces.sampled_y.state_started": 1,
        "jaeger:traces.sampled_y.state_joined": 1,
        "jaeger:started_spans.sampled_y": 3,
        "jaeger:started_spans.sampled_n": 1,
        "jaeger:finished_spans.sampled_y": 3,
        "jaeger:finished_spans.sampled_n": 1,
    }


def test_the_older_argument_is_taken_too(noted):
    """``metrics=``, deprecated in jaeger-client and still in many programs."""
    tracer = make(metrics=noted.metrics)
    tracer.start_span("op").finish()
    assert noted.counts["jaeger:started_spans.sampled_y"] == 1


def test_without_a_factory_nobody_watches():
    """The path of a span stays as it was."""
    assert make()._observer is None


def test_reporter_sampler_and_propagation_are_counted_for_their_tracer(noted):
    """And for the process; another tracer's are not mixed in."""
    other = Noted()
    before = counters.get("propagation_headers_malformed"), counters.get("reporter_spans_failed")

    class Refusing:
        def send(self, spans):
            return 0

        def close(self):
            pass

        def after_fork(self):
            pass

    tracer, another = (
        Config({"sender": Refusing()}, service_name="s", metrics_factory=each.factory, environ={}).new_tracer()
        for each in (noted, other)
    )
    tracer.extract("http_headers", {"uber-trace-id": "bad"})
    tracer.start_span("op").finish()
    tracer.flush()
    tracer.close()
    assert noted.counts["jaeger:span_context_decoding_errors"] == 1
    assert noted.counts["jaeger:reporter_spans.result_err"] == 1
    assert noted.gauges["jaeger:reporter_queue_length"] == 0
    assert other.counts == {}
    after = counters.get("propagation_headers_malformed"), counters.get("reporter_spans_failed")
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, 1]
    another.close()


def test_the_length_of_the_queue_when_it_is_full(noted):
    """A gauge that tells something: what waits at the moment of a drop."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        def send(self, spans):
            inside.set()
            go_on.wait(20)
            return len(spans)

        def close(self):
            pass

        def after_fork(self):
            pass

    dictionary = {"sender": Slow(), "reporter_queue_size": 3, "reporter_batch_size": 1}
    tracer = Config(dictionary, service_name="s", metrics_factory=noted.factory, environ={}).new_tracer()
    tracer.start_span("first").finish()
    assert inside.wait(20)
    for _ in range(5):
        tracer.start_span("more").finish()
    assert noted.gauges["jaeger:reporter_queue_length"] == 3
    assert noted.counts["jaeger:reporter_spans.result_dropped"] == 2
    go_on.set()
    tracer.close()
    assert noted.counts["jaeger:reporter_spans.result_ok"] == 4


def test_jaeger_clients_own_names_are_all_there():
    """Read out of jaeger-client itself: what its tracer, reporter, sampler and throttler ask a factory for."""
    from jaeger_client import reporter, sampler, throttler, tracer
    from jaeger_client.metrics import MetricsFactory as Theirs

    asked = set()

    class Asked(Theirs):
        def create_counter(self, name, tags=None):
            asked.add((name, *sorted((tags or {}).items())))
            return lambda value: None

        create_timer = create_gauge = create_counter

    for holder in (
        tracer.TracerMetrics,
        reporter.ReporterMetrics,
        sampler.SamplerMetrics,
        throttler.ThrottlerMetrics,
    ):
        holder(Asked())

    ours = set()

    class Ours(MetricsFactory):
        def create_counter(self, name, tags=None):
            ours.add((name, *sorted((tags or {}).items())))
            return lambda value: None

        create_timer = create_gauge = create_counter

    PublishedCounters(Ours(), Counters())
    SpanMetrics(Ours())
    # Theirs counts only the finish of sampled spans, without a tag; ours has Go's tag.
    assert asked - ours == {("jaeger:finished_spans",)}


def test_every_counter_of_the_table_exists():
    """Each name is one that some component counts under."""
    package = Path(sls_tracing.__file__).parent
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py") if path.name != "metrics_jaeger.py")
    for name in JAEGER_METRICS:
        stem = name if not name.startswith("sender_spans_") else name.removeprefix("sender_spans_")
        assert f'"{name}"' in source or f'"{stem}"' in source, name


def test_a_metric_that_raises_harms_nobody():
    """It is the application's."""

    class Broken(MetricsFactory):
        def create_counter(self, name, tags=None):
            def increment(value):
                raise RuntimeError(name)

            return increment

    tracer = make(Broken())
    tracer.start_span("op").finish()
    tracer.extract("http_headers", {"uber-trace-id": "bad"})
    assert len(tracer.reporter.spans) == 1


def test_what_is_no_factory_is_refused():
    """At start, by what it lacks."""
    with pytest.raises(ConfigurationError, match="create_counter"):
        make(object())


def test_jaeger_clients_factories_are_taken(registry):
    """A program that moves may keep its own import of them."""
    from jaeger_client.metrics import LegacyMetricsFactory as Theirs
    from jaeger_client.metrics import Metrics as TheirMetrics

    counts = {}
    make(Theirs(TheirMetrics(count=counts.__setitem__))).start_span("op").finish()
    assert counts["jaeger:started_spans.sampled_y"] == 1


# -- Prometheus ----------------------------------------------------------------------------------------------------------


def test_prometheus_samples_have_jaeger_clients_names(registry):
    """With ``_total``, as its own factory makes them."""
    make(PrometheusMetricsFactory(registry=registry)).start_span("op").finish()
    assert registry.get_sample_value("jaeger:started_spans_total", {"sampled": "y"}) == 1
    assert registry.get_sample_value("jaeger:reporter_spans_total", {"result": "ok"}) == 0


def test_prometheus_namespace_prefix_and_service(registry):
    """Go's prefix instead of the colon, a namespace before it, a label that tells tracers apart."""
    factory = PrometheusMetricsFactory("app", "shop", prefix="jaeger_tracer_", registry=registry)
    make(factory).start_span("op").finish()
    labels = {"sampled": "y", "service": "shop"}
    assert registry.get_sample_value("app_jaeger_tracer_started_spans_total", labels) == 1
    assert ":" not in prometheus_client.generate_latest(registry).decode()


def test_two_tracers_share_prometheus_metrics(registry):
    """jaeger-client raised "Duplicated timeseries" (its issue 269)."""
    for _ in range(2):
        make(PrometheusMetricsFactory(registry=registry)).start_span("op").finish()
    assert registry.get_sample_value("jaeger:started_spans_total", {"sampled": "y"}) == 2
    one, two = (PrometheusMetricsFactory("labelled", name, registry=registry) for name in ("one", "two"))
    make(one).start_span("op").finish()
    make(two).start_span("op").finish()
    for name in ("one", "two"):
        labels = {"sampled": "y", "service": name}
        assert registry.get_sample_value("labelled_jaeger:started_spans_total", labels) == 1


def test_prometheus_refusals_name_the_remedy(registry):
    """Other labels, or a name that somebody else has."""
    make(PrometheusMetricsFactory(registry=registry))
    with pytest.raises(ConfigurationError, match="service_name_label"):
        make(PrometheusMetricsFactory(service_name_label="shop", registry=registry))
    prometheus_client.Counter("taken_jaeger:traces", "somebody else's", registry=registry)
    with pytest.raises(ConfigurationError, match="namespace="):
        make(PrometheusMetricsFactory("taken", registry=registry))


def test_prometheus_timers_and_gauges(registry):
    """Microseconds in, seconds out."""
    factory = PrometheusMetricsFactory(registry=registry)
    factory.create_timer("latency", {"a": "b"})(2_500_000.0)
    factory.create_gauge("jaeger:reporter_queue_length")(7)
    assert registry.get_sample_value("latency_seconds_sum", {"a": "b"}) == 2.5
    assert registry.get_sample_value("jaeger:reporter_queue_length") == 7


def test_prometheus_is_loaded_when_asked_for_and_missed_with_advice():
    """A process of its own, in which prometheus_client cannot be imported."""
    program = """
import sys
sys.modules["prometheus_client"] = None
import sls_tracing.metrics_prometheus as module
try:
    module.PrometheusMetricsFactory()
except module.ConfigurationError as error:
    print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "pip install prometheus_client" in output


# -- RPC metrics ---------------------------------------------------------------------------------------------------------


def test_rpc_metrics_count_server_spans(noted, clock):
    """Requests and errors by endpoint, times, classes of HTTP status: Go's rpcmetrics."""
    tracer = Tracer("shop", InMemoryReporter(), observer=RPCMetrics(noted.factory), clock=clock)
    for status, error in (("200", False), (204, False), (503, True)):
        span = tracer.start_span("GET /a?b", tags={"span.kind": "server", "http.status_code": status, "error": error})
        clock.advance(0.25)
        span.finish()
    tracer.start_span("client", tags={"span.kind": "client"}).finish()
    tracer.start_span("local").finish()
    assert noted.counts == {
        "jaeger_rpc_requests.endpoint_GET-/a-b.error_false": 2,
        "jaeger_rpc_requests.endpoint_GET-/a-b.error_true": 1,
        "jaeger_rpc_http_requests.endpoint_GET-/a-b.status_code_2xx": 2,
        "jaeger_rpc_http_requests.endpoint_GET-/a-b.status_code_5xx": 1,
    }
    assert noted.timings["jaeger_rpc_request_latency.endpoint_GET-/a-b.error_true"] == pytest.approx(250.0, rel=1e-3)


def test_rpc_metrics_know_a_bounded_number_of_endpoints(noted):
    """Names with ids in them would fill the memory of whoever stores the metrics."""
    tracer = Tracer("shop", InMemoryReporter(), observer=RPCMetrics(noted.factory, max_endpoints=2))
    for name in ("a", "b", "c", "d", "a", ""):
        tracer.start_span(name, tags={"span.kind": "server"}).finish()
    requests = {key: value for key, value in noted.counts.items() if "requests" in key}
    assert requests == {
        "jaeger_rpc_requests.endpoint_a.error_false": 2,
        "jaeger_rpc_requests.endpoint_b.error_false": 1,
        "jaeger_rpc_requests.endpoint_other.error_false": 3,
    }


def test_rpc_metrics_ignore_odd_statuses_and_unsampled_spans(noted):
    """Only classes 2 to 5 of whole status codes; unsampled spans have no tags to go by."""
    observer = RPCMetrics(noted.factory)
    tracer = Tracer("shop", InMemoryReporter(), observer=observer)
    for status in ("abc", "99", 600, True, 0):
        tracer.start_span("op", tags={"span.kind": "server", "http.status_code": status}).finish()
    assert not any("http" in key for key in noted.counts)
    unsampled = Tracer("shop", InMemoryReporter(), ConstSampler(False), observer=observer)
    unsampled.start_span("never", tags={"span.kind": "server"}).finish()
    assert not any("never" in key for key in noted.counts)


def test_rpc_metrics_from_the_configuration(noted):
    """``rpc_metrics``, or ``JAEGER_RPC_METRICS`` as in Go; beside the spans' own."""
    make(noted.factory, {"rpc_metrics": True}).start_span("op", tags={"span.kind": "server"}).finish()
    assert noted.counts["jaeger_rpc_requests.endpoint_op.error_false"] == 1
    assert noted.counts["jaeger:started_spans.sampled_y"] == 1
