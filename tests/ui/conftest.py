"""A real Chromium before a real server: `tox -e ui`. Where CI is set, a missing browser fails; elsewhere it skips."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from sls_tracing.backend.all_in_one import all_in_one_in_background
from sls_tracing.context import SpanContext
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

BOOKINFO = Path(__file__).parents[2] / "examples" / "bookinfo"
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 740}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL = '<script>window.hacked = 1</script>"><img src=x onerror="window.hacked=1">'
EVIL_TRACE, BIG_TRACE, THOUSAND = 0xE1, 0x20000, 0x1000
BIG = 20_000


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, driven by Playwright."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if found is None or sync_playwright is None:
        missing = "these tests need the package playwright and a Chromium: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def until():
    """Waits until an expression holds in the page. Playwright's own ``wait_for_function`` asks again by ``eval``, which our pages forbid."""

    def holds(page, expression):
        limit = time.monotonic() + 30
        while not page.evaluate(expression):
            assert time.monotonic() < limit, f"never: {expression}"
            page.wait_for_timeout(50)

    return holds


class Site(NamedTuple):
    """A server with spans in it: its address, and itself."""

    url: str
    backend: object


def span(
    name, trace_id, span_id, parent=None, *, service="shop", start=0.0, length=0.1, tags=None, logs=(), warnings=()
):
    """A span that began ``start`` seconds after a moment five minutes ago."""
    begin = round(NOW + start, 6)
    context = SpanContext(trace_id=trace_id, span_id=span_id, parent_id=parent, sampled=True)
    references = [Reference("child_of", trace_id, parent)] if parent else []
    logs = [LogRecord(begin + at, fields) for at, fields in logs]
    process = Process(service, {"ip": "10.0.0.1", "hostname": "host-1"})
    return SpanRecord(name, context, references, begin, begin + length, tags or {}, logs, process, warnings)


NOW = time.time() - 300


def chain(trace_id, count):
    """A trace of many spans: a request, 100 steps, and what they called."""
    yield span("GET /big", trace_id, 1, service="big", length=10.0)
    for number in range(2, count + 1):
        parent = 1 if number <= 101 else 2 + number % 100
        begin = (parent - 2) * 0.09 + 0.001 * (number % 60) if parent > 1 else (number - 2) * 0.09
        service = ("big", "cache", "database")[number % 3]
        yield span(
            f"step {number}",
            trace_id,
            number,
            parent,
            service=service,
            start=begin,
            length=0.09 if parent == 1 else 0.001,
        )


def made_traces():
    """Ten checkouts, of which number 7 is slow and number 3 failed, and a trace in which every text is an attack."""
    for n in range(10):
        trace, at, slow = 0x100 + n, n * 10.0, 2.0 if n == 7 else 0.0
        error = {"error": True, "http.status_code": 503} if n == 3 else {"http.status_code": 200}
        yield span(
            "GET /checkout",
            trace,
            1,
            start=at,
            length=0.3 + slow,
            tags={"span.kind": "server", "customer": f"c{n}", **error},
        )
        yield span(
            "authorise",
            trace,
            2,
            1,
            service="payments",
            start=at + 0.05,
            length=0.1 + slow,
            tags={"span.kind": "server"},
        )
        yield span(
            "SELECT orders", trace, 3, 2, service="orders", start=at + 0.06, length=0.05,
            tags={"db.type": "sql", "db.statement": "SELECT * FROM orders"}, logs=[(0.01, {"event": "locked", "rows": 3})],
        )  # fmt: skip
        if n != 9:
            yield span(
                "render",
                trace,
                4,
                1,
                start=at + 0.2 + slow,
                length=0.08,
                tags=error if n == 3 else {},
                warnings=["skewed"],
            )
    logs = [(0.0, {EVIL: EVIL})]
    yield span(EVIL, EVIL_TRACE, 1, service=EVIL, tags={EVIL: EVIL, "error": True}, logs=logs, warnings=[EVIL])
    yield span("calls " + EVIL, EVIL_TRACE, 2, 1, service="other " + EVIL)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A server with made traces, a trace of 1,000 spans and one of 20,000."""
    storage = str(tmp_path_factory.mktemp("ui") / "spans.duckdb")
    store = open_trace_store(storage)
    store.write(list(made_traces()))
    for trace_id, count in ((THOUSAND, 1000), (BIG_TRACE, BIG)):
        store.write(list(chain(trace_id, count)))
    store.close()
    with all_in_one_in_background(storage=storage) as backend:
        yield Site(backend.query_url, backend)


@pytest.fixture(scope="session")
def bookinfo(tmp_path_factory):
    """A server with what the demonstration's services and their real Envoys sent: 12 requests, 3 that the mesh delayed, 3 that it failed."""
    storage = str(tmp_path_factory.mktemp("bookinfo") / "spans.duckdb")
    for options in (
        ["--requests", "12", "--reviews", "all"],
        ["--requests", "3", "--fault", "delay"],
        ["--requests", "3", "--fault", "abort"],
    ):
        command = [sys.executable, str(BOOKINFO), "--once", "--mesh", "zipkin", "--storage", storage, *options]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    with all_in_one_in_background(storage=storage) as backend:
        yield Site(backend.query_url, backend)


@pytest.fixture
def visit(browser):
    """A function that opens an address: visit(site, path, dark=…, phone=…). What the console complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(site, path, *, dark=False, phone=False, scripts=True, expected=200, refused=False):
        context = browser.new_context(
            viewport=PHONE if phone else LAPTOP,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            accept_downloads=True,
        )
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.set_default_navigation_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning")
                and not ((expected >= 400 or refused) and "status of" in message.text)
                else None
            ),
        )
        response = page.goto(site.url + path)
        assert response.status == expected, response.text()[:2000]
        if scripts and page.locator("[data-timeline]").count():
            page.locator("[data-timeline][data-ready]").wait_for(timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints
