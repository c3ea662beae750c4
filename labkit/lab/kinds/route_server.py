"""Route servers with their peers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.json_schema import WithJsonSchema

from labkit.azure import model
from labkit.azure.model import HubRoutingPreference, InstanceId, OwnRangePolicy
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET, SUBNET_LONGEST, gateway_address
from labkit.azure.rules.asn import is_four_byte, reserved_asn
from labkit.azure.rules.gateways import gateway_peers
from labkit.azure.rules.limits import MAX_PEERS, too_many_peers
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import Address, Asn, AzureName, Named, Part
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.assumptions import ASSUMPTIONS
from labkit.lab.kinds.gateway import GATEWAYS
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, Joined, Kind, at
from labkit.lab.kinds.machine import machine_of
from labkit.lab.kinds.names import Declared, declared_with_instances
from labkit.lab.kinds.nouns import INSTANCE, NVA, NVA_NIC, ROUTE_SERVER
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS, find_subnet
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.common import (
    NET_ADMIN,
    Planned,
    environment,
    nftables,
    node_file,
    platform_channel,
    ready,
    sysctls,
)
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nodes import INSTANCES, NIC
from labkit.lab.plan.wires import Wiring, instance_nics

NOWHERE = IPv4Address(0)
"""The instances of a route server without a subnet, until its file is mended."""

EXABGP_HOLD_TIME = 180
"""Azure's own [bgp-timers]; the lower one of the two sides counts."""

_ADDRESSES: Slot[dict[str, tuple[IPv4Address, IPv4Address]]] = Slot(dict)


class PeerOptions(Part):
    """What a route server expects of a peer, where it is not what the NVA itself has."""

    asn: Asn | None = None
    """The ASN that the route server expects. Default: the NVA's."""
    address: Address | None = None
    """The address that the route server expects. Default: that of the NVA's NIC."""


class RouteServer(Part):
    """A route server: two instances, ASN 65515."""

    virtual_network: Reference
    """The virtual network that has its RouteServerSubnet."""
    peers: Named[PeerOptions] = Field(default_factory=list)
    """The NVAs it peers with, at most eight: names, `nva/nic` for a NIC that is not the primary, `{name: {asn: …}}`."""
    branch_to_branch: bool = False
    """True: what one peer or gateway advertises is passed to the others."""
    hub_routing_preference: HubRoutingPreference = HubRoutingPreference.EXPRESSROUTE
    """Which source of a route wins."""
    own_ranges: Annotated[OwnRangePolicy, WithJsonSchema({"enum": ["2026", "2021", 2026, 2021]})] = OwnRangePolicy.DROP
    """Received routes inside ranges that it originates itself: dropped (2026), or kept and shown (2021)."""
    routes_per_peer: Annotated[int, Field(ge=1, le=1_000_000)] = 4000
    """How many routes a peer may send before its session is torn down."""
    total_prefixes: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """How many prefixes it has room for: its own ranges, and what its peers send. Who sends more is torn down."""
    instances: tuple[Address, Address] | None = None
    """The addresses of instance 0 and 1. Default: .4 and .5 of RouteServerSubnet."""


ROUTE_SERVERS: Section[dict[str, RouteServer]] = Section(
    "route_servers",
    "route server",
    dict[AzureName, RouteServer],
    "Route servers by name.",
    dict,
    parts={"peers": 'peer "{1}" of route server {0}'},
)


def _peer_names(server: RouteServer) -> tuple[str, ...]:
    return tuple(machine_of(name) for peer in server.peers for name in peer)


def _peer(draft: Draft, problem: Problem) -> tuple[Path, str]:
    server, peer = problem.subjects
    listed = enumerate(draft.file[ROUTE_SERVERS][server].peers)
    last, name = [(i, name) for i, entry in listed for name in entry if machine_of(name) == peer][-1]
    return ("route_servers", server, "peers", last, name), ""


def _peers_address(draft: Draft, problem: Problem) -> tuple[Path, str]:
    return (*_peer(draft, problem)[0], "address"), ""


def _unreachable_by_damage(draft: Draft, problem: Problem) -> bool:
    _, peer = problem.subjects
    places: list[Path] = [("peerings",), ("virtual_networks",), ("nvas", machine_of(peer))]
    return any(draft.broken(place) for place in places)


