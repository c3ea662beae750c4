"""ExpressRoute circuits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure import model as azure_model
from labkit.azure.model.problem import Code, Problem
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import AzureName, LinkOptions, Named, Part, Prefix
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import AzureRefusal, Checking, Kind
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import CIRCUIT, CIRCUIT_OF_TWO, EDGE_ROUTER, GATEWAY
from labkit.lab.kinds.site import site_routers
from labkit.lab.model import Lab
from labkit.lab.plan.common import Planned
from labkit.lab.plan.model import Role
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import edge_speaker
from labkit.lab.plan.wires import Wiring


class CircuitLinkOptions(LinkOptions):
    """A circuit's link to its site, or with two edges its two links."""

    secondary_prefix: Prefix | None = None
    """With two edges: the range of the link from the secondary one. Default: a /30 of 100.64.0.0/16."""


class Circuit(Part):
    """An ExpressRoute circuit with private peering; Microsoft's edge routers (MSEE), ASN 12076, are its nodes."""

    connects_to: Named[CircuitLinkOptions] = Field(default_factory=list)
    """The site, or the router of one, at its customer's end: a name, or `{site: prefix of the link}`, of two edges
    `{site: {prefix: of the primary one's link, secondary_prefix: …}}`, or a router for each edge, the primary one's
    first. Without one, gateways meet there."""
    edges: Annotated[int, Field(ge=1, le=2)] = 1
    """2, as a circuit has in Azure: each instance of a gateway has a session with both, and each a link to the site. Of
    circuit c1 the nodes are c1-0, the primary edge, and c1-1. 1: one router stands for both."""
    premium: bool = False
    """True: the premium add-on, which takes more of the customer's routes."""


CIRCUITS: Section[dict[str, Circuit]] = Section(
    "circuits",
    "circuit",
    dict[AzureName, Circuit],
    "ExpressRoute circuits by name.",
    dict,
    parts={"connects_to": 'link of circuit {0} to "{1}"'},
)


def edge_routers(draft: Draft, circuit: str) -> tuple[str, ...]:
    """The names of the edge routers of a circuit; those of something else are its own name."""
    found = draft.file[CIRCUITS].get(circuit)
    return azure_model.Circuit(circuit, None, edges=1 if found is None else found.edges).edge_routers


def edges_unread(draft: Draft, circuit: str) -> bool:
    """Whether a mistake hides how many edges a circuit has."""
    return draft.broken(("circuits", circuit, "edges"))


def _sites(circuit: Circuit) -> tuple[str, ...]:
    return tuple(site for connection in circuit.connects_to for site in connection)


def _remote(draft: Draft, problem: Problem) -> tuple[Path, str]:
    """The site or NVA whose ASN is wrong: that of a circuit, or one behind a VPN gateway."""
    (name,) = problem.subjects
    name = _sites(draft.file[CIRCUITS][name])[0] if name in draft.file[CIRCUITS] else name
    router = site_routers(draft).get(name)
    if router is not None:
        return ("sites", router.site, "asn"), f"site {router.site}: "
    return ("nvas", name, "asn"), f"NVA {name}: "


class CircuitKind(Kind):
    """Circuits; their edge routers are nodes. `labkit.lab.kinds.wan_link` has their links to sites."""

    section = CIRCUITS
    noun = CIRCUIT
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.REMOTE_ASN: AzureRefusal("Azure refuses it. Give it another private ASN, such as 65010.", _remote),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("circuits"):
            path = ("circuits", name)
            two = draft.text(*path, "edges") not in {None, "1"}  # with a wrong number, too: one mistake is enough
            yield Declared(name, CIRCUIT_OF_TWO if two else CIRCUIT, path)
            for router in azure_model.Circuit(name, None, edges=2).edge_routers if two else ():
                yield Declared(router, EDGE_ROUTER, path, f"an edge router of circuit {name}")

    def azure(self, draft: Draft, addresses: Addresses, azure: azure_model.Azure) -> azure_model.Azure:  # noqa: ARG002
        """See `Kind`."""
        routers = site_routers(draft)
        circuits = []
        for name, circuit in draft.file[CIRCUITS].items():
            asns = (routers[site].of_site.asn for site in _sites(circuit) if site in routers)
            redeemed = dict.fromkeys(c.authorization for c in azure.connections if c.remote == name and c.authorization)
            circuits.append(
                azure_model.Circuit(name, next(asns, None), circuit.premium, tuple(redeemed), circuit.edges)
            )
        return replace(azure, circuits=tuple(circuits))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, circuit in draft.file[CIRCUITS].items():
            path: Path = ("circuits", name)
            sites = _sites(circuit)
            if not edges_unread(draft, name) and not draft.broken((*path, "connects_to")):
                _check_ends(draft, name, circuit)
            linked = any(checking.names.nouns.get(other) == GATEWAY for other in checking.joined_to(name))
            unread = draft.broken((*path, "connects_to")) or draft.broken(("gateways",))
            if not sites and not linked and not unread:
                text = f"circuit {name} is connected to nothing."
                draft.error(path, text, f"Connect gateways to it, connects_to: [{name}], or it to a site.")
            elif not linked and not draft.broken(("gateways",)):
                remedy = f"Connect one: connects_to: [{name}]."
                draft.warn(path, f"circuit {name}: no gateway is connected to it.", remedy)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`."""
        return replace(lab, circuits=tuple(model.Circuit(circuit.name) for circuit in lab.azure.circuits))

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        for circuit in lab.circuits:
            for router in lab.azure.circuit[circuit.name].edge_routers:
                yield _node(lab, wiring, router, circuit.daemon)


def _check_ends(draft: Draft, name: str, circuit: Circuit) -> None:
    """Notes what the customer's end of a circuit can't be."""
    path: Path = ("circuits", name)
    sites, routers = _sites(circuit), site_routers(draft)
    for i, link in enumerate(circuit.connects_to):
        for site, options in link.items():
            if options and options.secondary_prefix and (circuit.edges == 1 or len(sites) > 1):
                place: Path = (*path, "connects_to", i, site)
                one = "for a circuit with two edges" if circuit.edges == 1 else "for a site with a link to both edges"
                remedy = "Add edges: 2, or remove it." if circuit.edges == 1 else "Give the other one its own prefix."
                draft.error(
                    (*place, "secondary_prefix"), f"{draft.subject(place)[0]}: secondary_prefix is {one}.", remedy
                )
    if len(sites) > circuit.edges:
        text = f"circuit {name} is connected to {len(sites)} sites."
        each = "one site" if circuit.edges == 1 else "one site, or a router for each edge"
        draft.error(path, text, f"A circuit ends at one customer's edge: connects_to: [{each}].")
    elif len({*sites}) < len(sites):
        draft.error(
            path, f"circuit {name} is connected to {sites[0]} twice.", "Name it once: it has a link to both edges."
        )
    elif len({routers[site].of_site.asn for site in sites if site in routers}) > 1:
        text = f"circuit {name}: {' and '.join(sites)} have different ASNs."
        draft.error(path, text, "A circuit's peering has one ASN: name two routers of a site.")


def _node(lab: Lab, wiring: Wiring, router: str, daemon: str) -> Planned:
    """An edge router (MSEE) of a circuit, ASN 12076, between gateways' lines and the customer's site."""
    files, binds = speaker_files(daemon, edge_speaker(lab, router))
    return Planned(router_node(lab, router, daemon, Role.CIRCUIT, binds, wiring.up(router)), tuple(files))
