"""The page: one file that fetches nothing, trusts nothing, and can be read by anyone."""

import itertools
import re
import time
from dataclasses import replace as replace_plan
from functools import cache
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from bench.analysis.claims import Verdict, VerdictKind
from bench.analysis.records import Summary
from bench.analysis.summary import summarise
from bench.plan.machine import Machine
from bench.report import charts, html, run, vega
from bench.report.answer import answer
from bench.report.document import document
from tests import make
from tests.make import SimulatedPerformer

ALL = ("none", "none-aa", "injected", "disabled", "always-off", "ratio-10", "simple", "batch")
HOSTILE = "<script>alert('x')</script>"


class Tags(HTMLParser):
    """Every tag, in order, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@cache
def summary() -> Summary:
    """A simulated run."""
    return summarise(make.raw(make.plan(ALL), SimulatedPerformer(noise=0.002)))


def page(shown: Summary | None = None) -> str:
    machine = Machine(started="2026-01-02T03:04:05+00:00", cpu="a CPU", packages={"httpx": "0.28"})
    return html.render(run.report(shown or summary(), machine))


def many(count: int) -> Summary:
    """A run of many setups."""
    found = summary()
    batch = found.setups[-1]
    more = tuple(replace(batch, name=f"setup-{number}") for number in range(count - len(found.setups)))
    plan = found.plan
    planned = (*plan.setups, *(replace(plan.setups[-1], name=setup.name) for setup in more))
    return replace(found, setups=(*found.setups, *more), plan=replace_plan(plan, setups=planned))


def test_it_fetches_nothing_and_runs_nothing() -> None:
    drawn = page()
    assert not re.search(r"(?:src|href)=\"(?!#)", drawn)
    assert not re.search(r"url\((?!#)", drawn)
    assert "<script" not in drawn
    assert "http://" not in drawn.replace("http://www.w3.org/", "")


def test_a_hostile_name_is_text() -> None:
    found = summary()
    setups = tuple(
        replace(
            each, name=HOSTILE, description=HOSTILE, verdict=Verdict(kind=VerdictKind.INVALID, reason=HOSTILE)
        )
        for each in found.setups[1:]
    )
    planned = tuple(replace(setup, name=HOSTILE, description=HOSTILE) for setup in found.plan.setups[1:])
    drawn = page(
        replace(
            found,
            setups=(found.setups[0], *setups),
            plan=replace_plan(found.plan, name=HOSTILE, setups=(found.plan.setups[0], *planned)),
        )
    )
    assert "script" not in {tag for tag, _ in Tags(drawn).found}
    assert "&lt;script&gt;alert(" in drawn


def test_text_is_no_html_even_where_it_has_emphasis() -> None:
    drawn = html.render(document("x", [f"**a** {HOSTILE} [b](javascript:alert(1)) `c`"]))
    assert "<strong>a</strong>" in drawn
    assert "script" not in {tag for tag, _ in Tags(drawn).found}
    assert 'href="javascript' not in drawn


def test_an_invalid_figure_is_no_answer() -> None:
    found = summary()
    spoiled = replace(
        found.setups[-1], invalid=True, verdict=Verdict(kind=VerdictKind.INVALID, reason="accounting")
    )
    lines = answer(replace(found, setups=(*found.setups[:-1], spoiled)))
    assert not any("batch" in line for line in lines[:2])


def test_one_that_is_far_off_does_not_squash_the_others() -> None:
    assert vega.reach([1.0, 2.0, 3.0]) == pytest.approx(3.06)
    assert vega.reach([1.0, 2.0, 3.0, 50.0]) == pytest.approx(3.0 * vega.ROOM)
    assert vega.reach([-1.0, -0.5]) > 0


def test_fifty_setups_are_small_and_quick() -> None:
    html.render(run.report(summary(), None))  # the renderer itself has to start once
    before = time.process_time()
    drawn = page(many(50))
    assert time.process_time() - before < 2.0
    assert len(drawn.encode()) < 2_000_000


def test_every_chart_is_followed_by_its_table_and_says_what_it_shows() -> None:
    tags = Tags(page()).found
    figures = [at for at, (tag, _) in enumerate(tags) if tag == "figure"]
    assert figures
    for at in figures:
        rest = [tag for tag, _ in tags[at + 1 :]]
        assert rest.index("table") < (rest.index("h2") if "h2" in rest else len(rest))
    labels = [attributes.get("aria-label") for tag, attributes in tags if attributes.get("role") == "img"]
    assert len(labels) == len(figures)
    assert all(labels)


def test_no_two_charts_share_a_name_for_what_they_cut_off() -> None:
    chart = charts.overhead(summary())
    other = charts.overhead(many(9))
    assert chart is not None
    assert other is not None
    names = [re.findall(r'id="(clip[^"]+)"', html.svg(each.spec)) for each in (chart, other)]
    assert names[0]
    assert not set(names[0]) & set(names[1])


def test_marks_are_described_by_formatted_figures() -> None:
    drawn = page()
    for said in (r"<title>batch: ", r'aria-label="batch: '):
        assert re.search(said + r"\+[\d.]+ ms, \+[\d.]+ %, 95 % interval \[", drawn)
    assert not re.findall(r"(?:aria-label=\"|<title>)[^\"<]*\d\.\d{4,}", drawn)


def test_headings_lead_from_the_answer_to_the_machine_without_gaps() -> None:
    found = Tags(page()).found
    levels = [int(tag[1]) for tag, _ in found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    titles = [
        attributes["id"]
        for tag, attributes in found
        if tag == "h2" or attributes.get("class") == "section"
        if "id" in attributes
    ]
    assert titles[0] == "what-it-costs"
    assert titles.index("span-accounting") < titles.index("how-it-was-measured") < titles.index("the-machine")
    assert titles[-1] == "how-to-repeat-it"


def test_every_table_has_a_caption_and_heads_that_belong_to_something() -> None:
    tags = Tags(page()).found
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table") > 3
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("colours", "paper"), [(html.PAPER, "#ffffff"), (html.DARK, "#0f1318")])
def test_text_and_marks_can_be_told_from_the_paper(colours: dict[str, str], paper: str) -> None:
    assert paper in page()
    for name, colour in colours.items():
        lighter, darker = sorted((luminance(colour), luminance(paper)), reverse=True)
        contrast = (lighter + 0.05) / (darker + 0.05)
        if name not in {"--line", "--band", "--paper", "--shade"}:
            assert contrast >= 4.5, name


def test_colours_of_both_kinds_of_paper_have_the_same_names() -> None:
    assert html.PAPER.keys() == html.DARK.keys()
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", page())) <= {*html.PAPER}
