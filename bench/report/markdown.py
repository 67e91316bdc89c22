"""The report as Markdown: `report.md`, to be sent to a colleague."""

from tabulate import tabulate

from bench.findings import Caveat, Severity, Summary
from bench.model import Setup
from bench.report import words
from bench.setups import BY_NAME

RED = "🔴"
HOW_TO_READ = (
    "Extra CPU is against the mean of `none` and its twin `none-again`, paired inside windows; "
    "the twin itself is against `none`. The intervals hold for each set-up alone, "
    "the verdicts for all of them at once (Dunnett)."
)


def render(summary: Summary) -> str:
    """The whole report."""
    parts = [
        f"# What tracing costs: {summary.plan.name}",
        (f"{RED} **{words.headline(summary)}**" if not summary.valid else words.headline(summary)),
        "## CPU per checkout, four services together",
        _table(words.overhead_table(summary)),
        words.noise_floor(summary),
        HOW_TO_READ,
        "### Each set-up against the next cheaper one",
        _table(words.pair_table(summary)),
        "## Ledger: where every span went",
        _table(words.ledger_table(summary)),
        "## Latency at light load, and memory of the four services",
        _table(words.memory_table(summary)),
        words.load_line(summary),
        "## Caveats",
        _caveats(summary),
        "## Set-ups",
        "\n".join(map(_setup, summary.plan.setups)),
        "## How to repeat it",
        _how(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _table(table: words.Table) -> str:
    rows = [
        [
            f"{RED} {cell}" if at in table.red and number == 0 else cell
            for number, cell in enumerate(map(_escape, row))
        ]
        for at, row in enumerate(table.rows)
    ]
    align = ["right" if right else "left" for right in table.right]
    return str(tabulate(rows, headers=table.heads, tablefmt="github", colalign=align, disable_numparse=True))


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def _caveats(summary: Summary) -> str:
    if not summary.caveats:
        return "None."
    return "\n".join(map(_caveat, summary.caveats))


def _caveat(caveat: Caveat) -> str:
    mark = f"{RED} **INVALID** " if caveat.severity is Severity.INVALID else ""
    return f"- {mark}{_escape(words.caveat_line(caveat))}"


def _setup(setup: Setup) -> str:
    env = " ".join(f"{name}={value}" for name, value in setup.env.items())
    return f"- `{_escape(setup.name)}`: {_escape(setup.description)}" + (f" `{_escape(env)}`" if env else "")


def _how(summary: Summary) -> str:
    plan = summary.plan
    own = [setup.name for setup in plan.setups if setup.name not in BY_NAME]
    names = ",".join(setup.name for setup in plan.setups if setup.name not in own)
    command = (
        f"python -m bench run --setups {names}{' --setups-file FILE' if own else ''} --seed {plan.seed} "
        f"--epochs {plan.epochs} --windows {plan.windows} --window {plan.window_s:g} "
        f"--warm-up {plan.warm_up_s:g} --rate {plan.rate_per_s:g}{'' if plan.services_cpus else ' --no-pin'}"
    )
    pinned = f"services on CPU {_cpus(plan.services_cpus)}, everything else on {_cpus(plan.other_cpus)}"
    parts = [
        f"`{command}` ({pinned if plan.services_cpus else 'not pinned'}).",
        f"`FILE` holds {', '.join(f'`{_escape(name)}`' for name in own)} as listed above." if own else "",
        "The machine and every version stand in `machine.json`.",
    ]
    return " ".join(filter(None, parts))


def _cpus(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus))
