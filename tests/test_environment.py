"""The table of environment variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.environment import VARIABLES, read_environment
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.hosts import Hosts
from sls_tracing.settings import SETTINGS


def test_nothing_set_is_nothing_read():
    """An empty value is as good as none."""
    assert read_environment({}) == {}
    assert read_environment(dict.fromkeys(VARIABLES, "")) == {}
    assert read_environment(dict.fromkeys(VARIABLES, "  ")) == {}


def test_every_variable_is_described():
    """``sls-tracing doctor`` and the documentation show the table; each fills a setting that exists."""
    assert all(name.startswith(("JAEGER_", "SLS_TRACING_")) for name in VARIABLES)
    assert all(variable.meaning for variable in VARIABLES.values())
    assert {variable.setting for variable in VARIABLES.values()} <= set(SETTINGS)


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("JAEGER_SERVICE_NAME", " shop ", "service_name", "shop"),
        ("JAEGER_DISABLED", "true", "enabled", False),
        ("JAEGER_DISABLED", "T", "enabled", False),
        ("JAEGER_DISABLED", "0", "enabled", True),
        ("JAEGER_TAGS", "a=b, c = d=e ,,f=", "tags", {"a": "b", "c": "d=e", "f": ""}),
        ("JAEGER_TRACEID_128BIT", "true", "generate_128bit_trace_id", True),
        ("JAEGER_TRACEID_128BIT", "FALSE", "generate_128bit_trace_id", False),
        ("JAEGER_PROPAGATION", "B3-Single", "propagation", "b3-single"),
        ("JAEGER_PROPAGATION", "jaeger, b3,w3c", "propagation", "jaeger,b3,w3c"),
        ("JAEGER_PROPAGATION_INJECT", "b3", "propagation_inject", "b3"),
        ("SLS_TRACING_MODE", "Follow", "mode", "follow"),
        ("SLS_TRACING_FORWARD_HEADERS", "end-user, Jwt", "forward_headers", ("end-user", "Jwt")),
        ("SLS_TRACING_FORWARD_HEADERS_TO", "a,*.b", "forward_headers_to", Hosts(["a", "*.b"])),
        ("JAEGER_SAMPLER_TYPE", "Probabilistic", "sampler.type", "probabilistic"),
        ("JAEGER_SAMPLER_TYPE", "remote", "sampler.type", "remote"),
        ("JAEGER_SAMPLER_PARAM", "0.5", "sampler.param", 0.5),
        ("JAEGER_SAMPLER_PARAM", "true", "sampler.param", 1.0),
        ("JAEGER_SAMPLING_ENDPOINT", "http://agent:5778/sampling", "sampler.url", "http://agent:5778/sampling"),
        ("JAEGER_SAMPLER_MANAGER_HOST_PORT", "agent:5778", "sampler.url", "http://agent:5778/sampling"),
        ("JAEGER_SAMPLER_MANAGER_HOST_PORT", "http://agent:5778/", "sampler.url", "http://agent:5778/"),
        ("JAEGER_SAMPLER_REFRESH_INTERVAL", "1m30s", "sampling_refresh_interval", 90.0),
        ("JAEGER_SAMPLER_MAX_OPERATIONS", "10", "max_operations", 10),
        ("JAEGER_AGENT_HOST", "agent.tracing", "local_agent.reporting_host", "agent.tracing"),
        ("JAEGER_AGENT_PORT", "16831", "local_agent.reporting_port", 16831),
        ("JAEGER_AGENT_SOCKET_TYPE", "UDP6", "local_agent.socket_type", "udp6"),
        ("JAEGER_REPORTER_ATTEMPT_RECONNECT_INTERVAL", "10s", "local_agent.look_up_every", 10.0),
        ("JAEGER_REPORTER_ATTEMPT_RECONNECTING_DISABLED", "true", "local_agent.look_up_every", 86_400.0),
        ("JAEGER_ENDPOINT", "http://c:14268/api/traces", "collector.endpoint", "http://c:14268/api/traces"),
        ("JAEGER_USER", "u", "collector.user", "u"),
        ("JAEGER_PASSWORD", "p", "collector.password", "p"),
        ("JAEGER_AUTH_TOKEN", "t", "collector.auth_token", "t"),
        ("JAEGER_REPORTER_TIMEOUT", "2500", "collector.timeout", 2.5),
        ("JAEGER_REPORTER_LOG_SPANS", "1", "logging", True),
        ("JAEGER_REPORTER_MAX_QUEUE_SIZE", "7", "reporter_queue_size", 7),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "500ms", "reporter_flush_interval", 0.5),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "500", "reporter_flush_interval", 0.5),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "1.5s", "reporter_flush_interval", 1.5),
        ("JAEGER_RPC_METRICS", "true", "rpc_metrics", True),
    ],
)
def test_how_each_is_read(name, text, setting, value):
    """White space around does not count; names of samplers and formats in any case."""
    assert read_environment({name: text}) == {setting: value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${ZONE}", "eu"),
        ("${ZONE:none}", "eu"),
        ("${MISSING:none}", "none"),
        ("${MISSING:a:b}", "a:b"),
        ("${MISSING}", ""),
        ("$ZONE", "$ZONE"),
        ("x${ZONE}", "x${ZONE}"),
    ],
)
def test_tags_refer_to_other_variables_of_the_same_environment(monkeypatch, text, value):
    """With a default behind the colon; the one that was passed, not the process's."""
    monkeypatch.setenv("ZONE", "of the process")
    assert read_environment({"JAEGER_TAGS": f"zone={text}", "ZONE": "eu"}) == {"tags": {"zone": value}}


