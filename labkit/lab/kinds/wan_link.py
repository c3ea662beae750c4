"""The links of NVAs and circuits with sites: what their `connects_to` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema_types import LinkOptions, OverlayOptions
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import WAN, WAN_LENGTH, Addresses, Assignment, Slot, ends
from labkit.lab.kinds.circuit import CIRCUITS
from labkit.lab.kinds.kind import Checking, Joined, Kind, Range
from labkit.lab.kinds.nouns import SITE
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.site import SITES
from labkit.lab.model import Lab
from labkit.lab.plan.common import interface_up
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd

Ends = tuple[IPv4Interface, IPv4Interface]
Links = Sequence[Mapping[str, LinkOptions | OverlayOptions | None]]

_LINKS: Slot[dict[tuple[str, str], Ends]] = Slot(dict)
"""The ends of each link, by router and site: the router's, then the site's."""


class WanLinkKind(Kind):
    """Links with sites; they have no section of their own."""

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for section, name, links in _connections(checking.draft):
            checking.refer_links((section, name, "connects_to"), links, SITE)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for _, name, links in _connections(draft):
            yield from (Joined(name, site) for link in links for site in link)

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for section, name, links in _connections(draft):
            yield from link_ranges(draft, (section, name, "connects_to"), links, yields=1)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for section, name, links in _connections(assignment.draft):
            for site, prefix in assign_links(assignment, (section, name, "connects_to"), links):
                low, high = interfaces(prefix)
                # Microsoft's side of a circuit has the second address (FAB-C 192.168.34.17, FAB-E 192.168.20.18).
                pair = (high, low) if section == "circuits" else (low, high)
                assignment.addresses[_LINKS].setdefault((name, site), pair)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft, sites = checking.draft, checking.draft.file[SITES]
        for name, nva in draft.file[NVAS].items():
            seen: set[str] = set()
            for i, connection in enumerate(nva.connects_to):
                for site in connection:
                    path: Path = ("nvas", name, "connects_to", i, site)
                    if site in seen:
                        text = f"NVA {name} connects to {site} twice."
                        draft.error(path, text, "Remove one: there is one link between an NVA and a site.")
                    elif site in sites and sites[site].asn == nva.asn:
                        text = f"NVA {name} and site {site} both have ASN {nva.asn}."
                        remedy = "They use external BGP with each other. Give the site another, such as 65010."
                        draft.error(path, text, remedy)
                    seen.add(site)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        links = tuple(
            model.WanLink(name, site, *addresses[_LINKS][name, site])
            for _, name, links in _connections(draft)
            for link in links
            for site in link
        )
        return replace(lab, wan_links=links)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`."""
        for link in lab.wan_links:
            router, site = (WireEnd(node, interfaces.take(node)) for node in (link.router, link.site))
            router_up = interface_up(router.interface, link.router_address)
            yield Wire(router, site, router_up, interface_up(site.interface, link.site_address))


def _connections(draft: Draft) -> Iterator[tuple[str, str, Links]]:
    """What connects to sites: section, name and links of every NVA and circuit."""
    yield from (("nvas", name, nva.connects_to) for name, nva in draft.file[NVAS].items())
    yield from (("circuits", name, circuit.connects_to) for name, circuit in draft.file[CIRCUITS].items())


def link_ranges(draft: Draft, place: Path, links: Links, yields: int) -> Iterator[Range]:
    """The ranges that the file gives links in the list at `place`. One that is no link's is noted."""
    for i, link in enumerate(links):
        for far, options in link.items():
            if options is None or options.prefix is None:
                continue
            path: Path = (*place, i, far)
            about = draft.subject(path)[0]
            if options.prefix.prefixlen not in {WAN_LENGTH, WAN_LENGTH + 1}:
                text = f"{about}: {options.prefix} is not a link's range."
                draft.error(path, text, f"Make it a /{WAN_LENGTH} or /{WAN_LENGTH + 1}: a link has two ends.")
            yield Range(options.prefix, about, path, link=True, yields=yields)


def assign_links(assignment: Assignment, place: Path, links: Links) -> Iterator[tuple[str, IPv4Network]]:
    """The range of each link in the list at `place`, by its far end. That none is left is noted."""
    for link in links:
        for far, options in link.items():
            given = options.prefix if options is not None else None
            prefix = given if given is not None else next(assignment.links, None)
            if prefix is None:
                _, name, key = place
                remedy = f"Give the link a range: {key}: [{{{far}: 192.168.0.0/30}}]."
                assignment.draft.error(place, f'link of {name} to "{far}": {WAN} is all in use.', remedy)
            else:
                yield far, prefix


def interfaces(prefix: IPv4Network) -> Ends:
    """Both ends of a link, the lower address first."""
    low, high = ends(prefix)
    return IPv4Interface((low, prefix.prefixlen)), IPv4Interface((high, prefix.prefixlen))
