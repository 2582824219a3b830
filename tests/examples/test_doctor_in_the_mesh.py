"""`sls-tracing doctor --mesh` on the demonstration, with real sidecars."""

from __future__ import annotations

import subprocess
import sys

import pytest


def doctor(*options):
    return subprocess.run(
        [sys.executable, "-m", "sls_tracing", "doctor", *options],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    ("provider", "speaks", "header"), [("zipkin", "B3", "x-b3-traceid: "), ("otel", "W3C", "traceparent: 00-")]
)
def test_it_tells_what_the_mesh_speaks_and_shows_the_headers_of_each_service(
    provider, speaks, header, bookinfo, free_ports
):
    """A sound mesh: the whole tree, what came to each service and what it sent on; status 0."""
    gateway, query = free_ports
    command = bookinfo("--mesh", provider, "--gateway-port", gateway, "--query-port", query)
    command.read_until("Ctrl-C")
    done = doctor(
        "--mesh",
        f"http://127.0.0.1:{gateway}/productpage",
        "--query",
        f"http://127.0.0.1:{query}",
        "--wait",
        "12",
        "--format",
        speaks.lower(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "One tree of 17 spans and 9 services" in done.stdout
    assert "x-request-id is the same all the way" in done.stdout
    for service in ("productpage", "details", "reviews", "ratings"):
        assert f"{service} received\n" in done.stdout
    for service in ("productpage", "reviews"):
        assert f"{service} sent on\n" in done.stdout
    assert header in done.stdout.partition("ratings received")[2]


def test_without_a_query_api_it_says_where_to_look():
    """A setting that is wrong: status 2."""
    done = doctor("--mesh", "http://127.0.0.1:9/", "--query", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "was not answered" in done.stdout


def test_no_url():
    """What is no URL is refused with the remedy."""
    done = doctor("--mesh", "productpage")
    assert done.returncode == 2
    assert "http://" in done.stderr
