"""Config: jaeger-client's dictionary, its validation, what beats what, and the parts that come out."""

import logging
import threading

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentracing import Format
from opentracing.scope_managers import ThreadLocalScopeManager

from sls_tracing import (
    BatchingReporter,
    CompositeReporter,
    Config,
    ConstSampler,
    HTTPSender,
    InMemoryReporter,
    LoggingReporter,
    NullReporter,
    OTLPSender,
    ProbabilisticSampler,
    RateLimitingSampler,
    RemoteControlledSampler,
    Tracer,
    config,
    init_tracer,
)
from sls_tracing.baggage_restrictions import FixedBaggageRestrictions, RemoteBaggageRestrictions
from sls_tracing.environment import VARIABLES
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.forwarding import ForwardingTracer
from sls_tracing.metrics_factory import MetricsFactory
from sls_tracing.settings import SETTINGS, read_dictionary
from sls_tracing.throttler import LocalThrottler, RemoteThrottler

HTTP = Format.HTTP_HEADERS


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


def make(dictionary=None, environ=None, **arguments):
    return Config(dictionary or {}, service_name="shop", validate=True, environ=environ or {}, **arguments)


# -- every key -----------------------------------------------------------------------------------------------------------

EVERY_KEY = {
    "service_name": "shop",
    "tags": {"zone": "eu", "replicas": 3},
    "enabled": True,
    "generate_128bit_trace_id": True,
    "one_span_per_rpc": True,
    "debug_on_forced_sampling": False,
    "max_tag_value_length": 10,
    "max_traceback_length": 20,
    "max_logs_per_span": 30,
    "propagation": "jaeger,b3,w3c",
    "propagation_inject": "b3",
    "trace_id_header": "x-trace",
    "baggage_header_prefix": "x-item-",
    "debug_id_header": "x-debug",
    "baggage_header": "x-baggage",
    "sampler": {"type": "remote", "param": 0.5, "url": "http://127.0.0.1:9/x", "lower_bound_at_zero_rate": False},
    "sampling_refresh_interval": 5,
    "max_operations": 7,
    "mode": "follow",
    "forward_headers": ["end-user"],
    "forward_headers_to": ["reviews", "*.svc"],
    "throttler": {
        "url": "http://127.0.0.1:9/credits",
        "host": "h",
        "port": 1,
        "refresh_interval": 2,
        "synchronous_initialization": True,
        "max_traces_per_second": 2,
    },
    "baggage_restrictions": {
        "keys": {"tenant": 64},
        "url": "http://127.0.0.1:9/x",
        "host": "h",
        "port": 1,
        "refresh_interval": 9,
        "deny_until_known": True,
    },
    "local_agent": {
        "enabled": True,
        "reporting_host": "127.0.0.1",
        "reporting_port": 16831,
        "sampling_port": 15778,
        "protocol": "binary",
        "max_packet_size": 8000,
        "socket_type": "udp4",
        "look_up_every": 5,
    },
    "collector": {
        "endpoint": "http://127.0.0.1:9/api/traces",
        "user": "u",
        "password": "p",
        "headers": {"x-tenant": "a"},
        "timeout": 2,
        "retry_for": 0,
        "verify": True,
    },
    "reporter_queue_size": 50,
    "reporter_batch_size": 5,
    "reporter_flush_interval": 0.25,
    "logging": True,
    "metrics": False,
    "rpc_metrics": False,
}


LOG_SERVICE = {
    "log_service": {
        "enabled": True,
        "endpoint": "cn-hangzhou.log.aliyuncs.com",
        "project": "my-project",
        "logstore": "spans",
        "access_key_id": "id",
        "access_key_secret": "secret",
        "region": "cn-hangzhou",
        "signature": "v4",
        "connect": "http://127.0.0.1:9",
        "dialect": "trace-service",
        "timeout": 2,
        "retry_for": 0,
    }
}


