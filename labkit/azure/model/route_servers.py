"""Route servers, and what is assumed of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from labkit.azure.model.bgp import BgpPeer
from labkit.azure.model.instances import InstanceId


class HubRoutingPreference(StrEnum):
    """`hubRoutingPreference` of a route server [hub-routing-preference]."""

    EXPRESSROUTE = "ExpressRoute"
    VPN_GATEWAY = "VpnGateway"
    AS_PATH = "ASPath"


class OwnRangePolicy(StrEnum):
    """What a route server does with received prefixes equal to or inside a range it originates itself.

    The behaviour changed between two observed eras [own-ranges].
    """

    DROP = "2026"
    KEEP = "2021"


class VpnNvaTie(StrEnum):
    """Who wins between VPN and NVA paths of equal length [vpn-nva-tie]."""

    SHARED = "shared"
    VPN = "vpn"
    NVA = "nva"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is taken to be so where nobody knows for sure; a lab's route servers all have the same.

    Every default is the behaviour for which there is more evidence.
    """

    route_server_subnet_minimum: int = 27
    """The longest RouteServerSubnet that is not refused: 26 as documented, 27 as in labs [route-server-subnet-size]."""
    peers_need_remote_gateways: bool = False
    """Whether a peer in a peered virtual network is refused unless that one uses the route server's.

    Fact: [peered-peer-remote-gateways].
    """
    spoke_community: bool = True
    """Whether ranges of URG spokes carry 65518:65518 towards NVAs [spoke-community]."""
    nva_relay_community: bool = True
    """Whether 65517:65517 is added from NVA to NVA [relay-community-nvas]."""
    honours_no_export: bool = True
    """Whether no-export keeps a route from a route server's eBGP sessions [no-export]."""
    expressroute_wins_ties: bool = True
    """Whether ExpressRoute wins equal lengths under `ASPath`, as in Virtual WAN [as-path-tie-expressroute]."""
    vpn_nva_tie: VpnNvaTie = VpnNvaTie.SHARED
    """Who wins between VPN and NVA paths of equal length [vpn-nva-tie]."""
    one_expressroute_connection: bool = True
    """Whether one ExpressRoute connection is used beside a route server, and all equal ones otherwise.

    Documented so; of captures three show one and two show two [one-expressroute-connection].
    """
    preference_needs_branch_to_branch: bool = False
    """Whether `hub_routing_preference` counts on NICs only with branch-to-branch on; ExpressRoute wins without it.

    Stated by the documentation once, and no longer [preference-needs-b2b].
    """


@dataclass(frozen=True, slots=True)
class RouteServer:
    """A route server. `instances` are the addresses of instance 0 and 1 (`virtualRouterIps`)."""

    name: str
    virtual_network: str
    instances: tuple[IPv4Address, IPv4Address]
    peers: tuple[BgpPeer, ...] = ()
    branch_to_branch: bool = False
    hub_routing_preference: HubRoutingPreference = HubRoutingPreference.EXPRESSROUTE
    own_ranges: OwnRangePolicy = OwnRangePolicy.DROP
    routes_per_peer: int = 4000
    total_prefixes: int = 10_000
    assumptions: Assumptions = Assumptions()

    @property
    def instance_ids(self) -> tuple[InstanceId, InstanceId]:
        """Its instances 0 and 1."""
        return InstanceId(self.name, 0), InstanceId(self.name, 1)
