"""Chaos: whatever befalls a lab, in whatever order, it becomes what the rules say, and no packet goes astray meanwhile.

`make chaos` does the same for as long as it is asked to, with all kinds of labs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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

STEPS = 20 if CHAOS else 6
EXAMPLES = CHAOS or 2

_BUNDLED = [path.parent.name for path in topologies().glob("*/lab.yml")]
LABS = st.sampled_from(sorted(_BUNDLED)).map(bundled) | lab_files() if CHAOS else st.just(bundled("overview"))


def test_a_lab_becomes_what_the_rules_say_whatever_befalls_it(tmp_path: Path) -> None:
    class Befallen(Chaos):
        labs = LABS.map(hasty)
        folder = tmp_path

    run_state_machine_as_test(
        Befallen,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=(Phase.generate, Phase.shrink) if CHAOS else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(hasty(bundled("overview")), tmp_path)
    yield trial
    trial.close()


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