def test_every_setting_can_be_written_in_the_dictionary():
    """None of the table's rows is left out here but those that exclude others."""
    read = read_dictionary(EVERY_KEY, strict=True)
    read |= read_dictionary(LOG_SERVICE, strict=True)  # spans go there instead of to a collector
    missing = set(SETTINGS) - set(read)
    assert missing == {"collector.auth_token", "collector.ca", "collector.cert", "sender", "reporter"}
    make(EVERY_KEY).new_tracer().close()
    make(LOG_SERVICE).new_tracer().close()


def test_the_keys_of_jaeger_client_are_taken():
    """All that its 4.8.0 reads, among them the three that its own validation refuses (its issues 123, 124, 276)."""
    tracer = make(
        {
            "enabled": "true",
            "logging": "false",
            "metrics": True,
            "local_agent": {
                "enabled": True,
                "reporting_host": "127.0.0.1",
                "reporting_port": "6831",
                "sampling_port": 5778,
            },
            "sampler": {"type": "rate_limiting", "param": "2"},
            "tags": {"a": "b"},
            "reporter_batch_size": "10",
            "reporter_queue_size": 100,
            "reporter_flush_interval": 1,
            "propagation": "b3",
            "max_tag_value_length": 1024,
            "max_traceback_length": 4096,
            "sampling_refresh_interval": 60,
            "trace_id_header": "uber-trace-id",
            "generate_128bit_trace_id": "0",
            "baggage_header_prefix": "uberctx-",
            "throttler": {"port": "5778", "refresh_interval": "5"},
            "max_operations": 2000,
            "debug_id_header": "jaeger-debug-id",
        }
    ).new_tracer()
    assert isinstance(tracer, Tracer)
    tracer.close()


# -- what is wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dictionary", "advice"),
    [
        ({"samplr": {}}, "'samplr' (did you mean 'sampler'?)"),
        (
            {"local_agent": {"reporting_hosst": "x"}},
            "'local_agent.reporting_hosst' (did you mean 'local_agent.reporting_host'?)",
        ),
        ({"sampler": {"typ": "const"}}, "'sampler.typ' (did you mean 'sampler.type'?)"),
        ({"throttler": {"prot": 1}}, "(did you mean 'throttler.port'?)"),
        ({"reporter_queuesize": 1}, "(did you mean 'reporter_queue_size'?)"),
        ({"xyzzy": 1, 7: 2}, "'xyzzy', '7'"),
        ({"tags.zone": 1}, "'tags.zone'"),
    ],
)
def test_unknown_keys_raise_with_advice_if_validated_and_are_logged_if_not(dictionary, advice, caplog):
    """Nested ones too, which jaeger-client never looked at."""
    with pytest.raises(ConfigurationError) as caught:
        make(dictionary)
    assert advice in str(caught.value)
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        Config(dictionary, service_name="shop", environ={})
    assert advice in caplog.text
    assert "no effect" in caplog.text


