"""Takes the pictures of docs/ui.md from the real demonstration with its sidecars: ``pip install -e '.[demo]' playwright pillow && python benchmarks/ui_pictures.py``.

Look at each before it is committed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sls_tracing.backend.all_in_one import all_in_one_in_background

DOCS = Path(__file__).parents[1] / "docs"
BOOKINFO = DOCS.parent / "examples" / "bookinfo"
TRAFFIC = (
    ["--requests", "20", "--reviews", "all"],
    ["--requests", "2", "--fault", "delay"],
    ["--requests", "15", "--reviews", "all"],
    ["--requests", "3", "--fault", "abort"],
    ["--requests", "15", "--reviews", "all"],
)
LARGEST = 150_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]


def main() -> int:
    """Take them all."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        storage = str(Path(folder) / "spans.duckdb")
        for options in TRAFFIC:
            subprocess.run(
                [sys.executable, str(BOOKINFO), "--once", "--storage", storage, *options],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        with all_in_one_in_background(storage=storage) as backend, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            for scheme, name in (
                ("light", "search"),
                ("light", "trace"),
                ("dark", "trace-dark"),
                ("light", "compare"),
                ("light", "dependencies"),
                ("dark", "analyse"),
            ):
                page = browser.new_page(viewport={"width": 1240, "height": 640}, color_scheme=scheme)
                JOURNEYS[name.removesuffix("-dark")](page, backend.query_url)
                if name == "trace-dark":
                    fold_sidecars(page)
                page.mouse.move(0, 0)
                page.wait_for_timeout(300)
                save(page.screenshot(), DOCS / f"ui-{name}.png")
            browser.close()
    return 0


def search(page: Page, url: str) -> None:
    """A list in which something failed and something was slow."""
    page.goto(f"{url}/search?lookback=1h&limit=100")


def trace(page: Page, url: str) -> None:
    """A request through the whole mesh, whose details nobody asked for yet."""
    page.goto(f"{url}/search?service=ratings&lookback=1h&sort=spans&limit=20")
    page.locator(".trace .title").first.click()
    page.locator("[data-timeline][data-ready]").wait_for()


def fold_sidecars(page: Page) -> None:
    """The same without the proxies' spans, and what one span holds."""
    page.check("[data-sidecars]")
    page.locator(".row", has_text="GET /reviews").click()
    page.locator("[data-panel] .detail").wait_for()


def compare(page: Page, url: str) -> None:
    """A request that the mesh held up, beside one that it did not."""
    page.goto(f"{url}/search?service=productpage&lookback=1h&sort=longest&limit=50")
    boxes = page.locator(".trace input")
    boxes.nth(20).check()
    boxes.nth(0).check()
    page.click(".choose button")
    page.wait_for_url("**/compare**")


def dependencies(page: Page, url: str) -> None:
    """Bookinfo's services."""
    page.goto(f"{url}/dependencies?lookback=1h")


def analyse(page: Page, url: str) -> None:
    """The 99th percentile by service."""
    page.goto(f"{url}/analyse?analysis=p99-by-service&time=15m")


JOURNEYS = {"search": search, "trace": trace, "compare": compare, "dependencies": dependencies, "analyse": analyse}


def save(picture: bytes, path: Path) -> None:
    """Write a picture as small as it gets without a change; complain about a large one."""
    Image.open(io.BytesIO(picture)).convert("RGB").save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size / 1000:.0f} kB")
    if size > LARGEST:
        raise SystemExit(f"{path.name} is larger than {LARGEST} bytes")


if __name__ == "__main__":
    sys.exit(main())
