"""Random small valid labs, as lab files, and what the rules say of them.

What stands outside Azure says the same whatever it hears: every site hangs on one router, every appliance on one route
server. So the rules alone (`labkit.azure.world`) tell where BGP must come to rest, before anything boots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import yaml
from hypothesis import strategies as st

from labkit.azure.circuits import CircuitPath
from labkit.azure.gateway_policy import GatewayPath, PathSource
from labkit.azure.model import BgpPeer, LearnedRoute, PathAttributes
from labkit.azure.world import Heard, NeverSettlesError, World
from labkit.controller import requests
from labkit.controller.requests import Request
from labkit.errors import InvalidInput
from labkit.lab.model import Lab

POOL = ("0.0.0.0/0", "10.90.0.0/16", "10.91.0.0/16", "10.1.1.0/24", "10.2.128.0/17", "10.0.0.0/8", "128.0.0.0/1")
"""What appliances may advertise: defaults, ranges of nobody, ranges inside and around virtual networks."""
TARGETS = ("10.90.0.0/16", "10.201.0.0/16", "10.202.0.0/16", "0.0.0.0/0", "10.1.10.0/24")
PREFERENCES = ("ExpressRoute", "VpnGateway", "ASPath")
ASSUMPTIONS = {
    "spoke_community": st.booleans(),
    "nva_relay_community": st.booleans(),
    "honours_no_export": st.booleans(),
    "expressroute_wins_ties": st.booleans(),
    "vpn_nva_tie": st.sampled_from(("shared", "vpn", "nva")),
    "preference_needs_branch_to_branch": st.booleans(),
}


@st.composite
def lab_files(draw: st.DrawFn) -> str:
    """The text of a lab file that Azure would accept."""
    hubs = [f"hub{i}" for i in range(1, draw(st.integers(1, 2)) + 1)]
    spokes = [f"spoke{i}" for i in range(1, draw(st.integers(0, 2)) + 1)]
    file: dict[str, Any] = {"name": "random", "internet": "198.51.100.0/24"}
    for section in (
        "virtual_networks", "route_tables", "route_servers", "nvas", "gateways", "circuits", "sites", "virtual_machines"
    ):  # fmt: skip
        file[section] = {}
    for number, hub in enumerate(hubs, 1):
        _hub(draw, file, hub, number)
    for number, spoke in enumerate(spokes, 11):
        _network(draw, file, spoke, number)
    file["peerings"] = [_peering(draw, file, spoke, draw(st.sampled_from(hubs))) for spoke in spokes]
    if len(hubs) == 2 and draw(st.booleans()):
        file["peerings"].append({"between": hubs, "global": draw(st.booleans())})
    for name, circuit in file["circuits"].items():
        site = f"dc{name[-1]}"
        circuit["connects_to"] = [site]
        file["sites"][site] = {"asn": 65020, "prefixes": f"10.21{name[-1]}.0.0/16"}
    file["assumptions"] = {key: draw(values) for key, values in ASSUMPTIONS.items()}
    return yaml.safe_dump(file, sort_keys=False)


def _network(draw: st.DrawFn, file: dict[str, Any], name: str, number: int, **subnets: str) -> None:
    table = f"{name}-work"
    workload = {"prefix": f"10.{number}.10.0/24", "route_table": table}
    file["virtual_networks"][name] = {
        "address_space": f"10.{number}.0.0/16",
        "subnets": {**subnets, "workload": workload},
    }
    hops = st.sampled_from(("Internet", "None", f"10.{number}.1.4"))
    routes = draw(st.dictionaries(st.sampled_from(TARGETS), hops, max_size=2))
    file["route_tables"][table] = {
        "routes": routes,
        "disable_bgp_route_propagation": draw(st.integers(0, 4)) == 0,
    }
    file["virtual_machines"][f"vm-{name}"] = f"{name}/workload"


def _hub(draw: st.DrawFn, file: dict[str, Any], hub: str, number: int) -> None:
    _network(
        draw,
        file,
        hub,
        number,
        RouteServerSubnet=f"10.{number}.0.0/26",
        GatewaySubnet=f"10.{number}.255.0/27",
        appliances=f"10.{number}.1.0/24",
    )
    peers = []
    for i in range(draw(st.integers(0, 2))):
        nva = f"nva{number}{i}"
        peers.append(nva)
        file["nvas"][nva] = {
            "subnet": f"{hub}/appliances",
            "asn": draw(st.sampled_from((65001, 65002))),
            "advertises": draw(st.lists(st.sampled_from(POOL), unique=True, max_size=3)),
            "prepend": draw(st.integers(0, 2)),
            "communities": draw(st.lists(st.sampled_from(("no-advertise", "no-export", "65001:7")), max_size=1)),
        }
        site = f"branch{number}{i}"
        if draw(st.booleans()):
            file["nvas"][nva]["connects_to"] = [site]
            file["sites"][site] = {"asn": 65010 + i, "prefixes": f"10.20{number}.{64 * i}.0/18"}
    if draw(st.booleans()) or peers:
        file["route_servers"][f"rs{number}"] = {
            "virtual_network": hub,
            "branch_to_branch": draw(st.booleans()),
            "hub_routing_preference": draw(st.sampled_from(PREFERENCES)),
            "own_ranges": draw(st.sampled_from(("2026", "2021"))),
            "peers": peers,
        }
    if draw(st.booleans()):
        circuit = draw(st.sampled_from(("circuit1", f"circuit{number}")))
        file["circuits"].setdefault(circuit, {})
        file["gateways"][f"er{number}"] = {"type": "ExpressRoute", "virtual_network": hub, "connects_to": [circuit]}
        if draw(st.booleans()):
            file["gateways"][f"er{number}"]["instances"] = [f"10.{number}.255.9"]
    if draw(st.booleans()):
        site = f"store{number}"
        file["sites"][site] = {"asn": 65030 + number, "prefixes": f"10.22{number}.0.0/16"}
        file["gateways"][f"vpn{number}"] = {
            "type": "Vpn",
            "virtual_network": hub,
            "active_active": draw(st.booleans()),
            "connects_to": [{site: {"bgp": draw(st.booleans())}}],
        }


def _peering(draw: st.DrawFn, file: dict[str, Any], spoke: str, hub: str) -> dict[str, Any]:
    used = [*file["route_servers"].values(), *file["gateways"].values()]
    uses = any(each["virtual_network"] == hub for each in used) and draw(st.booleans())
    return {
        "between": [hub, spoke],
        "use_remote_gateways": spoke if uses else False,
        "allow_gateway_transit": hub if uses or draw(st.booleans()) else False,
        "allow_forwarded_traffic": draw(st.booleans()),
        "global": draw(st.booleans()),
    }


@dataclass(frozen=True)
class Wish:
    """A change that Azure would accept: the call of the controller's API, and what becomes of the lab."""

    method: str
    path: tuple[str, ...]
    body: dict[str, Any] | None
    lab: Lab

    def __str__(self) -> str:
        return f"{self.method} {'/'.join(self.path)} {self.body}"


