"""What people read: the answer, tables that fit a terminal, Markdown and a page."""

import io
import re
from dataclasses import replace

import pytest
from msgspec import structs
from rich.console import Console

from bench.analysis.claims import Caveat
from bench.analysis.records import Summary
from bench.analysis.summary import summarise
from bench.app.records import Setup
from bench.compare import table as applications
from bench.compare.comparison import app_cost
from bench.plan.machine import Machine
from bench.report import charts, html, markdown, run, tables, terminal, vega
from bench.report.advice import what_to_do
from bench.report.answer import answer, measured
from bench.report.decisions import decision_table
from bench.report.document import Caveats, document, section
from bench.report.histograms import render
from bench.report.words import detectable, duration, interval, percent, signed
from tests import make
from tests.make import COSTS, SimulatedPerformer

ALL = ("none", "none-aa", "injected", "disabled", "always-off", "ratio-10", "batch", "simple")


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarise(make.raw(make.plan(ALL), SimulatedPerformer(noise=0.002)))


@pytest.fixture(scope="module")
def lossy() -> Summary:
    return summarise(make.raw(make.plan(ALL), SimulatedPerformer(lose={"batch": 0.1})))


def printed(summary: Summary, width: int, *, full: bool = False) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    if full:
        terminal.show(run.report(summary, None), console)
    else:
        terminal.show_run(summary, console)
    return console.export_text()


def test_the_first_lines_are_the_answer(summary: Summary) -> None:
    machine = Machine(app_python="CPython 3.12.1", app_packages={"opentelemetry-sdk": "1.44.0"})
    headline, others, clients, checks, advice, about = answer(summary, machine)
    assert re.fullmatch(
        r"Tracing every request \(batch\) adds 6\.\d ms CPU per order, \+(59|6\d)\.\d % \(± \d\.\d\), at "
        r"(29|30) orders/s \((29|30) % of the untraced maximum\)\. At full load \((9\.9|10\.\d) ms CPU "
        r"untraced\): −3\d\.\d % throughput, \+(59|6\d)\.\d % CPU per order\.",
        headline,
    ), headline
    assert re.fullmatch(
        r"1 in 10 sampled adds \+\d+\.\d % \(\d\d % less than batch\), 0 sampled \+\d+\.\d %, "
        r"OTEL_SDK_DISABLED \+\d+\.\d %\.",
        others,
    ), others
    assert re.match(
        r"Latency at (29|30)/s, none → batch: p50 [\d.]+ → [\d.]+ ms \[[\d.]+, [\d.]+\]\. 0 of", clients
    ), clients
    assert re.search(r"\. 0 of [\d,]+ spans lost\.$", clients), clients
    assert re.match(
        r"Checks: the same setup twice differs by [+−]?\d\.\d % CPU \(± \d\.\d: below \d\.\d % is noise\); ",
        checks,
    ), checks
    assert "of CPU injected per request, beside the application, was measured as" in checks
    assert re.match(r"What to do: never `simple` \(\+\d+\.\d %\)\. Uninstall instrumentation", advice), advice
    assert advice.endswith("Then sample.")
    assert about.startswith("Measured: CPython 3.12, opentelemetry 1.44.0, 3 spans per order over 2 services")
    assert "OTLP/http to a local receiver (not counted)" in about
    assert about.endswith("Results do not transfer to other hardware.")


def test_what_the_harness_runs_on_is_not_said_of_an_application_that_does_not(summary: Summary) -> None:
    ours = Machine(python="3.11.7", python_implementation="CPython", packages={"opentelemetry-sdk": "1.45.1"})
    assert measured(summary, ours).startswith("Measured: 3 spans per order")
    assert measured(summary, replace(ours, versions={"web": "Node.js v20"})).startswith(
        "Measured: web Node.js v20, 3 spans per order"
    )
    older = replace(ours, setup_packages={"batch": {"opentelemetry-sdk": "1.20.0"}})
    assert "opentelemetry 1.20.0" in measured(summary, older)


