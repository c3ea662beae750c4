"""ExpressRoute circuits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from labkit.azure import model as azure_model
from labkit.azure.model.problem import Code, Problem
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import AzureName, LinkOptions, Named, Part
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import AzureRefusal, Checking, Kind
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import CIRCUIT, GATEWAY
from labkit.lab.kinds.site import site_routers
from labkit.lab.model import Lab
from labkit.lab.plan.common import Planned
from labkit.lab.plan.model import Role
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import edge_speaker
from labkit.lab.plan.wires import Wiring


class Circuit(Part):
    """An ExpressRoute circuit with private peering; Microsoft's edge router, ASN 12076, is its node."""

    connects_to: Named[LinkOptions] = Field(default_factory=list)
    """The site, or the router of one, at its customer's end: a name, or `{site: prefix of the link}`. Without one,
    gateways meet there."""
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
    """Circuits; the edge router of each is a node. `labkit.lab.kinds.wan_link` has its link to its site."""

    section = CIRCUITS
    noun = CIRCUIT
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.REMOTE_ASN: AzureRefusal("Azure refuses it. Give it another private ASN, such as 65010.", _remote),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("circuits"):
            yield Declared(name, CIRCUIT, ("circuits", name))

    def azure(self, draft: Draft, addresses: Addresses, azure: azure_model.Azure) -> azure_model.Azure:  # noqa: ARG002
        """See `Kind`."""
        routers = site_routers(draft)
        circuits = []
        for name, circuit in draft.file[CIRCUITS].items():
            asns = (routers[site].of_site.asn for site in _sites(circuit) if site in routers)
            redeemed = dict.fromkeys(c.authorization for c in azure.connections if c.remote == name and c.authorization)
            circuits.append(azure_model.Circuit(name, next(asns, None), circuit.premium, tuple(redeemed)))
        return replace(azure, circuits=tuple(circuits))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, circuit in draft.file[CIRCUITS].items():
            path: Path = ("circuits", name)
            sites = _sites(circuit)
            linked = any(checking.names.nouns.get(other) == GATEWAY for other in checking.joined_to(name))
            if len(sites) > 1 and not draft.broken((*path, "connects_to")):
                text = f"circuit {name} is connected to {len(sites)} sites."
                draft.error(path, text, "A circuit ends at one customer's edge: connects_to: [one site].")
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
        yield from (_node(lab, wiring, circuit) for circuit in lab.circuits)


def _node(lab: Lab, wiring: Wiring, circuit: model.Circuit) -> Planned:
    """A circuit's edge router (MSEE), ASN 12076, between gateways' lines and the customer's site."""
    files, binds = speaker_files(circuit.daemon, edge_speaker(lab, lab.azure.circuit[circuit.name]))
    commands = wiring.up(circuit.name)
    return Planned(router_node(lab, circuit.name, circuit.daemon, Role.CIRCUIT, binds, commands), tuple(files))
