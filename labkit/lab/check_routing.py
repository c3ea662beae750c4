"""BGP outside Azure: the NVAs' own settings, and their links with sites."""

from __future__ import annotations

from labkit.azure.model import ROUTE_SERVER_ASN
from labkit.azure.rules.asn import AS_TRANS, MAX_ASN
from labkit.lab.build import connected
from labkit.lab.draft import Draft, subject
from labkit.lab.file.schema import Circuit, Gateway, GatewayConnection, GatewayType, Nva, Timers
from labkit.lab.file.yaml_source import Path

MIN_HOLD = 3
"""RFC 4271 §4.2: a hold time is zero or at least three seconds. Zero would keep a dead neighbour's routes for ever."""


def check_routing(draft: Draft) -> None:
    """Notes what NVAs and sites can't do with each other."""
    file = draft.file
    for name, nva in file.nvas.items():
        _check_timers(draft, ("nvas", name), nva.timers)
        _check_links(draft, name, nva)
        _check_overlays(draft, name, nva)
        entries = [p[name] for server in file.route_servers.values() for p in server.peers if name in p]
        # A route server that takes the NVA's own word for its ASN has checked it (labkit.lab.check_azure).
        if all(options is not None and options.asn is not None for options in entries):
            _check_asn(draft, ("nvas", name, "asn"), nva.asn)
        named = any(name in link for other in file.nvas.values() for link in other.overlays)
        if (
            not entries
            and not nva.connects_to
            and not nva.overlays
            and not named
            and not draft.broken(("route_servers",))
        ):
            text = f"NVA {name} has no BGP session: no route server has it as a peer, and it connects to no site."
            draft.warn(("nvas", name), text, f"Add it to the peers of a route server: peers: [{name}].")
        elif not entries and not draft.broken(("route_servers",)):
            for key in ("as_override", "strip_route_server_asn"):
                if getattr(nva, key):
                    text = f"NVA {name}: {key} has no effect: no route server has it as a peer."
                    remedy = f"Add it to the peers of a route server, peers: [{name}], or remove {key}."
                    draft.warn(("nvas", name, key), text, remedy)
        if nva.as_override and nva.strip_route_server_asn:
            text = f"NVA {name}: as_override replaces the ASN that strip_route_server_asn removes."
            draft.error(("nvas", name, "strip_route_server_asn"), text, "Remove one of them.")
        if nva.requires_policy:
            _check_silent(draft, name, nva)
        if nva.tracks is not None and not nva.advertises:
            text = f"NVA {name}: tracks has no effect: the NVA advertises nothing of its own that it could withdraw."
            draft.warn(("nvas", name, "tracks"), text, "Add what it advertises, such as [0.0.0.0/0], or remove tracks.")
    for name, site in file.sites.items():
        _check_asn(draft, ("sites", name, "asn"), site.asn)
        if site.asn == ROUTE_SERVER_ASN:
            text = f"site {name}: ASN {site.asn} is the route servers' own."
            remedy = "Route servers drop every route with it in the path. Use another, such as 65010."
            draft.warn(("sites", name, "asn"), text, remedy)
        linked = {g for g, gateway in file.gateways.items() if name in connected(gateway)}
        linked |= {router for _, router, links in file.wan() if any(name in link for link in links)}
        for router in site.prepend:
            if router not in linked and (router in file.nvas or router in file.circuits):
                text = f"site {name}: prepend towards {router} has no effect: they are not connected."
                draft.warn(("sites", name, "prepend", router), text, f"Connect them: connects_to: [{name}].")
        if not linked and not draft.broken(("nvas",)) and not draft.broken(("circuits",)):
            text = f"site {name} has no connection."
            draft.warn(("sites", name), text, f"Connect an NVA or a circuit to it: connects_to: [{name}].")
    for name, gateway in file.gateways.items():
        _check_gateway(draft, name, gateway)
    for name, circuit in file.circuits.items():
        _check_circuit(draft, name, circuit)


def _check_silent(draft: Draft, name: str, nva: Nva) -> None:
    """What an NVA that says nothing can't say."""
    said = ("prepend", "as_override", "strip_route_server_asn", "communities", "next_hop", "tracks")
    for key in (k for k in said if getattr(nva, k)):
        text = f"NVA {name}: {key} has no effect: with requires_policy it sends no route."
        draft.warn(("nvas", name, key), text, f"Remove {key}, or requires_policy.")


