"""The identity of an instance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class InstanceId:
    """An instance of a route server or a gateway, or an edge router of a circuit: the whole's name, and 0 or 1."""

    name: str
    index: int

    @property
    def node(self) -> str:
        """The name of its NIC, and of its node in a lab: `rs1-0`."""
        return f"{self.name}-{self.index}"

    @property
    def other(self) -> InstanceId:
        """The other instance of the same route server or gateway."""
        return InstanceId(self.name, 1 - self.index)