@pytest.mark.parametrize(
    ("dictionary", "remedy"),
    [
        ({"reporter_queue_size": "x"}, "reporter_queue_size = 'x' cannot be used: a whole number from 1"),
        ({"reporter_queue_size": 0}, "from 1"),
        ({"reporter_queue_size": True}, "from 1"),
        (
            {"reporter_queue_size": 5, "reporter_batch_size": 6},
            "reporter_batch_size, 6, must not be above reporter_queue_size, 5",
        ),
        ({"reporter_flush_interval": 0}, "above 0"),
        ({"reporter_flush_interval": float("nan")}, "above 0"),
        ({"local_agent": "localhost"}, "local_agent must be a dictionary"),
        ({"local_agent": {"reporting_port": 70000}}, "local_agent.reporting_port = 70000 .*from 1 to 65535"),
        ({"local_agent": {"reporting_host": ""}}, "local_agent.reporting_host"),
        ({"local_agent": {"reporting_host": "http://x:1"}}, "without scheme or port"),
        ({"local_agent": {"protocol": "json"}}, "compact, binary"),
        ({"sampler": {"type": "bad"}}, "const, probabilistic, ratelimiting, remote"),
        ({"sampler": "const"}, "is_sampled, close"),
        ({"sampler": ConstSampler}, "is_sampled, close"),
        ({"sampler": {"type": "probabilistic", "param": "xx"}}, "sampler.param = 'xx' .*number"),
        (
            {"sampler": {"type": "probabilistic", "param": 2}},
            "sampler.param .*= 2.0 cannot be used with sampler.type .*probabilistic",
        ),
        ({"sampler": {"type": "const", "param": 2}}, "0 \\(nothing\\) or 1"),
        ({"tags": ["a"]}, "mapping"),
        ({"propagation": "b4"}, "b3, b3-single, w3c, jaeger"),
        ({"propagation": 3}, "b3,w3c"),
        ({"trace_id_header": "a b"}, "name of a header"),
        ({"throttler": 5}, "is_allowed, close"),
        ({"throttler": {"max_traces_per_second": -1}}, "traces a second"),
        ({"baggage_restrictions": {"keys": {"tenant": "x"}}}, "tenant"),
        ({"reporter": object()}, "report, flush, close"),
        ({"collector": {"endpoint": "localhost:14268"}}, "collector.endpoint cannot be used: a URL is needed"),
        ({"enabled": "perhaps"}, "enabled = 'perhaps' cannot be used: write true or false"),
        ({"max_tag_value_length": -5}, "max_tag_value_length"),
    ],
)
def test_wrong_values_are_refused_at_once_with_the_remedy(dictionary, remedy):
    """When the configuration is made, as a ValueError, which is what jaeger-client raises where it looks."""
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        make(dictionary)
    assert isinstance(caught.value, ValueError)


def test_what_is_no_dictionary_is_refused():
    """A list, say."""
    with pytest.raises(ConfigurationError, match="dictionary, not list"):
        Config([], service_name="shop")


def test_none_is_not_set():
    """An empty entry of a YAML file."""
    configuration = make(
        {"tags": None, "sampler": None, "local_agent": None, "throttler": None, "reporter_queue_size": None}
    )
    assert configuration.tags == {}
    assert configuration.throttler_port is None


@pytest.mark.parametrize(
    ("value", "enabled"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        (1, True),
        ("false", False),
        ("0", False),
        (0, False),
        ("None", False),
    ],
)
def test_booleans_are_read_as_jaeger_client_reads_them(value, enabled):
    """Its ``get_boolean``, in any case."""
    assert make({"enabled": value}).enabled is enabled


@pytest.mark.parametrize("value", ["perhaps", 2, 0.5, "", []])
def test_a_boolean_that_is_none_leaves_the_default_and_a_line_in_the_log(value, caplog):
    """As in jaeger-client, which says nothing about it; with validate=True it is refused."""
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        configuration = Config({"enabled": value, "logging": value}, service_name="shop", environ={})
    assert (configuration.enabled, configuration.logging) == (True, False)
    assert "write true or false" in caplog.text


@pytest.mark.parametrize(
    "group", [{"endpoint": "tcp://x/s3cret"}, {"password": "s3cret\n"}, {"auth_token": 1.5}, {"headers": {"s3cret": 5}}]
)
def test_secrets_are_not_shown(group):
    """Neither the collector's password nor the token that stands in Alibaba Cloud's URL."""
    with pytest.raises(ConfigurationError, match="collector") as caught:
        make({"collector": group})
    assert "s3cret" not in str(caught.value)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_keys = st.sampled_from(sorted({key.partition(".")[0] for key in SETTINGS} - {"collector"}))


@given(st.dictionaries(_keys | st.text(), _values, max_size=5), st.booleans())
def test_any_dictionary_is_read_or_refused(dictionary, strict):
    """With nothing but a ConfigurationError."""
    try:
        Config(dictionary, service_name="shop", validate=strict, environ={})
    except ConfigurationError:
        pass


# -- what beats what -----------------------------------------------------------------------------------------------------