def _check_gateway(draft: Draft, name: str, gateway: Gateway) -> None:
    place: Path = ("gateways", name)
    _check_timers(draft, place, gateway.timers)
    if not gateway.connects_to and not draft.broken((*place, "connects_to")):
        draft.warn(place, f"gateway {name} has no connection.", "Name its circuits: connects_to: [circuit1].")
    offline = draft.file.internet is None and not draft.broken(("internet",))
    if gateway.type is GatewayType.VPN and gateway.connects_to and offline:
        text = f"gateway {name}: its tunnels need the Internet, and the lab has none."
        draft.error(place, text, "Add internet: {prefix: 198.51.100.0/24}.")
    count = gateway.instance_count
    for i, connection in enumerate(gateway.connects_to):
        for circuit, options in connection.items():
            if options is None:
                continue
            path: Path = (*place, "connects_to", i, circuit)
            _check_options(draft, gateway, path, options)
            if options.edges and len(options.edges) != count:
                given = "one edge" if len(options.edges) == 1 else f"{len(options.edges)} edges"
                text = f"{subject(path)[0]}: {given}, but the gateway has {count} instance{'s' * (count > 1)}."
                remedy = "Each instance has a line of its own: give as many addresses."
                draft.error((*path, "edges"), text, remedy)


def _check_options(draft: Draft, gateway: Gateway, path: Path, options: GatewayConnection) -> None:
    """What is said of one type of gateway and means nothing to the other."""
    about = subject(path)[0]
    vpn = gateway.type is GatewayType.VPN
    if vpn and options.edges:
        draft.error((*path, "edges"), f"{about}: edges are for connections to circuits only.", "Remove edges.")
    if not vpn and not options.bgp:
        draft.error((*path, "bgp"), f"{about}: ExpressRoute always uses BGP.", "Remove bgp.")
    if options.remote_prefixes and (options.bgp or not vpn):
        text = f"{about}: remote_prefixes are for a site without BGP."
        draft.error((*path, "remote_prefixes"), text, "Add bgp: false, or remove remote_prefixes.")


def _check_circuit(draft: Draft, name: str, circuit: Circuit) -> None:
    path: Path = ("circuits", name)
    sites = connected(circuit)
    if len(sites) != 1 and not draft.broken((*path, "connects_to")):
        text = f"circuit {name} is connected to {f'{len(sites)} sites' if sites else 'no site'}."
        draft.error(path, text, "A circuit ends at one customer's edge: connects_to: [one site].")
    linked = any(name in connected(gateway) for gateway in draft.file.gateways.values())
    if not linked and not draft.broken(("gateways",)):
        draft.warn(path, f"circuit {name}: no gateway is connected to it.", f"Connect one: connects_to: [{name}].")


def _check_asn(draft: Draft, path: Path, asn: int) -> None:
    if not 0 < asn < MAX_ASN or asn == AS_TRANS:
        text = f"{subject(path)[0]}: {asn} is not a valid ASN."
        draft.error(path, text, "Use a private one, such as 65001.")


def _check_timers(draft: Draft, place: Path, timers: Timers) -> None:
    path, about = (*place, "timers"), subject(place)[0]
    keepalive, hold = timers.keepalive, timers.hold
    if hold < MIN_HOLD:
        text = f"{about}: a hold time of {hold} s is too short."
        draft.error((*path, "hold"), text, f"BGP allows {MIN_HOLD} s and more; three times the keepalive is usual.")
    elif keepalive > hold:
        text = f"{about}: keepalives every {keepalive} s come too late for a hold time of {hold} s."
        remedy = f"Use a third of the hold time: timers: {{keepalive: {hold // 3}, hold: {hold}}}."
        draft.error((*path, "keepalive"), text, remedy)


def _check_overlays(draft: Draft, name: str, nva: Nva) -> None:
    for i, overlay in enumerate(nva.overlays):
        for other in overlay:
            path: Path = ("nvas", name, "overlays", i, other)
            far = draft.file.nvas.get(other)
            if other == name:
                draft.error(path, f"NVA {name}: an overlay can't lead to the NVA itself.", "Name another NVA.")
            elif far is None:
                continue
            elif other in [n for link in nva.overlays[:i] for n in link] or (
                any(name in link for link in far.overlays) and other < name
            ):
                draft.error(path, f"NVAs {name} and {other} have two overlays.", "One side names it: remove the other.")
            elif far.asn == nva.asn:
                text = f"NVAs {name} and {other} both have ASN {nva.asn}."
                draft.error(path, text, "Their overlay has external BGP. Give one of them another, such as 65002.")


def _check_links(draft: Draft, name: str, nva: Nva) -> None:
    seen: set[str] = set()
    for i, connection in enumerate(nva.connects_to):
        for site in connection:
            path: Path = ("nvas", name, "connects_to", i, site)
            if site in seen:
                text = f"NVA {name} connects to {site} twice."
                draft.error(path, text, "Remove one: there is one link between an NVA and a site.")
            elif site in draft.file.sites and draft.file.sites[site].asn == nva.asn:
                text = f"NVA {name} and site {site} both have ASN {nva.asn}."
                draft.error(path, text, "They use external BGP with each other. Give the site another, such as 65010.")
            seen.add(site)
