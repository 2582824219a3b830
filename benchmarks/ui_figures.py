"""How fast the pages are, measured in a real Chromium: first paint of the search page and of a trace, a large trace opened and scrolled.

    pip install -e '.[server]' playwright && apt-get install chromium && python benchmarks/ui_figures.py

First paint is Chromium's own ``first-contentful-paint``, from the navigation's begin, the server's work included; the shortest and the median of
several, with a new browser profile each time, so that nothing is cached: other work on the machine can only
add, and how much shows the first line. The rows of a scrolled timeline are counted while it moves.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from sls_tracing.backend.all_in_one import all_in_one_in_background
from sls_tracing.context import SpanContext
from sls_tracing.log_service import open_trace_store
from sls_tracing.model import Process, Reference, SpanRecord

REPEATS = 7
TRACES, SMALL, LARGE = 200, 1_000, 20_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]

PAINTED = """() => new Promise((found) => new PerformanceObserver((list) => {
    for (const each of list.getEntries()) if (each.name === "first-contentful-paint") found(each.startTime);
}).observe({ type: "paint", buffered: true }))"""

SCROLLED = """async () => {
    const frames = [];
    let most = 0;
    for (let at = 0, before = performance.now(); at < 60; at += 1) {
        scrollBy(0, 5000);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - before);
        before = now;
        most = Math.max(most, document.querySelectorAll(".row").length);
    }
    frames.sort((a, b) => a - b);
    return { median: frames[30], worst: frames[59], rows: most, reached: scrollY };
}"""


def spans(trace_id: int, count: int, begin: float) -> list[SpanRecord]:
    """A request, steps of it one after the other, and what each called."""
    length = count / 1000
    steps = max(1, count // 20)
    found = []
    for number in range(1, count + 1):
        parent = None if number == 1 else 1 if number <= steps + 1 else 2 + number % steps
        at = 0.0 if parent is None else ((number - 2 if parent == 1 else parent - 2) % steps) * length / steps
        took = length if parent is None else length / steps * (1.0 if parent == 1 else 0.8)
        context = SpanContext(trace_id=trace_id, span_id=number, parent_id=parent, sampled=True)
        references = [] if parent is None else [Reference("child_of", trace_id, parent)]
        tags = {"http.method": "GET", "http.status_code": 200, "http.url": f"http://service/{number}"}
        process = Process(f"service-{number % 8}", {"ip": "10.0.0.1", "hostname": "host"})
        found.append(
            SpanRecord(
                f"operation {number % 40}", context, references, begin + at, begin + at + took, tags, [], process
            )
        )
    return found


def first_paints(browser: Browser, url: str, repeats: int = REPEATS) -> tuple[float, float, int]:
    """Return the shortest and the median first paint in milliseconds, and the bytes of the page."""
    times, size = [], 0
    for _ in range(repeats):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        response = page.goto(url, wait_until="commit", timeout=120_000)
        times.append(page.evaluate(PAINTED))
        assert response is not None
        size = len(response.body())
        page.context.close()
    return min(times), statistics.median(times), size


def main() -> int:
    """Print the figures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        storage = str(Path(folder) / "spans.duckdb")
        store = open_trace_store(storage)
        for number in range(TRACES):
            store.write(spans(0x100 + number, 20, time.time() - 1800 + number))
        for trace_id, count in ((0x1000, SMALL), (0x20000, LARGE)):
            store.write(spans(trace_id, count, time.time() - 1200))
        store.close()
        with all_in_one_in_background(storage=storage) as backend, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            print(f"{'page':46}{'first paint':>14}{'median':>12}{'page':>12}")
            for name, path, repeats in (
                ("a page with next to nothing in it", "/upload", REPEATS),
                ("search, 20 traces listed", "/search?lookback=1h", REPEATS),
                ("search, 200 traces listed", "/search?lookback=1h&limit=200", REPEATS),
                (f"a trace of {SMALL:,} spans", "/trace/1000", REPEATS),
                (f"a trace of {LARGE:,} spans", "/trace/20000", 3),
            ):
                shortest, median, size = first_paints(browser, backend.query_url + path, repeats)
                print(f"{name:46}{shortest:>11.0f} ms{median:>9.0f} ms{size / 1000:>9.0f} kB")
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            began = time.perf_counter()
            page.goto(f"{backend.query_url}/trace/20000", timeout=120_000)
            page.locator("[data-timeline][data-ready]").wait_for(timeout=120_000)
            print(f"{LARGE:,} spans: every row there after {time.perf_counter() - began:.1f} s")
            moved = page.evaluate(SCROLLED)
            print(
                f"{LARGE:,} spans: scrolling, a frame takes {moved['median']:.0f} ms, the worst of 60 {moved['worst']:.0f} ms, "
                f"with at most {moved['rows']} rows in the page"
            )
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
