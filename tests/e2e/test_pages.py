"""Pages in a real browser: nothing leaves them, nothing overflows, light and dark."""

from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parent.parent.parent / "results"
PAGES = ("reference", "applications")
OTHERS = ("shutdown", "faults", "soak")


@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("name", [*PAGES, *OTHERS])
def test_a_page_asks_for_nothing_and_fits_the_window(browser: Any, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto((RESULTS / name / "report.html").as_uri())
    assert len(asked) == 1
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_dark_and_light_differ_and_so_do_the_charts(browser: Any) -> None:
    seen = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto((RESULTS / "reference" / "report.html").as_uri())
        label = page.locator("svg text").first
        seen.append(
            (
                page.evaluate("getComputedStyle(document.body).backgroundColor"),
                label.evaluate("each => getComputedStyle(each).fill"),
            )
        )
        page.close()
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_a_screen_reader_gets_the_same(browser: Any) -> None:
    page = browser.new_page()
    page.goto((RESULTS / "reference" / "report.html").as_uri())
    assert page.get_by_role("heading", name="What it costs").count() == 1
    assert page.get_by_text("Validity checks").count() == 1
    for title in ("Latency at light load", "Throughput", "Span accounting"):
        page.get_by_role("heading", name=title, exact=True).click()
    assert page.get_by_role("img").count() >= 3
    table = page.get_by_role("table", name="Span accounting")
    assert table.get_by_role("rowheader", name="batch").count() == 1
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_charts_are_drawn_again_for_a_phone_and_not_clipped(browser: Any, name: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((RESULTS / name / "report.html").as_uri())
    assert page.locator("figure .wide:visible").count() == 0
    charts = page.locator("figure .narrow:visible svg")
    assert charts.count() >= 1
    for chart in charts.all():
        box = chart.bounding_box()
        assert box["x"] + box["width"] <= 390
        for label in chart.locator("text").all():
            letters = label.bounding_box()
            assert letters["x"] >= 0, label.text_content()
            assert letters["x"] + letters["width"] <= 390, label.text_content()
        # Letters are as large as on a screen: nothing is shrunk to fit.
        assert box["width"] >= 0.99 * float(chart.get_attribute("width"))
    page.close()


def test_what_comes_before_the_folds_is_less_than_two_screens(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1080})
    page.goto((RESULTS / "reference" / "report.html").as_uri())
    first_fold = page.locator("details.section").first.bounding_box()
    assert first_fold["y"] <= 2 * 1080
    page.close()
