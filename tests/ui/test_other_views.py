"""Statistics, flame graph, graph, table, JSON, files, comparing, dependencies."""

from __future__ import annotations

import json
from pathlib import Path

import requests

TRACE = "/trace/0000000000000103"


def column(page, number):
    return page.locator(f".data tbody tr td:nth-child({number})").all_inner_texts()


def test_statistics_sort_by_every_column(visit, site):
    """Own time first; a click on a heading sorts by it, and says so."""
    page = visit(site, f"{TRACE}?view=statistics")
    assert (
        column(page, 2) == ["GET /checkout", "render", "SELECT orders", "authorise"]
        or column(page, 2)[0] == "GET /checkout"
    )
    page.click("th >> text=Longest")
    assert page.locator("th", has_text="Longest").get_attribute("aria-sort") == "descending"
    assert column(page, 2)[0] == "GET /checkout"
    page.click("th >> text=Longest")
    assert column(page, 2)[0] == "SELECT orders"
    page.click("text=By service")
    assert sorted(column(page, 1)) == ["orders", "payments", "shop"]


def test_the_flame_graph_leads_to_the_spans(visit, site):
    page = visit(site, f"{TRACE}?view=flame")
    assert page.locator(".flame rect").count() == 4
    page.locator(".flame a", has_text="authorise").click()
    page.wait_for_url("**find=authorise**")
    page.locator(".row.found").wait_for()


def test_the_graph_of_a_trace(visit, site):
    page = visit(site, f"{TRACE}?view=graph")
    assert page.locator(".box").count() == 3
    assert "1 call" in page.locator(".graph").text_content()
    assert page.locator(".box.failed").count() == 1


def test_the_table_is_paged(visit, site):
    page = visit(site, "/trace/1000?view=spans")
    assert page.locator(".data tbody tr").count() == 500
    page.click("text=Further")
    page.wait_for_url("**from=500**")
    assert "501 to 1000" in page.locator("caption").inner_text()


def test_a_trace_goes_through_a_file(visit, site, tmp_path):
    """The download opens again as a file, in every view, and compares with what is stored."""
    page = visit(site, TRACE)
    with page.expect_download() as waiting:
        page.click("text=Download JSON")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert len(json.loads(path.read_text())["data"][0]["spans"]) == 4
    upload = visit(site, "/upload")
    upload.set_input_files("[data-file]", path)
    upload.wait_for_url("**/trace/file-**")
    upload.locator("[data-timeline][data-ready]").wait_for()
    assert upload.locator(".row").count() == 4
    upload.locator(".row", has_text="SELECT orders").click()
    upload.locator("text=SELECT * FROM orders").wait_for()
    for view in ("statistics", "flame", "graph", "spans"):
        assert requests.get(f"{upload.url.partition('?')[0]}?view={view}", timeout=10).ok
    compared = visit(site, f"/compare?id={upload.url.partition('?')[0].rpartition('/')[2]}&id=103")
    assert compared.locator("tr.same").count() == 4


def test_a_file_that_is_none_is_refused_in_words(visit, site, tmp_path):
    path = Path(tmp_path / "no.json")
    path.write_text("{}")
    page = visit(site, "/upload", refused=True)
    page.set_input_files("[data-file]", path)
    page.locator(".problem", has_text="holds no traces").wait_for()


def test_pasted_json_is_shown_without_scripts(visit, site):
    page = visit(site, "/upload", scripts=False)
    page.fill("#json", requests.get(site.url + "/api/traces/103", timeout=10).text)
    page.click("text=Show it")
    page.wait_for_url("**/trace/file-**")
    assert page.locator(".row").count() == 4


def test_differences_of_two_traces_are_coloured(visit, site):
    """The slow call is marked, its time is said; what only one has is named so."""
    page = visit(site, "/compare?id=103&id=107")
    slow = page.locator("tr.slower", has_text="authorise")
    assert "+2 s" in slow.inner_text()
    ground = "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor"
    assert page.evaluate(ground, "tr.slower") != page.evaluate(ground, "tr.same")
    assert page.locator("tr.same", has_text="SELECT orders").count() == 1
    page.click("text=Swap")
    page.wait_for_url("**id=107&id=103**")
    assert page.locator("tr.faster", has_text="authorise").count() == 1
    removed = visit(site, "/compare?id=108&id=109")
    assert "render" in removed.locator("tr.removed").inner_text()


def test_comparing_with_a_large_trace_stays_readable(visit, site):
    page = visit(site, "/compare?id=103&id=20000")
    assert page.locator(".diff tbody tr").count() < 1000


def test_dependencies_lead_to_traces(visit, site):
    """On a line: calls, errors, p99. It leads to the callee's traces."""
    page = visit(site, "/dependencies")
    row = page.locator("tr", has_text="payments").filter(has_text="orders")
    assert row.locator("td").nth(2).inner_text() == "10"
    page.locator(".graph a", has_text="payments → orders").locator("text").click()
    page.wait_for_url("**service=orders**")
    assert page.locator(".trace").count() == 10
