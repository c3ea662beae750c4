"""Faults: what reaches the controller's event log and the runtime, and in which order."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import CheckFailed
from labkit.operate import faults
from labkit.operate.faults.fault import Fault
from labkit.operate.faults.node_off import NodeOff
from labkit.operate.faults.registry import FAULTS
from labkit.operate.look.client import LabClient
from labkit.operate.records.record import Record
from labkit.runtimes.protocol import LabStatus, NodeStatus, NotReady
from labkit.runtimes.select import SANDBOX

Call = tuple[object, ...]


class Bed(LabClient):
    """A lab without nodes: it notes what a fault asks of the controller and of the runtime."""

    def __init__(self, *, controller: bool = True) -> None:
        super().__init__(Record("lab1", SANDBOX, "", "", 0.0))
        self.calls: list[Call] = []
        self.controller = controller
        self.not_ready = False
        self.runtime: Any = self

    def put(self, *path: str, body: object, within: float = 0.0) -> None:  # noqa: ARG002 - as its base
        if not self.controller:
            raise CheckFailed("the controller of lab lab1 does not answer.", "")
        self.calls.append((*path, body))

    def stop(self, lab: str, node: str) -> None:
        self.calls.append(("stop", lab, node))

    def start(self, lab: str, node: str, within: float | None) -> None:
        self.calls.append(("start", lab, node))
        if self.not_ready:
            raise NotReady(f"node {node} is on, but not healthy within {within} s.")


def status(state: str) -> LabStatus:
    return LabStatus("lab1", SANDBOX, "running", (NodeStatus("vm1", state, "", "image"),))


def test_a_node_off_is_logged_before_it_happens() -> None:
    bed, fault = Bed(), NodeOff("vm1")
    fault.begin(bed, status("running"))
    fault.end(bed, status("stopped"))
    assert bed.calls == [
        ("nodes", "vm1", "power", {"on": False}),
        ("stop", "lab1", "vm1"),
        ("nodes", "vm1", "power", {"on": True}),
        ("start", "lab1", "vm1"),
    ]


def test_what_changes_nothing_is_not_logged() -> None:
    bed, fault = Bed(), NodeOff("vm1")
    fault.begin(bed, status("stopped"))
    fault.end(bed, status("running"))
    assert bed.calls == [("stop", "lab1", "vm1"), ("start", "lab1", "vm1")]


def test_a_fault_happens_without_the_controller() -> None:
    bed = Bed(controller=False)
    NodeOff("vm1").begin(bed, status("running"))
    assert bed.calls == [("stop", "lab1", "vm1")]


def test_kinds_have_names_of_their_own() -> None:
    assert len({fault.kind for fault in FAULTS}) == len(FAULTS)


def test_every_file_of_the_room_is_in_the_registry() -> None:
    files = {f"{faults.__name__}.{file.stem}" for file in Path(faults.__file__).parent.glob("*.py")}
    others = {f"{faults.__name__}.{name}" for name in ("__init__", "fault", "registry")}
    assert files - others == {fault.__module__ for fault in FAULTS}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_describes_its_target(kind: type[Fault]) -> None:
    fault = kind(**{field.name: f"the-{field.name}" for field in fields(kind)})  # type: ignore[arg-type]
    text = fault.describe()
    assert "the-" in text
    assert not text.endswith(".")


@pytest.mark.parametrize(
    ("answers", "controller", "reason"),
    [
        (True, "running", "not healthy within None s"),
        (True, "stopped", "the controller is off or does not answer"),
        (False, "running", "the controller is off or does not answer"),
    ],
)
def test_a_node_that_needs_the_controller_is_not_waited_for_without_it(
    answers: bool, controller: str, reason: str
) -> None:
    bed = Bed(controller=answers)
    bed.not_ready = True
    nodes = (NodeStatus("vm1", "stopped", "", ""), NodeStatus("controller", controller, "", ""))
    with pytest.raises(CheckFailed, match=reason):
        NodeOff("vm1").end(bed, LabStatus("lab1", SANDBOX, "running", nodes))
    assert bed.calls[-1] == ("start", "lab1", "vm1")
