"""The query language's page: completing, running, charts, files, errors that point at their place."""

from __future__ import annotations

import csv
import json


def test_the_p99_is_analysed(visit, site):
    """From a named analysis to the query, changed, run by keyboard, and shown as a chart."""
    page = visit(site, "/analyse?time=all")
    page.click("text=Latency by service >> nth=0")
    page.wait_for_url("**analysis=p99-by-service**")
    assert page.locator(".bars tr", has_text="payments").count() == 1
    query = page.locator("#query")
    query.fill(query.input_value().replace("* |", "process.serviceName: payments |"))
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**query=process.serviceName**")
    assert page.locator(".data tbody tr").count() == 1
    page.click(".tabs >> text=Pie")
    page.wait_for_url("**chart=pie**")
    assert page.locator(".arc").count() == 1


def test_names_of_fields_complete_themselves(visit, site):
    """By keyboard; quoted as the half of the query wants it."""
    page = visit(site, "/analyse")
    query = page.locator("#query")
    query.fill("")
    query.press_sequentially("servicen")
    page.locator("[role=option]").first.wait_for()
    assert page.locator("[role=option]").first.inner_text() == "process.serviceName"
    query.press("ArrowDown")
    assert query.get_attribute("aria-activedescendant") == "completion-0"
    query.press("Enter")
    assert query.input_value() == "process.serviceName"
    query.press_sequentially(": shop | select servicen")
    page.locator("[role=option]").first.wait_for()
    query.press("Tab")
    assert query.input_value() == 'process.serviceName: shop | select "process.serviceName"'
    query.press_sequentially(" tags.http.sta")
    page.locator("[role=option]").first.wait_for()
    query.press("Escape")
    assert page.locator("#completions").is_hidden()


def test_an_error_points_at_its_place(visit, site):
    page = visit(site, "/analyse?query=*+%7C+select+count(1)+frm+log+group&time=all", expected=400)
    problem = page.locator(".problem")
    assert problem.get_attribute("role") == "alert"
    assert "^" in problem.inner_text()
    assert page.locator("#query").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "query"
    assert page.evaluate("document.activeElement.selectionStart") > 2


def test_answers_are_files_too(visit, site, tmp_path):
    """CSV and JSON hold what the table shows."""
    page = visit(site, "/analyse?analysis=error-rate&time=all")
    services = page.locator(".data tbody td:first-child").all_inner_texts()
    saved = {}
    for name in ("CSV", "JSON"):
        with page.expect_download() as waiting:
            page.click(f"a:text-is('{name}')")
        saved[name] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(saved[name])
    with saved["CSV"].open(newline="") as file:
        assert [row["service"] for row in csv.DictReader(file)] == services
    assert [row["service"] for row in json.loads(saved["JSON"].read_text())] == services


def test_the_histogram_leads_into_its_time(visit, site):
    page = visit(site, "/analyse?query=process.serviceName%3A+shop&time=1h")
    page.locator(".over-time a").first.click()
    page.wait_for_url("**from=**")
    assert "time=" not in page.url
    assert 1 <= page.locator(".data tbody tr").count() < 39
    page.select_option("#time", "all")
    page.click("button.primary")
    page.wait_for_url("**time=all**")
    assert "from=" not in page.url


def test_rows_of_a_search_lead_to_traces(visit, site):
    page = visit(site, "/analyse?query=tags.customer%3A+c7+or+customer&time=all")
    page = visit(site, "/analyse?query=operationName%3A+checkout&time=all")
    page.locator(".data tbody a").first.click()
    page.wait_for_url("**/trace/**")


def test_the_dashboard_shows_the_named_analyses(visit, site):
    """Ten cards; each leads to its query; the service narrows all of them."""
    page = visit(site, "/dashboard?time=all")
    assert page.locator(".cards > .card").count() == 10
    everything = page.locator(".card", has_text="Requests").first.locator(".number").first.inner_text()
    page.select_option("#service", "payments")
    page.wait_for_url("**service=payments**")
    assert page.locator(".card", has_text="Requests").first.locator(".number").first.inner_text() != everything
    page.click("text=Latency of whole requests")
    page.wait_for_url("**analysis=entry-latency**")