def _twice_in_the_list(draft: Draft, problem: Problem) -> bool:
    # That is noted already, in the file itself.
    return _peer_names(draft.file[ROUTE_SERVERS][problem.subjects[0]]).count(problem.subjects[1]) > 1


def _subnet(draft: Draft, problem: Problem) -> tuple[Path, str]:
    server, network = problem.subjects
    subnets: Path = ("virtual_networks", network, "subnets")
    if ROUTE_SERVER_SUBNET in draft.names("virtual_networks", network, "subnets"):
        return (*subnets, ROUTE_SERVER_SUBNET, "route_table"), ""
    # Deeper than where a second route server is noted, which is another mistake on the same line.
    return ("route_servers", server, "virtual_network", ROUTE_SERVER_SUBNET), ""


def _subnet_by_damage(draft: Draft, problem: Problem) -> bool:
    network = problem.subjects[1]
    if ROUTE_SERVER_SUBNET in draft.names("virtual_networks", network, "subnets"):
        return find_subnet(draft, f"{network}/{ROUTE_SERVER_SUBNET}") is None
    return draft.broken(("virtual_networks", network, "subnets"))


def _subnet_remedy(draft: Draft, problem: Problem) -> str:
    if ROUTE_SERVER_SUBNET in draft.names("virtual_networks", problem.subjects[1], "subnets"):
        return "Azure does not support it. Remove route_table there."
    return "Add one of /26 to the virtual network's subnets, such as RouteServerSubnet: 10.1.0.0/26."


class RouteServerKind(Kind):
    """Route servers; each of its two instances is a node with ExaBGP."""

    section = ROUTE_SERVERS
    noun = ROUTE_SERVER
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.SERVER_SECOND: AzureRefusal(
            "Azure allows one in a virtual network. Remove one, or give it a virtual network of its own.",
            at("route_servers", 0, "virtual_network", about="route server {0}: "),
        ),
        Code.SERVER_SUBNET: AzureRefusal(_subnet_remedy, _subnet, _subnet_by_damage),
        Code.PEER_DUPLICATE: AzureRefusal(
            "Azure refuses the second. Remove it, or give it an address of its own.", _peer, _twice_in_the_list
        ),
        Code.PEER_AZURES_OWN: AzureRefusal("Azure refuses it. Omit it for the NVA's own address.", _peers_address),
        Code.PEER_NOBODYS: AzureRefusal(
            "Its sessions stay down. Give the address of a NIC, or omit it for the NVA's own.", _peers_address
        ),
        Code.PEER_UNREACHABLE: AzureRefusal(
            "Azure refuses it. Peer the two virtual networks, or move the NVA.", _peer, _unreachable_by_damage
        ),
        Code.PEER_NO_REMOTE_GATEWAYS: AzureRefusal(
            "Azure's newer rule refuses it. Add use_remote_gateways and allow_gateway_transit to the peering, or "
            "remove peers_need_remote_gateways from assumptions.",
            _peer,
            _unreachable_by_damage,
        ),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        yield from declared_with_instances(draft, "route_servers", ROUTE_SERVER, INSTANCE)

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, server in checking.draft.file[ROUTE_SERVERS].items():
            path: Path = ("route_servers", name)
            checking.refer_network(path, f"route server {name}", server.virtual_network)
            for i, peer in enumerate(server.peers):
                for peer_name in peer:
                    place: Path = (*path, "peers", i, peer_name)
                    checking.names.refer(checking.draft, place, f"peer of route server {name}", peer_name, NVA, NVA_NIC)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for name, server in draft.file[ROUTE_SERVERS].items():
            yield from (Joined(name, peer) for peer in _peer_names(server))
            for gateway_name, gateway in draft.file[GATEWAYS].items():
                if gateway.virtual_network == server.virtual_network:
                    yield Joined(name, gateway_name)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, server in draft.file[ROUTE_SERVERS].items():
            found = find_subnet(draft, f"{server.virtual_network}/{ROUTE_SERVER_SUBNET}")
            where = f"{ROUTE_SERVER_SUBNET} of {server.virtual_network}"
            for i, address in enumerate(server.instances or ()):
                whose, path = f"instance {i} of route server {name}", ("route_servers", name, "instances", i)
                yield Given(address, whose, path, found[2].prefix if found else None, where, azure=True)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for name, server in assignment.draft.file[ROUTE_SERVERS].items():
            if server.instances is not None:
                assignment.addresses[_ADDRESSES][name] = server.instances
                continue
            found = find_subnet(assignment.draft, f"{server.virtual_network}/{ROUTE_SERVER_SUBNET}")
            if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
                continue
            network, _, subnet = found
            pair = assignment.usable(subnet.prefix), assignment.usable(subnet.prefix)
            if pair[0] is not None and pair[1] is not None:
                assignment.addresses[_ADDRESSES][name] = pair[0], pair[1]
            else:
                path: Path = ("virtual_networks", network, "subnets", ROUTE_SERVER_SUBNET)
                what = f"{ROUTE_SERVER_SUBNET} of {network}"
                assignment.full(path, what, subnet.prefix, "Widen the subnet.")

    def azure(self, draft: Draft, addresses: Addresses, azure: model.Azure) -> model.Azure:
        """See `Kind`."""
        servers = tuple(
            model.RouteServer(
                name=name,
                virtual_network=server.virtual_network,
                instances=addresses[_ADDRESSES].get(name, (NOWHERE, NOWHERE)),
                peers=tuple(
                    p for peer in server.peers for n, o in peer.items() for p in _peers(draft, addresses, n, o)
                ),
                branch_to_branch=server.branch_to_branch,
                hub_routing_preference=server.hub_routing_preference,
                own_ranges=server.own_ranges,
                routes_per_peer=server.routes_per_peer,
                total_prefixes=server.total_prefixes,
                assumptions=draft.file[ASSUMPTIONS].of_route_servers(),
            )
            for name, server in draft.file[ROUTE_SERVERS].items()
            if server.virtual_network in draft.file[VIRTUAL_NETWORKS]
        )
        return replace(azure, route_servers=servers)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, server in checking.draft.file[ROUTE_SERVERS].items():
            _check(checking, name, server)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        yield from (_instance(lab, wiring, s, index) for s in lab.azure.route_servers for index in INSTANCES)


