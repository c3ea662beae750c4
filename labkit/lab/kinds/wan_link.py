"""The links of NVAs, circuits and sites with sites: what their `connects_to` is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from itertools import chain

from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema_types import LinkOptions, OverlayOptions
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import WAN, WAN_LENGTH, Addresses, Assignment, Slot, ends
from labkit.lab.kinds.circuit import CIRCUITS, CircuitLinkOptions, edge_routers
from labkit.lab.kinds.kind import Checking, Joined, Kind, Range
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import SITE, SITE_ROUTER
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.site import SITES, FileRouter, routers_of, site_routers
from labkit.lab.model import Lab
from labkit.lab.plan.common import interface_up
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd

Ends = tuple[IPv4Interface, IPv4Interface]
Links = Sequence[Mapping[str, LinkOptions | OverlayOptions | None]]

_LINKS: Slot[dict[tuple[str, str], Ends]] = Slot(dict)
"""The ends of each link, by NVA or edge router and site: the router's, then the site's."""


class WanLinkKind(Kind):
    """Links with sites; they have no section of their own."""

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for place, _, links in _connections(checking.draft):
            checking.refer_links(place, links, SITE, SITE_ROUTER)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for _, name, links in _connections(draft):
            joined = ((name, links), *_of_routers(draft, name, links))
            yield from dict.fromkeys(Joined(each, site) for each, its in joined for link in its for site in link)

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for place, _, links in _connections(draft):
            yield from link_ranges(draft, place, links, yields=1)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for place, name, links in _connections(assignment.draft):
            for router, its in _of_routers(assignment.draft, name, links):
                for site, prefix in assign_links(assignment, place, its):
                    low, high = interfaces(prefix)
                    # Microsoft's side of a circuit has the second address (FAB-C 192.168.34.17, FAB-E 192.168.20.18).
                    pair = (high, low) if place[0] == "circuits" else (low, high)
                    assignment.addresses[_LINKS].setdefault((router, site), pair)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft, routers = checking.draft, site_routers(checking.draft)
        for name, nva in draft.file[NVAS].items():
            seen: set[str] = set()
            for i, connection in enumerate(nva.connects_to):
                for site in connection:
                    path: Path = ("nvas", name, "connects_to", i, site)
                    if site in seen:
                        text = f"NVA {name} connects to {site} twice."
                        draft.error(path, text, "Remove one: there is one link between an NVA and a site.")
                    elif site in routers and routers[site].of_site.asn == nva.asn:
                        text = f"NVA {name} and site {site} both have ASN {nva.asn}."
                        remedy = "They use external BGP with each other. Give the site another, such as 65010."
                        draft.error(path, text, remedy)
                    seen.add(site)
        for router in routers.values():
            _check_links(draft, routers, router)
        _check_static_routes(draft, routers.values())

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        links = tuple(
            model.WanLink(router, site, *addresses[_LINKS][router, site])
            for _, name, links in _connections(draft)
            for router, its in _of_routers(draft, name, links)
            for link in its
            for site in link
        )
        return replace(lab, wan_links=links)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`."""
        for link in lab.wan_links:
            router, site = (WireEnd(node, interfaces.take(node)) for node in (link.router, link.site))
            router_up = interface_up(router.interface, link.router_address)
            yield Wire(router, site, router_up, interface_up(site.interface, link.site_address))


def _connections(draft: Draft) -> Iterator[tuple[Path, str, Links]]:
    """What connects to sites: the place and the links of every NVA, circuit and site's router, with its name."""
    for name, nva in draft.file[NVAS].items():
        yield ("nvas", name, "connects_to"), name, nva.connects_to
    for name, circuit in draft.file[CIRCUITS].items():
        yield ("circuits", name, "connects_to"), name, circuit.connects_to
    for name, site in draft.file[SITES].items():
        for router in routers_of(name, site) if site.routers or site.connects_to else ():
            yield (*router.place, "connects_to"), router.name, router.keys.connects_to


def _check_links(draft: Draft, routers: Mapping[str, FileRouter], router: FileRouter) -> None:
    """Notes what links of a site with others can't be."""
    about, seen = draft.subject(router.place)[0], set[str]()
    for i, link in enumerate(router.keys.connects_to):
        for far in link:
            path: Path = (*router.place, "connects_to", i, far)
            there = routers.get(far)
            if there is None:
                continue
            back = {name for each in there.keys.connects_to for name in each}
            if there.site == router.site:
                draft.error(path, f"{about}: {far} is of the same site.", "Name another site, or remove it.")
            elif far in seen or (router.name in back and router.name > far):
                text = f"{about}: it has two links with {far}."
                draft.error(path, text, "One side names the link, once: remove the other.")
            elif there.of_site.asn == router.of_site.asn:
                text = f"sites {router.site} and {there.site} both have ASN {there.of_site.asn}."
                draft.error(path, text, "They use external BGP with each other. Give one of them another.")
            seen.add(far)


