"""Figures in the formats that CI systems read: JUnit's XML, and JSON for github-action-benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree as ET

import msgspec

from bench.report.words import printable


class Ending(StrEnum):
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
        ending: how it ended.
        text: why.
    """

    name: str
    ending: Ending
    text: str


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of which less is better, in the words of github-action-benchmark.

    Attributes:
        name: of the figure.
        unit: of the value.
        value: found.
        range: half of its interval.
        extra: what else there is to say.
    """

    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


def benchmark(points: Sequence[Point]) -> bytes:
    """JSON for github-action-benchmark's tool `customSmallerIsBetter`."""
    return msgspec.json.format(msgspec.json.encode(points), indent=2) + b"\n"


def junit(suite_name: str, class_name: str, cases: Sequence[Case]) -> bytes:
    """Test cases as JUnit's XML."""
    count = {ending: sum(case.ending is ending for case in cases) for ending in Ending}
    suite = ET.Element(
        "testsuite",
        name=printable(suite_name),
        tests=str(len(cases)),
        failures=str(count[Ending.FAILED]),
        errors=str(count[Ending.ERROR]),
        skipped=str(count[Ending.SKIPPED]),
    )
    for case in cases:
        element = ET.SubElement(suite, "testcase", classname=class_name, name=printable(case.name))
        if case.ending is Ending.PASSED:
            ET.SubElement(element, case.ending).text = printable(case.text)
        else:
            ET.SubElement(element, case.ending, message=printable(case.text))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"
