from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labkit.runtimes.select import CONTAINERLAB, SANDBOX
from tests.extent import LONG, load_profile
from tests.side_by_side import Scheduling, rank

# An ordinary user's path lacks where Debian keeps ip, nft and chroot.
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

load_profile()


def beside_others(config: pytest.Config) -> bool:
    """Whether this is one of several processes that run tests (`pytest --numprocesses`)."""
    return hasattr(config, "workerinput")


def on_containerlab(item: pytest.Item) -> bool:
    """Whether this is a test of `labkit_lab` on containerlab."""
    return (
        isinstance(item, pytest.Function)
        and "labkit_runtime" in item.fixturenames
        and (item.callspec.params["labkit_runtime"] == CONTAINERLAB)
    )


@pytest.fixture(scope="session", autouse=True)
def _labs_of_its_own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Several processes may have labs of the same name."""
    with pytest.MonkeyPatch.context() as patch:
        if beside_others(request.config):
            patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of labs without the mark `both_runtimes` out on containerlab; begin with what takes longest.

    The long suite has all of them on both runtimes, and so has whoever asks for containerlab alone.
    """
    runtimes = config.getoption("--labkit-runtime").split(",")
    left_out: list[pytest.Item] = []
    if SANDBOX in runtimes and not LONG:
        left_out = [item for item in items if on_containerlab(item) and not item.get_closest_marker("both_runtimes")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if beside_others(config):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Hand out tests to processes by parts."""
    return Scheduling(config, log)
