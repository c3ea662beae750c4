"""How packets end, in a few words."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.azure.forwarding import Disposition
from labkit.azure.model import ON_LINK, NextHopType
from labkit.predict.walk.steps import EndStep, FabricStep, RouterStep, Step


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How packets of a flow end, through which nodes, and `at` which node they do; `why` if they are dropped."""

    disposition: Disposition
    through: tuple[str, ...]
    at: str
    why: str = ""

    @property
    def delivered(self) -> bool:
        """Whether packets arrive."""
        return self.disposition is Disposition.DELIVERED

    def __str__(self) -> str:
        through = f" through {', '.join(self.through)}" if self.through else ""
        match self.disposition:
            case Disposition.DELIVERED:
                return f"delivered{through}"
            case Disposition.LOOP:
                return f"loops at {self.at}"
            case _:
                return f"dropped at {self.at}: {self.why}"


def ended(step: Step) -> tuple[str, str]:
    """Where a packet's way ends with this step, and why if it is dropped."""
    match step:
        case FabricStep():
            return _in_fabric(step)
        case RouterStep(disposition=Disposition.DENIED):
            return step.node, "its rules let nothing through between these two"
        case RouterStep(disposition=Disposition.NOT_CONNECTED):
            return step.node, "the connection is deleted"
        case RouterStep():
            hop = step.next_hop
            return step.node, str(step.disposition) if hop is None else f"no node has {hop.address}"
        case EndStep():
            return step.node, _AT_NODE.get(step.disposition, "")


_AT_NODE = {
    Disposition.OWN_SOURCE: "the packet comes back to the node whose source address it has",
    Disposition.NOT_A_ROUTER: "the machine does not forward packets",
    Disposition.OFF: "it is powered off",
    Disposition.TTL: "its TTL expires",
}


def _in_fabric(step: FabricStep) -> tuple[str, str]:
    here, prefix = step.nic.machine, step.row.prefix if step.row is not None else ""
    nic = step.verdict.nic
    match step.disposition:
        case Disposition.NONE:
            return here, f"{prefix} leads to None"
        case Disposition.UNKNOWN_DESTINATION if step.row is not None and step.row.next_hop_type is NextHopType.INTERNET:
            return here, f"{prefix} leads to the Internet, where no node has it"
        case Disposition.UNKNOWN_DESTINATION if step.row is not None and step.row.next_hop_type in ON_LINK:
            return here, f"no node has it in {prefix}"
        case Disposition.UNKNOWN_DESTINATION:
            return here, f"no node has the next hop {step.verdict.next_hop}"
        case Disposition.NO_BACKEND:
            return here, f"no backend of {step.verdict.next_hop} is up"
        case Disposition.FOREIGN_SOURCE:
            return here, "IP forwarding is off on its NIC"
        case Disposition.NOT_FORWARDED if nic is not None:
            return nic.machine, "IP forwarding is off on its NIC"
        case Disposition.NOT_ACCEPTED if nic is not None:
            return nic.virtual_network, f"it accepts nothing from {step.virtual_network} that is only forwarded there"
        case other:
            return here, str(other)
