"""Azure's refusals of several objects together, as `labkit.azure.rules.validation` finds them, by the file's lines."""

from __future__ import annotations

from labkit.azure.model import Azure
from labkit.azure.rules.addressing import GATEWAY_SUBNET, ROUTE_SERVER_SUBNET
from labkit.azure.rules.asn import is_four_byte, reserved_asn
from labkit.azure.rules.limits import MAX_PEERS, too_many_peers
from labkit.azure.rules.validation import Code, Problem, problems, warnings
from labkit.lab.build import peer_names
from labkit.lab.draft import Draft
from labkit.lab.file.schema import RouteServer
from labkit.lab.file.yaml_source import Path

_REMEDIES = {
    Code.OVERLAP_WITHIN: "Azure refuses it. Remove or shrink one of them.",
    Code.OVERLAP_PEERED: "Azure refuses the peering. Move one of the virtual networks, or remove a peering.",
    Code.PEERING_DUPLICATE: "Azure refuses the second. Remove it.",
    Code.URG_TWICE: "Azure refuses the second. Let one hub do it, or give the spoke a route server of its own.",
    Code.URG_OWN_SERVER: "Azure refuses it. Remove use_remote_gateways or the route server.",
    Code.URG_OWN_GATEWAY: "Azure refuses it. Remove use_remote_gateways or the gateway.",
    Code.URG_NO_TRANSIT: "Azure refuses it. Add allow_gateway_transit: {1} to the peering.",
    Code.URG_NO_SERVER: "Azure refuses it. Add a route server or a gateway to {1}, or remove use_remote_gateways.",
    Code.SERVER_SECOND: "Azure allows one in a virtual network. Remove one, or give it a virtual network of its own.",
    Code.PEER_DUPLICATE: "Azure refuses the second. Remove it, or give it an address of its own.",
    Code.PEER_UNREACHABLE: "Azure refuses it. Peer the two virtual networks, or move the NVA.",
    Code.PEER_NO_REMOTE_GATEWAYS: (
        "Azure's newer rule refuses it. Add use_remote_gateways and allow_gateway_transit to the peering, or remove "
        "peers_need_remote_gateways from assumptions."
    ),
    Code.GATEWAY_SECOND: "Azure allows one of each type in a virtual network. Remove one.",
    Code.GATEWAY_SUBNET: "Azure refuses it. Add one of /27 to its subnets, such as GatewaySubnet: 10.1.255.0/27.",
    Code.GATEWAY_PROPAGATION: "Azure refuses it: remove disable_bgp_route_propagation there.",
    Code.GATEWAY_DEFAULT_ROUTE: "Azure refuses it. Remove the route, or the route table from GatewaySubnet.",
    Code.GATEWAY_ASN: "Azure refuses it. Omit asn, or give a VPN gateway another private ASN, such as 65501.",
    Code.CONNECTION_DUPLICATE: "Azure refuses the second. Remove it.",
    Code.REMOTE_ASN: "Azure refuses it. Give the site another private ASN, such as 65010.",
    Code.BACKEND_ELSEWHERE: "Azure refuses it: a pool of NICs spans one virtual network. Move one of them.",
    Code.BACKEND_TWICE: "Azure refuses two rules with the same ports, here all, and backend. Remove it from one.",
    Code.PROBE_INTERVAL: "The lab uses it anyway. Omit interval for Azure's shortest.",
    Code.GATEWAY_NO_TRANSIT: "Make it active_active: true without an asn of its own, or accept it without transit.",
    Code.GATEWAY_CUT_OFF: "Give the route table a route for the RouteServerSubnet to VnetLocal.",
}


def check_azure(draft: Draft, azure: Azure) -> None:
    """Notes what Azure would refuse, as far as the sound part of the file shows it."""
    seen: set[Path] = set()
    for problem in problems(azure):
        if problem.code is Code.SERVER_SUBNET:
            _subnet_problem(draft, problem)
        elif problem.code in _REMEDIES and not _follows(draft, problem):
            # The others are what a lab file can't say, or what `_check_server` sees in the file itself.
            path, about = _place(draft, problem)
            if path not in seen:
                seen.add(path)
                draft.error(path, f"{about}{problem.text}.", _REMEDIES[problem.code].format(*problem.subjects))
    for problem in warnings(azure):
        path, about = _place(draft, problem)
        draft.warn(path, f"{about}{problem.text}.", _REMEDIES[problem.code].format(*problem.subjects))
    told: set[Path] = set()
    for name, server in draft.file.route_servers.items():
        _check_server(draft, name, server, told)


