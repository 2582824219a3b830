"""The table of settings, and the page that describes it."""

import re
from pathlib import Path

import pytest

from sls_tracing.environment import VARIABLES
from sls_tracing.settings import JAEGER_CLIENT_DEFAULTS, SETTINGS, with_defaults

PAGE = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]


def test_every_setting_has_its_row_in_the_documentation():
    """And no row is of a setting that does not exist."""
    described = {key for row in ROWS for key in re.findall(r"`([a-z0-9_.]+)`", row.split("|")[1])}
    assert described == set(SETTINGS) | {"sampler"}


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_stands_in_the_row_of_its_setting(name):
    """The documentation is the table."""
    rows = [row for row in ROWS if f"`{name}`" in row]
    assert len(rows) == 1
    assert f"`{VARIABLES[name].setting}`" in rows[0].split("|")[1]


def test_what_jaeger_client_knows_is_not_in_italics():
    """The list of its keys is that of facts measured at its 4.8.0."""
    theirs = {
        "service_name", "enabled", "logging", "metrics", "tags", "propagation", "generate_128bit_trace_id", "max_operations",
        "max_tag_value_length", "max_traceback_length", "reporter_batch_size", "reporter_queue_size", "reporter_flush_interval",
        "sampling_refresh_interval", "trace_id_header", "baggage_header_prefix", "debug_id_header", "sampler", "sampler.type",
        "sampler.param", "throttler", "throttler.port", "throttler.refresh_interval", "local_agent.enabled",
        "local_agent.reporting_host", "local_agent.reporting_port", "local_agent.sampling_port",
    }  # fmt: skip
    cells = [row.split("|")[1] for row in ROWS]
    slanted = {key for cell in cells for key in re.findall(r"\*`([a-z0-9_.]+)`\*", cell)}
    assert slanted == set(SETTINGS) - theirs


def test_every_setting_says_what_it_is_for():
    """For `sls-tracing doctor`; defaults that are set can be read back."""
    for key, setting in SETTINGS.items():
        assert setting.meaning, key
        if setting.default is not None:
            assert setting.read(setting.default) == setting.default, key
    for key, value in JAEGER_CLIENT_DEFAULTS.items():
        assert SETTINGS[key].read(value) == value


def test_with_defaults_has_every_row():
    """What is set, beside the defaults."""
    values = with_defaults({"logging": True})
    assert set(values) == set(SETTINGS)
    assert values["logging"] is True
    assert values["propagation"] == "mesh"
