"""Where packets would go by effective routes and known announcements. Pure.

NICs, gateways and circuits decide by tables that the rules give, NVAs and sites by what their FRR makes of BGP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from labkit.azure.model import InstanceId, NextHopType
from labkit.azure.rules.adjacency import connected_peerings, takes_forwarded
from labkit.azure.rules.circuits import best_in_circuit
from labkit.azure.rules.effective import lookup
from labkit.azure.rules.gateway_policy import PathSource, best_at_gateway
from labkit.azure.rules.load_balancers import load_balancers_near
from labkit.lab.model import Lab
from labkit.lab.plan.tunnels import sites_tunnels
from labkit.predict.customer_routers import Session
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.ways import Outcome, Packet, Way

T = TypeVar("T")

LOCAL = (NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING)


@dataclass(frozen=True, slots=True)
class PairChange:
    """Packets from a node to another would fare otherwise; of several ways, flows are shared among them."""

    source: str
    target: str
    before: tuple[Way, ...]
    after: tuple[Way, ...]


def reach_changes(lab: Lab, before: Side, after: Side) -> tuple[PairChange, ...]:
    """The pairs of machines, appliances and sites' hosts whose verdict changes, in the order of the lab."""
    one, other = Reach(lab, before), Reach(lab, after)
    return tuple(
        PairChange(source, target, was, will)
        for source in sources(lab)
        for target, address in targets(lab).items()
        if target != source
        for was, will in ((one.ways(source, address), other.ways(source, address)),)
        if was != will
    )


def sources(lab: Lab) -> list[str]:
    """Whose packets are followed: machines, appliances and sites' hosts."""
    return [*(vm.name for vm in lab.virtual_machines), *lab.nva, *(site.host.name for site in lab.sites)]


def targets(lab: Lab) -> dict[str, IPv4Address]:
    """Where they go: the same, and the Internet."""
    found = {name: lab.azure.nic[name].address for name in (*(vm.name for vm in lab.virtual_machines), *lab.nva)}
    found |= {site.host.name: site.host.address.ip for site in lab.sites}
    return found | ({lab.internet.name: lab.internet.host} if lab.internet is not None else {})