def test_code_beats_dictionary_beats_environment_beats_default():
    """For each of the four."""
    environ = {"JAEGER_REPORTER_MAX_QUEUE_SIZE": "700", "JAEGER_AGENT_HOST": "environment", "JAEGER_SAMPLER_PARAM": "0"}
    configuration = make({"local_agent": {"reporting_host": "dictionary"}}, environ)
    assert configuration.local_agent_reporting_host == "dictionary"
    assert configuration.reporter_queue_size == 700
    assert configuration.reporter_flush_interval == 1.0
    assert configuration.sampler.decision is False
    tracer = configuration.create_tracer(InMemoryReporter(), ConstSampler(True))
    assert tracer.sampler.decision is True
    tracer.close()


def test_tags_are_put_together_and_the_callers_dictionary_stays_as_it_is():
    """Of one name the dictionary's; jaeger-client let the environment win, and wrote it into the caller's dictionary."""
    own = {"zone": "dictionary"}
    configuration = make({"tags": own}, {"JAEGER_TAGS": "zone=environment,pod=p1"})
    assert configuration.tags == {"zone": "dictionary", "pod": "p1"}
    assert own == {"zone": "dictionary"}


@pytest.mark.parametrize(
    ("dictionary", "argument", "environ", "name"),
    [
        ({"service_name": "d"}, "a", {"JAEGER_SERVICE_NAME": "e"}, "d"),
        ({}, "a", {"JAEGER_SERVICE_NAME": "e"}, "a"),
        ({}, None, {"JAEGER_SERVICE_NAME": "e"}, "e"),
    ],
)
def test_the_service_name_of_the_dictionary_beats_the_argument(dictionary, argument, environ, name):
    """jaeger-client documents the argument as a mere default; the environment comes last."""
    assert Config(dictionary, service_name=argument, environ=environ).service_name == name


def test_no_service_name_is_refused():
    """All three ways to give one are named."""
    with pytest.raises(ConfigurationError, match=r"service_name=.*dictionary.*JAEGER_SERVICE_NAME"):
        Config({}, environ={})


def test_from_env_needs_no_dictionary(monkeypatch):
    """Go's and Java's way; the process's environment, or the one that is passed."""
    assert Config.from_env({"JAEGER_SERVICE_NAME": "passed"}).service_name == "passed"
    monkeypatch.setenv("JAEGER_SERVICE_NAME", "process")
    monkeypatch.setenv("JAEGER_DISABLED", "true")
    configuration = Config.from_env()
    assert (configuration.service_name, configuration.enabled) == ("process", False)


def test_defaults_that_others_see_are_jaeger_clients():
    """Headers, width of ids, limits; a fleet moves service by service. init_tracer has those of a mesh."""
    configuration = make()
    assert configuration.propagation == "jaeger"
    assert configuration.generate_128bit_trace_id is False
    assert (configuration.max_tag_value_length, configuration.max_traceback_length) == (1024, 4096)
    assert configuration.trace_id_header == "uber-trace-id"
    assert configuration.baggage_header_prefix == "uberctx-"
    assert configuration.debug_id_header == "jaeger-debug-id"
    assert configuration.local_agent_reporting_port == 6831
    assert configuration.local_agent_sampling_port == 5778
    assert configuration.local_agent_enabled is True
    tracer = configuration.new_tracer()
    span = tracer.start_span("op")
    assert span.context.trace_id < 2**64
    headers = {}
    tracer.inject(span, HTTP, headers)
    assert set(headers) == {"uber-trace-id"}
    tracer.close()


# -- the parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "made"),
    [
        ({}, ConstSampler),
        ({"type": "const", "param": True}, ConstSampler),
        ({"type": "const", "param": "false"}, ConstSampler),
        ({"type": "probabilistic", "param": "0.5"}, ProbabilisticSampler),
        ({"type": "ratelimiting", "param": 5}, RateLimitingSampler),
        ({"type": "rate_limiting", "param": 5}, RateLimitingSampler),
        ({"type": "remote"}, RemoteControlledSampler),
    ],
)
def test_samplers_by_type(group, made):
    """``remote`` too, which jaeger-client refuses by that name (its issue 320)."""
    sampler = make({"sampler": group}).sampler
    assert type(sampler) is made
    sampler.close()