def test_the_process_environment_by_default(monkeypatch):
    """Nothing else looks at it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAEGER_SERVICE_NAME", "from the process")
    assert read_environment() == {"service_name": "from the process"}


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("JAEGER_AGENT_PORT", "0", "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "65536", "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "-1", "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "٣", "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "1e3", "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "9" * 5000, "from 1 to 65535"),
        ("JAEGER_AGENT_PORT", "tcp://10.0.0.1:6831", "from 1 to 65535"),
        ("JAEGER_SAMPLER_TYPE", "always", "const, probabilistic, ratelimiting, remote"),
        ("JAEGER_SAMPLER_PARAM", "half", "number"),
        ("JAEGER_TAGS", "no equals", "key=value"),
        ("JAEGER_TAGS", "=value", "key=value"),
        ("JAEGER_PROPAGATION", "b4", "b3, b3-single"),
        ("JAEGER_PROPAGATION", ",", "b3, b3-single"),
        ("JAEGER_DISABLED", "perhaps", "true or false"),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "0", "above 0"),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "5 s", "500ms"),
        ("JAEGER_REPORTER_FLUSH_INTERVAL", "-1s", "500ms"),
        ("JAEGER_SAMPLER_REFRESH_INTERVAL", "48h", "24h"),
        ("JAEGER_REPORTER_MAX_QUEUE_SIZE", "0", "from 1 to"),
        ("JAEGER_SAMPLER_MAX_OPERATIONS", "1_0", "from 1 to"),
    ],
)
def test_what_cannot_be_used_names_variable_and_remedy(name, text, remedy):
    """At start, as a ConfigurationError."""
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        read_environment({name: text})
    assert str(caught.value).startswith(name + "=")


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text()))
def test_any_environment_is_read_or_refused(environ):
    """With nothing but a ConfigurationError."""
    try:
        assert set(read_environment(environ)) <= {variable.setting for variable in VARIABLES.values()}
    except ConfigurationError as error:
        assert any(name in str(error) for name in environ)


def test_a_value_that_is_no_text_is_read_as_its_text():
    """Of a mapping that a program made."""
    assert read_environment({"JAEGER_AGENT_PORT": 6831}) == {"local_agent.reporting_port": 6831}


def test_of_two_variables_for_one_setting_the_newer_one_wins():
    """Go's client has it so."""
    environ = {"JAEGER_SAMPLER_MANAGER_HOST_PORT": "old:1", "JAEGER_SAMPLING_ENDPOINT": "http://new:2/sampling"}
    assert read_environment(environ) == {"sampler.url": "http://new:2/sampling"}
    environ = {
        "JAEGER_REPORTER_ATTEMPT_RECONNECTING_DISABLED": "false",
        "JAEGER_REPORTER_ATTEMPT_RECONNECT_INTERVAL": "5s",
    }
    assert read_environment(environ) == {"local_agent.look_up_every": 5.0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JAEGER_ENDPOINT", "tcp://host/adapt_s3cret"),
        ("JAEGER_SAMPLING_ENDPOINT", "host/adapt_s3cret"),
        ("JAEGER_PASSWORD", "s3cret\nX-Injected: 1"),
        ("JAEGER_AUTH_TOKEN", "s3cret\0"),
    ],
)
def test_secrets_are_not_shown(name, text):
    """Only the variable is named; Alibaba Cloud's token is part of the URL."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        read_environment({name: text})
    assert "s3cret" not in str(caught.value)


@given(st.floats(1e-3, 3600.0))
def test_durations_as_go_prints_them(seconds):
    """In any of its units, to the accuracy of a float."""
    for text in (f"{seconds:.9f}s", f"{seconds * 1e3:.6f}ms", f"{seconds * 1e6:.3f}µs", f"{seconds / 60:.12f}m"):
        read = read_environment({"JAEGER_REPORTER_FLUSH_INTERVAL": text})["reporter_flush_interval"]
        assert read == pytest.approx(seconds, rel=1e-5)
