"""Ids of traces in the tables of `sls-tracing search` are links to their pages, where that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sls_tracing.context import SpanContext
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import Process, SpanRecord

PAGE = "http://127.0.0.1:16686/trace/00000000000000ab"


@pytest.fixture
def storage(tmp_path):
    path = str(tmp_path / "spans.duckdb")
    store = open_trace_store(path)
    store.write(
        [
            SpanRecord(
                "op", SpanContext(trace_id=0xAB, span_id=1, sampled=True), [], 1.6e9, 1.6e9 + 1, {}, [], Process("svc")
            )
        ]
    )
    store.close()
    return path


@pytest.mark.parametrize(
    ("options", "variables", "linked"),
    [
        (["--ui", "http://127.0.0.1:16686/"], {}, True),
        ([], {"SLS_TRACING_UI": "http://127.0.0.1:16686"}, True),
        ([], {}, False),
        (["--ui", "http://127.0.0.1:16686", "--format", "json"], {}, False),
    ],
    ids=["option", "variable", "neither", "json"],
)
def test_ids_are_links_if_the_pages_address_is_known(storage, options, variables, linked):
    """As terminals take them (OSC 8); never in what programs read."""
    environment = {key: value for key, value in os.environ.items() if key != "SLS_TRACING_UI"}
    command = [sys.executable, "-m", "sls_tracing", "search", "--storage", storage, "--from", "all", *options]
    ended = subprocess.run(
        command, env={**environment, **variables, "FORCE_COLOR": "1", "COLUMNS": "200"}, capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    assert (PAGE in ended.stdout) == linked
    assert "00000000000000ab" in ended.stdout
