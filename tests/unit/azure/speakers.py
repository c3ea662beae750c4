"""`labkit.predict.azure_speakers` with both instances of everything up, and NVAs, customers and sites by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, Gateway, LearnedRoute, RouteServer
from labkit.azure.rules.circuits import CircuitPath
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource
from labkit.azure.rules.gateways import connected_devices
from labkit.daemons.speaker import Advertisements
from labkit.predict import azure_speakers as rules
from labkit.predict.azure_speakers import AdjRibsIn, CircuitLine, GatewayTable

__all__ = ["Advertisements", "SpeakersByName", "adj_ribs_in"]


@dataclass
class SpeakersByName(rules.AzureSpeakers):
    """`nvas` by peer name, `customers` by edge router, `sites` by local network gateway: what they advertise.

    Both instances of a route server and of a gateway have all sessions. `edges` is the one address of an edge router.
    """

    azure: Azure
    nvas: Mapping[str, Advertisements] = field(default_factory=dict)
    customers: Mapping[str, Advertisements] = field(default_factory=dict)
    sites: Mapping[str, Advertisements] = field(default_factory=dict)
    edges: Mapping[str, IPv4Address] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.azure, adj_ribs_in(self.azure, self.nvas, self.customers, self.sites, self.edges))


def adj_ribs_in(
    azure: Azure,
    nvas: Mapping[str, Advertisements],
    customers: Mapping[str, Advertisements],
    sites: Mapping[str, Advertisements],
    edges: Mapping[str, IPv4Address],
) -> AdjRibsIn:
    return AdjRibsIn(
        {i: _from_nvas(server, nvas) for server in azure.route_servers for i in server.instance_ids},
        {i: _from_sites(azure, g, sites) for g in azure.gateways for i in g.instance_ids},
        {
            router: {prefix: (CircuitPath(None, a.next_hop, a),) for prefix, a in advertised.items()}
            for router, advertised in customers.items()
        },
        {
            CircuitLine(i, router): edges[router]
            for c in azure.connections
            for router in (azure.circuit[c.remote].edge_routers if c.remote in azure.circuit else ())
            if router in edges
            for i in azure.gateway[c.gateway].instance_ids
        },
    )


def _from_nvas(server: RouteServer, nvas: Mapping[str, Advertisements]) -> dict[IPv4Network, tuple[LearnedRoute, ...]]:
    found: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
    for peer in server.peers:
        for prefix, attributes in nvas.get(peer.name, {}).items():
            found[prefix] = (*found.get(prefix, ()), LearnedRoute(prefix, attributes, peer))
    return found


def _from_sites(azure: Azure, gateway: Gateway, sites: Mapping[str, Advertisements]) -> GatewayTable:
    found: dict[IPv4Network, tuple[GatewayPath, ...]] = {}
    for site in connected_devices(azure, gateway, 0):
        for prefix, attributes in sites.get(site.name, {}).items():
            path = GatewayPath(PathSource.ON_PREMISES, site.name, attributes.next_hop, attributes)
            found[prefix] = (*found.get(prefix, ()), path)
    return found