def test_an_alternative_with_fewer_spans_is_no_cheaper_way_to_the_same_traces() -> None:
    own = (Setup(name="fewer"), Setup(name="same"))
    costs = COSTS | {"fewer": 0.012, "same": 0.014}
    names = (*make.NAMES, *(setup.name for setup in own))
    found = summarise(make.raw(make.plan(names, own=own), SimulatedPerformer(costs=costs, noise=0.002)))
    assert "use `fewer` (" in what_to_do(found)
    sparse = tuple(
        structs.replace(setup, accounting=structs.replace(setup.accounting, spans_received=10))
        if setup.name == "fewer"
        else setup
        for setup in found.setups
    )
    assert "use `same` (" in what_to_do(structs.replace(found, setups=sparse))


def test_the_rate_is_a_share_of_what_the_whole_run_measured(summary: Summary) -> None:
    none, *others = summary.setups
    assert none.throughput is not None
    slow = structs.replace(none.throughput, per_s=2 * summary.light_rate_per_s)
    slower = structs.replace(none, throughput=slow)
    assert "(50 % of the untraced maximum)" in answer(structs.replace(summary, setups=(slower, *others)))[0]


def test_spans_of_traces_of_different_size_are_not_lost_without_a_word(summary: Summary) -> None:
    def with_account(**changes: object) -> Summary:
        return structs.replace(
            summary,
            setups=tuple(
                structs.replace(setup, accounting=structs.replace(setup.accounting, **changes))
                if setup.name == "batch"
                else setup
                for setup in summary.setups
            ),
        )

    assert re.search(
        r" 0 spans lost: [\d,]+ traces arrived whole\.$", answer(with_account(spans_expected=None))[2]
    )
    unknown = answer(with_account(spans_expected=None, complete=None))[2]
    assert unknown.endswith(" How many spans were lost is not known.")


def test_a_version_that_is_not_known_is_not_said(summary: Summary) -> None:
    assert "polls 7.2" in answer(summary, Machine(versions={"polls": "7.2"}))[-1]
    failed = Machine(versions={"polls": "not known (/somewhere: no module named polls)"})
    assert "polls" not in answer(summary, failed)[-1]


def test_a_setup_that_costs_much_more_than_tracing_every_request_is_named() -> None:
    own = [Setup(name="old", description="An old release.", env={"OTEL_TRACES_SAMPLER": "always_on"})]
    performer = SimulatedPerformer(costs=COSTS | {"old": 0.05}, noise=0.002)
    others = answer(summarise(make.raw(make.plan((*make.NAMES, "old"), own=own), performer)))[1]
    assert re.search(r", old \(the most expensive\) \+[34]\d\d\.\d %\.$", others), others


def test_few_caveats_are_shown_and_many_are_counted(summary: Summary) -> None:
    one = Caveat(code="x", message="it is so", advice="do that")
    assert "caveat: it is so - do that." in printed(structs.replace(summary, caveats=(one,)), 100)
    many = printed(structs.replace(summary, caveats=(one,) * 5), 100)
    assert many.count("caveat: it is so - do that.") == 2
    assert "3 more caveats." in many


def test_setups_of_the_checks_are_no_part_of_the_answer(summary: Summary) -> None:
    lines = answer(summary)
    assert not {"none-aa", "injected"} & set(re.split(r"[^\w-]", " ".join(lines[:3])))
    assert not any("none-aa" in line for line in lines)


def test_a_run_that_is_not_valid_says_so_first_and_proposes_nothing(lossy: Summary) -> None:
    lines = answer(lossy)
    assert lines[0].startswith("NOT VALID: the span accounting of batch is incomplete")
    assert [line.partition(":")[0] for line in lines[1:]] == ["Checks", "Measured"]
    assert run.glance(lossy).red
    assert not run.glance(lossy).figures


def test_figures_at_a_glance_are_those_of_the_answer(summary: Summary) -> None:
    tiles = run.glance(summary)
    assert tiles.state == "passed"
    figures = dict(tiles.figures)
    headline = answer(summary)[0]
    assert figures["CPU (batch)"].partition(" %")[0] in headline
    assert figures["Throughput at full load"] in headline


def test_a_terminal_of_ascii_gets_ascii(summary: Summary) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal.show_run(summary, Console(file=file, width=100))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert "% (+- " in text
    assert "checks ---" in text
    assert " -> " in text


