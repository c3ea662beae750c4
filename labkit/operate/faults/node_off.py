"""A node that is off, as after a power cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.errors import CheckFailed
from labkit.operate.faults.fault import Fault
from labkit.operate.look.client import CONTROLLER, LabClient
from labkit.runtimes.protocol import LabStatus, NotReady

_LOGGED_WITHIN = 5.0
_WITHOUT_CONTROLLER = 3.0
"""Seconds in which what needs no controller is ready."""


@dataclass(frozen=True, slots=True)
class NodeOff(Fault):
    """A node powered off abruptly: its links are cut before its processes end, so that no BGP NOTIFICATION is sent."""

    kind: ClassVar[str] = "node-off"
    node: str

    def begin(self, client: LabClient, status: LabStatus) -> None:
        """Power the node off; raises as `Runtime.stop` does."""
        self._log(client, status, on=False)
        client.runtime.stop(client.record.lab, self.node)

    def end(self, client: LabClient, status: LabStatus) -> None:
        """Power the node on; raises as `Runtime.start` does.

        Raises:
            CheckFailed: it is on, but not ready, as what needs the controller can't be while that is off.
        """
        answers = self._log(client, status, on=True)
        waits = self.node == CONTROLLER or (answers and not any(n.name == CONTROLLER and n.off for n in status.nodes))
        lab = client.record.lab
        try:
            client.runtime.start(lab, self.node, None if waits else _WITHOUT_CONTROLLER)
        except NotReady as problem:
            if waits:
                raise
            raise CheckFailed(
                f"{self.node} is on, but its services are not ready: the controller is off or does not answer.",
                f"They are once it does: labkit start {CONTROLLER} --lab {lab}",
            ) from problem

    def describe(self) -> str:
        """That it is off."""
        return f"{self.node} is off"

    def _log(self, client: LabClient, status: LabStatus, *, on: bool) -> bool:
        """Log it before it is done, so that its consequences come after it in the event log.

        Returns whether the controller answers, as far as this shows it.
        """
        changes = any(n.name == self.node and (n.state == "stopped") is on for n in status.nodes)
        if changes:
            try:
                client.put("nodes", self.node, "power", body={"on": on}, within=_LOGGED_WITHIN)
            except CheckFailed:  # the controller may be off or dead
                return False
        return True
