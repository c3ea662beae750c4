"""Which tests may run side by side, in `pytest --numprocesses=4`: `make test` does that, plain `pytest` does not.

End-to-end tests wait more than they compute, so four processes share the work of two cores. What a process gets at a
time is a part: the tests of a file, or of the files that boot the same lab; those on containerlab apart from those on
the sandbox. Sandboxes can't be seen on the host, and each process has a state folder of its own. Labs at the machine's
Docker engine are seen there, by names that no two parts share. So what compares the host before and after is one part,
which begins first, and no lab is put at the engine while it runs.
"""

from __future__ import annotations

import os
import re

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

HOST = "what labs leave on the host"
_HOSTS = re.compile(
    r"tests/e2e/test_(containerlab|docker_image|docker_user|unprivileged)\.py::"
    r"|tests/e2e/test_sandbox_runtime\.py::test_the_host_is_as_it_was|tests/e2e/test_runtimes\.py::\w+\[containerlab"
)
_AT_ENGINE = re.compile(
    r"tests/e2e/test_both_runtimes\.py::test_row_for_row|tests/\w+/test_\w+\.py::\w+\[(.*-)?containerlab(-.*)?\]$"
)
_BESIDE = " on containerlab"
SAME_LAB = (
    (
        "tests/e2e/test_overview.py",
        "tests/e2e/test_hostile_node.py",
        "tests/e2e/test_reshape.py",
        "tests/e2e/test_measure.py",
        "tests/e2e/test_measure_usage.py",
    ),
    ("tests/e2e/test_expressroute.py", "tests/e2e/test_diff.py"),
    ("tests/acceptance/test_captures.py", "tests/e2e/test_trace.py", "tests/e2e/test_dual_homed_expressroute.py"),
)
"""Files whose tests leave a lab as they found it, booted once for all of them; in the order of its variants."""

LONG = (
    *(files[0] for files in SAME_LAB),
    *(
        f"tests/e2e/test_{name}.py"
        for name in ("sandbox_runtime", "cli", "routeserver", "whatif", "random_labs", "both_runtimes", "machine")
    ),
)
"""Parts on the sandbox that would hold up the end of a run if they began last."""

_TURN = {file: (files[0], turn) for files in SAME_LAB for turn, file in enumerate(files)}


def part(test: str) -> str:
    """The part that a test belongs to, by its node id; the tests of a part run one after the other."""
    if _HOSTS.match(test):
        return HOST
    file, _ = _turn(test)
    return file + _BESIDE if _AT_ENGINE.match(test) else file


def _turn(test: str) -> tuple[str, int]:
    """The first file of those that boot the same lab as the test's, and the turn of the test's own among them."""
    file = test.partition("::")[0]
    return _TURN.get(file, (file, 0))


def at_the_engine(its_part: str) -> bool:
    """Whether the tests of a part meet others at the machine's Docker engine."""
    return its_part == HOST or its_part.endswith(_BESIDE)


def may_begin(its_part: str, running: str) -> bool:
    """Whether a part may begin while that one runs. `HOST` always may: it begins before all others."""
    return running != HOST or not at_the_engine(its_part)


def rank(test: str) -> tuple[int, int]:
    """Lower ones begin sooner: what holds others up, labs at the engine, long parts, other labs, what fills gaps."""
    its_part, (_, turn) = part(test), _turn(test)
    if its_part == HOST:
        return 0, turn
    if at_the_engine(its_part):
        return 1, turn
    if its_part in LONG:
        return 2, turn
    return (3 if test.startswith(("tests/e2e/", "tests/acceptance/")) else 4), turn


def must_be_at_the_engine() -> None:
    """Fail the test that runs now if others may run beside it that must not, at the machine's Docker engine."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    if not at_the_engine(part(test)):
        pytest.fail(f"{test} uses the machine's Docker engine: let tests/side_by_side.py know")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """xdist's own, by our parts and in our order."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give a process the first part that may run beside what the others have; none, if there is no such part."""
        others = [
            running
            for other, parts in self.assigned_work.items()
            if other is not node
            for running, tests in parts.items()
            if not all(tests.values())
        ]
        for waiting in self.workqueue:
            if all(may_begin(waiting, running) for running in others):
                self.workqueue.move_to_end(waiting, last=False)
                super()._assign_work_unit(node)
                return

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """As xdist does; a part that has ended may be what others wait for."""
        super().mark_test_complete(node, item_index, duration)
        if self.workqueue:
            for other in self.nodes:
                self._reschedule(other)