def _peers(draft: Draft, addresses: Addresses, name: str, options: PeerOptions | None) -> Iterator[model.BgpPeer]:
    nva, given = draft.file[NVAS].get(machine_of(name)), options or PeerOptions()
    address = given.address or addresses.next_hops.get(name)
    asn = given.asn if given.asn is not None or nva is None else nva.asn
    if asn is not None and nva is not None and address is not None:
        yield model.BgpPeer(machine_of(name), asn, address)


def _check(checking: Checking, name: str, server: RouteServer) -> None:
    draft = checking.draft
    path: Path = ("route_servers", name, "peers")
    if too_many_peers(len(server.peers)):
        text = f"route server {name} has {len(server.peers)} peers; at most {MAX_PEERS} are allowed."
        draft.error(path, text, "Azure refuses the rest. Remove some.")
    gateways = any(g.virtual_network == server.virtual_network for g in draft.file[GATEWAYS].values())
    if not server.peers and not draft.broken(path) and not (gateways and server.branch_to_branch):
        text = f"route server {name} has no peers, so it learns no routes."
        draft.warn(("route_servers", name), text, "Name NVAs, such as peers: [nva1].")
    for i, entry in enumerate(server.peers):
        for peer, options in entry.items():
            about, nva = f'peer "{peer}" of route server {name}', draft.file[NVAS].get(machine_of(peer))
            before = _listed(server, i, machine_of(peer))
            if before == peer:
                draft.error((*path, i, peer), f"{about} is listed twice.", "Remove one.")
            elif before is not None and not draft.broken((*path, i, peer)):
                text = f'{about} is the NVA that is its peer "{before}" already.'
                draft.error((*path, i, peer), text, "A BGP daemon has one session with each instance: remove one.")
            if nva is not None and nva.asn is None:
                if not draft.broken(("nvas", machine_of(peer), "asn")):
                    text = f"{about}: the NVA has no ASN, so it has no BGP."
                    draft.error((*path, i, peer), text, f"Add asn: 65001 to {machine_of(peer)}, or remove the peer.")
            elif nva is not None and options is not None and options.address in {nva.loopback} - {None}:
                text = f"{about}: {options.address} is the NVA's loopback; a route server's peer is a NIC's address."
                remedy = "Azure delivers nothing that its instances send to another. Remove address for the NIC's."
                draft.error((*path, i, peer, "address"), text, remedy)
            elif options is not None and options.asn is not None:
                _check_peer_asn(checking, about, options.asn, (*path, i, peer, "asn"))
                if nva is not None and nva.asn != options.asn:
                    text = f"{about}: ASN {options.asn} is not the NVA's own, {nva.asn}."
                    remedy = "Its sessions stay down: an OPEN with another ASN is refused. Omit asn for the NVA's own."
                    draft.warn((*path, i, peer, "asn"), text, remedy)
            elif nva is not None and nva.asn is not None:
                _check_peer_asn(checking, about, nva.asn, ("nvas", machine_of(peer), "asn"))


