"""The ports of a virtual network's switch, as its fabric is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.adjacency import connected_peerings
from labkit.azure.model import Nic
from labkit.lab.model import Lab
from labkit.lab.wires import nics, wires


@dataclass(frozen=True, slots=True)
class NicPort:
    """The port of a NIC."""

    nic: Nic

    def wire(self, table: str) -> dict[str, object]:
        """The port in a feed's message; `table` is the name of the NIC's effective table there."""
        return {
            "kind": "nic",
            "mac": self.nic.mac,
            "address": str(self.nic.address),
            "ip_forwarding": self.nic.ip_forwarding,
            "table": table,
        }


@dataclass(frozen=True, slots=True)
class InternetPort:
    """The port of the Internet's leg; `mac` is the leg's."""

    mac: str

    def wire(self) -> dict[str, object]:
        """The port in a feed's message."""
        return {"kind": "internet", "mac": self.mac, "destinations": "nics"}


@dataclass(frozen=True, slots=True)
class PeeringPort:
    """The port to a peered virtual network; `neighbours` are the NICs beyond it, by address and MAC."""

    neighbours: tuple[tuple[IPv4Address, str], ...]

    def wire(self) -> dict[str, object]:
        """The port in a feed's message."""
        return {"kind": "peering", "neighbours": [[str(address), mac] for address, mac in self.neighbours]}


Port = NicPort | InternetPort | PeeringPort


def fabric_ports(lab: Lab, virtual_network: str) -> Mapping[str, Port]:
    """The ports of a virtual network's switch by interface name, in the order of the lab file.

    A NIC's port is named like the NIC, the Internet's like its node, a peering's like the other virtual network. The
    NICs of route server instances (`labkit.lab.wires.instance_nics`) are among them and among the neighbours.

    Raises:
        KeyError: the lab has no virtual network of this name.
    """
    network = lab.azure.virtual_network[virtual_network].name
    ports: dict[str, Port] = {nic.name: NicPort(nic) for nic in nics(lab, network)}
    if lab.internet is not None:
        for link in wires(lab):
            if link.a.node == network and link.b.node == lab.internet.name:
                ports[link.a.interface] = InternetPort(link.b.mac)
    for peering in connected_peerings(lab.azure, network):
        ports[peering.remote] = PeeringPort(tuple((n.address, n.mac) for n in nics(lab, peering.remote)))
    return ports
