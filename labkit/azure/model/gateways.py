"""Virtual network gateways and what they connect to: circuits and local network gateways."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model.bgp import ROUTE_SERVER_ASN, PeerKind
from labkit.azure.model.instances import InstanceId


@dataclass(frozen=True, slots=True)
class Gateway:
    """A virtual network gateway, of one of the two gateway kinds.

    `instances` are its one or two addresses in GatewaySubnet, `public_addresses` those of a VPN gateway's instances in
    the Internet. `active_active` is what Azure asks of a VPN gateway in a network with a route server; it has no
    meaning for an ExpressRoute gateway.
    """

    name: str
    virtual_network: str
    kind: PeerKind
    instances: tuple[IPv4Address, ...]
    asn: int = ROUTE_SERVER_ASN
    active_active: bool = False
    public_addresses: tuple[IPv4Address, ...] = ()

    @property
    def instance_ids(self) -> tuple[InstanceId, ...]:
        """Its one or two instances, from 0."""
        return tuple(InstanceId(self.name, index) for index in range(len(self.instances)))


@dataclass(frozen=True, slots=True)
class Circuit:
    """An ExpressRoute circuit with private peering. `peer_asn` is the customer's (`peerASN`); None without one.

    It ends at one or two of Microsoft's edge routers (MSEE), `edges` of them [circuit-edges].
    Each of `authorizations`, by name, lets a gateway of another subscription connect to it [circuit-authorization].
    """

    name: str
    peer_asn: int | None
    premium: bool = False
    authorizations: tuple[str, ...] = ()
    edges: int = 1

    @property
    def edge_routers(self) -> tuple[str, ...]:
        """Its edge routers by name: the only one has the circuit's; of two `c1-0` is the primary, `c1-1` the other."""
        if self.edges == 1:
            return (self.name,)
        return tuple(InstanceId(self.name, index).node for index in range(self.edges))


@dataclass(frozen=True, slots=True)
class Edge:
    """Microsoft's edge of a circuit as one virtual network has it [edge-addresses].

    `address` is the gateway's BGP neighbour's, `next_hop` what NICs have for what lies behind it: the platform's. An
    only edge router has one of each for every instance of the gateway; of two, each has one for both.
    """

    address: IPv4Address
    next_hop: IPv4Address


@dataclass(frozen=True, slots=True)
class LocalNetworkGateway:
    """A customer's VPN device, or a gateway of an on-premises virtual network, as a VPN gateway knows it.

    `address_space` is routed to it statically, in addition to BGP or without: `asn` and `bgp_peering_address`, the
    device's address in BGP, are None without. `device` is the site, the appliance or the gateway; several local network
    gateways may be for one.
    """

    name: str
    device: str
    address_space: tuple[IPv4Network, ...] = ()
    asn: int | None = None
    bgp_peering_address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway's connection.

    `remote` names an ExpressRoute gateway's `Circuit`, a VPN gateway's `LocalNetworkGateway`, or another VPN gateway,
    which has a connection of its own to this one then; without `bgp`, the address spaces of the two virtual networks
    are routed between these [vnet-to-vnet-without-bgp]. `instances` are those of a VPN gateway that have a tunnel: the
    device may have configured one alone. Empty means all. `edges` are those at the far ends of lines to a circuit;
    of several circuits, the connection with the highest `routing_weight` is used [connection-weight]. `authorization`
    is the one of the circuit that it redeems; empty where gateway and circuit are in one subscription.
    """

    name: str
    gateway: str
    remote: str
    instances: frozenset[int] = frozenset()
    edges: tuple[Edge, ...] = ()
    routing_weight: int = 0
    authorization: str = ""
    bgp: bool = True