def _check_static_routes(draft: Draft, routers: Iterable[FileRouter]) -> None:
    """Notes next hops of sites' static routes that are not next to the router, once everything next to it is sound."""
    links: dict[str, dict[str, IPv4Network | None]] = {}
    if any("connects_to" in path or path[2:3] in {(), ("routers",)} for path in draft.damaged):
        return
    for _, name, each in _connections(draft):
        for owner, its in _of_routers(draft, name, each):
            for far, options in chain.from_iterable(link.items() for link in its):
                for one, other in ((owner, far), (far, owner)):
                    links.setdefault(one, {})[other] = options.prefix if options is not None else None
    for router in routers:
        of_router = links.get(router.name, {})
        beside = router.of_site.routers.keys() - {router.name}
        near = [*router.of_site.prefixes, *filter(None, of_router.values())]
        for prefix, hop in router.keys.static_routes.items():
            path: Path = (*router.place, "static_routes", str(prefix))
            address = address_of(hop)
            if draft.broken(path) or hop in {*of_router, *beside} or any(address in each for each in near if address):
                continue
            where = "is not next to it" if address is None else "is in none of its prefixes, and on none of its links"
            text = f"static route {prefix} of {draft.subject(router.place)[0]}: {hop} {where}."
            remedy = "Name what it has a link with, another router of the site, or an address next to it."
            draft.error(path, text, remedy)


def _of_routers(draft: Draft, name: str, links: Links) -> Iterator[tuple[str, Links]]:
    """The links of an NVA or a site's router, or those of each edge router of a circuit.

    Of a circuit with two edges, two links are one for each; one is the site of both.
    """
    routers = edge_routers(draft, name)
    each = [{far: options} for link in links for far, options in link.items()]
    if len(routers) == 1:
        yield name, links
    elif len(each) == len(routers):
        yield from zip(routers, ([link] for link in each), strict=True)
    else:
        yield from zip(routers, (links, _secondary(links)), strict=True)


def _secondary(links: Links) -> Links:
    """The links from the secondary edge router of a circuit, whose primary one has `links`."""

    def option(options: LinkOptions | OverlayOptions | None) -> LinkOptions | None:
        given = options.secondary_prefix if isinstance(options, CircuitLinkOptions) else None
        return LinkOptions(prefix=given) if given is not None else None

    return [{site: option(options) for site, options in link.items()} for link in links]


def link_ranges(draft: Draft, place: Path, links: Links, yields: int) -> Iterator[Range]:
    """The ranges that the file gives links in the list at `place`. One that is no link's is noted."""
    for i, link in enumerate(links):
        for far, options in link.items():
            path: Path = (*place, i, far)
            about = draft.subject(path)[0]
            given = [(options.prefix, about, path)] if options is not None and options.prefix is not None else []
            if isinstance(options, CircuitLinkOptions) and options.secondary_prefix is not None:
                given.append((options.secondary_prefix, f"secondary {about}", (*path, "secondary_prefix")))
            for prefix, what, where in given:
                if prefix.prefixlen not in {WAN_LENGTH, WAN_LENGTH + 1}:
                    text = f"{what}: {prefix} is not a link's range."
                    draft.error(where, text, f"Make it a /{WAN_LENGTH} or /{WAN_LENGTH + 1}: a link has two ends.")
                yield Range(prefix, what, where, link=True, yields=yields)


def assign_links(assignment: Assignment, place: Path, links: Links) -> Iterator[tuple[str, IPv4Network]]:
    """The range of each link in the list at `place`, by its far end. That none is left is noted."""
    for link in links:
        for far, options in link.items():
            given = options.prefix if options is not None else None
            prefix = given if given is not None else next(assignment.links, None)
            if prefix is None:
                *_, name, key = place
                remedy = f"Give the link a range: {key}: [{{{far}: 192.168.0.0/30}}]."
                assignment.draft.error(place, f'link of {name} to "{far}": {WAN} is all in use.', remedy)
            else:
                yield far, prefix


def interfaces(prefix: IPv4Network) -> Ends:
    """Both ends of a link, the lower address first."""
    low, high = ends(prefix)
    return IPv4Interface((low, prefix.prefixlen)), IPv4Interface((high, prefix.prefixlen))
