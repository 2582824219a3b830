"""The pages before the real demonstration: four services, their Envoys and a gateway, with the mesh's delays and failures."""

from __future__ import annotations

ROOT = "istio-ingressgateway.istio-system"


def test_the_delayed_request_is_found_and_its_cause_is_the_gateway(visit, bookinfo):
    """The mesh held the request up; the critical path and the own time say where."""
    page = visit(bookinfo, f"/search?service={ROOT}&lookback=all&sort=longest&limit=20")
    assert "2" in page.locator(".trace .length").first.inner_text()
    page.locator(".trace .title").first.click()
    page.locator("[data-timeline][data-ready]").wait_for()
    page.goto(page.url.partition("?")[0] + "?view=statistics")
    first = page.locator(".data tbody tr").first
    assert ROOT in first.inner_text()


def test_the_aborted_requests_are_found(visit, bookinfo):
    page = visit(bookinfo, f"/search?service={ROOT}&lookback=all&tags=http.status_code%3D503")
    assert page.locator(".trace.failed").count() == 3
    assert page.locator(".dot.error").count() == 3


def test_sidecars_fold_into_their_services(visit, bookinfo):
    """Seventeen spans without the proxies' are ten; the proxies' time stays as an outline, the address keeps the choice."""
    page = visit(bookinfo, "/search?service=ratings&lookback=all&sort=recent")
    page.locator(".trace .title").first.click()
    page.locator("[data-timeline][data-ready]").wait_for()
    assert page.locator("[data-rows]").get_attribute("aria-rowcount") == "17"
    page.check("[data-sidecars]")
    assert page.locator("[data-rows]").get_attribute("aria-rowcount") == "10"
    assert "sidecars=folded" in page.url
    assert page.locator(".row .shell").count() >= 3
    assert page.locator(".row.sidecar").count() == 0
    page.keyboard.press("s")
    assert page.locator("[data-rows]").get_attribute("aria-rowcount") == "17"


def test_dependencies_with_and_without_sidecars(visit, bookinfo):
    """Folded: the services as Bookinfo's documentation draws them."""
    page = visit(bookinfo, "/dependencies")
    rows = page.locator(".data tbody tr").all_inner_texts()
    pairs = {tuple(row.split("\t")[:2]) for row in rows}
    assert pairs == {
        (ROOT, "productpage"),
        ("productpage", "details"),
        ("productpage", "reviews"),
        ("reviews", "ratings"),
    }
    page.select_option("#sidecars", "shown")
    page.wait_for_url("**sidecars=shown**")
    assert page.locator(".box", has_text="productpage.default").count() == 1


def test_the_dashboard_of_bookinfo(visit, bookinfo):
    """All cards have figures: 18 requests, 99 % within more than two seconds, services in the charts."""
    page = visit(bookinfo, "/dashboard?time=1h")
    assert page.locator(".problem").count() == 0
    assert page.locator(".card", has_text="Requests").first.locator(".number").first.inner_text().strip() == "18"
    assert page.locator("#card-traffic-by-service ~ .ring .legend", has_text="productpage").count() == 1


def test_a_slow_and_a_quick_request_compared(visit, bookinfo):
    page = visit(bookinfo, f"/search?service={ROOT}&lookback=all&tags=http.status_code%3D200&sort=longest")
    boxes = page.locator(".trace input")
    boxes.first.check()
    boxes.last.check()
    page.click(".choose button")
    page.wait_for_url("**/compare**")
    assert page.locator("tr.faster", has_text=ROOT).count() >= 1