def test_heads_of_groups_stand_above_their_columns(summary: Summary) -> None:
    titles, heads, *rows = [line for line, _ in terminal.grouped(tables.answer_table(summary), 100)]
    assert titles.index("light load") < heads.index("p50 ms") < titles.index("full load") < len(heads)
    overloaded = next(row for row in rows if "overloaded" in row)
    assert overloaded.index("overloaded") + len("overloaded") == heads.rindex(" ms") + len(" ms")
    assert [row.split()[0] for row in rows][-3] == "checks"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_a_terminal(summary: Summary, width: int) -> None:
    text = printed(summary, width)
    assert max(map(len, text.splitlines())) <= width
    # A line of the note may begin with a setup's name, too; a row has figures in columns.
    rows = [line for line in text.splitlines() if line.startswith(ALL) and "   " in line]
    assert len(rows) == len(ALL)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_nothing_wraps_in_mid_cell(summary: Summary, width: int) -> None:
    """A table that is wider than the terminal goes on below, with its first column again."""
    text = printed(summary, width, full=True)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("MDE %", "damage", "throughput %", "requests"):
        assert figure in text
    assert "…" not in text
    for table in (tables.cpu_table(summary, "light"), tables.accounting_table(summary)):
        for row in table.rows:
            for cell, right in zip(row, table.right, strict=True):
                assert not right or cell in text


def test_no_cost_is_claimed_that_was_not_detected() -> None:
    costs = {**make.COSTS, "batch": 0.010, "always-off": 0.010}
    quiet = summarise(make.raw(make.plan(make.NAMES), SimulatedPerformer(costs=costs, noise=0.01)))
    lines = answer(quiet)
    assert "no cost was detected at" in lines[0]
    assert "adds" not in lines[0]
    assert not any(line.startswith("What to do") for line in lines)


def test_decisions_have_a_price_and_what_they_save(summary: Summary) -> None:
    table = decision_table(summary)
    assert table
    rows = {row[0]: row for row in table.rows}
    assert rows["ratio-10"][1] == "sampler"
    assert rows["ratio-10"][2].startswith("−")
    assert "one trace in 10 is kept" in rows["ratio-10"][-1]
    assert rows["simple"][1] == "processor"
    assert rows["simple"][2].startswith("+")
    assert "none" not in rows
    assert next(iter(rows)) == "disabled", "what saves most stands first"
    assert list(rows)[-1] == "simple"


def test_every_choice_is_named_for_what_it_decides() -> None:
    own = (
        Setup(name="newer", pip=["opentelemetry-sdk==9"], env={"OTEL_TRACES_SAMPLER": "always_off"}),
        Setup(name="small", env={"OTEL_BSP_MAX_QUEUE_SIZE": "64"}, may_lose=True),
        Setup(name="tail", collector_sampling=0.1),
        Setup(name="plain", tracing="none", python="3.13"),
        Setup(name="rung", layer="recorded", against="none", env={"OTEL_TRACES_SAMPLER": "always_off"}),
    )
    names = (*make.NAMES, *(setup.name for setup in own))
    costs = COSTS | {"newer": 0.013, "small": 0.016, "tail": 0.016, "plain": 0.010, "rung": 0.012}
    table = decision_table(
        summarise(
            make.raw(
                make.plan(names, own=own), SimulatedPerformer(costs=costs, noise=0.002, lose={"small": 0.1})
            )
        )
    )
    assert table
    rows = {row[0]: (row[1], row[-1]) for row in table.rows}
    assert not {"plain", "rung"} & rows.keys()
    assert {name: rows[name][0] for name in ("newer", "small", "tail")} == {
        "newer": "packages", "small": "batching", "tail": "sampler",
    }  # fmt: skip
    assert "spans per request: 0 instead of" in rows["newer"][1]
    assert rows["small"][1].endswith(" spans lost")
    assert "a collector keeps one trace in 10" in rows["tail"][1]


def test_a_heading_with_nothing_to_say_is_left_out() -> None:
    assert document("Nothing", [], section("Caveats", Caveats(caveats=()))).sections == ()