def wishes(built: Lab, lab: Lab) -> list[Wish]:
    """Everything small that operators may change of a lab as it is now; `built` is the lab as it was built."""
    azure = lab.azure
    found: list[Wish] = []

    def may(method: str, path: tuple[str, ...], body: dict[str, Any] | None, ask: Callable[[], Request]) -> None:
        try:
            after = replace(lab, azure=ask().azure)
            expected(after)
        except (InvalidInput, NeverSettlesError):
            return
        found.append(Wish(method, path, body, after))

    for server in azure.route_servers:
        at = ("route-servers", server.name)
        may("DELETE", at, None, partial(requests.delete_server, azure, server))
        switch = {"allowBranchToBranchTraffic": not server.branch_to_branch}
        may("PUT", at, switch, partial(requests.server_settings, azure, server, switch))
        for peer in server.peers:
            may("DELETE", (*at, "peers", peer.name), None, partial(requests.delete_peer, azure, server, peer.name))
        peers = {peer.name for peer in server.peers}
        for declared in built.azure.route_server[server.name].peers:
            if declared.name not in peers:
                may(
                    "PUT",
                    (*at, "peers", declared.name),
                    {},
                    partial(requests.put_peer, azure, built, server, declared.name, {}),
                )
    for server in built.azure.route_servers:
        may("POST", ("route-servers", server.name), None, partial(requests.create_server, azure, built, server.name))
    for side in built.azure.peerings:
        ends = (side.local, side.remote)
        if requests.peering_side(azure, *ends) is not None:
            may("DELETE", ("peerings", *ends), None, partial(requests.delete_peering, azure, *ends))
        flags = {flag: getattr(side, name) for flag, name in requests.PEERING_FLAGS.items()}
        for said in (flags, {**flags, "useRemoteGateways": not side.use_remote_gateways}):
            may("PUT", ("peerings", *ends), said, partial(requests.put_peering, azure, built, *ends, said))
    for number, network in enumerate(azure.virtual_networks, 101):
        first = str(built.azure.virtual_network[network.name].address_space[0])
        for prefixes in ([first], [first, f"10.{number}.0.0/16"]):
            said_prefixes = {"addressPrefixes": prefixes}
            may(
                "PUT",
                ("virtual-networks", network.name),
                said_prefixes,
                partial(requests.address_space, azure, network.name, said_prefixes),
            )
    return [wish for wish in found if wish.lab.azure != azure]


