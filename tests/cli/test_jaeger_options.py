"""Options under Jaeger's names, for agent and collector."""

from __future__ import annotations

import argparse

import pytest

from sls_tracing.cli import agent, collector
from sls_tracing.cli.jaeger_options import read_tags
from sls_tracing.exceptions import ConfigurationError


def parsed(module, *arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    module.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_line_of_jaegers_agent():
    """Ports with and without a host; the host is that of all."""
    args = parsed(
        agent,
        "--collector=http://c:14268",
        "--processor.jaeger-compact.server-host-port=0.0.0.0:16831",
        "--processor.jaeger-binary.server-host-port=:16832",
        "--processor.zipkin-compact.server-host-port=15775",
        "--http-server.host-port=0.0.0.0:15778",
        "--admin.http.host-port=:24271",
        "--agent.tags=zone=a,node=n1",
    )
    assert (args.compact_port, args.binary_port, args.zipkin_port) == (16831, 16832, 15775)
    assert (args.sampling_port, args.admin_port, args.host, args.tags) == (15778, 24271, "0.0.0.0", "zone=a,node=n1")


def test_the_command_line_of_jaegers_collector(tmp_path):
    """IPv6 in brackets, as everywhere."""
    args = parsed(
        collector,
        "--collector.http-server.host-port=[::1]:24268",
        "--collector.zipkin.host-port=:19411",
        "--collector.otlp.http.host-port=:14318",
        "--sampling.strategies-file=strategies.json",
    )
    assert (args.thrift_port, args.zipkin_port, args.otlp_port, args.host) == (24268, 19411, 14318, "::1")
    assert (args.admin_port, args.sampling_strategies) == (14269, "strategies.json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--compact-port=99999"],
        ["--compact-port=127.0.0.1:"],
        ["--compact-port=1.2.3.4:1", "--binary-port=1.2.3.5:2"],
    ],
    ids=["range", "nothing", "hosts"],
)
def test_what_cannot_be_meant(arguments, capsys):
    """Told with the option's name."""
    with pytest.raises(SystemExit):
        parsed(agent, "--collector=http://c", *arguments)
    assert "-port" in capsys.readouterr().err


def test_tags_with_variables(monkeypatch):
    """As Jaeger expands them; a tag without a value is left out."""
    monkeypatch.setenv("ZONE", "b")
    assert read_tags("a=1, zone=${ZONE:x},node=${NO_SUCH:unknown},empty=${NO_SUCH},url=http://h:1/?a=b") == {
        "a": "1", "zone": "b", "node": "unknown", "url": "http://h:1/?a=b",
    }  # fmt: skip
    assert read_tags("") == {}
    for wrong in ("zone", "=a", "a=1,b"):
        with pytest.raises(ConfigurationError, match="key=value"):
            read_tags(wrong)
