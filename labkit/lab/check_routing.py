"""BGP outside Azure: the NVAs' own settings, and their links with sites."""

from __future__ import annotations

from labkit.azure.asn import AS_TRANS, MAX_ASN
from labkit.azure.model import ROUTE_SERVER_ASN
from labkit.lab.build import site_names
from labkit.lab.draft import Draft, subject
from labkit.lab.schema import Nva
from labkit.lab.yaml_source import Path

MIN_HOLD = 3
"""RFC 4271 §4.2: a hold time is zero or at least three seconds. Zero would keep a dead neighbour's routes for ever."""


def check_routing(draft: Draft) -> None:
    """Notes what NVAs and sites can't do with each other."""
    file = draft.file
    for name, nva in file.nvas.items():
        _check_timers(draft, name, nva)
        _check_links(draft, name, nva)
        entries = [p[name] for server in file.route_servers.values() for p in server.peers if name in p]
        # A route server that takes the NVA's own word for its ASN has checked it (labkit.lab.check_azure).
        if all(options is not None and options.asn is not None for options in entries):
            _check_asn(draft, ("nvas", name, "asn"), nva.asn)
        if not entries and not nva.connects_to and not draft.broken(("route_servers",)):
            text = f"NVA {name} has no BGP session: no route server has it as a peer, and it connects to no site."
            draft.warn(("nvas", name), text, f"Add it to the peers of a route server: peers: [{name}].")
        elif not entries and nva.as_override and not draft.broken(("route_servers",)):
            text = f"NVA {name}: as_override changes nothing: no route server has it as a peer."
            remedy = f"Add it to the peers of a route server, peers: [{name}], or remove as_override."
            draft.warn(("nvas", name, "as_override"), text, remedy)
        if nva.tracks is not None and not nva.advertises:
            text = f"NVA {name}: tracks changes nothing: the NVA advertises nothing itself that it could withdraw."
            draft.warn(("nvas", name, "tracks"), text, "Say what it advertises, such as [0.0.0.0/0], or remove tracks.")
    for name, site in file.sites.items():
        _check_asn(draft, ("sites", name, "asn"), site.asn)
        if site.asn == ROUTE_SERVER_ASN:
            text = f"site {name}: ASN {site.asn} is the route servers' own."
            remedy = "Route servers drop every route with it in the path. Use another, such as 65010."
            draft.warn(("sites", name, "asn"), text, remedy)
        for nva_name in site.prepend:
            if nva_name in file.nvas and name not in site_names(file.nvas[nva_name]):
                text = f"site {name}: prepend towards {nva_name} changes nothing: they are not connected."
                draft.warn(("sites", name, "prepend", nva_name), text, f"Connect them: connects_to: [{name}].")
        linked = any(name in site_names(nva) for nva in file.nvas.values())
        if not linked and not draft.broken(("nvas",)):
            text = f"site {name} is connected to nothing."
            draft.warn(("sites", name), text, f"Connect an NVA to it: connects_to: [{name}].")


def _check_asn(draft: Draft, path: Path, asn: int) -> None:
    if not 0 < asn < MAX_ASN or asn == AS_TRANS:
        text = f"{subject(path)[0]}: {asn} is not an ASN that anyone can have."
        draft.error(path, text, "Use a private one, such as 65001.")


def _check_timers(draft: Draft, name: str, nva: Nva) -> None:
    path: Path = ("nvas", name, "timers")
    keepalive, hold = nva.timers.keepalive, nva.timers.hold
    if hold < MIN_HOLD:
        text = f"NVA {name}: a hold time of {hold} s is too short."
        draft.error((*path, "hold"), text, f"BGP allows {MIN_HOLD} s and more; three times the keepalive is usual.")
    elif keepalive > hold:
        text = f"NVA {name}: keepalives every {keepalive} s come too late for a hold time of {hold} s."
        remedy = f"Use a third of the hold time: timers: {{keepalive: {hold // 3}, hold: {hold}}}."
        draft.error((*path, "keepalive"), text, remedy)


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
                draft.error(
                    path, text, "They speak external BGP with each other. Give the site another, such as 65010."
                )
            seen.add(site)