def test_an_incomplete_accounting_is_not_folded(summary: Summary, lossy: Summary) -> None:
    for shown, folded in ((summary, True), (lossy, False)):
        accounting = next(
            part for part in run.report(shown, None).sections if part.title.startswith("Span accounting")
        )
        assert accounting.folded is folded


def test_a_chart_is_drawn_again_for_a_phone(summary: Summary) -> None:
    chart = charts.overhead(summary)
    assert chart
    wide, narrow = (
        int(re.search(r'width="(\d+)', html.svg(spec))[1])  # type: ignore[index]
        for spec in (chart.spec, vega.narrowed(chart.spec))
    )
    assert wide > 600
    assert narrow <= 390
    assert "//" in html.svg(chart.spec)


def test_everything_is_there_if_asked_for(summary: Summary) -> None:
    text = printed(summary, 100, full=True)
    for word in ("MDE", "p50 ms", "Span accounting", "PSS MB", "exported span", "steal"):
        assert word in text


def test_markdown_and_page_hold_the_same(summary: Summary) -> None:
    document = run.report(summary, Machine(cpu="Some CPU", packages={"locust": "2"}))
    text, page = markdown.render(document), html.render(document)
    for part in ("Some CPU", "always-off", "Latency at light load", "Throughput", "How to repeat it"):
        assert part in text
        assert part in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"http", page)


def test_a_page_of_an_invalid_run_is_red(lossy: Summary) -> None:
    page = html.render(run.report(lossy, None))
    assert "NOT VALID" in page
    assert "INCOMPLETE" in page


def test_applications_stand_in_one_table(summary: Summary, lossy: Summary) -> None:
    costs = [app_cost(summary), app_cost(lossy)]
    table = applications.table(costs)
    assert [row[0] for row in table.rows] == ["shop", "shop"]
    assert [row[-1] for row in table.rows].count("INCOMPLETE") == len(table.red) == 1
    own = costs[0]
    assert own.spans == 3
    assert own.cost
    assert own.cost.change
    assert own.cost.change.ratio == pytest.approx(0.65, abs=0.06)
    assert own.per_span_s
    assert own.off_ratio == pytest.approx(0.3, abs=0.1)
    assert "Not valid" in markdown.render(applications.report(costs))


def test_names_and_sentences_are_text() -> None:
    from bench.app.records import Setup

    evil = Setup(name="evil", description="<b>&[red]\x1b[31m", env={"OTEL_TRACES_SAMPLER": "always_off"})
    bench = SimulatedPerformer(costs={**make.COSTS, "evil": 0.012})
    found = summarise(make.raw(make.plan((*make.NAMES, "evil"), own=[evil]), bench))
    page = html.render(run.report(found, None))
    assert "<b>" not in page
    printed(found, 100, full=True)


@pytest.mark.parametrize(
    ("app_file", "words"),
    [
        ("shop.toml", "`tracing-overhead run shop.toml --setups "),
        ("", "`tracing-overhead run --setups "),
        (None, "without FILE for the built-in example"),
    ],
)
def test_the_command_that_repeats_a_run_names_its_app_file(app_file: str | None, words: str) -> None:
    assert words in run.how_to_repeat(make.plan(ALL, app_file=app_file), 100.0)


def test_distributions_are_those_of_the_percentiles(summary: Summary) -> None:
    raw = make.raw(make.plan(ALL), SimulatedPerformer(noise=0.002))
    logs = render(raw)
    assert "simple.hgrm" not in logs
    batch = summary.setup("batch")
    assert batch
    assert batch.latency
    count = re.search(r"TotalCount\s*=\s*(\d+)", logs["batch.hgrm"].decode())
    assert count
    assert int(count[1]) == batch.latency.requests


def test_numbers_read_well() -> None:
    assert signed(-1234.5, 0) == "−1,234"
    assert [detectable(mde) for mde in (0.0234, 2497.53, None)] == ["2.3", "over 1,000", "-"]
    assert percent(0.335) == "+33.5"
    assert percent(None) == "-"
    assert interval(-0.1, 0.2) == "[−10.0, +20.0]"
    assert duration(0.0003, sign=True) == "+300 µs"
    assert duration(0.0123) == "12.3 ms"
