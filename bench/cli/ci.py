"""What CI reads of each kind of result: figures to follow, and test cases."""

from bench.analysis.accuracy.records import Accuracy
from bench.analysis.accuracy.targets import targets
from bench.analysis.records import Summary
from bench.analysis.setup_records import Change, Cost, SetupSummary
from bench.analysis.stats import Interval
from bench.errors import UsageError
from bench.micro.timings import MicroSummary
from bench.report.applications import ApplicationCost
from bench.report.ci import Case, Ending, Point
from bench.report.words import half_width
from bench.spec.emission import SpecReport


def _nothing() -> UsageError:
    return UsageError("this has no figures that CI could follow", "name a results folder to `report`")


def points(figures: object) -> list[Point]:
    """The figures of a result of which less is better.

    Raises:
        UsageError: it has none.
    """
    match figures:
        case Summary():
            setups = [setup for setup in figures.setups if setup.name != figures.baseline]
            return [point for setup in setups for point in _of_setup(setup, figures.app.name)]
        case MicroSummary():
            return [_timed(f"{timing.name}", "us", timing.cpu_s, 1e6) for timing in figures.timings]
        case SpecReport():
            return [
                _timed(f"{row.processor}: CPU per span", "us", row.cpu_per_span_s, 1e6)
                for row in figures.at_rate
            ]
        case Accuracy():
            return [
                Point(
                    name=f"error of {known.setup}, {known.figure}",
                    unit="%",
                    value=round(known.error * 100, 3),
                )
                for known in figures.known
            ]
        case tuple():
            costs = [row for row in figures if isinstance(row, ApplicationCost)]
            return [point for row in costs for point in _change(row.name, "CPU", row.cost)]
        case _:
            raise _nothing()


def _of_setup(setup: SetupSummary, app: str) -> list[Point]:
    name = f"{app}, {setup.name}"
    changes = setup.latency.changes if setup.latency else {}
    return [
        *_change(name, "CPU", setup.cost, "" if setup.invalid else setup.verdict),
        *(point for quantile, change in changes.items() for point in _change(name, quantile, change)),
    ]


def _change(name: str, what: str, change: Cost | Change | None, extra: str = "") -> list[Point]:
    if change is None or change.ratio is None:
        return []
    return [
        Point(
            name=f"{name}: {what}",
            unit="% of the baseline",
            value=round(change.ratio * 100, 2),
            range=f"+- {half_width(change.low, change.high)}",
            extra=extra,
        )
    ]


def _timed(name: str, unit: str, interval: Interval, scale: float) -> Point:
    known = interval.low is not None and interval.high is not None
    half = (interval.high - interval.low) / 2 * scale if known else None  # type: ignore[operator]
    return Point(
        name=name,
        unit=unit,
        value=round(interval.value * scale, 4),
        range="" if half is None else f"+- {half:.3g}",
    )


def cases(figures: object) -> list[Case]:
    """The parts of a result as test cases: what must not be believed is an error.

    Raises:
        UsageError: it has none.
    """
    match figures:
        case Summary():
            return [
                _case(setup.name, valid=not setup.invalid and figures.valid, text=setup.verdict)
                for setup in figures.setups
            ]
        case Accuracy():
            return [
                Case(
                    name=target.what,
                    ending={"yes": Ending.PASSED, "NO": Ending.FAILED, "not shown": Ending.SKIPPED}[
                        target.shown
                    ],
                    text=target.value,
                )
                for target in targets(figures)
            ]
        case MicroSummary() | SpecReport():
            return [
                _case(point.name, valid=figures.valid, text=f"{point.value:g} {point.unit} {point.range}")
                for point in points(figures)
            ]
        case tuple():
            rows = [row for row in figures if isinstance(row, ApplicationCost)]
            return [
                _case(
                    row.name, valid=row.valid and row.complete, text=f"{row.spans or 0:g} spans per request"
                )
                for row in rows
            ]
        case _:
            raise _nothing()


def _case(name: str, *, valid: bool, text: str) -> Case:
    return Case(name=name, ending=Ending.PASSED if valid else Ending.ERROR, text=text)
