"""Sites: branches and data centres on premises, each a router or several on a LAN with a host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from labkit.azure.model import ROUTE_SERVER_ASN, ExportRule, PathChanges
from labkit.azure.rules.asn import AS_TRANS, MAX_ASN
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import Address, Asn, AzureName, LinkOptions, Named, Part, Prefix, Prefixes, mistake
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds import export_rules
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.kind import Checking, Given, Joined, Kind, Range
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import (
    CIRCUIT,
    CIRCUIT_OF_TWO,
    EDGE_ROUTER,
    GATEWAY,
    NVA,
    SITE,
    SITE_HOST,
    SITE_LAN,
    SITE_OF_ROUTERS,
    SITE_ROUTER,
)
from labkit.lab.kinds.static_routes import static_routes
from labkit.lab.model import LAN_SUFFIX, Lab
from labkit.lab.plan.common import Planned
from labkit.lab.plan.site_node import lan_wires, site_nodes
from labkit.lab.plan.wires import Interfaces, Wire, Wiring
from labkit.names import in_any_case

HOST_SUFFIX = "-host"
HOST_OFFSET = 10
_NEIGHBOURS = (NVA, CIRCUIT, CIRCUIT_OF_TWO, EDGE_ROUTER, GATEWAY, SITE, SITE_ROUTER)
"""What the router of a site may have BGP with."""

_NEXT_HOPS = (NVA, CIRCUIT, EDGE_ROUTER, SITE, SITE_ROUTER)
"""What a static route of it may lead to."""

LANS: Slot[dict[str, tuple[IPv4Interface, ...]]] = Slot(dict)
"""The address of each site's router in each of its prefixes."""

_HOSTS: Slot[dict[str, IPv4Interface]] = Slot(dict)


class RouterKeys(Part):
    """What a router of a site has, whether it is the only one or not."""

    advertises: Prefixes = ()
    """Prefixes that the router originates besides the site's: a supernet, a default route. What is for them, and for
    nothing that it has a longer prefix for, it discards."""
    advertise_links: bool = False
    """True: the router originates the ranges of its links, too."""
    connects_to: Named[LinkOptions] = Field(default_factory=list)
    """Other sites, or routers of theirs, each over a link with BGP: names, or `{site: prefix of the link}`."""
    static_routes: dict[Prefix, Reference] = Field(default_factory=dict)
    """Next hop by prefix: what the router has a link with, another router of the site, or an address next to it."""
    transit: bool = False
    """True: the router relays routes from one circuit to others. Without it, no circuit gets what came from one."""
    snat: bool = False
    """True: the router has a link to the Internet, and what it forwards there carries its public address."""
    exports: tuple[export_rules.ExportRule, ...] = ()
    """The router's export policy: the first rule that matches decides; what none matches is advertised unchanged."""
    prepend: dict[Reference, Annotated[int, Field(ge=0, le=10)]] = Field(default_factory=dict)
    """Short for last rules: how many times more the router puts its own ASN into paths, by neighbour."""


class SiteRouter(RouterKeys):
    """One of several routers of a site."""

    address: Address | None = None
    """Its address in the site's first range. Default: .1 of the first router, .2 of the second."""


class Site(RouterKeys):
    """A branch or data centre: a BGP router, or several on one LAN, and a host."""

    per_router: ClassVar[tuple[str, ...]] = ("router", *RouterKeys.model_fields)

    asn: Asn
    """The ASN of its routers; several use internal BGP with each other."""
    prefixes: Annotated[Prefixes, Field(min_length=1)]
    """The site's ranges. The host is in the first."""
    routers: dict[AzureName, SiteRouter] = Field(default_factory=dict)
    """Several routers on its LAN by name, each with options of its own. Links and tunnels name one of them."""
    default_gateway: str | None = None
    """Of several routers the one that the host sends everything to. Default: the first."""
    router: Address | None = None
    """The router's address in the first range. Default: .1."""
    host: Address | None = None
    """The host's address, in the first range. Default: .10."""

    @model_validator(mode="after")
    def _one_form(self) -> Site:
        own = next((key for key in self.per_router if key in self.model_fields_set), None)
        if self.routers and own is not None:
            key = "address" if own == "router" else own
            raise mistake(
                f"{own} is a key of each of its routers", f"Move it to one of them, as {key}, or remove {own}."
            )
        if self.default_gateway is not None and in_any_case(self.default_gateway, self.routers) is None:
            known = ", ".join(self.routers)
            raise mistake(
                f'it has no router "{self.default_gateway}" for its default_gateway',
                f"Name one of its routers: {known}." if known else "Remove default_gateway: it has one router.",
            )
        return self