def test_the_remote_sampler_asks_the_agent_and_starts_with_its_parameter(scripted_server, wait_until):
    """Host and port as the dictionary has them; the first question comes with the first trace."""
    scripted_server.body = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 1.0}}
    tracer = make(
        {
            "sampler": {"type": "remote", "param": 0.25},
            "local_agent": {"reporting_host": "127.0.0.1", "sampling_port": scripted_server.port},
            "reporter": NullReporter(),
        }
    ).new_tracer()
    assert tracer.sampler.sampler.rate == 0.25
    tracer.start_span("first").finish()
    wait_until(lambda: getattr(tracer.sampler.sampler, "rate", None) == 1.0)
    assert scripted_server.paths == ["/sampling?service=shop"]
    tracer.close()


def test_objects_of_your_own_are_taken_as_they_are():
    """Sampler, throttler, restrictions, reporter or sender: jaeger-client hard-codes all but the sampler (its issue 344)."""

    class Sender:
        closed = False

        def send(self, spans):
            return len(spans)

        def close(self):
            self.closed = True

        def after_fork(self):
            pass

    own = {
        "sampler": ConstSampler(False),
        "throttler": LocalThrottler(),
        "baggage_restrictions": FixedBaggageRestrictions(["a"]),
        "reporter": InMemoryReporter(),
    }
    tracer = make(own).new_tracer()
    assert tracer.sampler is own["sampler"]
    assert tracer._throttler is own["throttler"]
    assert tracer._baggage_restrictions is own["baggage_restrictions"]
    assert tracer.reporter is own["reporter"]
    sender = Sender()
    tracer = make({"sender": sender}).new_tracer()
    assert tracer.reporter.sender is sender
    assert tracer.close()
    assert sender.closed


@pytest.mark.parametrize(
    ("group", "made"),
    [({}, RemoteThrottler), ({"port": 5}, RemoteThrottler), ({"max_traces_per_second": 2}, LocalThrottler)],
)
def test_a_throttler_that_is_there_is_on(group, made):
    """Even an empty one, as in jaeger-client."""
    tracer = make({"throttler": group, "reporter": NullReporter()}).new_tracer()
    assert type(tracer._throttler) is made
    tracer.close()
    assert make().new_tracer()._throttler is None


@pytest.mark.parametrize(
    ("group", "made"), [({}, RemoteBaggageRestrictions), ({"keys": {"tenant": 64}}, FixedBaggageRestrictions)]
)
def test_baggage_restrictions_that_are_there_are_on(group, made):
    """As the throttler."""
    tracer = make({"baggage_restrictions": group, "reporter": NullReporter()}).new_tracer()
    assert type(tracer._baggage_restrictions) is made
    tracer.close()


def test_spans_go_to_the_agent_by_udp():
    """Host, port, encoding, size of datagrams; queue and batch."""
    tracer = make(
        {
            "local_agent": {
                "reporting_host": "127.0.0.2",
                "reporting_port": 7,
                "protocol": "binary",
                "max_packet_size": 999,
            },
            "reporter_queue_size": 9,
            "reporter_flush_interval": 2,
        }
    ).new_tracer()
    sender = tracer.reporter.sender
    assert (sender.host, sender.port, sender.protocol, sender.max_packet_size) == ("127.0.0.2", 7, "binary", 999)
    assert type(tracer.reporter) is BatchingReporter
    assert tracer.reporter._max_queue_size == 9
    assert tracer.reporter._max_batch_size == 9
    tracer.close()


