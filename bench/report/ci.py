"""Figures in the formats that CI systems read: JUnit's XML, and JSON for github-action-benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree as ET

import msgspec

from bench.analysis.claims import Change
from bench.analysis.stats import Interval
from bench.report.words import half_width, printable


class CaseStatus(StrEnum):
    """How a test case ended; the value is JUnit's element for it."""

    PASSED = "system-out"
    FAILED = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A test case.

    Attributes:
        name: of it.
        status: how it ended.
        text: why.
    """

    name: str
    status: CaseStatus
    text: str


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of which less is better, as github-action-benchmark stores it.

    Attributes:
        name: of the figure.
        unit: of the value.
        value: the figure.
        range: half of its interval.
        extra: further information.
    """

    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""

    @classmethod
    def of_change(cls, name: str, change: Change | None, extra: str = "") -> "list[Metric]":
        """A change against the baseline; nothing where it is unknown."""
        if change is None:
            return []
        return [
            cls(
                name=name,
                unit="% of the baseline",
                value=round(change.ratio * 100, 2),
                range=f"± {half_width(change)}",
                extra=extra,
            )
        ]

    @classmethod
    def timed(cls, name: str, unit: str, interval: Interval, scale: float) -> "Metric":
        """A duration with half of its interval, in a unit of which a second has `scale`."""
        half = None
        if interval.low is not None and interval.high is not None:
            half = (interval.high - interval.low) / 2 * scale
        return cls(
            name=name,
            unit=unit,
            value=round(interval.value * scale, 4),
            range="" if half is None else f"± {half:.3g}",
        )


def benchmark(metrics: Sequence[Metric]) -> bytes:
    """JSON for github-action-benchmark's tool `customSmallerIsBetter`."""
    return msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"


def junit(suite_name: str, class_name: str, cases: Sequence[Case]) -> bytes:
    """Test cases as JUnit's XML."""
    count = {status: sum(case.status is status for case in cases) for status in CaseStatus}
    suite = ET.Element(
        "testsuite",
        name=printable(suite_name),
        tests=str(len(cases)),
        failures=str(count[CaseStatus.FAILED]),
        errors=str(count[CaseStatus.ERROR]),
        skipped=str(count[CaseStatus.SKIPPED]),
    )
    for case in cases:
        element = ET.SubElement(suite, "testcase", classname=class_name, name=printable(case.name))
        if case.status is CaseStatus.PASSED:
            ET.SubElement(element, case.status).text = printable(case.text)
        else:
            ET.SubElement(element, case.status, message=printable(case.text))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"