SITES: Section[dict[str, Site]] = Section(
    "sites",
    "site",
    dict[AzureName, Site],
    "Branches and data centres by name.",
    dict,
    parts={
        "connects_to": 'link of site {0} to "{1}"',
        "routers": "router {1} of site {0}",
        "static_routes": "static route {1} of site {0}",
    },
    hints={"prefixes": "Add its ranges, such as prefixes: [10.250.0.0/16]."},
)


@dataclass(frozen=True, slots=True)
class FileRouter:
    """A router of a site as the file has it, with the place of its keys."""

    name: str
    site: str
    place: Path
    keys: RouterKeys
    address: IPv4Address | None
    of_site: Site


def site_routers(draft: Draft) -> dict[str, FileRouter]:
    """The routers of all sites by name; the only one of a site has the site's."""
    return {router.name: router for name, site in draft.file[SITES].items() for router in routers_of(name, site)}


def routers_of(name: str, site: Site) -> Iterator[FileRouter]:
    """The routers of a site, in the order of the file."""
    for router, keys in site.routers.items():
        yield FileRouter(router, name, ("sites", name, "routers", router), keys, keys.address, site)
    if not site.routers:
        yield FileRouter(name, name, ("sites", name), site, site.router, site)


def check_asn(draft: Draft, path: Path, asn: int) -> None:
    """Notes what is no ASN of a router."""
    if not 0 < asn < MAX_ASN or asn == AS_TRANS:
        text = f"{draft.subject(path)[0]}: {asn} is not a valid ASN."
        draft.error(path, text, "Use a private one, such as 65001.")


class SiteKind(Kind):
    """Sites; nodes of each are its routers and its host, and the switch of its LAN if there are several routers."""

    section = SITES
    noun = SITE

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("sites"):
            path: Path = ("sites", name)
            routers = draft.names("sites", name, "routers")
            yield Declared(name, SITE_OF_ROUTERS if routers else SITE, path)
            yield Declared(name + HOST_SUFFIX, SITE_HOST, path, f"the host of site {name}")
            yield from (Declared(router, SITE_ROUTER, (*path, "routers", router)) for router in routers)
            if len(routers) > 1:
                yield Declared(name + LAN_SUFFIX, SITE_LAN, path, f"the LAN of site {name}")

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for router in site_routers(draft).values():
            export_rules.check_export_rules(checking, (*router.place, "exports"), router.keys.exports)
            about = draft.subject(router.place)[0]
            for far in router.keys.prepend:
                path: Path = (*router.place, "prepend", far)
                wanted, called = _NEIGHBOURS, "BGP neighbour of a site"
                checking.names.refer(draft, path, f"prepend of {about}", far, *wanted, called=called)
            for prefix, hop in router.keys.static_routes.items():
                path = (*router.place, "static_routes", str(prefix))
                if address_of(hop) is None:
                    what = f"static route {prefix} of {about}"
                    checking.names.refer(draft, path, what, hop, *_NEXT_HOPS, called="next hop")

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`: routers of a site have sessions with each other."""
        for name, site in draft.file[SITES].items():
            routers = [router.name for router in routers_of(name, site)]
            yield from (Joined(one, other) for i, one in enumerate(routers) for other in routers[i + 1 :])

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for name, site in draft.file[SITES].items():
            for i, prefix in enumerate(site.prefixes):
                yield Range(prefix, f"site {name}", ("sites", name, "prefixes", i), shared=True)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, site in draft.file[SITES].items():
            within = None if draft.broken(("sites", name, "prefixes")) else site.prefixes[0]
            for router in routers_of(name, site):
                key = "address" if site.routers else "router"
                whose = draft.subject(router.place)[0] if site.routers else f"router of site {name}"
                if router.address is not None:
                    yield Given(router.address, whose, (*router.place, key), within, "the site's first prefix")
            if site.host is not None:
                path: Path = ("sites", name, "host")
                yield Given(site.host, f"host of site {name}", path, within, "the site's first prefix")

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for name, site in assignment.draft.file[SITES].items():
            _assign(assignment, name, site)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, site in draft.file[SITES].items():
            check_asn(draft, ("sites", name, "asn"), site.asn)
            if site.asn == ROUTE_SERVER_ASN:
                text = f"site {name}: ASN {site.asn} is the route servers' own."
                remedy = "Route servers drop every route with it in the path. Use another, such as 65010."
                draft.warn(("sites", name, "asn"), text, remedy)
            routers = [*routers_of(name, site)]
            linked = {far for router in routers for far in checking.joined_to(router.name)}
            places: tuple[Path, ...] = (("nvas",), ("circuits",), ("sites", name))
            if not linked - {router.name for router in routers} and not any(map(draft.broken, places)):
                text = f"site {name} has no connection."
                remedy = f"Connect an NVA or a circuit to it: connects_to: [{routers[0].name}]."
                draft.warn(("sites", name), text, remedy)
            for router in routers:
                _check_router(checking, router)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        return replace(lab, sites=tuple(_site(name, site, addresses) for name, site in draft.file[SITES].items()))

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`: its LAN, which its routers bring up before every other."""
        for site in lab.sites:
            yield from lan_wires(site, interfaces)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        for site in lab.sites:
            yield from site_nodes(lab, wiring, site)


def _site(name: str, site: Site, addresses: Addresses) -> model.Site:
    routers = tuple(
        model.SiteRouter(
            router.name,
            name,
            site.asn,
            addresses[LANS][router.name],
            router.keys.advertises,
            router.keys.advertise_links,
            tuple(static_routes(router.keys.static_routes, {})),
            tuple(_exports(router.keys, addresses)),
            router.keys.transit,
            router.keys.snat,
        )
        for router in routers_of(name, site)
    )
    named = in_any_case(site.default_gateway, site.routers) if site.default_gateway is not None else None
    host = model.SiteHost(name + HOST_SUFFIX, addresses[_HOSTS][name])
    return model.Site(name, routers, host, named if named is not None else routers[0].name)


def _exports(router: RouterKeys, addresses: Addresses) -> Iterator[ExportRule]:
    """A router's export policy: its rules, then what `prepend` is short for."""
    yield from export_rules.export_rules(router.exports, addresses.next_hops)
    yield from (ExportRule((to,), changes=PathChanges(times)) for to, times in router.prepend.items() if times)