def _listed(server: RouteServer, position: int, nva: str) -> str | None:
    """The peer before a position of the list that is this NVA, as the file has it; None if there is none."""
    return next((name for entry in server.peers[:position] for name in entry if machine_of(name) == nva), None)


def _check_peer_asn(checking: Checking, about: str, asn: int, path: Path) -> None:
    if path in checking.judged:
        return
    checking.judged.add(path)
    why = reserved_asn(asn)
    if why is not None:
        checking.draft.error(path, f"{about}: {why}.", "Azure refuses it. Use another private ASN, such as 65001.")
    elif is_four_byte(asn):
        remedy = "Azure documents two-byte ASNs only, though others were seen to work. Use one below 65536."
        checking.draft.warn(path, f"{about}: ASN {asn} needs four bytes.", remedy)


def _instance(lab: Lab, wiring: Wiring, server: model.RouteServer, index: int) -> Planned:
    """One instance of a route server: ExaBGP, and a count of the packets that were never meant for it."""
    nic = next(n for n in instance_nics(lab) if n.name == InstanceId(server.name, index).node)
    subnet = subnet_of(lab.azure, nic)
    # Gateways may always come; whether they do, branch-to-branch decides, and it may change while the lab runs.
    expected = (*server.peers, *gateway_peers(lab.azure, replace(server, branch_to_branch=True)))
    peers = [{"name": peer.name, "address": peer.address, "asn": peer.asn} for peer in expected]
    keep, channel = platform_channel(nic.name)
    conf, conf_bind = node_file(
        nic.name,
        "exabgp.conf",
        "/etc/exabgp/exabgp.conf",
        "exabgp.conf.j2",
        node=nic.name,
        address=nic.address,
        asn=model.ROUTE_SERVER_ASN,
        hold_time=EXABGP_HOLD_TIME,
        peers=peers,
    )
    settings, settings_bind = node_file(
        nic.name, "exabgp.env", "/etc/exabgp/exabgp.env", "exabgp.env.j2", address=nic.address
    )
    counters, counters_bind, load = nftables(
        nic.name,
        "nftables-instance.conf.j2",
        interface=NIC,
        address=nic.address,
        broadcast=subnet.broadcast_address,
    )
    node = Node(
        name=nic.name,
        role=Role.ROUTE_SERVER,
        services=("exabgp",),
        env=environment(
            lab.name,
            nic.name,
            LABKIT_ROUTE_SERVER=server.name,
            LABKIT_INSTANCE=str(index),
            LABKIT_BGP_ADDRESS=str(nic.address),
            EXABGP_ENVFILE="/etc/exabgp/exabgp.env",
        ),
        binds=(channel, conf_bind, settings_bind, counters_bind),
        exec=(
            load,
            *wiring.up(nic.name),
            f"ip route replace default via {gateway_address(subnet)} dev {NIC}",
        ),
        # Its BGP port is open when the node starts, before any command gives the interface its address.
        sysctls=sysctls(forward=False) | {"net.ipv4.ip_nonlocal_bind": "1"},
        cap_add=NET_ADMIN,
        healthcheck=ready(("exabgp",)),
    )
    return Planned(node, (keep, replace(conf, followed=frozenset({"peers"})), settings, counters))
