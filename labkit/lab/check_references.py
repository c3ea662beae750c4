"""What the parts of a lab file refer to: each name is there and is the right kind of thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from labkit.azure.model import NextHopType
from labkit.azure.rules.addressing import DEDICATED_SUBNETS
from labkit.lab.build import address_of, next_hop_type, no_next_hop
from labkit.lab.check_names import Kind, Names
from labkit.lab.draft import Draft, subject
from labkit.lab.file.problems import nearest, suggestion
from labkit.lab.file.schema import GatewayType, LoadBalancer, Machine, Peering
from labkit.lab.file.yaml_source import Path

_REMOTES = {GatewayType.EXPRESSROUTE: Kind.CIRCUIT, GatewayType.VPN: Kind.SITE}
_TYPES = [NextHopType.INTERNET, NextHopType.VNET_LOCAL, NextHopType.NONE]


def check_references(draft: Draft, names: Names) -> None:
    """Notes every reference to nothing, or to the wrong kind of thing, and leaves it out."""
    file = draft.file
    for network, described in file.virtual_networks.items():
        for name, subnet in described.subnets.items():
            if subnet.route_table is not None:
                path: Path = ("virtual_networks", network, "subnets", name, "route_table")
                _check_route_table(draft, path, subnet.route_table)
    for i, peering in enumerate(file.peerings):
        _check_peering(draft, names, ("peerings", i), peering)
    for name, table in file.route_tables.items():
        for prefix, hop in table.routes.items():
            _check_next_hop(draft, names, ("route_tables", name, "routes", str(prefix)), hop)
    for name, server in file.route_servers.items():
        path = ("route_servers", name)
        names.refer(
            draft, (*path, "virtual_network"), f"route server {name}", server.virtual_network, Kind.VIRTUAL_NETWORK
        )
        for i, peer in enumerate(server.peers):
            for peer_name in peer:
                place: Path = (*path, "peers", i, peer_name)
                names.refer(draft, place, f"peer of route server {name}", peer_name, Kind.NVA)
    for name, nva in file.nvas.items():
        _check_place(draft, names, ("nvas", name), nva)
        _check_links(draft, names, ("nvas", name, "connects_to"), nva.connects_to, Kind.SITE)
        _check_links(draft, names, ("nvas", name, "overlays"), nva.overlays, Kind.NVA)
        if nva.next_hop is not None and address_of(nva.next_hop) is None:
            path = ("nvas", name, "next_hop")
            names.refer(draft, path, f"next_hop of NVA {name}", nva.next_hop, Kind.NVA, Kind.LOAD_BALANCER)
        if nva.tracks is not None and not _is_address(nva.tracks):
            names.refer(draft, ("nvas", name, "tracks"), f"tracks of NVA {name}", nva.tracks, Kind.SITE, Kind.INTERNET)
    for name, balancer in file.load_balancers.items():
        _check_place(draft, names, ("load_balancers", name), balancer)
        for i, backend in enumerate(balancer.backends):
            path = ("load_balancers", name, "backends", i)
            about = f"backends of load balancer {name}"
            found = names.refer(draft, path, about, backend, Kind.NVA, Kind.VIRTUAL_MACHINE)
            if found and backend in balancer.backends[:i]:
                draft.error(path, f"{about}: {backend} is listed twice.", "Remove one.")
    for name, gateway in file.gateways.items():
        place = ("gateways", name)
        names.refer(
            draft, (*place, "virtual_network"), f"gateway {name}", gateway.virtual_network, Kind.VIRTUAL_NETWORK
        )
        _check_links(draft, names, (*place, "connects_to"), gateway.connects_to, _REMOTES[gateway.type])
    for name, circuit in file.circuits.items():
        _check_links(draft, names, ("circuits", name, "connects_to"), circuit.connects_to, Kind.SITE)
    for name, site_file in file.sites.items():
        for router in site_file.prepend:
            path = ("sites", name, "prepend", router)
            names.refer(draft, path, f"prepend of site {name}", router, Kind.NVA, Kind.CIRCUIT)
    for name, machine in file.virtual_machines.items():
        _check_place(draft, names, ("virtual_machines", name), machine)


def _check_links(draft: Draft, names: Names, place: Path, links: Iterable[Mapping[str, object]], kind: Kind) -> None:
    about = f"{place[-1]} of {subject(place)[0]}"
    for i, link in enumerate(links):
        for far in link:
            names.refer(draft, (*place, i, far), about, far, kind)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _check_route_table(draft: Draft, path: Path, name: str) -> None:
    known = draft.names("route_tables")
    if name in known:
        return
    draft.spoil(path)
    data = draft.source.data
    if isinstance(data, dict) and (data.get("route_tables") is None or known):
        text = f'{subject(path)[0]}: there is no route table "{name}".'
        draft.error(path, text, suggestion(name, known, "route tables"))


def _check_peering(draft: Draft, names: Names, path: Path, peering: Peering) -> None:
    about = subject(path)[0]
    one, two = peering.between
    found = [
        names.refer(draft, (*path, "between", i), about, side, Kind.VIRTUAL_NETWORK)
        for i, side in enumerate(peering.between)
    ]
    if all(found) and one == two:
        draft.spoil((*path, "between"))
        draft.error((*path, "between"), f"{about}: {one} can't be peered with itself.", "Name two virtual networks.")
    for option in ("use_remote_gateways", "allow_gateway_transit", "allow_forwarded_traffic"):
        sides: tuple[str, ...] | bool = getattr(peering, option)
        for side in sides if isinstance(sides, tuple) else ():
            if side not in peering.between:
                near = nearest(side, peering.between)
                remedy = f'Did you mean "{near}"?' if near else f"Name the side that it is set on: {one} or {two}."
                text = f"{about}: {option}: {side} is neither {one} nor {two}."
                draft.spoil((*path, option))
                draft.error((*path, option), text, remedy)


def _check_next_hop(draft: Draft, names: Names, path: Path, hop: str) -> None:
    about = subject(path)[0]
    if next_hop_type(hop) is not None or address_of(hop) is not None:
        return
    wrong = no_next_hop(hop)
    if wrong is not None:
        text, remedy = wrong
        draft.spoil(path)
        draft.error(path, f"{about}: {text}.", remedy)
    elif names.kinds.get(hop) in {Kind.ROUTE_SERVER, Kind.INSTANCE}:
        draft.spoil(path)
        text = f"{about}: {hop} is {names.kinds[hop].a}, which never forwards packets."
        draft.error(path, text, "Name the NVA that the route server has the route from.")
    else:
        kinds = (Kind.NVA, Kind.LOAD_BALANCER, Kind.VIRTUAL_MACHINE)
        names.refer(draft, path, about, hop, *kinds, wanted="next hop", also=_TYPES)


def _check_place(draft: Draft, names: Names, place: Path, machine: Machine | LoadBalancer) -> None:
    about, path = subject(place)[0], (*place, "subnet")
    network, slash, name = machine.subnet.partition("/")
    if not slash:
        known = [
            f"{v}/{s}" for v in draft.names("virtual_networks") for s in draft.names("virtual_networks", v, "subnets")
        ]
        near = next((k for k in known if k.partition("/")[2] == machine.subnet), nearest(machine.subnet, known))
        draft.spoil(path)
        text = f'{about}: subnet "{machine.subnet}" must have the form virtual-network/subnet.'
        draft.error(path, text, f"Write it as virtual-network/subnet{f', such as {near}' if near else ''}.")
        return
    if not names.refer(draft, path, about, network, Kind.VIRTUAL_NETWORK):
        return
    known = draft.names("virtual_networks", network, "subnets")
    if name not in known:
        sound = draft.file.virtual_networks.get(network)
        draft.spoil(path)
        if sound is not None and not draft.broken(("virtual_networks", network, "subnets")):
            text = f'{about}: virtual network {network} has no subnet "{name}".'
            draft.error(path, text, suggestion(name, [k for k in known if k not in DEDICATED_SUBNETS], "subnets there"))
    elif name in DEDICATED_SUBNETS:
        draft.spoil(path)
        text = f"{about}: {name} is reserved for an Azure service."
        draft.error(path, text, "Azure refuses anything else in it. Use a subnet of its own.")