@pytest.mark.parametrize(
    ("endpoint", "made"),
    [
        ("http://127.0.0.1:9/api/traces", HTTPSender),
        ("http://127.0.0.1:9/adapt_a@b_c@d/api/traces", HTTPSender),
        ("http://127.0.0.1:9/v1/traces", OTLPSender),
        ("http://127.0.0.1:9/adapt_a@b_c@d/api/otlp/traces", OTLPSender),
    ],
)
def test_an_endpoint_takes_the_place_of_the_agent(endpoint, made):
    """The path tells whether it understands OTLP."""
    for configuration in (make({"collector": {"endpoint": endpoint}}), make({}, {"JAEGER_ENDPOINT": endpoint})):
        tracer = configuration.new_tracer()
        assert type(tracer.reporter.sender) is made
        tracer.close()


@pytest.mark.parametrize(
    "environ",
    [
        {"JAEGER_USER": "u", "JAEGER_PASSWORD": "p", "JAEGER_AUTH_TOKEN": "t"},
        {"JAEGER_PASSWORD": "p"},
    ],
)
def test_credentials_that_exclude_each_other_are_refused(environ):
    """Before anything is sent."""
    with pytest.raises(ConfigurationError):
        make({}, {"JAEGER_ENDPOINT": "http://127.0.0.1:9/api/traces", **environ})


def test_logging_adds_a_reporter(caplog):
    """jaeger-client's `logging: true`."""
    tracer = make({"logging": True, "reporter": InMemoryReporter()}).new_tracer()
    assert type(tracer.reporter) is CompositeReporter
    assert type(tracer.reporter.reporters[1]) is LoggingReporter
    with caplog.at_level(logging.INFO, "sls_tracing"):
        tracer.start_span("op").finish()
    assert "span shop op" in caplog.text
    tracer.close()


def test_propagation_rules_and_headers_arrive_at_the_tracer():
    """Names of headers, order of formats, limits."""
    tracer = make(
        {
            "propagation": "b3,jaeger",
            "propagation_inject": "jaeger",
            "trace_id_header": "X_Trace",
            "baggage_header_prefix": "x-item-",
            "max_tag_value_length": 3,
            "one_span_per_rpc": True,
            "max_logs_per_span": 2,
            "debug_on_forced_sampling": False,
            "reporter": InMemoryReporter(),
        }
    ).new_tracer()
    parent = tracer.extract(HTTP, {"b3": "1-2-1", "x-item-a": "b"})
    assert (parent.trace_id, parent.baggage) == (1, {"a": "b"})
    with tracer.start_span("op", child_of=parent) as span:
        span.set_tag("long", "12345")
        headers = {}
        tracer.inject(span, HTTP, headers)
        for number in range(5):
            span.log_kv({"n": number})
    assert set(headers) == {"x-trace", "x-item-a"}
    (record,) = tracer.reporter.spans
    assert record.tags["long"] == "123"
    assert len(record.logs) == 2
    assert tracer.rules.one_span_per_rpc
    assert not tracer.rules.debug_on_forced_sampling
    tracer.close()


def test_a_scope_manager_of_your_own():
    """As in jaeger-client."""
    manager = ThreadLocalScopeManager()
    tracer = make({"reporter": NullReporter()}, scope_manager=manager).new_tracer()
    assert tracer.scope_manager is manager


# -- life ----------------------------------------------------------------------------------------------------------------


def test_initialize_tracer_twice_returns_the_same_and_says_so(caplog):
    """jaeger-client returned None, whatever became of the program then (upstream's own tests had to reset a flag)."""
    assert not Config.initialized()
    tracer = make({"reporter": NullReporter()}).initialize_tracer()
    assert Config.initialized()
    assert opentracing.global_tracer() is tracer
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        assert Config({}, service_name="other", environ={}).initialize_tracer() is tracer
    assert "'shop'" in caplog.text
    assert "'other'" in caplog.text
    assert init_tracer("shop", environ={}) is tracer
    tracer.close()
    assert not Config.initialized()


def test_new_tracer_is_nobodys_global_one():
    """And another one each time."""
    configuration = make({"reporter": NullReporter()})
    assert configuration.new_tracer() is not configuration.new_tracer()
    assert not opentracing.is_global_tracer_registered()


