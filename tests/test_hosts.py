"""Patterns of host names."""

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.hosts import ANY_HOST, MESH_HOSTS, Hosts


@pytest.mark.parametrize(
    "host",
    ["reviews", "localhost", "127.0.0.1", "::1", "reviews.default.svc", "reviews.default.svc.cluster.local"],
)
def test_the_mesh_is_this_pod_and_the_names_that_kubernetes_gives(host):
    assert host in MESH_HOSTS


@pytest.mark.parametrize(
    "host",
    ["example.com", "svc.cluster.local.evil.com", "xsvc.cluster.local.", "8.8.8.8", "2001:db8::1", "", None, "a.svcx"],
)
def test_everything_else_is_outside(host):
    """An address written as a short name is none; an unknown destination is outside."""
    assert host not in MESH_HOSTS


def test_a_star_is_anything_and_nothing_else_is_special():
    hosts = Hosts(["*.example.com", "10.0.*", "API.internal."])
    assert "a.b.example.com" in hosts
    assert "example.com" not in hosts
    assert "aXexample.com" not in hosts
    assert "10.0.3.4" in hosts
    assert "api.internal" in hosts
    assert "apiXinternal" not in hosts


def test_all_and_none():
    assert "anything" in ANY_HOST
    assert None in ANY_HOST
    assert "anything" not in Hosts()
    assert "" not in Hosts()


def test_one_pattern_may_be_plain_text():
    assert Hosts("reviews") == Hosts(["reviews"])
    assert "reviews" in Hosts("reviews")
    assert len({Hosts("a"), Hosts("a")}) == 1
    assert repr(Hosts("a")) == "Hosts(['a'])"


@pytest.mark.parametrize("pattern", ["http://reviews", "a/b", "", "  ", "ä", "a b", None, 5, "[::1]", "(a|b)"])
def test_what_is_no_pattern_is_refused_with_the_remedy(pattern):
    with pytest.raises(ConfigurationError, match="write a name or an address"):
        Hosts([pattern])
