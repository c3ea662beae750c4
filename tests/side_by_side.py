"""Which tests may run side by side, in `pytest --numprocesses=3`: `make test` does that, plain `pytest` does not.

End-to-end tests wait more than they compute, so three processes share the work of two cores. What a process gets at a
time is a part: the tests of a file, or all that meet at the machine's Docker engine. Those compare what is on the host
before and after, so no other one may put a container there meanwhile. Sandboxes are nowhere to be seen on the host, and
each process has a state folder of its own.
"""

from __future__ import annotations

import os
import re

import pytest
from xdist.scheduler import LoadScopeScheduling

ENGINE = "the machine's Docker engine, and what labs leave on the host"
_ENGINES = re.compile(
    r"tests/e2e/test_(containerlab|docker_image|docker_user|unprivileged)\.py::"
    r"|tests/e2e/test_\w+\.py::\w+\[(.*-)?containerlab(-.*)?\]$"
    r"|tests/e2e/test_sandbox_runtime\.py::test_the_host_is_as_it_was"
)


def part(test: str) -> str:
    """The part that a test belongs to, by its node id; the tests of a part run one after the other."""
    return ENGINE if _ENGINES.match(test) else test.partition("::")[0]


def rank(test: str) -> int:
    """Lower numbers begin sooner: the longest part, then the others that boot labs, and last what fills gaps."""
    if part(test) == ENGINE:
        return 0
    return 1 if test.startswith(("tests/e2e/", "tests/acceptance/")) else 2


def must_be_at_the_engine() -> None:
    """Fail the test that runs now if others may run beside it that meet at the machine's Docker engine."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    if part(test) != ENGINE:
        pytest.fail(f"{test} uses the machine's Docker engine: let tests/side_by_side.py know")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """xdist's own, by our parts and in our order."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)
