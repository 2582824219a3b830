"""The timeline by mouse and by keyboard, for small traces and for one of 20,000 spans."""

from __future__ import annotations

BIG = "/trace/0000000000020000"
NAMES = ["shop GET /checkout", "payments authorise", "orders SELECT orders", "shop render warning"]


def names(page):
    """The rows in sight, from top to bottom."""
    read = "all => all.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map((each) => each.querySelector('.name').innerText.trim())"
    return page.locator("[data-rows] .row").evaluate_all(read)


def focused(page):
    return page.evaluate("document.activeElement.querySelector?.('.name')?.innerText.trim()")


def test_rows_are_the_tree(visit, site):
    """Parents before their children, indented, with their level for screen readers."""
    page = visit(site, "/trace/100")
    assert names(page) == NAMES
    levels = page.locator(".row").evaluate_all("all => all.map((each) => each.getAttribute('aria-level'))")
    assert levels == ["1", "2", "3", "2"]


def test_the_servers_rows_and_the_scripts_are_the_same(visit, site):
    """What is there before the script, and without one, does not move when it comes."""
    read = """all => all.map((each) => [each.id, each.querySelector('.name').innerText.trim(), each.querySelector('rect').getAttribute('x'),
        Math.round(each.getBoundingClientRect().left), Math.round(each.querySelector('svg').getBoundingClientRect().width), each.querySelector('text').getAttribute('class') ?? '',
        each.querySelector('text').getAttribute('text-anchor'), each.querySelector('text').textContent])"""
    plain = visit(site, "/trace/103", scripts=False).locator(".row").evaluate_all(read)
    drawn = visit(site, "/trace/103").locator(".row").evaluate_all(read)
    for before, after in zip(plain, drawn, strict=True):
        assert before[:2] == after[:2]
        assert abs(float(before[2].rstrip("%")) - float(after[2].rstrip("%"))) < 0.01
        assert before[3:] == after[3:]


def test_a_journey_by_keyboard(visit, site):
    """Tab reaches one row; arrows move, fold and unfold; Enter shows what a span holds; Escape closes it."""
    page = visit(site, "/trace/103")
    page.locator(".row[tabindex='0']").focus()
    assert focused(page) == "shop GET /checkout failed"
    page.keyboard.press("ArrowDown")
    assert focused(page) == "payments authorise"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    assert "orders SELECT orders" not in names(page)
    page.keyboard.press("ArrowRight")
    assert "orders SELECT orders" in names(page)
    page.keyboard.press("ArrowRight")
    assert focused(page) == "orders SELECT orders"
    page.keyboard.press("Enter")
    panel = page.locator("[data-panel]")
    panel.locator("text=db.statement").wait_for()
    assert "span=0000000000000003" in page.url
    page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert "span=" not in page.url
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "payments authorise"
    page.keyboard.press("End")
    assert focused(page) == "shop render failed"
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()


def test_what_a_span_holds(visit, site):
    """Tags, process, logs with their time, references, warnings, and figures."""
    page = visit(site, "/trace/103")
    page.locator(".row", has_text="SELECT orders").click()
    panel = page.locator("[data-panel]")
    panel.locator("text=SELECT * FROM orders").wait_for()
    text = panel.inner_text()
    for part in ("Duration", "50 ms", "Own time", "db.type", "locked", "at 70 ms", "Process", "References"):
        assert part in text
    page.locator(".row", has_text="render").click()
    panel.locator("text=skewed").wait_for()
    panel.locator("[data-close]").click()
    assert panel.is_hidden()


def test_a_link_to_a_span_opens_it(visit, site):
    """With and without scripts; the row is marked and in sight."""
    for scripts in (True, False):
        page = visit(site, "/trace/103?span=0000000000000003", scripts=scripts)
        assert "db.statement" in page.locator("[data-panel]").inner_text()
        assert page.locator(".row.selected").inner_text().strip().startswith("orders SELECT orders")


def test_finding_marks_and_goes(visit, site):
    """Services, operations, tags and logs are looked through; n and p go from one to the next; the address keeps the text."""
    page = visit(site, "/trace/103")
    page.keyboard.press("/")
    page.keyboard.type("LOCKED")
    page.locator("text=1 found").wait_for()
    assert page.locator(".row.found").inner_text().startswith("orders")
    assert "find=LOCKED" in page.url
    page.fill("[data-find]", "shop")
    page.locator("text=2 found").wait_for()
    page.keyboard.press("Enter")
    assert page.locator("[data-found]").inner_text() == "1 of 2"
    page.keyboard.press("Escape")
    assert page.locator(".row.found").count() == 0
    assert "find" not in page.url
    again = visit(site, "/trace/103?uiFind=authorise")
    assert again.locator(".row.found").count() == 1


