from __future__ import annotations

import socket

import pytest

from sls_tracing.backend.sockets import bind_tcp, bind_udp
from sls_tracing.exceptions import ConfigurationError


@pytest.mark.parametrize("bind", [bind_tcp, bind_udp])
def test_a_taken_port_is_named_with_its_option(bind):
    """The message says which port, and which option chooses another."""
    with bind("127.0.0.1", 0, "--x") as first:
        port = first.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"port {port} of 127\.0\.0\.1: it is already in use.*--query-port"
        ):
            bind("127.0.0.1", port, "--query-port")


def test_a_host_that_is_not_ours_is_refused():
    """An address of the documentation range belongs to nobody."""
    with pytest.raises(ConfigurationError, match=r"does not have that address.*--host"):
        bind_udp("192.0.2.1", 0, "--x")


@pytest.mark.parametrize("host", ["", "no such host", "\udcff", "a" * 100])
def test_a_host_without_address_is_refused(host):
    """Whatever the resolver says, the message names the option."""
    with pytest.raises(ConfigurationError, match=r"cannot resolve the host.*--host"):
        bind_tcp(host, 0, "--x")


def test_localhost_is_ipv4():
    """Clients that say 127.0.0.1 must find it."""
    with bind_tcp("localhost", 0, "--x") as sock:
        assert sock.family == socket.AF_INET
