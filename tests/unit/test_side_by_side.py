"""What tests/side_by_side.py hands out when; that tests at the Docker engine are recognised is checked as they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.side_by_side import HOST, LONG, SAME_LAB, Scheduling, may_begin, part, rank

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BED = "tests/e2e/test_containerlab.py::test_logs"
HOST_TEST = "tests/e2e/test_sandbox_runtime.py::test_the_host_is_as_it_was"
LAB = "tests/e2e/test_overview.py::test_every_proof_holds"
HERE, THERE = f"{LAB}[sandbox]", f"{LAB}[containerlab]"
VARIANT = "tests/e2e/test_dual_homed.py::test_the_hubs_do_not_meet[containerlab-active-passive]"
UNIT = "tests/unit/azure/test_paths.py::test_a_path[containerlab is no word here]"


def test_parts() -> None:
    assert part(BED) == part(HOST_TEST) == HOST
    assert part(HERE) == "tests/e2e/test_overview.py"
    assert part(THERE) == "tests/e2e/test_overview.py on containerlab"
    assert part(VARIANT) == "tests/e2e/test_dual_homed.py on containerlab"
    assert part("tests/e2e/test_sandbox_runtime.py::test_exec") == "tests/e2e/test_sandbox_runtime.py"
    assert part("tests/e2e/test_measure.py::test_the_table[sandbox]") == part(HERE), "they boot the same lab"
    assert part("tests/e2e/test_measure.py::test_the_table[containerlab]") == part(THERE)
    assert part(UNIT) == "tests/unit/azure/test_paths.py"


def test_order() -> None:
    short = "tests/e2e/test_communities.py::test_a_circuit_keeps_communities[sandbox]"
    assert sorted([UNIT, short, HERE, THERE, BED], key=rank) == [BED, THERE, HERE, short, UNIT]
    order = [f"{file}::test" for files in SAME_LAB for file in files]
    assert sorted(sorted(order), key=lambda test: (order.index(f"{part(test)}::test"), rank(test))) == order


def test_the_files_that_are_named_are_there() -> None:
    named = [*(file for files in SAME_LAB for file in files), *LONG]
    assert [file for file in named if not (REPOSITORY / file).is_file()] == []


@pytest.mark.parametrize(
    ("waiting", "running", "may"),
    [(THERE, BED, False), (HERE, BED, True), (UNIT, BED, True), (THERE, VARIANT, True), (BED, THERE, True)],
)
def test_what_may_begin(waiting: str, running: str, may: bool) -> None:
    assert may_begin(part(waiting), part(running)) is may


@dataclass(eq=False)
class Process:
    """What xdist calls a node."""

    tests: list[str]
    handed: list[str] = field(default_factory=list)
    shutting_down: bool = False
    gateway: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def send_runtest_some(self, indices: list[int]) -> None:
        self.handed += [self.tests[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_no_lab_is_put_at_the_engine_while_the_host_is_compared() -> None:
    beds = [f"{BED}[{i}]" for i in range(4)]
    labs = [THERE.replace("]", f"-{i}]") for i in range(4)]
    tests = [*beds, *labs, VARIANT, HERE]
    config = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True, tx=["popen", "popen"]))
    config.getvalue = {"tx": ["popen", "popen"]}.__getitem__
    scheduling = Scheduling(config, None)  # type: ignore[arg-type]
    one, other = Process(tests), Process(tests)
    for process in (one, other):
        scheduling.add_node(process)
        scheduling.add_node_collection(process, tests)
    scheduling.schedule()
    assert (one.handed, other.handed) == (beds, [HERE])
    scheduling.mark_test_complete(other, tests.index(HERE))
    assert other.handed == [HERE], "it has to wait"
    for bed in beds[:-1]:
        scheduling.mark_test_complete(one, tests.index(bed))
    assert other.handed == [HERE]
    assert one.handed == [*beds, *labs], "the process itself may go on with a lab"
    scheduling.mark_test_complete(one, tests.index(beds[-1]))
    assert other.handed == [HERE, VARIANT], "labs may run side by side"
