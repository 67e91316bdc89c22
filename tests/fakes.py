"""A rig, a record and a display that remember what they were told."""

from collections.abc import Callable, Sequence

from bench.model import Arrival, Kind, Memory, Plan, Request, Window
from tests import make
from tests.test_overhead import COSTS


class FakeRig:
    """Measures at once what `COSTS` says, and writes down what it was asked.

    Args:
        plan: for the set-ups.
        fail: called before each work window with its number in the run; may raise.
    """

    steal_s = 0.0
    """What the host takes away in every work window."""

    def __init__(self, plan: Plan, fail: Callable[[int], None] = lambda _number: None) -> None:
        self.plan = plan
        self.log: list[str] = []
        self._fail = fail
        self._works = 0

    def start_epoch(self, epoch: int) -> None:
        self.log.append(f"start {epoch}")

    def check_baseline(self) -> None:
        self.log.append("check baseline")

    def measure(
        self, kind: Kind, epoch: int, window: int, arrivals: Sequence[Arrival], idle_s: float = 0.0
    ) -> tuple[Window, tuple[Request, ...]]:
        self.log.append(f"{kind} {epoch}.{window}")
        if kind is not Kind.WORK and not arrivals:
            return make.quiet(self.plan, kind, epoch, duration_s=idle_s or 0.1), ()
        if kind is Kind.WORK:
            self._fail(self._works)
            self._works += 1
        reading = make.work(self.plan, COSTS, epoch, window)
        rows = tuple(make.request(arrival.setup) for arrival in arrivals)
        return Window(
            epoch=epoch,
            window=window,
            kind=kind,
            duration_s=4.0,
            fleets=reading.fleets,
            machine=make.machine(steal_s=self.steal_s if kind is Kind.WORK else 0.0),
        ), rows

    def memory(self) -> tuple[Memory, ...]:
        self.log.append("memory")
        return tuple(reading for setup in self.plan.setups for reading in make.memory(setup.name))

    def check(self) -> None:
        self.log.append("check")

    def stop_epoch(self) -> None:
        self.log.append("stop")


class FakeRecord:
    """Keeps in memory what is stored."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.windows: list[Window] = []
        self.requests: list[Request] = []

    def write_plan(self, plan: Plan) -> None:
        self.plans.append(plan)

    def append_window(self, window: Window) -> None:
        self.windows.append(window)

    def append_requests(self, requests: Sequence[Request]) -> None:
        self.requests += requests


class FakeProgress:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, what: str) -> None:
        self.said.append(what)
