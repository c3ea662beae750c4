"""Which routes changes would change, and why: of NICs, and of what is advertised outside Azure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from labkit.azure.model import (
    EffectiveRoute,
    InstanceId,
    NextHopType,
    PathAttributes,
    PeerKind,
    RouteSource,
    RouteTable,
)
from labkit.azure.rules.adjacency import programming_hub, programming_server
from labkit.azure.rules.effective import DEFAULT_ROUTE, forwarding_key
from labkit.azure.rules.rows import as_path_text
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.predict.whatif.model import Prediction, Rows, Side, same

GONE = "-"

_OWN = (NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING)
_RANGE_NOW, _NO_RANGE = "a range of a virtual network now", "no range of a virtual network any more"


@dataclass(frozen=True, slots=True)
class RouteChange:
    """The rows of one prefix, before and after; `why` in a few words."""

    prefix: IPv4Network
    before: Rows
    after: Rows
    why: str


@dataclass(frozen=True, slots=True)
class NicChange:
    """NICs whose effective routes change in the same way, and the rows that do."""

    nics: tuple[str, ...]
    routes: tuple[RouteChange, ...]


@dataclass(frozen=True, slots=True)
class AdvertisementChange:
    """What is advertised of a prefix, `to` a router outside Azure, changes: AS paths, `-` for nothing."""

    to: str
    by: str
    prefix: IPv4Network
    before: str
    after: str


def nic_changes(prediction: Prediction) -> tuple[NicChange, ...]:
    """The NICs whose effective routes change, those with the same change together, in the order of the lab."""
    by_change: dict[tuple[RouteChange, ...], list[str]] = {}
    for nic in prediction.after.azure.nic:
        found = tuple(_route_changes(prediction, nic))
        if found:
            by_change.setdefault(found, []).append(nic)
    return tuple(NicChange(tuple(nics), routes) for routes, nics in by_change.items())


def advertisement_changes(lab: Lab, prediction: Prediction) -> tuple[AdvertisementChange, ...]:
    """What is advertised otherwise to NVAs, customers and sites; instances that advertise the same count as one."""
    before, after = _advertised(lab, prediction.before), _advertised(lab, prediction.after)
    return tuple(
        AdvertisementChange(to, by, prefix, one.get(prefix, GONE), other.get(prefix, GONE))
        for to, by in dict.fromkeys((*before, *after))
        for one, other in ((before.get((to, by), {}), after.get((to, by), {})),)
        for prefix in sorted(one.keys() | other.keys())
        if one.get(prefix) != other.get(prefix)
    )


def _route_changes(prediction: Prediction, nic: str) -> Iterator[RouteChange]:
    before, after = prediction.before.by_prefix(nic), prediction.after.by_prefix(nic)
    for prefix in sorted((*before.keys(), *(after.keys() - before.keys())), key=_reading_order):
        one, other = before.get(prefix, ()), after.get(prefix, ())
        if not same(one, other):
            yield RouteChange(prefix, one, other, _why(prediction, nic, prefix, one, other))


def _reading_order(prefix: IPv4Network) -> tuple[bool, IPv4Network]:
    return prefix == DEFAULT_ROUTE, prefix


def _why(prediction: Prediction, nic: str, prefix: IPv4Network, before: Rows, after: Rows) -> str:
    """Why a prefix's rows change, in a few words: of several reasons the one that decides."""
    if set(_of(before, RouteSource.USER)) != set(_of(after, RouteSource.USER)):
        return "user-defined route" if _of(after, RouteSource.USER) else "user-defined route removed"
    one, other = _of(before, RouteSource.VIRTUAL_NETWORK_GATEWAY), _of(after, RouteSource.VIRTUAL_NETWORK_GATEWAY)
    if not one and not other and any(row.next_hop_type in _OWN for row in (*before, *after)):
        had, has = (any(row.next_hop_type in _OWN for row in rows) for rows in (before, after))
        return (
            _RANGE_NOW
            if has and not had
            else _NO_RANGE
            if had and not has
            else "a user-defined route for the same prefix"
        )
    if not one and not other:  # a block that Azure drops by itself goes with the default route, and comes back with it
        return _default_why(prediction, nic)
    propagates = [_propagates(side, nic) for side in (prediction.before, prediction.after)]
    if propagates[0] != propagates[1]:
        return "BGP propagation on" if propagates[1] else "BGP propagation off"
    network = prediction.after.azure.nic[nic].virtual_network
    hubs = [programming_hub(side.azure, network) for side in (prediction.before, prediction.after)]
    if hubs[0] != hubs[1] and hubs[0] != network:
        return f"uses the gateways of {hubs[1]}" if hubs[1] else f"no longer uses the gateways of {hubs[0]}"
    return _bgp_why(prediction, nic, prefix, bool(one), bool(other))


def _default_why(prediction: Prediction, nic: str) -> str:
    before, after = (
        bool(_of(side.by_prefix(nic).get(DEFAULT_ROUTE, ()), RouteSource.VIRTUAL_NETWORK_GATEWAY))
        for side in (prediction.before, prediction.after)
    )
    if before != after:
        return "a default route by BGP displaces it" if after else "no default route by BGP displaces it any more"
    return "the user-defined default route"


