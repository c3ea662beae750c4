"""Short ways to write Azure objects in tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    AsPath,
    Azure,
    BgpPeer,
    Circuit,
    Connection,
    EffectiveRoute,
    Gateway,
    InstanceRoutes,
    LearnedRoute,
    LocalNetworkGateway,
    Nic,
    PathAttributes,
    Peering,
    PeerKind,
    RouteServer,
    RouteState,
    RouteTable,
    Subnet,
    VirtualNetwork,
)


def net(text: str) -> IPv4Network:
    return IPv4Network(text)


def addr(text: str) -> IPv4Address:
    return IPv4Address(text)


def as_path(text: str) -> AsPath:
    """`65001-65005` as Azure prints it."""
    return tuple(int(asn) for asn in text.split("-")) if text else ()


def nva(name: str, asn: int, address: str) -> BgpPeer:
    return BgpPeer(name, asn, addr(address))


def er(name: str = "er", address: str = "10.1.9.12") -> BgpPeer:
    return BgpPeer(name, 65515, addr(address), PeerKind.EXPRESSROUTE_GATEWAY)


def vpn(name: str = "vpn", address: str = "10.1.9.4") -> BgpPeer:
    return BgpPeer(name, 65515, addr(address), PeerKind.VPN_GATEWAY)


def path(prefix: str, peer: BgpPeer, text: str | None = None, next_hop: str | None = None) -> LearnedRoute:
    """A path from `peer`; by default its own ASN alone and itself as next hop."""
    hop = peer.address if next_hop is None else addr(next_hop)
    return LearnedRoute(
        net(prefix), PathAttributes(hop, (peer.asn,) if text is None else as_path(text), communities=()), peer
    )


def table(*paths: LearnedRoute) -> InstanceRoutes:
    """What one instance holds."""
    routes: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
    for p in paths:
        routes[p.prefix] = (*routes.get(p.prefix, ()), p)
    return routes


def peered(local: str, remote: str, *, urg: bool = False, is_global: bool = False) -> tuple[Peering, Peering]:
    """Both directions; with `urg`, `local` is the spoke that uses the gateways of `remote`."""
    return (
        Peering(local, remote, use_remote_gateways=urg, is_global=is_global),
        Peering(remote, local, allow_gateway_transit=urg, is_global=is_global),
    )


def network(
    name: str, *ranges: str, subnets: Mapping[str, str] | None = None, table: str | None = None
) -> VirtualNetwork:
    """A virtual network; `table` is the route table of its one subnet `w`, by default half of its first range."""
    space = tuple(net(r) for r in ranges)
    cut = {"w": str(next(space[0].subnets()))} if subnets is None else subnets
    return VirtualNetwork(name, space, tuple(Subnet(n, net(p), table) for n, p in cut.items()))


def nic(name: str, where: str, address: str, subnet: str = "w") -> Nic:
    return Nic(name, name, "eth0", where, subnet, addr(address), "00:0d:3a:00:00:01")


def azure(
    networks: Iterable[VirtualNetwork],
    *peerings: tuple[Peering, Peering],
    servers: Iterable[RouteServer] = (),
    nics: Iterable[Nic] = (),
    tables: Iterable[RouteTable] = (),
    gateways: Iterable[Gateway] = (),
    circuits: Iterable[Circuit] = (),
    sites: Iterable[LocalNetworkGateway] = (),
    connections: Iterable[Connection] = (),
) -> Azure:
    return Azure(
        tuple(networks),
        tuple(p for pair in peerings for p in pair),
        tuple(tables),
        tuple(nics),
        tuple(servers),
        tuple(gateways),
        tuple(circuits),
        tuple(sites),
        tuple(connections),
    )


def er_gateway(name: str, where: str, *instances: str) -> Gateway:
    return Gateway(name, where, PeerKind.EXPRESSROUTE_GATEWAY, tuple(map(addr, instances)))


def vpn_gateway(name: str, where: str, *instances: str, asn: int = 65515) -> Gateway:
    return Gateway(
        name, where, PeerKind.VPN_GATEWAY, tuple(map(addr, instances)), asn, active_active=len(instances) > 1
    )


def site(name: str, *prefixes: str, asn: int | None = None, peering: str | None = None) -> LocalNetworkGateway:
    address = addr(peering) if peering is not None else None
    return LocalNetworkGateway(name, name, tuple(map(net, prefixes)), asn, address)


def connected(gateway: str, remote: str) -> Connection:
    return Connection(f"{gateway}-{remote}", gateway, remote)


def printed(rows: Iterable[EffectiveRoute], *, nones: bool = False) -> list[str]:
    """Rows as text, `State` only where it is Invalid; without the system's None rows unless wanted."""
    return [
        " ".join(
            [
                *([] if r.state is RouteState.ACTIVE else ["Invalid"]),
                str(r.source),
                str(r.prefix),
                str(r.next_hop_type),
                *map(str, r.next_hops),
            ]
        )
        for r in rows
        if nones or not (r.source == "Default" and r.next_hop_type == "None")
    ]
