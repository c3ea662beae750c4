"""Whether the ends of a tunnel or a BGP session of two NVAs can reach each other, as far as a lab file alone shows."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from labkit.azure.forwarding import Disposition, Packet, Surroundings, next_hops
from labkit.azure.model import Azure, Nic
from labkit.azure.rules.adjacency import connected_peerings, programming_hub, server_in
from labkit.azure.rules.effective import effective_routes, lookup
from labkit.azure.rules.gateways import gateways_in
from labkit.lab.file.draft import Draft
from labkit.lab.kinds.circuit import CIRCUITS
from labkit.lab.kinds.gateway import GATEWAYS
from labkit.lab.kinds.nva import NVAS


def obstacle(draft: Draft, azure: Azure, nic: Nic, target: IPv4Address, far: Nic | None) -> str | None:
    """Why no packet gets from a NIC to an address, whatever BGP brings; None if one may.

    It is that of the NIC `far`, or public if that is None. What BGP brings is known by prediction alone, which warns.
    """
    if far is not None and not _joined(draft, azure, nic.virtual_network, far.virtual_network):
        return f"nothing joins virtual networks {nic.virtual_network} and {far.virtual_network}"
    if _has_bgp(azure, nic):
        return None
    row = lookup(effective_routes(azure, nic.name, {}), target)
    near = (nic.virtual_network, *(peering.remote for peering in connected_peerings(azure, nic.virtual_network)))
    reachable = {address: each for each in azure.nics if each.virtual_network in near for address in each.addresses}
    verdict = next_hops(Surroundings(reachable, internet=far is None), row, Packet(nic.address, target))[0].disposition
    if verdict is Disposition.FORWARDED or verdict is (Disposition.INTERNET if far is None else Disposition.DELIVERED):
        return None
    if row is None:
        return f"NIC {nic.name} has no route to {target}"
    hops = " ".join(map(str, row.next_hops)) or row.next_hop_type
    return f"NIC {nic.name} has {row.prefix} to {hops} for {target}"


def _has_bgp(azure: Azure, nic: Nic) -> bool:
    """Whether a NIC may have routes by BGP."""
    subnets = azure.virtual_network[nic.virtual_network].subnets
    table = next((azure.route_table[s.route_table] for s in subnets if s.name == nic.subnet and s.route_table), None)
    if table is not None and table.disable_bgp_route_propagation:
        return False
    hub = programming_hub(azure, nic.virtual_network)
    return hub is not None and (server_in(azure, hub) is not None or bool(gateways_in(azure, hub)))


def _joined(draft: Draft, azure: Azure, one: str, other: str) -> bool:
    """Whether a way of peerings, gateways, circuits, sites and public overlays leads from a network to another one."""
    links = list(_links(draft, azure))
    reached = [one]
    for each in reached:
        ends = [b if a == each else a for a, b in links if each in (a, b)]
        reached += [end for end in dict.fromkeys(ends) if end not in reached]
    return other in reached


def _links(draft: Draft, azure: Azure) -> Iterator[tuple[str, str]]:
    yield from ((peering.local, peering.remote) for peering in azure.peerings)
    for gateway in draft.file[GATEWAYS].values():
        yield from ((gateway.virtual_network, far) for far, _ in gateway.connections)
    for name, circuit in draft.file[CIRCUITS].items():
        yield from ((name, site) for link in circuit.connects_to for site in link)
    for name, nva in draft.file[NVAS].items():
        networks = {nic.virtual_network for nic in azure.nics_of(name)}
        yield from ((network, site) for network in networks for link in nva.connects_to for site in link)
        # One that is not public needs a way for itself.
        public = [other for link in nva.overlays for other, o in link.items() if o is not None and o.public]
        far = {nic.virtual_network for other in public for nic in azure.nics_of(other)}
        yield from ((network, there) for network in networks for there in far)
