"""What the fabric of a virtual network knows apart from effective routes, for `labkit.azure.forwarding`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address

from labkit.azure.forwarding import Backend, Surroundings
from labkit.azure.model import Azure, Nic
from labkit.azure.rules.adjacency import connected_peerings
from labkit.azure.rules.load_balancers import load_balancers_near
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import beyond
from labkit.lab.plan.wires import instance_nics


def surroundings(
    lab: Lab,
    azure: Azure,
    virtual_network: str,
    backends: Mapping[IPv4Address, Sequence[Backend]],
    idle: Collection[tuple[str, str]] = (),
) -> Surroundings:
    """What the fabric of a virtual network knows, while Azure's objects are `azure`.

    `backends` are those behind every frontend there is. Beyond the NIC of a gateway's instance are further addresses,
    as `labkit.lab.fabric_ports` has it; `idle` is as there.
    """
    near = (virtual_network, *(peering.remote for peering in connected_peerings(azure, virtual_network)))
    reachable: dict[IPv4Address, Nic] = {}
    # Virtual networks may overlap: the address of a nearer one counts.
    for network in reversed(near):
        for nic in _nics(lab, azure):
            if nic.virtual_network == network:
                reachable |= dict.fromkeys((*beyond(lab, nic.machine, azure, idle), *nic.addresses), nic)
    balancers = load_balancers_near(azure, virtual_network)
    frontends = {b.address: backends[b.address] for b in reversed(balancers)}
    return Surroundings(reachable, frontends, lab.internet is not None)


def _nics(lab: Lab, azure: Azure) -> tuple[Nic, ...]:
    """All NICs, those of the instances of route servers that have not been deleted included."""
    servers = {address for server in azure.route_servers for address in server.instances}
    return (*azure.nics, *(nic for nic in instance_nics(lab) if nic.address in servers))