def expected(lab: Lab) -> World:
    """What every speaker of Azure holds in the end."""
    azure = lab.azure
    servers: dict[tuple[str, int], dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
    for server in azure.route_servers:
        routes: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
        for peer in server.peers:
            for prefix, attributes in _appliance(lab, peer).items():
                routes[prefix] = (*routes.get(prefix, ()), LearnedRoute(prefix, attributes, peer))
        servers |= {(server.name, i): routes for i in (0, 1)}
    gateways: dict[tuple[str, int], dict[IPv4Network, tuple[GatewayPath, ...]]] = {
        (g.name, i): {} for g in azure.gateways for i in range(len(g.instances))
    }
    for gateway in lab.gateways:
        for tunnel in gateway.tunnels:
            if tunnel.bgp:
                path = _from_site(lab, tunnel.site, tunnel.far)
                table = gateways[gateway.name, tunnel.instance]
                table |= {lan.network: (path,) for lan in lab.site[tunnel.site].lan}
    circuits = {}
    for link in lab.wan_links:
        if link.router in azure.circuit:
            said = PathAttributes(link.site_address.ip, (lab.site[link.site].asn,), med=0)
            path_in = CircuitPath(None, link.site_address.ip, said)
            circuits[link.router] = {lan.network: (path_in,) for lan in lab.site[link.site].lan}
    edges = {(g.name, line.instance, line.circuit): line.edge for g in lab.gateways for line in g.lines}
    return World(azure, Heard(servers, gateways, circuits, edges))


def _appliance(lab: Lab, peer: BgpPeer) -> dict[IPv4Network, PathAttributes]:
    """What an appliance tells its route server."""
    nva = lab.nva[peer.name]
    own = (nva.asn,) * (1 + nva.prepend)
    behind = {
        lan.network: (*own, lab.site[link.site].asn)
        for link in lab.wan_links
        if link.router == nva.name
        for lan in lab.site[link.site].lan
    }
    paths = {**behind, **dict.fromkeys(nva.advertises, own)}
    return {
        prefix: PathAttributes(peer.address, path, communities=tuple(sorted(nva.communities)))
        for prefix, path in paths.items()
    }


def _from_site(lab: Lab, site: str, address: Any) -> GatewayPath:
    said = PathAttributes(address, (lab.site[site].asn,), med=0)
    return GatewayPath(PathSource.ON_PREMISES, site, address, said)
