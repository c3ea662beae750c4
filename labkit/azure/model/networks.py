"""Virtual networks: subnets, peerings, route tables and NICs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network


class NextHopType(StrEnum):
    """Next hop types as `az network nic show-effective-route-table` prints them."""

    VNET_LOCAL = "VnetLocal"
    VNET_PEERING = "VNetPeering"
    VNET_GLOBAL_PEERING = "VNetGlobalPeering"
    INTERNET = "Internet"
    VIRTUAL_APPLIANCE = "VirtualAppliance"
    VIRTUAL_NETWORK_GATEWAY = "VirtualNetworkGateway"
    NONE = "None"


ON_LINK = frozenset({NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING})
"""The next hop types with which the destination itself is the next hop."""


class ReservedBlocks(StrEnum):
    """The eras of the blocks that Azure lists with next hop None [reserved-blocks, reserved-blocks-2021]."""

    TODAY = "2026"
    IN_2021 = "2021"


@dataclass(frozen=True, slots=True)
class UserRoute:
    """One route of a route table. `next_hop` is set exactly for `VIRTUAL_APPLIANCE`."""

    prefix: IPv4Network
    next_hop_type: NextHopType
    next_hop: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table: user-defined routes and the propagation flag of the subnets that use it."""

    name: str
    routes: tuple[UserRoute, ...] = ()
    disable_bgp_route_propagation: bool = False


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of a virtual network; `route_table` names a `RouteTable` of the same `Azure`."""

    name: str
    prefix: IPv4Network
    route_table: str | None = None


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """A virtual network: one or more address ranges, cut into subnets."""

    name: str
    address_space: tuple[IPv4Network, ...]
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, slots=True)
class Peering:
    """One direction of a virtual network peering, as in Azure: `local` is where it is configured.

    One that is `disconnected` has lost its other side, and was not touched since (`peeringState` Disconnected).
    `remote_address_space` are the ranges of the remote virtual network before it changed them, until the side is
    synced; None while it has those of today.
    """

    local: str
    remote: str
    use_remote_gateways: bool = False
    allow_gateway_transit: bool = False
    allow_forwarded_traffic: bool = True
    is_global: bool = False
    disconnected: bool = False
    remote_address_space: tuple[IPv4Network, ...] | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface of a `machine`, in a subnet; `interface` is its name there, such as eth0.

    Its own name is unique in the lab. `mac` is lower-case with colons. `address` is that of its primary IP
    configuration, `secondary` are those of the others.
    """

    name: str
    machine: str
    interface: str
    virtual_network: str
    subnet: str
    address: IPv4Address
    mac: str
    ip_forwarding: bool = False
    secondary: tuple[IPv4Address, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """Those of all its IP configurations, the primary one's first."""
        return (self.address, *self.secondary)
