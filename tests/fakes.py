"""A rig, a record and a display that remember what they were told."""

from collections.abc import Callable, Sequence

from bench.journey import Exemplar
from bench.model import Arrival, Kind, Memory, Plan, Purpose, Request, Slice, Window
from bench.setups import BY_NAME
from bench.solo import Wanted
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
        self._visited = 0

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

    service_s: float | dict[str, float] = 0.01
    """How long the solo phase's fleets take for a checkout, one after another."""
    lost_workers = 0
    """Load workers that die in every slice and window."""

    def rest(self) -> None:
        self.log.append("rest")

    def wake(self, setup: str) -> None:
        self.log.append(f"wake {setup}")

    def halt(self, setup: str) -> None:
        self.log.append(f"halt {setup}")

    def measure_slice(self, wanted: Wanted, arrivals: Sequence[Arrival]) -> tuple[Slice, tuple[Request, ...]]:
        self.log.append(f"{wanted.purpose} {wanted.setup} {wanted.rate_per_s:g}")
        service = self.service_s
        service_s = service if isinstance(service, float) else service[wanted.setup]
        rows = served(wanted, arrivals, service_s)
        setup = BY_NAME[wanted.setup]
        sampled = setup.env.get("OTEL_TRACES_SAMPLER") == "parentbased_always_on"
        self._visited += len(rows)
        whole = sampled and wanted.purpose is Purpose.FLUSH
        reading = make.fleet(
            wanted.setup,
            len(rows) * service_s * 0.9,
            completed=len(rows),
            account=make.whole(setup, self._visited if whole else 0),
        )
        self._visited = 0 if wanted.purpose is Purpose.FLUSH else self._visited
        return wanted.measured(
            duration_s=max([wanted.length_s, *(row.done_ns / 1e9 for row in rows)]),
            reading=reading,
            machine=make.machine(),
            lost_workers=self.lost_workers,
        ), rows

    def exemplars(self, epoch: int, window: int) -> tuple[Exemplar, ...]:
        return (make.exemplar(epoch=epoch, window=window),)

    def memory(self) -> tuple[Memory, ...]:
        self.log.append("memory")
        return tuple(reading for setup in self.plan.setups for reading in make.memory(setup.name))

    def check(self) -> None:
        self.log.append("check")

    def stop_epoch(self) -> None:
        self.log.append("stop")


def served(wanted: Wanted, arrivals: Sequence[Arrival], service_s: float) -> tuple[Request, ...]:
    """What a queue with one server makes of a slice: first come, first served."""
    planned = [arrival.offset_ns for arrival in arrivals]
    if wanted.users:
        planned = [round(at * service_s * 1e9) for at in range(int(wanted.length_s / service_s))]
    rows, free_ns = [], 0
    for due in planned:
        free_ns = max(free_ns, due) + round(service_s * 1e9)
        rows.append(
            Request(
                epoch=wanted.epoch,
                window=wanted.number,
                setup=wanted.setup,
                planned_ns=due,
                sent_ns=due,
                done_ns=free_ns,
                status=201,
            )
        )
    return tuple(rows)


class FakeRecord:
    """Keeps in memory what is stored."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.windows: list[Window] = []
        self.requests: list[Request] = []
        self.slices: list[Slice] = []
        self.solo_requests: list[Request] = []
        self.exemplars: list[Exemplar] = []

    def write_plan(self, plan: Plan) -> None:
        self.plans.append(plan)

    def append_window(self, window: Window) -> None:
        self.windows.append(window)

    def append_requests(self, requests: Sequence[Request]) -> None:
        self.requests += requests

    def append_exemplars(self, exemplars: Sequence[Exemplar]) -> None:
        self.exemplars += exemplars

    def append_slice(self, piece: Slice, requests: Sequence[Request]) -> None:
        self.slices.append(piece)
        self.solo_requests += requests


class FakeProgress:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, what: str, _detail: str = "") -> None:
        self.said.append(what)
