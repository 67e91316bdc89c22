"""Pages in a real browser: nothing leaves them, nothing overflows, light and dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_web import ARGUMENTS, CHROMIUM, playwright

RESULTS = Path(__file__).parent.parent.parent / "results"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="a browser is missing: apt-get install chromium (or your system's package)"
)
PAGES = ("reference",)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("name", PAGES)
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


def test_a_reader_who_listens_is_told_the_same(browser: Any) -> None:
    page = browser.new_page()
    page.goto((RESULTS / "reference" / "report.html").as_uri())
    assert page.get_by_role("heading", name="Extra CPU").count() == 1
    assert page.get_by_role("img").count() >= 3
    table = page.get_by_role("table", name="Ledger: where every span went")
    assert table.get_by_role("rowheader", name="batch").count() == 1
    page.close()
