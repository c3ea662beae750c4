"""Whether a lab fits on the machine."""

from __future__ import annotations

import pytest

from labkit.errors import EnvironmentProblem
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.operate.labs import room
from labkit.resources import topologies
from labkit.runtimes.capacity import Capacity, Left
from labkit.runtimes.select import CONTAINERLAB, SANDBOX

# What labs took when all proofs held, in megabytes: on the sandbox by their control group, on containerlab by those of
# the containers, and by the processes that Docker has for each.
MEASURED = {
    ("overview", SANDBOX): 300,
    ("dual-homed", SANDBOX): 367,
    ("dual-homed-expressroute", SANDBOX): 755,
    ("expressroute", SANDBOX): 435,
    ("expressroute-vpn", SANDBOX): 543,
    ("overview", CONTAINERLAB): 368,
    ("expressroute-vpn", CONTAINERLAB): 579,
}


@pytest.mark.parametrize(("lab", "runtime"), MEASURED)
def test_the_need_is_what_was_measured(lab: str, runtime: str) -> None:
    need = room.need(plan(load(topologies() / lab / "lab.yml")), runtime)
    assert 1.0 <= need.memory / 1e6 / MEASURED[lab, runtime] <= 1.1


def left(memory: int = 400_000_000, tasks: int = 200, descriptors: int = 1000) -> Capacity:
    return Capacity(Left(memory, "the memory"), Left(tasks, "the tasks"), Left(descriptors, "the files"))


NEED = room.Need(nodes=11, memory=315_000_000, tasks=118, descriptors=152)


def test_a_lab_that_fits() -> None:
    room.must_fit("x", NEED, left())
    room.must_fit("x", NEED, left(NEED.memory, NEED.tasks, NEED.descriptors))


@pytest.mark.parametrize(
    ("capacity", "short"),
    [
        (left(memory=314_999_999), ["about 315 MB of memory, of which 315 MB is left by the memory"]),
        (left(tasks=117), ["about 118 processes and threads, of which 117 are left by the tasks"]),
        (left(descriptors=64), ["up to 152 open files in one process, of which 64 are allowed by the files"]),
        (left(0, 0), ["about 315 MB of memory, of which 0 MB is", "; about 118 processes and threads, of which 0 are"]),
    ],
)
def test_what_is_short_is_named_with_its_bound(capacity: Capacity, short: list[str]) -> None:
    with pytest.raises(EnvironmentProblem) as found:
        room.must_fit("x", NEED, capacity)
    assert found.value.message.startswith("lab x with its 11 nodes does not fit on this machine: it needs ")
    assert all(each in found.value.message for each in short)
    assert "--force" in found.value.remedy


def test_gigabytes() -> None:
    need = room.Need(4005, 56_200_000_000, 1, 1)
    with pytest.raises(EnvironmentProblem, match=r"about 56\.2 GB of memory, of which 1\.5 GB is left"):
        room.must_fit("x", need, left(1_500_000_000))
