"""The ports of a virtual network's switch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, Nic
from labkit.azure.rules.adjacency import connected_peerings, remote_ranges, takes_forwarded
from labkit.lab.build import wiring
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import beyond as addresses_beyond
from labkit.lab.plan.wires import instance_nics, port
from labkit.names import handle


@dataclass(frozen=True, slots=True)
class NicPort:
    """The port of a NIC. What is sent to one of the addresses `beyond` is given to it as well."""

    nic: Nic
    beyond: tuple[IPv4Address, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """The NIC's addresses, then those beyond it."""
        return (*self.nic.addresses, *self.beyond)


@dataclass(frozen=True, slots=True)
class InternetPort:
    """The port of the Internet's leg; `mac` is the leg's."""

    mac: str


@dataclass(frozen=True, slots=True)
class PeeringPort:
    """The port to the virtual network `remote`; `neighbours` are the NICs beyond it, by address and MAC.

    `sources` are the ranges that packets may come from; None if they may come from farther away.
    """

    remote: str
    neighbours: tuple[tuple[IPv4Address, str], ...]
    sources: tuple[IPv4Network, ...] | None = None


Port = NicPort | InternetPort | PeeringPort


def beyond(port: Port) -> str:
    """What is beyond a port, by its name: a NIC, a virtual network, the Internet."""
    match port:
        case NicPort(nic):
            return nic.name
        case PeeringPort(remote):
            return remote
        case InternetPort():
            return "the Internet"


def fabric_ports(
    lab: Lab,
    virtual_network: str,
    azure: Azure | None = None,
    gone: Collection[str] = (),
    idle: Collection[tuple[str, str]] = (),
) -> Mapping[str, Port]:
    """The ports of a virtual network's switch by interface name, in the order of the lab file.

    NICs' ports have the names of `labkit.lab.plan.wires.port`, the Internet's that of its node, a peering's the handle
    of the other virtual network. The NICs of route server instances (`labkit.lab.plan.wires.instance_nics`) are among
    them and among the neighbours.

    `azure` is what operators have made of the lab's own since it was built: its NICs have its settings, and peerings
    that are no more have no ports, though their links are there. So it is with the NICs of nodes that are `gone`.

    Beyond the NIC of a gateway's instance are the far ends of its lines, and next hops of what lies behind it: an
    address of the platform for a circuit [expressroute-next-hop, edge-addresses], the public one of an only instance.
    `idle` is as in `labkit.lab.plan.nodes.beyond`.

    Raises:
        KeyError: the lab has no virtual network of this name.
    """
    azure = lab.azure if azure is None else azure
    network = azure.virtual_network[virtual_network].name
    nics = [nic for nic in (*azure.nics, *instance_nics(lab)) if nic.machine not in gone]
    ports: dict[str, Port] = {
        port(nic): _nic_port(lab, azure, nic, idle) for nic in nics if nic.virtual_network == network
    }
    if lab.internet is not None:
        for link in wiring(lab).links:
            if link.a.node == network and link.b.node == lab.internet.name:
                ports[link.a.interface] = InternetPort(link.b.mac)
    for peering in connected_peerings(azure, network):
        beyond = (nic for nic in nics if nic.virtual_network == peering.remote)
        there = tuple((a, n.mac) for n in beyond for a in _nic_port(lab, azure, n, idle).addresses)
        anywhere = takes_forwarded(azure, network, peering.remote)
        ports[handle(peering.remote)] = PeeringPort(
            peering.remote, there, None if anywhere else remote_ranges(azure, peering)
        )
    return ports


def _nic_port(lab: Lab, azure: Azure, nic: Nic, idle: Collection[tuple[str, str]]) -> NicPort:
    return NicPort(nic, addresses_beyond(lab, nic.machine, azure, idle))
