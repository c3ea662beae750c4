"""Sites: branches and data centres on premises, each a router with its LAN and a host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Annotated

from pydantic import Field

from labkit.azure.model import ROUTE_SERVER_ASN, ExportRule, PathChanges
from labkit.azure.rules.asn import AS_TRANS, MAX_ASN
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import Address, Asn, AzureName, Part, Prefixes
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds import export_rules
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.kind import Checking, Given, Kind, Range
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import CIRCUIT, GATEWAY, NVA, SITE, SITE_HOST
from labkit.lab.model import Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, interface_up, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nodes import NIC
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import site_speaker
from labkit.lab.plan.tunnels import tunnel_commands
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd, Wiring

HOST_SUFFIX = "-host"
HOST_OFFSET = 10
_NEIGHBOURS = (NVA, CIRCUIT, GATEWAY)
"""What the router of a site may have BGP with."""

LANS: Slot[dict[str, tuple[IPv4Interface, ...]]] = Slot(dict)
"""The address of each site's router in each of its prefixes."""

_HOSTS: Slot[dict[str, IPv4Interface]] = Slot(dict)


class Site(Part):
    """A branch or data centre: a BGP router and a host."""

    asn: Asn
    """The router's ASN."""
    prefixes: Annotated[Prefixes, Field(min_length=1)]
    """The site's ranges. The host is in the first."""
    router: Address | None = None
    """The router's address in the first range. Default: .1."""
    host: Address | None = None
    """The host's address, in the first range. Default: .10."""
    exports: tuple[export_rules.ExportRule, ...] = ()
    """The router's export policy: the first rule that matches decides; what none matches is advertised unchanged."""
    prepend: dict[Reference, Annotated[int, Field(ge=0, le=10)]] = Field(default_factory=dict)
    """Short for last rules: how many times more the router puts its own ASN into paths, by neighbour."""


SITES: Section[dict[str, Site]] = Section(
    "sites",
    "site",
    dict[AzureName, Site],
    "Branches and data centres by name.",
    dict,
    hints={"prefixes": "Add its ranges, such as prefixes: [10.250.0.0/16]."},
)


def check_asn(draft: Draft, path: Path, asn: int) -> None:
    """Notes what is no ASN of a router."""
    if not 0 < asn < MAX_ASN or asn == AS_TRANS:
        text = f"{draft.subject(path)[0]}: {asn} is not a valid ASN."
        draft.error(path, text, "Use a private one, such as 65001.")