class Reach:
    """Follows packets through one side of a prediction."""

    def __init__(self, lab: Lab, side: Side) -> None:
        self._lab, self._side = lab, side
        self._speakers = side.speakers
        self._sites = {site.host.name: site.name for site in lab.sites}

    def ways(self, source: str, target: IPv4Address) -> tuple[Way, ...]:
        """How packets from a node of `sources` to an address end; each way once, in a stable order."""
        if source in self._sites:
            site = self._sites[source]
            packet = Packet(self._lab.site[site].host.address.ip, target)
            local = self._on_lan(site, target)
            found = iter([packet.ends(Outcome.DELIVERED, site)]) if local else self._from_site(site, packet)
        else:
            packet = Packet(self._side.azure.nic[source].address, target)
            found = self._leave_nva(source, packet) if source in self._lab.nva else self._cross(source, packet)
        return tuple(sorted({replace(way, through=self._named(way.through)) for way in found}))

    def from_nic(self, nic: str, target: IPv4Address) -> tuple[Way, ...]:
        """How packets that leave a NIC for an address end, a route server's included."""
        return tuple(sorted(set(self._cross(nic, Packet(self._side.azure.nic[nic].address, target)))))

    def _named(self, through: Iterable[str]) -> tuple[str, ...]:
        """Nodes on the way with gateways for their instances: which of them it is makes no difference."""
        names = (self._instances[node].name if node in self._instances else node for node in through)
        return tuple(dict.fromkeys(names))

    # Virtual networks.

    def _cross(self, nic: str, packet: Packet) -> Iterator[Way]:
        """What the fabric does with a packet out of a NIC, by its effective routes."""
        row = lookup(self._side.rows[nic], packet.target)
        if row is None or row.next_hop_type is NextHopType.NONE:
            yield packet.ends(Outcome.DROPPED, nic, "no route" if row is None else f"{row.prefix} leads to None")
        elif row.next_hop_type is NextHopType.INTERNET:
            internet = self._lab.internet
            if internet is not None and packet.target == internet.host:
                yield packet.ends(Outcome.DELIVERED, internet.name)
            else:
                why = f"{row.prefix} leads to the Internet, where nobody has it"
                yield packet.ends(Outcome.DROPPED, nic, why)
        elif row.next_hop_type in LOCAL:
            owner = self._near(nic, packet.target)
            if owner is None:
                yield packet.ends(Outcome.DROPPED, nic, f"nobody has it in {row.prefix}")
            else:
                yield self._refused(nic, owner, packet) or packet.ends(Outcome.DELIVERED, owner)
        else:
            for hop in row.next_hops:
                for address in self._behind(nic, hop):
                    yield from self._hop(nic, address, packet)

    def _hop(self, nic: str, hop: IPv4Address, packet: Packet) -> Iterator[Way]:
        """What becomes of a packet that the fabric brings to a next hop."""
        line = next((line for line, edge in self._speakers.adj_ribs_in.edges.items() if edge == hop), None)
        owner = self._near(nic, hop) or (line.instance.node if line is not None else None)
        refused = self._refused(nic, owner, packet) if owner is not None else None
        if owner is None:
            yield packet.ends(Outcome.DROPPED, nic, f"nobody has the next hop {hop}")
        elif refused is not None:
            yield refused
        elif line is not None:
            yield from self._in_circuit(line.circuit, packet.by(owner))
        elif hop == packet.target:
            yield packet.ends(Outcome.DELIVERED, owner)
        elif owner in self._instances:
            yield from self._at_gateway(owner, packet)
        elif owner in self._side.azure.route_server:
            yield packet.ends(Outcome.DROPPED, owner, "a route server forwards nothing")
        elif not self._side.azure.nic[owner].ip_forwarding:
            yield packet.ends(Outcome.DROPPED, owner, "IP forwarding is off on its NIC")
        elif owner in packet.through:
            yield packet.ends(Outcome.LOOPS, owner)
        elif owner in self._lab.nva:
            yield from self._leave_nva(owner, packet.by(owner))
        else:
            yield from self._cross(owner, packet.by(owner))

    def _behind(self, nic: str, hop: IPv4Address) -> list[IPv4Address]:
        """Where packets to a next hop may go: there, or to the backends of a load balancer, all taken to be up."""
        azure = self._side.azure
        near = load_balancers_near(azure, azure.nic[nic].virtual_network)
        backends = next((b.backends for b in near if b.address == hop), None)
        return [hop] if backends is None else [azure.nic[backend].address for backend in backends]

    def _refused(self, nic: str, owner: str, packet: Packet) -> Way | None:
        """The end of a packet that a peered virtual network does not take, because it is only forwarded there."""
        azure = self._side.azure
        here = azure.nic[nic].virtual_network
        holder = azure.route_server[owner] if owner in azure.route_server else azure.nic[owner]
        there = holder.virtual_network
        own = any(packet.source in prefix for prefix in azure.virtual_network[here].address_space)
        if here == there or own or takes_forwarded(azure, there, here):
            return None
        return packet.ends(Outcome.DROPPED, there, f"it takes nothing from {here} that is only forwarded there")

    def _near(self, nic: str, address: IPv4Address) -> str | None:
        """Whose NIC has an address in a NIC's virtual network or one peered with it."""
        azure = self._side.azure
        network = azure.nic[nic].virtual_network
        near = (network, *(peering.remote for peering in connected_peerings(azure, network)))
        owner = next((n.name for n in azure.nics if n.address == address and n.virtual_network in near), None)
        servers = (s for s in azure.route_servers if s.virtual_network in near)
        return owner or next((s.name for s in servers if address in s.instances), None)

    # Appliances.

    def _leave_nva(self, nva: str, packet: Packet) -> Iterator[Way]:
        """What an appliance does with a packet: to a site or tunnel that it has a route from, or out of its NIC."""
        address, target = self._side.azure.nic[nva].address, packet.target
        if target == address:
            yield replace(packet, through=tuple(n for n in packet.through if n != nva)).ends(Outcome.DELIVERED, nva)
            return
        if self._lab.nva[nva].translates(target):
            packet = replace(packet, source=address)
        for session in self._sessions(nva, target):
            if session is None or session.neighbour.route_server:
                yield from self._cross(nva, packet)
            else:
                yield from self._at_router(session.neighbour.name, packet)

    # Gateways and circuits.

    @cached_property
    def _instances(self) -> Mapping[str, InstanceId]:
        """The instances of gateways by their nodes' and NICs' names."""
        return {i.node: i for g in self._lab.azure.gateways for i in g.instance_ids}

    def _at_gateway(self, node: str, packet: Packet) -> Iterator[Way]:
        """What an instance of a gateway does with a packet, by the best path that it holds."""
        if node in packet.through:
            yield packet.ends(Outcome.LOOPS, node)
            return
        name, packet = self._instances[node].name, packet.by(node)
        found = longest(self._speakers.at_gateway.get(self._instances[node], {}), packet.target)
        best = best_at_gateway(self._side.azure.gateway[name], found[1]) if found is not None else None
        if best is None:
            yield packet.ends(Outcome.DROPPED, node, "no route")
        elif best.source in (PathSource.VIRTUAL_NETWORK, PathSource.ROUTE_SERVER):
            yield from self._cross(node, packet)
        elif best.sender in self._side.azure.circuit:
            yield from self._in_circuit(best.sender, packet)
        else:
            yield from self._at_router(best.sender, packet)

    def _in_circuit(self, circuit: str, packet: Packet) -> Iterator[Way]:
        """What a circuit's edge router does with a packet."""
        if circuit in packet.through:
            yield packet.ends(Outcome.LOOPS, circuit)
            return
        packet = packet.by(circuit)
        found = longest(self._speakers.at_circuit.get(circuit, {}), packet.target)
        if found is None:
            yield packet.ends(Outcome.DROPPED, circuit, "no route")
            return
        sites = {link.site_address.ip: link.site for link in self._lab.wan_links if link.router == circuit}
        gateways = {address: g.name for g in self._side.azure.gateways for address in g.instances}
        for path in best_in_circuit(found[1]):
            if path.gateway is None:
                yield from self._at_router(sites[path.address], packet)
            else:
                gateway = self._side.azure.gateway[gateways[path.address]]
                yield from self._at_gateway(gateway.instance_ids[gateway.instances.index(path.address)].node, packet)

    # Sites.

    def _at_router(self, name: str, packet: Packet) -> Iterator[Way]:
        """A packet is at a site's router, at an NVA that it came to by no NIC, or at a gateway's or circuit's."""
        if name in self._instances:
            yield from self._at_gateway(name, packet)
        elif name in self._side.azure.circuit:
            yield from self._in_circuit(name, packet)
        elif name in self._lab.site and self._on_lan(name, packet.target):
            yield packet.ends(Outcome.DELIVERED, name)
        elif name in packet.through:
            yield packet.ends(Outcome.LOOPS, name)
        elif name in self._lab.nva:
            yield from self._leave_nva(name, packet.by(name))
        else:
            yield from self._from_site(name, packet.by(name))

    def _from_site(self, site: str, packet: Packet) -> Iterator[Way]:
        """What a site's router does with a packet that is not for its LANs; of one of equal routes, either."""
        static = longest(self._statics(site), packet.target)
        learned = longest(self._side.routers.loc_rib.get(site, {}), packet.target)
        if static is not None and (learned is None or static[0].prefixlen >= learned[0].prefixlen):
            hops = static[1]
        else:
            hops = [] if learned is None else [session.neighbour.name for session in learned[1].sessions]
        if not hops:
            yield packet.ends(Outcome.DROPPED, site, "nobody tells it the way")
        for name in hops:
            yield from self._at_router(name, packet)

    def _statics(self, site: str) -> dict[IPv4Network, list[str]]:
        """A site's static routes, into the tunnels without BGP."""
        found: dict[IPv4Network, list[str]] = {}
        for node, _, _, tunnel in sites_tunnels(self._lab, site):
            for prefix in tunnel.remote_prefixes:
                found.setdefault(prefix, []).append(node)
        return found

    def _on_lan(self, site: str, target: IPv4Address) -> bool:
        return any(target in interface.network for interface in self._lab.site[site].lan)

    def _sessions(self, nva: str, target: IPv4Address) -> tuple[Session | None, ...]:
        """By whose announcements an NVA forwards; by none of them, it has only its default route, out of its NIC."""
        # What it advertises itself is in no kernel.
        learned = {prefix: best for prefix, best in self._side.routers.loc_rib.get(nva, {}).items() if best.sessions}
        found = longest(learned, target)
        return (None,) if found is None else found[1].sessions


def longest(table: Mapping[IPv4Network, T], address: IPv4Address) -> tuple[IPv4Network, T] | None:
    """The longest prefix of a table that covers an address, and what the table has for it."""
    covering: Iterable[IPv4Network] = (prefix for prefix in table if address in prefix)
    best = max(covering, key=lambda prefix: prefix.prefixlen, default=None)
    return None if best is None else (best, table[best])
