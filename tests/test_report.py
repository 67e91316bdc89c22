"""The report: absolute first, nothing hidden, nothing hostile."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bench.findings import Summary
from bench.model import Kind, Setup
from bench.overhead import summarise
from bench.report import histograms, markdown, run, terminal, words
from tests import make
from tests.test_overhead import lose, requests, windows


def summary(*, lossy: bool = False) -> Summary:
    plan = make.plan(epochs=6)
    read = windows(plan)
    if lossy:
        read = lose(read, "batch", make.whole(plan.setups[3], 9))
    return summarise(make.raw(plan, read, requests(plan)))


def printed(shown: Summary, *, colour: bool = False) -> str:
    stream = io.StringIO()
    terminal.show(
        shown,
        Console(file=stream, width=160, force_terminal=colour, color_system="standard" if colour else None),
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.microseconds(0.0012345, sign=True), "+1,234"),
        (words.microseconds(-0.0000506, sign=True), "−51"),
        (words.percent(0.3349), "+33.5"),
        (words.percent(-0.002), "−0.2"),
        (words.milliseconds(0.01234), "12.34"),
        (words.megabytes(36_700_000), "37"),
        (words.count(61440), "61,440"),
        (words.microseconds(None), "-"),
    ],
)
def test_numbers_are_readable(text: str, expected: str) -> None:
    assert text == expected


def test_absolute_comes_before_relative() -> None:
    heads = words.overhead_table(summary()).heads
    assert heads.index("extra us") < heads.index("overhead %")


def test_both_outputs_have_every_setup_and_every_verdict() -> None:
    shown = summary()
    for text in (printed(shown), markdown.render(run.report(shown))):
        for setup in shown.setups:
            assert setup.name in text
            assert setup.verdict in text
        assert "Noise floor" in text


def test_a_valid_report_is_not_red() -> None:
    assert markdown.RED not in markdown.render(run.report(summary()))
    assert "\x1b[31m" not in printed(summary(), colour=True)


def test_an_unbalanced_ledger_turns_the_report_red() -> None:
    lossy = summary(lossy=True)
    text = markdown.render(run.report(lossy))
    assert text.splitlines()[2].startswith(f"{markdown.RED} **INVALID (ledger)")
    assert f"{markdown.RED} batch" in text
    assert "\x1b[31mbatch" in printed(lossy, colour=True)
    assert "DOES NOT BALANCE" in printed(lossy)


def test_a_hostile_sentence_stays_text() -> None:
    shown = summary()
    hostile = Setup(name="x", description="[red]a | b[/red]", env={})
    setups = (*shown.setups[:-1], replace(shown.setups[-1], name="a|b<script>"))
    shown = replace(shown, setups=setups, plan=replace(shown.plan, setups=(*shown.plan.setups, hostile)))
    assert "<script>" not in markdown.render(run.report(shown))
    assert "a|b<script>" in printed(shown)


def test_an_own_setup_can_be_repeated_from_the_report() -> None:
    shown = summary()
    own = Setup(name="mine", description="Mine.", env={"OTEL_BSP_SCHEDULE_DELAY": "1000"})
    shown = replace(shown, plan=replace(shown.plan, setups=(*shown.plan.setups, own)))
    text = markdown.render(run.report(shown))
    assert "--setups none,none-again,control,batch --setups-file FILE --seed 1" in text
    assert "`mine`: Mine. `OTEL_BSP_SCHEDULE_DELAY=1000`" in text


def test_a_narrow_terminal_cuts_no_figure() -> None:
    stream = io.StringIO()
    terminal.show(summary(), Console(file=stream, width=60))
    for row in words.overhead_table(summary()).rows:
        assert all(cell in stream.getvalue() for cell in row)


def test_no_colour_reaches_what_is_not_a_terminal() -> None:
    assert "\x1b[" not in printed(summary(lossy=True))


def test_a_histogram_log_holds_the_latencies_in_ms() -> None:
    plan = make.plan(epochs=4)
    raw = make.raw(
        plan,
        windows(plan),
        [make.request("batch", latency_s=0.02)] * 99 + [make.request("batch", latency_s=0.4)],
    )
    log = histograms.render(raw, summarise(raw))["batch-rotation.hgrm"].decode()
    lines = [line.split() for line in log.splitlines() if line.strip() and not line.startswith("#")]
    assert lines[0] == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    # From the planned send: the request's own clock starts at 1 s.
    assert float(lines[1][0]) == pytest.approx(20, rel=0.01)
    assert float(lines[-1][0]) == pytest.approx(400, rel=0.01)
    assert lines[-1][2] == "100"


def test_workers_are_shown_with_their_lag() -> None:
    plan = replace(make.plan(epochs=4), workers=2)
    rows = [replace(make.request("none", lag_s=0.001 * (at % 2 + 1)), worker=at % 2) for at in range(200)]
    summary = summarise(make.raw(plan, windows(plan), rows))
    table = words.workers_table(summary)
    assert [row[:3] for row in table.rows] == [("1", "100", "1.00"), ("2", "100", "2.00")]
    assert "| load worker" in markdown.render(run.report(summary))


def test_a_dead_workers_window_does_not_count_and_is_told() -> None:
    plan = make.plan(epochs=4)
    read = windows(plan)
    at = next(number for number, window in enumerate(read) if window.kind is Kind.WORK)
    extra = replace(read[at].fleets[3], account=make.whole(make.setup("batch"), 99))
    read[at] = replace(read[at], lost_workers=1, fleets=(*read[at].fleets[:3], extra))
    summary = summarise(make.raw(plan, read, requests(plan)))
    assert summary.load.lost_workers == 1
    assert summary.load.set_aside == 1
    assert summary.valid
    assert "1 load worker died; 1 window set aside" in markdown.render(run.report(summary))
