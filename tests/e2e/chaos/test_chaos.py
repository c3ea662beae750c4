"""Chaos: whatever befalls a lab, it becomes what the rules say, and no packet goes astray meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from labkit.resources import topologies
from tests.e2e.chaos.machine import Chaos, bundled, hasty
from tests.e2e.chaos.steps import Step
from tests.e2e.chaos.trial import Trial
from tests.e2e.random_labs import lab_files
from tests.extent import CHAOS

FEW = 10
"""Steps that befall the overview lab."""

MOST = 20 if CHAOS else 2
"""Steps that befall each of the other labs."""

BUNDLED = sorted(path.parent.name for path in topologies().glob("*/lab.yml") if "config:" not in path.read_text())
"""What a configuration of its own makes of a router, no rule predicts."""

KINDS = ("fault", "fault", "fault", "change", "power off", "power on")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(hasty(bundled("overview")), tmp_path)
    yield trial
    trial.close()


def test_a_lab_becomes_what_the_rules_say_whatever_befalls_it(trial: Trial) -> None:
    """The same steps in every run."""
    dice = random.Random(1)
    while len(trial.done) < FEW:
        choices = trial.choices().get(dice.choice(KINDS))
        if choices:
            trial.do(dice.choice(choices))
    trial.finish()


def test_whatever_the_lab(tmp_path: Path) -> None:
    """`make chaos` is this for as many labs as it is asked to try; the short suite has one."""

    class Befallen(Chaos):
        labs = (st.sampled_from(BUNDLED).map(bundled) | lab_files()).map(hasty)
        folder = tmp_path
        kept: ClassVar[list[int]] = []

    run_state_machine_as_test(
        Befallen,
        settings=settings(
            max_examples=CHAOS or 1,
            stateful_step_count=MOST,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            derandomize=not CHAOS,
            deadline=None,
        ),
    )
    print(f"\n{len(Befallen.kept)} labs, {sum(Befallen.kept)} steps")


def test_a_wrong_route_of_a_moment_is_noticed(trial: Trial, tmp_path: Path) -> None:
    # The agent's route leads through a nexthop object: `10.250.0.0/16 nhid 2 ...`.
    lines = (
        "set -e",
        "set -- $(ip route show 10.250.0.0/16)",
        "ip route replace $1 via 10.1.2.4 dev eth0 proto 65 onlink",
        "ip route replace $1 $2 $3 proto 65",
    )
    step = Step(f"labkit exec vm1 -- sh -c '{'; '.join(lines)}'", "vm1")
    with pytest.raises(AssertionError, match=r"vm1 to 10\.250\.0\.10 by 10\.1\.2\.4, not 10\.1\.1\.4"):
        trial.do(step)
    assert trial.failed
    assert str(step) in (tmp_path / "replay.sh").read_text()