def _assign(assignment: Assignment, name: str, site: Site) -> None:
    for number, router in enumerate(routers_of(name, site), 1):
        lan: list[IPv4Interface] = []
        for i, prefix in enumerate(site.prefixes):
            given = router.address if i == 0 else None
            address = given if given is not None else assignment.near(prefix, number)
            if address is None:
                about = assignment.draft.subject(router.place)[0]
                assignment.full(("sites", name), about, prefix, "Widen the prefix.")
            else:
                lan.append(IPv4Interface((address, prefix.prefixlen)))
        assignment.addresses[LANS][router.name] = tuple(lan)
    first = site.prefixes[0]
    host = site.host if site.host is not None else assignment.near(first, HOST_OFFSET)
    if host is None:
        remedy = "The first prefix has room for the router and a host: make it a /30 or larger."
        assignment.full(("sites", name), f"site {name}", first, remedy)
    else:
        assignment.addresses[_HOSTS][name] = IPv4Interface((host, first.prefixlen))
        assignment.addresses.hosts[name] = host


def _check_router(checking: Checking, router: FileRouter) -> None:
    draft, keys = checking.draft, router.keys
    about = draft.subject(router.place)[0]
    linked = checking.joined_to(router.name)
    export_rules.check_effect(checking, (*router.place, "exports"), router.name, keys.exports)
    for far in keys.prepend:
        path: Path = (*router.place, "prepend", far)
        if far in linked - checking.joined_to(router.name, by_bgp=True):
            text = f"{about}: prepend towards {far} has no effect: their connection is without BGP."
            draft.warn(path, text, "Remove bgp: false of the connection.")
        elif far not in linked and checking.is_sound(far, *_NEIGHBOURS):
            text = f"{about}: prepend towards {far} has no effect: they are not connected."
            draft.warn(path, text, f"Connect them: connects_to: [{router.name}].")
    for i, prefix in enumerate(keys.advertises):
        if prefix in router.of_site.prefixes:
            text = f"{about}: advertises: {prefix} is one of the site's prefixes, which it originates already."
            draft.warn((*router.place, "advertises", i), text, "Remove it.")
    circuits = any(checking.names.nouns.get(far) == CIRCUIT for far in linked)
    if keys.transit and not circuits and not draft.broken(("circuits",)):
        text = f"{about}: transit has no effect: it is linked to no circuit."
        draft.warn((*router.place, "transit"), text, f"Link a circuit to it: connects_to: [{router.name}].")
