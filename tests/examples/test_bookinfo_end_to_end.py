"""The whole demonstration, as a user runs it: real services, real UDP, the real backend."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from demonstration import names_of_ports, running
from ports import choose_ports

BOOKINFO = Path(__file__).parents[2] / "examples" / "bookinfo"


def run_once(bookinfo, *options):
    """The output of ``--once`` with ``options``. It has ended well, and nothing is left running."""
    command = bookinfo("--once", *options)
    output, _ = command.process.communicate(timeout=110)
    assert command.process.returncode == 0, output
    assert command.left_behind() == []
    return output


@pytest.mark.parametrize(
    ("mesh", "spans"),
    [("zipkin", "17 spans, 9 services"), ("otel", "17 spans, 9 services"), ("none", "8 spans, 4 services")],
)
def test_once_ends_with_status_0_after_complete_traces(bookinfo, mesh, spans):
    """Four services in each trace, and in a mesh the gateway and a sidecar for each, as one tree."""
    output = run_once(bookinfo, "--mesh", mesh, "--requests", "3")
    assert "3 of 3 traces complete" in output
    assert output.count(spans) == 3
    for line in (
        "productpage GET /productpage",
        "details GET /details",
        "reviews GET /reviews",
        "ratings GET /ratings",
    ):
        assert output.count(line) == 3
    assert len(re.findall(r"http://\S+/api/traces/[0-9a-f]{32}", output)) == 3


@pytest.mark.parametrize(("options", "spans"), [(["--no-mesh"], ["6", "8", "8"]), ([], ["13", "17", "17"])])
def test_all_three_versions_of_reviews_take_turns(bookinfo, options, spans):
    """v1 calls no ratings, so its trace lacks two spans, and four in a mesh."""
    output = run_once(bookinfo, "--reviews", "all", *options)
    assert sorted(re.findall(r"(\d+) spans", output)) == spans


def test_a_delay_at_the_gateway_shows_in_the_trace(bookinfo):
    output = run_once(bookinfo, "--fault", "delay")
    assert re.search(r"istio-ingressgateway.* server  2\d{3}\.\d ms  delay injected", output)
    assert "17 spans" in output


def test_an_abort_at_the_gateway_is_a_trace_of_one_span_with_an_error(bookinfo):
    output = run_once(bookinfo, "--fault", "abort")
    assert re.search(r"istio-ingressgateway.* error 503  fault injected", output)
    assert "1 spans" in output


@pytest.mark.parametrize("percent", ["0", "50"])
def test_what_the_gateway_does_not_sample_has_no_trace(bookinfo, percent):
    """The gateway decides; the services' own samplers say yes to everything, and are not asked."""
    output = run_once(bookinfo, "--sampling", percent, "--requests", "10")
    found = re.search(r"(\d+) of \1 traces complete", output)
    unsampled = re.search(r"(\d+) of 10 requests were not sampled", output)
    assert int(found[1]) + (int(unsampled[1]) if unsampled else 0) == 10
    assert percent != "0" or found[1] == "0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_until_it_is_told_to_end_and_takes_everything_along(bookinfo, number):
    command = bookinfo()
    output = command.read_until("Ctrl-C ends it all.")
    address = re.search(r"Product page\s+(\S+)", output).group(1)
    assert "The Comedy of Errors" in requests.get(address, timeout=10).text
    assert len(command.left_behind()) >= 11  # itself, the backend, four services, the gateway and four sidecars
    command.process.send_signal(number)
    rest, _ = command.process.communicate(timeout=60)
    assert command.process.returncode == 0, rest
    assert command.left_behind() == []


def test_a_signal_during_the_start_leaves_nothing_behind(bookinfo):
    command = bookinfo("--once")
    command.read_until("Starting")
    command.process.send_signal(signal.SIGTERM)
    command.process.communicate(timeout=60)
    assert command.process.returncode == 128 + signal.SIGTERM
    assert command.left_behind() == []


def test_traces_in_a_file_survive_and_old_ones_are_not_counted(bookinfo, tmp_path):
    """The second run finds its own trace only, although the first one's is in the same store."""
    for _ in range(2):
        command = bookinfo("--once", "--storage", str(tmp_path / "traces.db"))
        output, _ = command.process.communicate(timeout=110)
        assert command.process.returncode == 0, output
        assert "1 of 1 traces complete" in output


def test_killing_the_agent_in_mid_run_harms_no_request(tmp_path):
    """Spans are lost, requests are not: telemetry never breaks its host."""
    ports = choose_ports(names_of_ports("v3"), {}, prefer_usual=False)
    with running(ports, "v3", None, tmp_path) as bookinfo, ThreadPoolExecutor() as executor:
        traffic = executor.submit(bookinfo.send_requests, 200)
        metrics_url = bookinfo.page_url.replace("/productpage", "/metrics")
        while not re.search(r'"200"} [2-9]\d', requests.get(metrics_url, timeout=10).text):  # 20 to 99 so far
            assert not traffic.done()
        bookinfo.backend.process.kill()
        bookinfo.backend.process.wait()
        assert traffic.result(timeout=100) == []
        assert "currently unavailable" not in requests.get(bookinfo.page_url, timeout=10).text
        assert [child.process.poll() for child in bookinfo.services] == [None] * 4
    assert [child.process.returncode for child in bookinfo.services] == [0] * 4
    for child in bookinfo.services:
        assert "Traceback" not in child.log.read_text()
