"""The nodes of a lab as packets meet them: who has an address, who forwards, and what connects two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.model import Azure, InstanceId, PeerKind
from labkit.azure.rules.gateways import sibling
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import addresses, link_ends, owners
from labkit.lab.plan.speakers import overlays
from labkit.lab.plan.tunnels import public_address

OVERLAY = "in the overlay"

SIBLING = "to the gateway's other instance"


@dataclass(frozen=True, slots=True)
class Carrier:
    """How an end of an overlay or a tunnel sends what it carries: out of its NIC named `nic`, to the address `to`."""

    nic: str
    to: IPv4Address


class LabMap:
    """The nodes of a lab and their links, lines, tunnels and overlays, where Azure has become `azure`."""

    def __init__(self, lab: Lab, azure: Azure) -> None:
        self.nvas = lab.nva
        self.gateways: dict[str, PeerKind] = {
            i.node: gateway.kind for gateway in lab.azure.gateways for i in gateway.instance_ids
        }
        """The kind of gateway that each node is an instance of."""
        self.firewalls = {i.node: i.name for firewall in lab.azure.firewalls for i in firewall.instance_ids}
        """The firewall that each node is an instance of."""
        self.internet = lab.internet.name if lab.internet is not None else None
        """The node of the Internet."""
        self._translating = dict(_translating(lab))
        self.address = addresses(lab)
        """The address by which every node is known."""
        self._owners = owners(lab)
        self._own = _own_addresses(lab)
        self._lan_of = {
            node: site.name for site in lab.sites for node in (*(each.name for each in site.routers), site.host.name)
        }
        self._lans = {
            address: site.name
            for site in lab.sites
            for address in (site.host.address.ip, *(each.ip for router in site.routers for each in router.lan))
        }
        self._forward = {
            *lab.nva,
            *lab.site_router,
            *lab.azure.edge_router,
            *self.gateways,
            *self.firewalls,
            self.internet,
        }
        self._near = {(node, far): own for node, own, far in link_ends(lab)}
        self._between = dict(_between(lab))
        self._closed = unconnected(lab, azure)
        self._carriers = dict(_carriers(lab))

    def has(self, node: str, address: IPv4Address) -> bool:
        """Whether a node has an address. Unrelated virtual networks may overlap, so others may have it, too."""
        return address in self._own[node]

    def far_end(self, node: str, address: IPv4Address) -> str | None:
        """The node that gets what a node sends to an address over a link; None if nobody there has it.

        Sites may have one range: what is on the LAN of one is on no other's.
        """
        lan = self._lan_of.get(node)
        elsewhere = lan is not None and self._lans.get(address, lan) != lan
        return None if elsewhere else self._owners.get(address)

    def forwards(self, node: str) -> bool:
        """Whether a node forwards what is for others."""
        return node in self._forward

    def near_end(self, node: str, far: IPv4Address) -> IPv4Address:
        """A node's own address on the link to a far end; that by which it is known, if there is no such link."""
        return self._near.get((node, far), self.address[node])

    def translated(self, node: str, far: IPv4Address) -> IPv4Address | None:
        """The source that a site's router gives to what it forwards to a far end: the Internet. None if it does not."""
        return self._translating.get((node, far))

    def between(self, node: str, far: str) -> str:
        """What connects two nodes, if it is more than a link."""
        return self._between.get(frozenset((node, far)), "")

    def closed(self, node: str, far: str) -> bool:
        """Whether there is no connection over what connects two nodes."""
        return frozenset((node, far)) in self._closed

    def carrier(self, node: str, far: str) -> Carrier | None:
        """How a node's packets get to the far end of their overlay or tunnel; None if they travel in none."""
        return self._carriers.get((node, far))


def _own_addresses(lab: Lab) -> dict[str, set[IPv4Address]]:
    """Every node's addresses."""
    found: dict[str, set[IPv4Address]] = {}
    owned = [(node, address) for address, node in owners(lab).items()]
    of_nics = [(nic.machine, address) for nic in lab.azure.nics for address in nic.addresses]
    for node, address in (*owned, *of_nics, *addresses(lab).items()):
        found.setdefault(node, set()).add(address)
    return found


def _between(lab: Lab) -> Iterator[tuple[frozenset[str], str]]:
    for gateway in lab.gateways:
        for line in gateway.lines:
            yield frozenset((InstanceId(gateway.name, line.instance).node, line.router)), f"over {line.circuit}"
    for tunnel in lab.tunnels:
        yield frozenset((tunnel.near.node, tunnel.far.node)), "in the VPN tunnel"
    for overlay in lab.overlays:
        yield frozenset(overlay.nvas), OVERLAY
    for instance, other in _siblings(lab):
        yield frozenset((instance.node, other.node)), SIBLING


def _translating(lab: Lab) -> Iterator[tuple[tuple[str, IPv4Address], IPv4Address]]:
    """The public addresses of sites' routers that translate, each with the far end of its link to the Internet."""
    for router in lab.site_router.values():
        if router.snat and lab.internet is not None:
            yield (router.name, lab.internet.host), lab.internet.public[router.name]


def _carriers(lab: Lab) -> Iterator[tuple[tuple[str, str], Carrier]]:
    """What carries packets from an NVA or a gateway's instance to the node at the far end."""
    for nva in lab.nvas:
        for end in overlays(lab, nva):
            yield (nva.name, end.far.name), Carrier(end.nic.name, end.sent_to)
        for tunnel in lab.tunnels_of(nva.name):
            near, far = tunnel.near.node, tunnel.far.node
            yield (near, far), Carrier(lab.azure.primary_nic(near).name, public_address(lab, far))
    for instance, other in _siblings(lab):
        to = lab.azure.gateway[other.name].instances[other.index]
        yield (instance.node, other.node), Carrier(lab.azure.primary_nic(instance.node).name, to)


def _siblings(lab: Lab) -> Iterator[tuple[InstanceId, InstanceId]]:
    """The pairs of instances of VPN gateways, both ways round."""
    for gateway in lab.azure.gateways:
        for instance in gateway.instance_ids:
            other = sibling(lab.azure, instance)
            if other is not None:
                yield instance, other
