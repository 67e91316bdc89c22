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
    worst = [each for each in gate.judgements if each.outcome is gate.outcome]
    return f"{gate.outcome}: {'; '.join(f'{each.setup}: {each.why}' for each in worst)}."


def table(gate: Gate) -> Table:
    """Every threshold."""
    return Table(
        heads=("set-up", "threshold %", "overhead %", "interval for all set-ups %", "outcome", "why"),
        right=(False, True, True, True, False, False),
        rows=tuple(
            (
                each.setup,
                percent(each.threshold, sign=False),
                percent(each.ratio),
                _ends(each),
                each.outcome.value,
                each.why,
            )
            for each in gate.judgements
        ),
        red=frozenset(
            at for at, each in enumerate(gate.judgements) if each.outcome in {Outcome.FAIL, Outcome.INVALID}
        ),
    )


def _ends(each: Judgement) -> str:
    return ABSENT if each.low is None else f"[{percent(each.low)}, {percent(each.high)}]"


def false_alarms(found: Accuracy | None, machine: Machine | None) -> str:
    """How often this harness sees what is not there, as measured."""
    if found is None:
        return "How often it raises a false alarm is not known: `tracing-overhead accuracy` finds out."
    rate = found.false_verdicts
    where = f", measured on {machine.started[:10]} ({machine.cpu})" if machine else ""
    return (
        f"False alarms: {rate.count} of {rate.trials} single comparisons of identical set-ups "
        f"(95 % interval {percent(rate.low, sign=False)} to {percent(rate.high, sign=False)} %){where}."
    )


def junit(gate: Gate) -> bytes:
    """The outcome in JUnit's XML: a test case for every threshold; inconclusive ones are skipped."""
    count = {outcome: sum(each.outcome is outcome for each in gate.judgements) for outcome in Outcome}
    suite = ET.Element(
        "testsuite",
        name="tracing overhead",
        tests=str(len(gate.judgements)),
        failures=str(count[Outcome.FAIL]),
        errors=str(count[Outcome.INVALID]),
        skipped=str(count[Outcome.INCONCLUSIVE]),
    )
    words = {Outcome.FAIL: "failure", Outcome.INVALID: "error", Outcome.INCONCLUSIVE: "skipped"}
    for each in gate.judgements:
        case = ET.SubElement(suite, "testcase", classname="overhead", name=each.setup)
        ends = f"{percent(each.ratio)} % {_ends(each)}"
        said = f"{ends}, threshold {percent(each.threshold, sign=False)} %: {each.why}"
        if each.outcome in words:
            ET.SubElement(case, words[each.outcome], message=said)
        else:
            ET.SubElement(case, "system-out").text = said
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"
