"""Whether a machine is quiet: what is waited for, and for how long."""

import pytest

from bench.errors import MeasurementError
from bench.testbed import fitness


def test_a_busy_machine_is_waited_for_until_three_quiet_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(0.0, 0.9), (0.0, 0.0), (0.3, 0.0), (0.0, 0.0), (0.0, 0.05), (0.01, 0.0), (0.0, 0.9)])
    monkeypatch.setattr(fitness, "steal_and_foreign", lambda _seconds: next(looks))
    told: list[str] = []
    fitness.wait_until_quiet(told.append)
    assert [sentence.split(": ")[1] for sentence in told] == [
        "other programs use 90 %, the host takes 0 % of a core",
        "other programs use 0 %, the host takes 30 % of a core",
    ]
    assert next(looks) == (0.0, 0.9)


def test_a_machine_that_stays_busy_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "steal_and_foreign", lambda _seconds: (0.0, 0.5))
    with pytest.raises(MeasurementError, match="did not become quiet") as raised:
        fitness.wait_until_quiet(lambda _sentence: None, limit_s=0.0)
    assert "--wait-for-quiet" in raised.value.hint


def test_every_look_has_a_name_and_advice_where_it_can_fail() -> None:
    looks = fitness.examine(0.0001)
    assert len({look.name for look in looks}) == len(looks)
    assert all(look.advice for look in looks if not look.fit)
