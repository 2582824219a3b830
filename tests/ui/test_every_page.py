"""What holds for every page: accessible in both schemes, no wider than a phone, nothing inline, nothing of the data taken for HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe

PAGES = {
    "home": "/",
    "search": "/search?lookback=all&limit=50",
    "search-nothing": "/search?service=nobody&lookback=all",
    "search-exact": "/search?start=1600000000000000&end=1900000000000000",
    "trace": "/trace/103?span=0000000000000004",
    "trace-sidecars": "/trace/103?sidecars=folded&colour=heat&zoom=0-100000",
    "statistics": "/trace/103?view=statistics",
    "statistics-services": "/trace/103?view=statistics&group=service",
    "flame": "/trace/103?view=flame",
    "graph": "/trace/103?view=graph",
    "spans": "/trace/103?view=spans",
    "compare-form": "/compare",
    "compare": "/compare?id=103&id=107",
    "compare-removed": "/compare?id=108&id=109",
    "dependencies": "/dependencies",
    "dependencies-apart": "/dependencies?sidecars=shown&lookback=7d",
    "analyse": "/analyse",
    "analyse-search": "/analyse?query=tags.error%3A+true&time=all",
    "analyse-line": "/analyse?analysis=entry-latency&time=all",
    "analyse-pie": "/analyse?analysis=traffic-by-service&time=all",
    "analyse-bar": "/analyse?analysis=p99-by-service&time=all",
    "analyse-number": "/analyse?analysis=requests&time=all",
    "dashboard": "/dashboard?time=all",
    "upload": "/upload",
}
FAILING = {
    "no-trace": ("/trace/deadbeef", 404),
    "no-id": ("/trace/xyz", 400),
    "bad-search": ("/search?limit=no", 400),
    "bad-query": ("/analyse?query=*+%7C+select+count(1)+frm+log+group&time=all", 400),
}
EVIL_PAGES = {
    "search": "/search?lookback=all&limit=50",
    "tags": "/search?tags=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E&lookback=all",
    "service": "/search?service=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E",
    "timeline": "/trace/e1?span=0000000000000001",
    "statistics": "/trace/e1?view=statistics",
    "flame": "/trace/e1?view=flame",
    "graph": "/trace/e1?view=graph",
    "spans": "/trace/e1?view=spans",
    "compare": "/compare?id=e1&id=103",
    "compare-ids": "/compare?id=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E",
    "dependencies": "/dependencies",
    "analyse-rows": "/analyse?query=*&time=all",
    "analyse-bar": "/analyse?analysis=p99-by-service&time=all",
    "analyse-pie": "/analyse?analysis=traffic-by-service&time=all",
    "dashboard": "/dashboard?time=all",
    "fragment": "/trace/e1/spans/0000000000000001",
}
# Chromium reports no contrast for text in SVG to axe; those colours are the same variables as those of the page's text.
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(visit, site, name):
    """WCAG 2.2 AA and axe's best practices hold on every page in both schemes, contrast included."""
    page = visit(site, PAGES[name])
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []


@pytest.mark.parametrize("name", FAILING)
def test_a_page_of_an_error_is_a_page_like_others(visit, site, name):
    """An error has its status, says what to do, and is accessible."""
    path, status = FAILING[name]
    page = visit(site, path, expected=status)
    assert page.locator("main").inner_text().strip()
    assert violations(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_every_page_without_scrolling_sideways(visit, site, name):
    """At 375 pixels, what is wider scrolls within itself."""
    page = visit(site, PAGES[name], phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("name", EVIL_PAGES)
def test_stored_text_stays_text(visit, site, name):
    """A service, operation, tag, log or parameter that looks like HTML is shown as it is, and nothing of it runs."""
    path = EVIL_PAGES[name]
    page = visit(site, path, expected=requests.get(site.url + path, timeout=30).status_code)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script:not([type='application/json']), img[src=x]").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_no_inline_script_or_style(site, name):
    """The policy forbids both; the HTML does not try. Files come from the server itself."""
    answer = requests.get(site.url + PAGES[name], timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attributes in elements(answer.text):
        assert tag != "style"
        assert not [each for each in attributes if each == "style" or each.startswith("on")]
        assert tag != "script" or "src" in attributes or attributes["type"] == "application/json"
        assert not [
            each for each in ("src", "href") if (attributes.get(each) or "").startswith(("http", "//", "javascript"))
        ]


def elements(text):
    """Every element of a page and its attributes, as a browser reads them."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(text)
    return found


@pytest.mark.parametrize("path", ["/search?lookback=all&service=shop", "/trace/103", "/trace/20000?from=300", "/compare?id=103&id=107", "/dependencies", "/analyse?analysis=error-rate&time=all"])  # fmt: skip
def test_pages_work_without_scripts(visit, site, path):
    """What the server computes is there without a script."""
    page = visit(site, path, scripts=False)
    assert page.locator("main").inner_text()
    assert page.locator("[hidden]:visible").count() == 0


def test_skipping_to_the_content(visit, site):
    """The first Tab leads past the navigation."""
    page = visit(site, "/search?lookback=all")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def violations(page):
    """What axe found, in few words."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary", "")[:300]) for each in found
    ]
