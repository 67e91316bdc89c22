"""`doctor`: is this machine fit to measure, and what precision to expect?"""

import contextlib
from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.errors import MeasurementError
from bench.plan.budget import BUDGETS
from bench.report.words import percent
from bench.runner import doctor as runner
from bench.runner.learning import LearningTestbed
from bench.studies.options import AppOptions
from bench.studies.run.measure import minutes
from bench.studies.run.options import Options
from bench.studies.run.planning import run_plan
from bench.testbed import fitness, machine
from bench.testbed.app_files import load
from bench.testbed.options import Options as TestbedOptions


def doctor(file: Path | None = None, /, options: AppOptions | None = None) -> int:
    """Is this machine fit to measure, and what precision to expect?

    Args:
        file: The app file of your service; the built-in example by default.
        options: Further setups.
    """
    options = options or AppOptions()
    loaded = load(file, options.setups_file)
    console = display.console()
    looks = fitness.examine()
    for look in looks:
        mark = Text("ok      ", "green") if look.fit else Text("not fit ", "yellow")
        advice = "" if look.fit else f" - {look.advice}"
        console.print(mark + Text(f"{look.name}: {look.value}{advice}"))
    machine.require_linux()
    plan = runner.plan(loaded.app, machine.split_cpus(pinned=True))
    with (
        display.progress(runner.TRIAL_S) as progress,
        contextlib.closing(LearningTestbed(plan, TestbedOptions(place=loaded.place))) as testbed,
    ):
        trial = runner.trial(plan, testbed, progress)
    console.print(
        f"\nA trial with two identical instances of {loaded.app.name}: "
        f"{trial.cpu_per_request_s * 1e3:.2f} ms of CPU per {loaded.app.unit} at {trial.rate_per_s:.0f}/s, "
        f"varying by {trial.request_sd * 100:.0f} % from one to the next."
    )
    console.print("What to expect here (the smallest overhead that 80 % of runs detect):")
    for name, budget in BUDGETS.items():
        planned = run_plan(Options(budget=name), loaded)
        expected = percent(runner.expected_mde(planned, trial), sign=False)
        console.print(f"  {budget.name:<8} {expected:>6} % in {minutes(planned)}", highlight=False)
    unfit = [look.name for look in looks if not look.fit]
    if unfit:
        console.print(Text(f"Not fit to measure: {', '.join(unfit)}.", "yellow"))
        return MeasurementError.exit_code
    console.print(Text("Fit to measure.", "green"))
    return 0
