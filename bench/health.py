"""How the load of a run went: was it sent when it was planned, and what else did the machine do."""

from collections import defaultdict
from collections.abc import Sequence

from bench.cells import cpu_s
from bench.findings import LoadSummary, WorkerLag
from bench.model import CREATED, UNSENT, Plan, Request, Window
from bench.stats import quantile


def counted(requests: Sequence[Request], counting: Sequence[Window]) -> list[Request]:
    """The requests of the windows that count."""
    numbers = {(window.epoch, window.window) for window in counting}
    return [request for request in requests if (request.epoch, request.window) in numbers]


def load_summary(
    plan: Plan, work: Sequence[Window], counting: Sequence[Window], requests: Sequence[Request]
) -> LoadSummary:
    """How the load went.

    Args:
        plan: as it was carried out.
        work: all work windows.
        counting: those that count.
        requests: of these.
    """
    length = sum(window.duration_s for window in counting) or 1.0
    lags = [(row.sent_ns - row.planned_ns) / 1e9 for row in requests if row.status not in UNSENT]
    services = sum(cpu_s(fleet) for window in counting for fleet in window.fleets)
    return LoadSummary(
        rate_per_s=plan.rate_per_s,
        requests=len(requests),
        dropped=sum(row.status in UNSENT for row in requests),
        failed=sum(row.status not in {CREATED, *UNSENT} for row in requests),
        lag_p50_s=quantile(lags, 0.5),
        lag_p99_s=quantile(lags, 0.99),
        utilisation=services / length / plan.service_cpus,
        load_utilisation=sum(window.machine.load_s for window in counting)
        / length
        / min(max(plan.workers, 1), len(plan.other_cpus) or plan.cpus),
        steal=sum(window.machine.steal_s for window in counting) / length,
        foreign=sum(window.machine.foreign_s for window in counting) / length,
        set_aside=len(work) - len(counting),
        lost_workers=sum(each.lost_workers for each in work),
        workers=_workers(requests) if plan.workers else (),
    )


def _workers(requests: Sequence[Request]) -> tuple[WorkerLag, ...]:
    """How late each load worker sent."""
    lags: defaultdict[int, list[float]] = defaultdict(list)
    for row in requests:
        if row.status not in UNSENT:
            lags[row.worker].append((row.sent_ns - row.planned_ns) / 1e9)
    return tuple(
        WorkerLag(
            worker=worker,
            arrivals=len(mine),
            lag_p50_s=quantile(mine, 0.5),
            lag_p99_s=quantile(mine, 0.99),
        )
        for worker, mine in sorted(lags.items())
    )