def test_an_io_loop_has_no_effect_and_is_logged(caplog):
    """There is no event loop in here; programs that pass Tornado's go on."""
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        tracer = make({"reporter": NullReporter()}).initialize_tracer(io_loop=object())
    assert "io_loop" in caplog.text
    assert isinstance(tracer, Tracer)


def test_making_starts_no_thread():
    """At import time, before a fork: neither a configuration nor its tracer starts anything."""
    before = threading.active_count()
    tracer = make({"sampler": {"type": "remote"}, "throttler": {}, "baggage_restrictions": {}}).new_tracer()
    assert threading.active_count() == before
    tracer.close()


def test_groups_are_shown_as_they_are():
    """For programs that read them."""
    configuration = make({"local_agent": {"sampling_port": 1}, "throttler": {"port": "2", "refresh_interval": "3"}})
    assert configuration.local_agent_group() == {"sampling_port": 1}
    assert configuration.throttler_group()["port"] == "2"
    assert (configuration.throttler_port, configuration.throttler_refresh_interval) == (2, 3.0)
    assert make({"local_agent": {"protocol": "binary"}}).local_agent_reporting_port == 6832


def test_metrics_false_leaves_a_factory_unused():
    """As in jaeger-client."""

    class Factory(MetricsFactory):
        def create_counter(self, name, tags=None):
            raise AssertionError(name)

    make({"metrics": False, "reporter": NullReporter()}, metrics_factory=Factory()).new_tracer().close()


def test_rpc_metrics_without_a_factory_are_logged(caplog):
    """They would go nowhere."""
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        make({"rpc_metrics": True, "reporter": NullReporter()}).new_tracer().close()
    assert "JAEGER_RPC_METRICS" in caplog.text


# -- switched off --------------------------------------------------------------------------------------------------------


@pytest.fixture
def disabled():
    tracer = make({"enabled": False}, {"JAEGER_PROPAGATION": "b3"}).initialize_tracer()
    assert isinstance(tracer, ForwardingTracer)
    return tracer


def test_a_disabled_tracer_forwards_contexts_as_they_came(disabled):
    """Ids, decision, request id: the service vanishes from the trace and leaves no orphan behind it."""
    incoming = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-sampled": "1", "x-request-id": "r"}
    parent = disabled.extract(HTTP, incoming)
    with disabled.start_active_span("server", child_of=parent, tags={"span.kind": "server"}) as scope:
        scope.span.set_baggage_item("tenant", "t1")
        with disabled.start_active_span("client") as inner:
            inner.span.set_tag("sampling.priority", 0).log_kv({"a": 1})
            headers = {}
            disabled.inject(inner.span.context, HTTP, headers)
    assert {key: headers[key] for key in incoming} == incoming
    assert headers["baggage-tenant"] == "t1"
    assert disabled.flush()
    assert disabled.close()


def test_a_disabled_tracer_starts_no_trace(disabled):
    """Nothing is written without a parent: the next service decides for itself."""
    with disabled.start_active_span("op", ignore_active_span=True) as scope:
        headers = {}
        disabled.inject(scope.span, HTTP, headers)
    assert headers == {}
    assert scope.span.context.trace_id is None


def test_a_disabled_tracer_takes_references_and_what_is_none(disabled):
    """As an enabled one chooses; nothing raises."""
    parent = disabled.extract(HTTP, {"b3": "1-2-0"})
    span = disabled.start_span("op", references=[opentracing.follows_from(None), opentracing.child_of(parent)])
    assert span.context is parent
    assert disabled.start_span(None, references=5).context.trace_id is None
    span.finish()
    span.finish(5)


def test_disabled_by_the_environment_alone():
    """For `sls-tracing run` too: the variable is Go's."""
    tracer = init_tracer("shop", environ={"JAEGER_DISABLED": "true", "JAEGER_SAMPLER_TYPE": "remote"})
    assert isinstance(tracer, ForwardingTracer)
