"""A node that is off, as after a power cut."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from labkit.errors import CheckFailed
from labkit.operate.faults.fault import Fault
from labkit.operate.look.client import LabClient
from labkit.runtimes.protocol import LabStatus


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
        """Power the node on; raises as `Runtime.start` does."""
        self._log(client, status, on=True)
        client.runtime.start(client.record.lab, self.node)

    def describe(self) -> str:
        """That it is off."""
        return f"{self.node} is off"

    def _log(self, client: LabClient, status: LabStatus, *, on: bool) -> None:
        """Log it before it is done, so that its consequences come after it in the event log."""
        changes = any(n.name == self.node and (n.state == "stopped") is on for n in status.nodes)
        if changes:
            with suppress(CheckFailed):  # the controller may be off or dead
                client.put("nodes", self.node, "power", body={"on": on})
