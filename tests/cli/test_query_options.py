"""The options of the query API, as `sls-tracing query` and `sls-tracing all-in-one` take them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from sls_tracing.context import SpanContext
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import Process, SpanRecord

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
from roles import FREE, PROGRAM, Running

PAGE = """<!doctype html><head><base href="/" data-inject-target="BASE_URL" /><script>
const JAEGER_CONFIG = DEFAULT_CONFIG;
const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;
</script></head><body>jaeger</body>"""


@pytest.fixture
def build(tmp_path):
    folder = tmp_path / "ui"
    (folder / "static").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "static" / "main.js").write_text("main();")
    (tmp_path / "ui.json").write_text('{"archiveEnabled": true}')
    return folder


def test_a_build_of_jaegers_ui_behind_a_token_and_a_base_path(build, tmp_path):
    """One command: page, files and API below the path, all of them for those who have the token, health for anyone."""
    (tmp_path / "token").write_text("secret")
    options = ["--ui-dir", str(build), "--ui-config", str(tmp_path / "ui.json"), "--base-path", "/jaeger"]
    with Running("query", *options, "--auth-token-file", str(tmp_path / "token")) as query:
        url = query.urls["query"]
        headers = {"Authorization": "Bearer secret"}
        page = requests.get(url + "/search", headers=headers, timeout=20).text
        assert '<base href="/jaeger/"' in page
        assert 'JAEGER_CONFIG = {"archiveEnabled": true};' in page
        assert '"archiveStorage": true' in page
        for path in ("/static/main.js", "/api/services", "/api/v3/services", "/api/openapi.json"):
            assert requests.get(url + path, headers=headers, timeout=20).status_code == 200
            assert requests.get(url + path, timeout=20).status_code == 401
        assert requests.post(url + "/api/archive/1", timeout=20).status_code == 401
        assert requests.get(url.removesuffix("/jaeger") + "/healthz", timeout=20).status_code == 200


def test_jaegers_names_of_the_options_are_taken(build):
    """A command line that was Jaeger's works."""
    with Running("query", "--query.static-files", str(build), "--query.base-path", "/j") as query:
        assert '<base href="/j/"' in requests.get(query.urls["query"], timeout=20).text


def test_bounds_and_clock_skew(tmp_path):
    """Jaeger's option for clock skew, and ours for bounds, reach the answers."""
    now, storage = time.time(), str(tmp_path / "spans.duckdb")
    with contextlib.closing(open_trace_store(storage)) as store:
        for trace_id in (1, 2):
            for span_id, start in ((1, now - 30), (2, now - 40)):
                context = SpanContext(trace_id, span_id, 1 if span_id == 2 else None)
                process = Process(f"service-{span_id}")
                store.write([SpanRecord("op", context, [], start, start + 1, {}, [], process)])
    options = ["--query.max-clock-skew-adjustment", "1m", "--query.max-limit", "1"]
    with Running("query", "--storage", storage, *options) as query:
        [trace] = requests.get(query.urls["query"] + "/api/traces?service=*&limit=5", timeout=20).json()["data"]
    child = next(span for span in trace["spans"] if span["spanID"].endswith("2"))
    assert abs(child["startTime"] - (now - 30) * 1e6) < 2
    assert "moved by 10000000 µs" in child["warnings"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ui-dir", "/nowhere"], "index.html"),
        (["--ui-config", "x.json"], "--ui-dir"),
        (["--query.max-limit", "0"], "max limit"),
        (["--query.max-clock-skew-adjustment", "1"], "as in 500ms"),
        (["--query.max-trace-spans", "many"], "--query.max-trace-spans"),
    ],
    ids=["ui-dir", "ui-config", "max-limit", "clock-skew", "max-trace-spans"],
)
@pytest.mark.parametrize("command", ["query", "all-in-one"])
def test_what_cannot_work_is_said_at_start(command, options, message):
    """In a line, with the remedy and a status that is not 0; no traceback."""
    done = subprocess.run([*PROGRAM, command, *FREE[command], *options], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
