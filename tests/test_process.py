"""The tags of the process: asked of the machine, never of a name server."""

import ipaddress
import socket

from sls_tracing import __version__
from sls_tracing.process import process_tags


def test_the_names_are_those_of_jaegers_clients():
    """All of them text."""
    tags = process_tags()
    assert tags["jaeger.version"] == f"sls-tracing-{__version__}"
    assert tags["hostname"] == socket.gethostname()
    assert ipaddress.ip_address(tags["ip"])


def test_a_machine_without_network(monkeypatch):
    """No route, no socket: the loopback address, and no name server is asked."""

    def refuse(*_):
        raise OSError("no network")

    for name in ("socket", "gethostbyname", "getaddrinfo", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    assert process_tags()["ip"] == "127.0.0.1"