def test_zoom_by_brush_buttons_and_keys(visit, site):
    """The minimap's brush sets the part; the ruler says it, bars move, the address keeps it."""
    page = visit(site, "/trace/103")
    ruler = page.locator("[data-ruler]")
    assert ruler.locator("text").all_text_contents()[-1] == "300 ms"
    box = page.locator("[data-minimap]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 10, steps=3)
    page.mouse.up()
    first, last = (float(ruler.locator("text").all_text_contents()[n].split()[0]) for n in (0, -1))
    assert 145 < first < 155
    assert 220 < last < 230
    assert "zoom=" in page.url
    again = visit(site, page.url.removeprefix(site.url))
    assert again.locator("[data-ruler] text").all_text_contents() == ruler.locator("text").all_text_contents()
    page.locator(".row").first.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert float(ruler.locator("text").first.text_content().split()[0]) > first
    page.keyboard.press("0")
    assert ruler.locator("text").all_text_contents()[-1] == "300 ms"
    assert "zoom" not in page.url
    page.click("[data-zoom=in]")
    assert ruler.locator("text").all_text_contents()[-1] == "225 ms"


def test_colours_by_own_time_and_by_error(visit, site):
    page = visit(site, "/trace/107?colour=heat")
    fill = "(name) => getComputedStyle([...document.querySelectorAll('.row')].find((row) => row.innerText.includes(name)).querySelector('.fill')).fill"
    assert page.evaluate(fill, "authorise") != page.evaluate(fill, "render")
    page.select_option("[data-colour]", "error")
    assert "colour=error" in page.url
    assert page.evaluate(fill, "authorise") == page.evaluate(fill, "render")


def test_a_trace_of_20_000_spans_opens_scrolls_and_folds(visit, site, until):
    """The page stays as small as that of a short trace, wherever one scrolls."""
    page = visit(site, BIG)
    assert page.locator("[data-rows]").get_attribute("aria-rowcount") == "20000"
    assert page.locator(".row").count() < 120
    page.locator(".row[tabindex='0']").focus()
    page.keyboard.press("End")
    assert page.evaluate("scrollY") > 400_000
    assert page.locator(".row").count() < 140
    last = page.evaluate("document.activeElement.getAttribute('aria-rowindex')")
    assert last == "20000"
    page.mouse.wheel(0, -200_000)
    until(page, "scrollY < 400000")
    until(
        page,
        "[...document.querySelectorAll('.row')].some((row) => row.getBoundingClientRect().top > 100 && row.getBoundingClientRect().top < 700)",
    )
    page.click("[data-collapse]")
    assert page.locator("[data-rows]").get_attribute("aria-rowcount") == "101"


def test_the_html_of_a_trace_is_bounded(site):
    """Rows in the page, and its bytes, have an end whatever the trace is."""
    import requests

    answer = requests.get(site.url + BIG, timeout=60)
    assert answer.text.count('class="row"') + answer.text.count('class="row ') <= 100
    assert len(answer.content) < 150_000


def test_a_deep_link_into_a_large_trace(visit, site):
    """The span is in sight, though its row is thousands further down."""
    page = visit(site, f"{BIG}?span={15_000:016x}")
    row = page.locator(".row.selected")
    assert "step 15000" in row.inner_text()
    box = row.bounding_box()
    assert 0 < box["y"] < 800


def test_the_script_writes_durations_as_the_server_does(visit, site):
    """One text for one time, whoever writes it."""
    from sls_tracing.backend.ui.words import duration

    micros = [
        0,
        1,
        999,
        1000,
        1234,
        9999,
        45_678,
        99_940,
        99_960,
        100_400,
        999_400,
        1_000_000,
        1_234_567,
        59_400_000,
        59_600_000,
        125_000_000,
    ]
    page = visit(site, "/upload")
    script = "async (all) => { const { duration } = await import('/static/ui/0/dom.js'); return all.map(duration); }"
    assert page.evaluate(script, micros) == [duration(each / 1e6) for each in micros]