class SiteKind(Kind):
    """Sites; nodes of each are its router and its host, linked by its LAN."""

    section = SITES
    noun = SITE

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("sites"):
            path: Path = ("sites", name)
            yield Declared(name, SITE, path)
            yield Declared(name + HOST_SUFFIX, SITE_HOST, path, f"the host of site {name}")

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, site in checking.draft.file[SITES].items():
            export_rules.check_export_rules(checking, ("sites", name, "exports"), site.exports)
            for router in site.prepend:
                path: Path = ("sites", name, "prepend", router)
                wanted, called = _NEIGHBOURS, "BGP neighbour of a site"
                checking.names.refer(checking.draft, path, f"prepend of site {name}", router, *wanted, called=called)

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for name, site in draft.file[SITES].items():
            for i, prefix in enumerate(site.prefixes):
                yield Range(prefix, f"site {name}", ("sites", name, "prefixes", i), shared=True)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, site in draft.file[SITES].items():
            for key, address in (("router", site.router), ("host", site.host)):
                if address is not None:
                    within = None if draft.broken(("sites", name, "prefixes")) else site.prefixes[0]
                    yield Given(
                        address, f"{key} of site {name}", ("sites", name, key), within, "the site's first prefix"
                    )

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for name, site in assignment.draft.file[SITES].items():
            _assign(assignment, name, site)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, site in draft.file[SITES].items():
            check_asn(draft, ("sites", name, "asn"), site.asn)
            export_rules.check_effect(checking, ("sites", name, "exports"), name, site.exports)
            if site.asn == ROUTE_SERVER_ASN:
                text = f"site {name}: ASN {site.asn} is the route servers' own."
                remedy = "Route servers drop every route with it in the path. Use another, such as 65010."
                draft.warn(("sites", name, "asn"), text, remedy)
            linked = checking.joined_to(name)
            for router in site.prepend:
                if router in linked - checking.joined_to(name, by_bgp=True):
                    text = f"site {name}: prepend towards {router} has no effect: their connection is without BGP."
                    draft.warn(("sites", name, "prepend", router), text, "Remove bgp: false of the connection.")
                elif router not in linked and checking.is_sound(router, *_NEIGHBOURS):
                    text = f"site {name}: prepend towards {router} has no effect: they are not connected."
                    draft.warn(("sites", name, "prepend", router), text, f"Connect them: connects_to: [{name}].")
            if not linked and not draft.broken(("nvas",)) and not draft.broken(("circuits",)):
                text = f"site {name} has no connection."
                draft.warn(("sites", name), text, f"Connect an NVA or a circuit to it: connects_to: [{name}].")

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        sites = tuple(
            model.Site(
                name,
                site.asn,
                addresses[LANS][name],
                model.SiteHost(name + HOST_SUFFIX, addresses[_HOSTS][name]),
                tuple(_exports(site, addresses)),
            )
            for name, site in draft.file[SITES].items()
        )
        return replace(lab, sites=sites)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:  # noqa: ARG002
        """See `Kind`: its LAN, which its router brings up before every other."""
        for site in lab.sites:
            up = interface_up(NIC, site.host.address)
            yield Wire(WireEnd(site.name, NIC), WireEnd(site.host.name, NIC), b_up=up)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        for site in lab.sites:
            yield _router(lab, wiring, site)
            yield _host(lab, wiring, site)


def _exports(site: Site, addresses: Addresses) -> Iterator[ExportRule]:
    """A router's export policy: its rules, then what `prepend` is short for."""
    yield from export_rules.export_rules(site.exports, addresses.next_hops)
    yield from (ExportRule((to,), changes=PathChanges(times)) for to, times in site.prepend.items() if times)


def _assign(assignment: Assignment, name: str, site: Site) -> None:
    lan: list[IPv4Interface] = []
    for i, prefix in enumerate(site.prefixes):
        router = site.router if i == 0 and site.router is not None else assignment.near(prefix, 1)
        if router is None:
            assignment.full(("sites", name), f"site {name}", prefix, "Widen the prefix.")
        else:
            lan.append(IPv4Interface((router, prefix.prefixlen)))
    assignment.addresses[LANS][name] = tuple(lan)
    first = site.prefixes[0]
    host = site.host if site.host is not None else assignment.near(first, HOST_OFFSET)
    if host is None:
        remedy = "The first prefix has room for the router and a host: make it a /30 or larger."
        assignment.full(("sites", name), f"site {name}", first, remedy)
    else:
        assignment.addresses[_HOSTS][name] = IPv4Interface((host, first.prefixlen))
        assignment.addresses.hosts[name] = host


def _router(lab: Lab, wiring: Wiring, site: model.Site) -> Planned:
    """A site's router: between its LAN and the NVAs, circuits and VPN gateways it is linked to."""
    files, binds = speaker_files(site.daemon, site_speaker(lab, site))
    commands = [*interface_up(NIC, *site.lan), *wiring.up(site.name)]
    for tunnel in lab.tunnels_of(site.name):
        commands += tunnel_commands(lab, tunnel)
    return Planned(router_node(lab, site.name, site.daemon, Role.SITE, binds, commands), tuple(files))


def _host(lab: Lab, wiring: Wiring, site: model.Site) -> Planned:
    """The host on a site's LAN."""
    node = Node(
        name=site.host.name,
        role=Role.HOST,
        env=environment(lab.name, site.host.name),
        exec=(
            *wiring.up(site.host.name),
            f"ip route replace default via {site.lan[0].ip} dev {NIC}",
        ),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
    )
    return Planned(node)
