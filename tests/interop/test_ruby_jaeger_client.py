"""Jaeger's client for Ruby, from Debian: over UDP, over HTTP, and asking for its sampling strategy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from sls_tracing.backend.all_in_one import all_in_one_in_background


@pytest.fixture(scope="module")
def ruby() -> str:
    """The interpreter with the client; .ci/packages names the package."""
    program = shutil.which("ruby")
    there = program and subprocess.run([program, "-e", "require 'jaeger/client'"], capture_output=True).returncode == 0
    if not there and not os.environ.get("CI"):
        pytest.skip("there is no ruby-jaeger-client here: apt-get install ruby-jaeger-client")
    assert there, "ruby-jaeger-client is missing: apt-get install ruby-jaeger-client"
    return program


def test_a_program_in_ruby(ruby, eventually) -> None:
    """Three traces arrive whole, with values of every type; the remote sampler turned on what was off."""
    with all_in_one_in_background() as backend:
        sampling = urlsplit(backend.url(backend.sampling_port))
        arguments = [str(backend.agent_compact_port), backend.collector_url, sampling.hostname, str(sampling.port)]
        program = str(Path(__file__).with_name("ruby_service.rb"))
        done = subprocess.run([ruby, program, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        ids = json.loads(done.stdout)
        for name, trace_id in ids.items():
            trace = eventually(lambda trace_id=trace_id: whole(backend, trace_id))
            spans = {span["operationName"]: span for span in trace["spans"]}
            process = trace["processes"][spans["root"]["processID"]]
            assert process["serviceName"] == f"ruby-{name}"
            root, child = (
                {tag["key"]: (tag["type"], tag["value"]) for tag in spans[each]["tags"]} for each in ("root", "child")
            )
            assert (root["text"], root["flag"], root["span.kind"]) == (
                ("string", "grüße"), ("bool", True), ("string", "server")
            )  # fmt: skip
            assert (child["number"], child["ratio"]) == (("int64", 7), ("float64", 0.5))
            assert spans["child"]["references"][0]["spanID"] == spans["root"]["spanID"]
            [log] = spans["child"]["logs"]
            assert {field["key"] for field in log["fields"]} == {"event", "number"}


def whole(backend, trace_id):
    """The trace once both of its spans are there."""
    data = requests.get(f"{backend.query_url}/api/traces/{trace_id}", timeout=20).json()["data"]
    return data[0] if data and len(data[0]["spans"]) == 2 else None