def _bgp_why(prediction: Prediction, nic: str, prefix: IPv4Network, had: bool, has: bool) -> str:
    before, after = (_paths(side, nic, prefix) for side in (prediction.before, prediction.after))
    gateways = prediction.after.azure.gateway
    network = prediction.after.azure.nic[nic].virtual_network
    former, server = (programming_server(side.azure, network) for side in (prediction.before, prediction.after))
    if former is not None and server is None:
        return f"route server {former.name} is deleted"
    peers = {peer.name for peer in server.peers} if server is not None else set()
    ended = [name for name in before if name not in after and name not in gateways and name not in peers]
    if ended:
        return f"no longer learned from {_names(ended)}"
    # Where an NVA advertises the same before and after, what comes or goes of it is what the rules do with the prefix.
    had_from, has_from = (_advertising(side, prefix) for side in (prediction.before, prediction.after))
    came = [name for name in after if name not in before and name not in had_from]
    went = [name for name in before if name not in after and name not in has_from]
    if came or went:
        words = ([f"learned from {_names(came)}"] if came else []) + ([f"gone from {_names(went)}"] if went else [])
        return ", ".join(words)
    if had != has:
        return _NO_RANGE if has else _RANGE_NOW
    longer = [name for name in after if after[name] > before.get(name, after[name])]
    shorter = [name for name in after if after[name] < before.get(name, after[name])]
    if longer or shorter:
        return f"{'longer' if longer else 'shorter'} path of {_names(longer or shorter)}"
    preferences = [each.hub_routing_preference for each in (former, server) if each is not None]
    if len(set(preferences)) > 1:
        return f"preference {preferences[-1]}"
    return "other paths"


def _paths(side: Side, nic: str, prefix: IPv4Network) -> dict[str, int]:
    """From whom a prefix is learned where a NIC's routes come from, and the shortest AS path of each."""
    network = side.azure.nic[nic].virtual_network
    hub, found = programming_hub(side.azure, network), dict[str, int]()
    server = programming_server(side.azure, network)
    instance = forwarding_key(side.azure, nic, side.speakers.learned).instance
    paths = []
    if server is not None and instance is not None:
        paths = [
            p
            for p in side.speakers.at_server[InstanceId(server.name, instance)].get(prefix, ())
            if p.peer.kind is PeerKind.NVA
        ]
    names = [(path.peer.name, path) for path in paths]
    for name, routes in side.speakers.gateway_routes.items():
        if side.azure.gateway[name].virtual_network == hub:
            names += [(name, path) for path in routes.get(prefix, ())]
    for name, path in names:
        length = len(path.attributes.as_path)
        found[name] = min(length, found.get(name, length))
    return found


def _advertising(side: Side, prefix: IPv4Network) -> set[str]:
    """The NVAs that advertise a prefix to route servers."""
    return {path.peer.name for table in side.adj_ribs_in.servers.values() for path in table.get(prefix, ())}


def _propagates(side: Side, nic: str) -> bool:
    table = table_of(side, nic)
    return table is None or not table.disable_bgp_route_propagation


def table_of(side: Side, nic: str) -> RouteTable | None:
    """The route table of a NIC's subnet."""
    interface = side.azure.nic[nic]
    subnets = side.azure.virtual_network[interface.virtual_network].subnets
    name = next((s.route_table for s in subnets if s.name == interface.subnet), None)
    return side.azure.route_table[name] if name is not None else None


def _of(rows: Iterable[EffectiveRoute], source: RouteSource) -> tuple[EffectiveRoute, ...]:
    return tuple(row for row in rows if row.source is source)


def _names(names: Iterable[str]) -> str:
    return " and ".join(names)


def _advertised(lab: Lab, side: Side) -> dict[tuple[str, str], dict[IPv4Network, str]]:
    """What is advertised to routers outside Azure: AS paths by prefix, by (to whom, by whom)."""
    speakers = side.speakers
    found: dict[tuple[str, str], dict[IPv4Network, str]] = {}
    for instance in speakers.at_server:
        name = instance.name
        for peer in speakers.servers[name].peers:
            if peer.kind is PeerKind.NVA:
                _add(found.setdefault((peer.name, name), {}), speakers.advertised_by_server(name, instance.index, peer))
    for link in lab.wan_links:
        if link.router in side.azure.edge_router:
            _add(found.setdefault((link.site, link.router), {}), speakers.advertised_to_customer(link.router))
    closed = unconnected(lab, side.azure)
    for instance in speakers.at_gateway:
        for tunnel in lab.tunnels_of(instance.node):
            if tunnel.bgp and frozenset((tunnel.near.node, tunnel.far.node)) not in closed:
                sent = speakers.advertised_by_gateway(instance.name, instance.index, tunnel.far.name)
                _add(found.setdefault((tunnel.far.name, instance.name), {}), sent)
    for session, advertised in side.routers.adj_rib_out.items():
        if session.neighbour.name in {**lab.nva, **lab.site_router}:
            _add(found.setdefault((session.neighbour.name, session.router), {}), advertised)
    return found


def _add(to: dict[IPv4Network, str], advertised: Mapping[IPv4Network, PathAttributes]) -> None:
    """Add what an instance advertises to what the others do."""
    for prefix, attributes in advertised.items():
        text = as_path_text(attributes.as_path) or "empty path"
        texts = to[prefix].split(" or ") if prefix in to else []
        to[prefix] = " or ".join(dict.fromkeys((*texts, text)))
