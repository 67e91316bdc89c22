"""A gate's outcome as people and CI read it."""

from xml.etree import ElementTree as ET

from bench.analysis.accuracy import Accuracy
from bench.plan.machine import Machine
from bench.report.document import Document, Text, document, section
from bench.report.words import ABSENT, Table, percent
from bench.results.gate import Gate, Judgement, Outcome

ABOUT = (
    "A threshold fails when the whole interval is over it{strict}; the intervals hold for all set-ups of the "
    "run at once. What is invalid, lossy or cut short never passes."
)


def report(gate: Gate, sure: str) -> Document:
    """The gate's report.

    Args:
        gate: with its outcome.
        sure: how often the harness raises a false alarm.
    """
    strict = ", and here also when its upper end is (strict)" if gate.strict else ""
    return document(
        f"Tracing overhead: {gate.outcome.upper()}",
        [Text(text=headline(gate), red=gate.outcome in {Outcome.FAIL, Outcome.INVALID})],
        section("Thresholds", table(gate), ABOUT.format(strict=strict), sure),
    )


def headline(gate: Gate) -> str:
    """The outcome in one sentence."""
    worst = [judgement for judgement in gate.judgements if judgement.outcome is gate.outcome]
    return f"{gate.outcome}: {'; '.join(f'{judgement.setup}: {judgement.why}' for judgement in worst)}."


def table(gate: Gate) -> Table:
    """Every threshold."""
    return Table(
        heads=("set-up", "threshold %", "overhead %", "interval for all set-ups %", "outcome", "why"),
        left=(0, 4, 5),
        rows=tuple(
            (
                judgement.setup,
                percent(judgement.threshold, sign=False),
                percent(judgement.ratio),
                _ends(judgement),
                judgement.outcome.value,
                judgement.why,
            )
            for judgement in gate.judgements
        ),
        red=frozenset(
            at
            for at, judgement in enumerate(gate.judgements)
            if judgement.outcome in {Outcome.FAIL, Outcome.INVALID}
        ),
    )


def _ends(judgement: Judgement) -> str:
    return ABSENT if judgement.low is None else f"[{percent(judgement.low)}, {percent(judgement.high)}]"


def false_alarms(accuracy: Accuracy | None, machine: Machine | None) -> str:
    """How often this harness sees what is not there, as measured."""
    if accuracy is None:
        return "How often it raises a false alarm is not known: `tracing-overhead accuracy` finds out."
    rate = accuracy.false_verdicts
    where = f", measured on {machine.started[:10]} ({machine.cpu})" if machine else ""
    return (
        f"False alarms: {rate.count} of {rate.trials} single comparisons of identical set-ups "
        f"(95 % interval {percent(rate.low, sign=False)} to {percent(rate.high, sign=False)} %){where}."
    )


def junit(gate: Gate) -> bytes:
    """The outcome in JUnit's XML: a test case for every threshold; inconclusive ones are skipped."""
    count = {
        outcome: sum(judgement.outcome is outcome for judgement in gate.judgements) for outcome in Outcome
    }
    suite = ET.Element(
        "testsuite",
        name="tracing overhead",
        tests=str(len(gate.judgements)),
        failures=str(count[Outcome.FAIL]),
        errors=str(count[Outcome.INVALID]),
        skipped=str(count[Outcome.INCONCLUSIVE]),
    )
    words = {Outcome.FAIL: "failure", Outcome.INVALID: "error", Outcome.INCONCLUSIVE: "skipped"}
    for judgement in gate.judgements:
        case = ET.SubElement(suite, "testcase", classname="overhead", name=judgement.setup)
        ends = f"{percent(judgement.ratio)} % {_ends(judgement)}"
        text = f"{ends}, threshold {percent(judgement.threshold, sign=False)} %: {judgement.why}"
        if judgement.outcome in words:
            ET.SubElement(case, words[judgement.outcome], message=text)
        else:
            ET.SubElement(case, "system-out").text = text
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"
