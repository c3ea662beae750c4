"""Azure's objects as immutable values, a module for each sort: networks, BGP, route servers, gateways and so on.

They validate nothing and decide nothing: `azure.rules` does. It imports nothing of labkit but `errors`. Names are
Azure's, in Python's spelling; a new attribute has a default that leaves existing labs as they are, because it is part
of the controller's messages and of what it keeps on disk. Nothing here knows how an object is built in a lab.
"""

from labkit.azure.model.appliances import Appliance, AsPathMatch, ExportRule, PathChanges, PrefixMatch
from labkit.azure.model.azure import Azure
from labkit.azure.model.bgp import (
    ROUTE_SERVER_ASN,
    AsPath,
    BgpPeer,
    GatewayRoutes,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    Origin,
    PathAttributes,
    PeerKind,
)
from labkit.azure.model.effective_routes import EffectiveRoute, RouteSource, RouteState
from labkit.azure.model.firewalls import Firewall, FirewallRule, RuleAction, RuleProtocol
from labkit.azure.model.gateways import Circuit, Connection, Edge, Gateway, LocalNetworkGateway
from labkit.azure.model.instances import InstanceId
from labkit.azure.model.load_balancers import LoadBalancer, Probe
from labkit.azure.model.networks import (
    ON_LINK,
    NextHopType,
    Nic,
    Peering,
    ReservedBlocks,
    RouteTable,
    Subnet,
    UserRoute,
    VirtualNetwork,
)
from labkit.azure.model.route_servers import Assumptions, HubRoutingPreference, OwnRangePolicy, RouteServer, VpnNvaTie

__all__ = [
    "ON_LINK",
    "ROUTE_SERVER_ASN",
    "Appliance",
    "AsPath",
    "AsPathMatch",
    "Assumptions",
    "Azure",
    "BgpPeer",
    "Circuit",
    "Connection",
    "Edge",
    "EffectiveRoute",
    "ExportRule",
    "Firewall",
    "FirewallRule",
    "Gateway",
    "GatewayRoutes",
    "HubRoutingPreference",
    "InstanceId",
    "InstanceRoutes",
    "LearnedRoute",
    "LearnedRoutes",
    "LoadBalancer",
    "LocalNetworkGateway",
    "NextHopType",
    "Nic",
    "Origin",
    "OwnRangePolicy",
    "PathAttributes",
    "PathChanges",
    "PeerKind",
    "Peering",
    "PrefixMatch",
    "Probe",
    "ReservedBlocks",
    "RouteServer",
    "RouteSource",
    "RouteState",
    "RouteTable",
    "RuleAction",
    "RuleProtocol",
    "Subnet",
    "UserRoute",
    "VirtualNetwork",
    "VpnNvaTie",
]