def _place(draft: Draft, problem: Problem) -> tuple[Path, str]:
    """Where a problem is mended, and the words before its text."""
    file, subjects = draft.file, problem.subjects
    match problem.code:
        case Code.OVERLAP_WITHIN | Code.OVERLAP_PEERED:
            return ("virtual_networks", subjects[0], "address_space"), ""
        case Code.PEERING_DUPLICATE:
            last = max(i for i, p in enumerate(file.peerings) if set(p.between) == set(subjects))
            return ("peerings", last), f"peering {last + 1}: "
        case Code.URG_OWN_SERVER | Code.URG_OWN_GATEWAY | Code.URG_NO_TRANSIT | Code.URG_NO_SERVER | Code.URG_TWICE:
            last = max(
                i for i, p in enumerate(file.peerings) if set(subjects) <= set(p.between) and p.use_remote_gateways
            )
            return ("peerings", last, "use_remote_gateways"), ""
        case Code.SERVER_SECOND:
            return ("route_servers", subjects[0], "virtual_network"), f"route server {subjects[0]}: "
        case Code.GATEWAY_SECOND | Code.GATEWAY_SUBNET | Code.GATEWAY_NO_TRANSIT | Code.GATEWAY_CUT_OFF:
            about = f"gateway {subjects[0]}: " if problem.code is Code.GATEWAY_SECOND else ""
            return ("gateways", subjects[0]), about
        case Code.GATEWAY_PROPAGATION | Code.GATEWAY_DEFAULT_ROUTE:
            return ("virtual_networks", subjects[0], "subnets", GATEWAY_SUBNET, "route_table"), ""
        case Code.GATEWAY_ASN:
            return ("gateways", subjects[0], "asn"), f"gateway {subjects[0]}: "
        case Code.CONNECTION_DUPLICATE:
            gateway, remote = subjects
            last = max(i for i, c in enumerate(file.gateways[gateway].connects_to) if remote in c)
            return ("gateways", gateway, "connects_to", last), f"gateway {gateway}: "
        case Code.REMOTE_ASN:
            return ("circuits", subjects[0]), f"circuit {subjects[0]}: "
        case Code.PROBE_INTERVAL:
            return ("load_balancers", subjects[0], "probe", "interval"), f"load balancer {subjects[0]}: "
        case Code.BACKEND_ELSEWHERE | Code.BACKEND_TWICE:
            name, backend = subjects
            return ("load_balancers", name, "backends", file.load_balancers[name].backends.index(backend)), (
                f"load balancer {name}: "
            )
        case _:
            server, peer = subjects
            last = max(i for i, p in enumerate(file.route_servers[server].peers) if peer in p)
            return ("route_servers", server, "peers", last, peer), ""


def _follows(draft: Draft, problem: Problem) -> bool:
    """Whether a problem may only follow from something that was left out."""
    subjects = problem.subjects
    match problem.code:
        case Code.PEER_UNREACHABLE | Code.PEER_NO_REMOTE_GATEWAYS:
            network = draft.file.route_servers[subjects[0]].virtual_network
            places: list[Path] = [("peerings",), ("virtual_networks", network, "address_space")]
            places.append(("nvas", subjects[1], "address"))
            return any(draft.broken(p) for p in places)
        case Code.PEER_DUPLICATE:
            # Said twice: `_check_server` sees that in the file.
            return peer_names(draft.file.route_servers[subjects[0]]).count(subjects[1]) > 1
        case Code.URG_NO_SERVER:
            return draft.broken(("route_servers",)) or draft.broken(("gateways",))
        case Code.GATEWAY_SUBNET:
            return draft.broken(("virtual_networks", subjects[1], "subnets"))
        case Code.URG_NO_TRANSIT:
            return draft.broken(("peerings",))
        case _:
            return False


def _subnet_problem(draft: Draft, problem: Problem) -> None:
    server, network = problem.subjects
    subnets: Path = ("virtual_networks", network, "subnets")
    if ROUTE_SERVER_SUBNET in draft.names("virtual_networks", network, "subnets"):
        if draft.subnet(f"{network}/{ROUTE_SERVER_SUBNET}") is not None:
            path = (*subnets, ROUTE_SERVER_SUBNET, "route_table")
            draft.error(path, f"{problem.text}.", "Azure does not support it. Remove route_table there.")
    elif not draft.broken(subnets):
        remedy = "Add one of /26 to the virtual network's subnets, such as RouteServerSubnet: 10.1.0.0/26."
        draft.error(("route_servers", server, "virtual_network"), f"{problem.text}.", remedy)


def _check_server(draft: Draft, name: str, server: RouteServer, told: set[Path]) -> None:
    path: Path = ("route_servers", name, "peers")
    if too_many_peers(len(server.peers)):
        text = f"route server {name} has {len(server.peers)} peers; at most {MAX_PEERS} are allowed."
        draft.error(path, text, "Azure refuses the rest. Remove some.")
    gateways = any(g.virtual_network == server.virtual_network for g in draft.file.gateways.values())
    if not server.peers and not draft.broken(path) and not (gateways and server.branch_to_branch):
        text = f"route server {name} has no peers, so it learns no routes."
        draft.warn(("route_servers", name), text, "Name NVAs, such as peers: [nva1].")
    for i, entry in enumerate(server.peers):
        for peer, options in entry.items():
            about = f'peer "{peer}" of route server {name}'
            if peer in peer_names(server)[:i]:
                draft.error((*path, i, peer), f"{about} is listed twice.", "Remove one.")
            if options is not None and options.asn is not None:
                _check_peer_asn(draft, about, options.asn, (*path, i, peer, "asn"), told)
            elif peer in draft.file.nvas:
                _check_peer_asn(draft, about, draft.file.nvas[peer].asn, ("nvas", peer, "asn"), told)


def _check_peer_asn(draft: Draft, about: str, asn: int, path: Path, told: set[Path]) -> None:
    if path in told:
        return
    told.add(path)
    why = reserved_asn(asn)
    if why is not None:
        draft.error(path, f"{about}: {why}.", "Azure refuses it. Use another private ASN, such as 65001.")
    elif is_four_byte(asn):
        remedy = "Azure documents two-byte ASNs only, though others were seen to work. Use one below 65536."
        draft.warn(path, f"{about}: ASN {asn} needs four bytes.", remedy)
