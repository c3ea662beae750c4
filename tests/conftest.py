from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from labkit.runtimes.select import CONTAINERLAB
from tests.side_by_side import Scheduling, rank

# An ordinary user's path lacks where Debian keeps ip, nft and chroot.
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# A busy machine is no reason for a property to fail.
settings.register_profile("azure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("azure")


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
    """What one runtime shows for both is left out on the other one; what takes longest begins first."""
    left_out = [item for item in items if item.get_closest_marker("sandbox_alone") and on_containerlab(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if beside_others(config):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Hand out tests to processes by parts."""
    return Scheduling(config, log)
