"""The table of environment variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.environment import VARIABLES, read_environment
from sls_tracing.exceptions import ConfigurationError


def test_nothing_set_is_nothing_read():
    """An empty value is as good as none."""
    assert read_environment({}) == {}
    assert read_environment(dict.fromkeys(VARIABLES, "")) == {}
    assert read_environment(dict.fromkeys(VARIABLES, "  ")) == {}


def test_every_variable_is_described():
    """``sls-tracing doctor`` and the documentation show the table."""
    assert all(name.startswith("JAEGER_") for name in VARIABLES)
    assert all(variable.meaning for variable in VARIABLES.values())
    settings = [variable.setting for variable in VARIABLES.values()]
    assert len(settings) == len(set(settings))


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("JAEGER_SERVICE_NAME", " shop ", "service_name", "shop"),
        ("JAEGER_AGENT_HOST", "agent.tracing", "agent_host", "agent.tracing"),
        ("JAEGER_AGENT_PORT", "16831", "agent_port", 16831),
        ("JAEGER_SAMPLER_TYPE", "Probabilistic", "sampler_type", "probabilistic"),
        ("JAEGER_SAMPLER_PARAM", "0.5", "sampler_param", 0.5),
        ("JAEGER_TAGS", "a=b, c = d=e ,,f=", "tags", {"a": "b", "c": "d=e", "f": ""}),
        ("JAEGER_PROPAGATION", "B3-Single", "propagation", "b3-single"),
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
        ("JAEGER_SAMPLER_TYPE", "always", "const, probabilistic, ratelimiting"),
        ("JAEGER_SAMPLER_PARAM", "half", "number"),
        ("JAEGER_TAGS", "no equals", "key=value"),
        ("JAEGER_TAGS", "=value", "key=value"),
        ("JAEGER_PROPAGATION", "b4", "b3, b3-single"),
        ("JAEGER_PROPAGATION", ",", "b3, b3-single"),
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
        assert "JAEGER_" in str(error)


def test_a_value_that_is_no_text_is_read_as_its_text():
    """Of a mapping that a program made."""
    assert read_environment({"JAEGER_AGENT_PORT": 6831}) == {"agent_port": 6831}
