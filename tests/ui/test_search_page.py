"""Finding traces: the journeys of somebody who looks for the slow one and for the one that failed."""

from __future__ import annotations

import time

import requests

ALL = "/search?service=shop&lookback=all"


def titles(page):
    return [each.strip() for each in page.locator(".trace .title").all_inner_texts()]


def ids(page):
    return page.locator(".trace").evaluate_all("all => all.map((each) => each.dataset.id)")


def test_the_slow_trace_is_found(visit, site, until):
    """Choose the service, order by length, open the first: the critical path leads to the service that waited."""
    page = visit(site, "/search?lookback=all")
    page.select_option("#service", "shop")
    until(page, "document.querySelector('#operation').options.length > 1")
    assert page.locator("#operation option").all_inner_texts() == ["All operations", "GET /checkout", "render"]
    page.select_option("#operation", "GET /checkout")
    page.select_option("#sort", "longest")
    page.click("button.primary")
    page.wait_for_url("**sort=longest**")
    assert "service=shop" in page.url
    assert "operation=GET" in page.url
    assert "minDuration" not in page.url
    assert ids(page)[0] == f"{0x107:016x}"
    page.locator(".trace .title").first.click()
    page.locator("[data-timeline][data-ready]").wait_for()
    payments = page.locator(".row", has_text="authorise")
    assert "2.1 s" in payments.inner_text()
    assert payments.locator(".critical").count() >= 1


def test_the_trace_that_failed_is_found(visit, site):
    """An example fills the tags in; the result says which service failed; `e` goes to the span."""
    page = visit(site, ALL)
    page.click("[data-example='error=true']")
    assert page.input_value("#tags") == "error=true"
    page.keyboard.press("Enter")
    page.wait_for_url("**tags=error**")
    assert ids(page) == [f"{0x103:016x}"]
    assert "2 errors" in page.locator(".trace").inner_text()
    assert page.locator(".chip", has_text="shop").locator("em").inner_text() == "2!"
    page.locator(".trace .title").click()
    page.locator("[data-timeline][data-ready]").wait_for()
    page.keyboard.press("e")
    assert "render" in page.evaluate("document.activeElement.textContent")


def test_orders(visit, site):
    """Each order holds for all that match, not for the newest few."""
    shown = {
        sort: ids(visit(site, f"{ALL}&sort={sort}&limit=1"))[0]
        for sort in ("recent", "longest", "shortest", "spans", "errors")
    }
    assert shown["recent"] == f"{0x109:016x}"
    assert shown["longest"] == f"{0x107:016x}"
    assert shown["errors"] == f"{0x103:016x}"


def test_the_plot_has_a_link_for_each_trace_and_red_for_errors(visit, site):
    """A dot is a trace: a click opens it, its title says what it is."""
    page = visit(site, ALL)
    assert page.locator(".dot").count() == 10
    failed = page.locator(".dot.error")
    assert failed.count() == 1
    assert "GET /checkout" in failed.locator("title").text_content()
    failed.click()
    page.wait_for_url(f"**/trace/{0x103:016x}")


def test_brushing_zooms_into_the_plot(visit, site):
    """A drag over the plot searches that time only; the address says which, and a link leads back."""
    page = visit(site, ALL)
    box = page.locator("[data-area]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60, steps=4)
    assert page.locator(".brush").is_visible()
    page.mouse.up()
    page.wait_for_url("**start=**")
    assert 1 <= len(ids(page)) <= 4
    assert page.locator("#lookback").input_value() == "custom"
    assert page.input_value("#start").startswith("20")
    assert "service=shop" in page.url
    page.click("text=Back to the last hour")
    page.wait_for_url(lambda url: "start" not in url)
    assert len(ids(page)) == 10


def test_choosing_a_time_to_look_back_forgets_exact_times(visit, site):
    page = visit(site, "/search?service=shop&start=1600000000000000&end=1600000001000000")
    assert page.locator("text=Nothing matches").is_visible()
    page.select_option("#lookback", "all")
    page.click("button.primary")
    page.wait_for_url("**lookback=all**")
    assert len(ids(page)) == 10


def test_links_of_jaegers_search_page_lead_here(visit, site):
    """Its parameters mean the same: tags as JSON, microseconds, durations as Go writes them, limit."""
    query = "tags=%7B%22customer%22%3A%22c7%22%7D&minDuration=2s&limit=20&start=1600000000000000&end=1999999999000000&lookback=custom&maxDuration&operation=all"
    page = visit(site, f"/search?service=shop&{query}")
    assert ids(page) == [f"{0x107:016x}"]


def test_wildcards_in_tags(visit, site):
    page = visit(site, "/search?lookback=all&tags=customer%3D%22c%3F%22+http.status_code%3D5*")
    assert ids(page) == [f"{0x103:016x}"]


def test_two_chosen_traces_are_compared(visit, site):
    """The button waits for two; a third cannot be chosen."""
    page = visit(site, ALL)
    assert not page.locator(".choose button").is_visible()
    boxes = page.locator(".trace input")
    boxes.nth(0).check()
    assert page.locator(".choose button").is_disabled()
    boxes.nth(2).check()
    assert boxes.nth(1).is_disabled()
    page.click(".choose button")
    page.wait_for_url("**/compare?id=**&id=**")
    assert page.locator(".card").count() == 2


def test_new_traces_appear_by_themselves_when_asked(visit, site):
    """Live: a trace that arrives shows without a reload, and is announced; the address keeps the wish."""
    page = visit(site, "/search?service=newcomer&lookback=1h")
    assert page.locator(".trace").count() == 0
    page.check("[data-live]")
    assert "live=1" in page.url
    span = {
        "traceId": "00000000000000aa", "id": "00000000000000aa", "name": "hello", "timestamp": int(time.time() * 1e6), "duration": 5000,
        "localEndpoint": {"serviceName": "newcomer"},
    }  # fmt: skip
    assert requests.post(site.backend.zipkin_url, json=[span], timeout=10).ok
    page.locator(".trace", has_text="hello").wait_for()
    assert page.locator("[data-said]").inner_text() == "1 new trace"
    assert page.locator("#results").inner_text() == "1 trace"


def test_an_error_in_the_form_is_said_and_the_form_stays(visit, site):
    page = visit(site, "/search?service=shop&minDuration=soon", expected=400)
    assert "soon" in page.locator(".problem").inner_text()
    assert page.input_value("[name=minDuration]") == "soon"


def test_a_trace_id_opens_its_trace(visit, site):
    page = visit(site, "/search")
    page.fill("#lookup", "103")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/trace/{0x103:016x}")
