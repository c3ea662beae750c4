"""Peerings of virtual networks, each with both of its directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure import model
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.adjacency import connected_peerings
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import nearest
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import ListSection
from labkit.lab.file.schema_types import Part, Sides
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import AzureRefusal, Checking, Kind
from labkit.lab.kinds.nouns import VIRTUAL_NETWORK
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS
from labkit.lab.model import Lab
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd
from labkit.names import handle


class Peering(Part):
    """A peering of two virtual networks, both directions. An option names the side that it is set on."""

    between: tuple[Reference, Reference]
    """The two virtual networks."""
    use_remote_gateways: Sides = False
    """The side that uses the other's route server ("use the remote virtual network's gateway or route server")."""
    allow_gateway_transit: Sides = False
    """The side that lets the other use its route server."""
    allow_forwarded_traffic: Sides = True
    """The side that accepts packets which the other side only forwards."""
    is_global: Annotated[bool, Field(alias="global")] = False
    """True: the two are in different regions."""


PEERINGS: ListSection[list[Peering]] = ListSection(
    "peerings",
    "peering",
    list[Peering],
    "Virtual network peerings.",
    list,
    hints={"between": "Add the two virtual networks, such as between: [hub, spoke]."},
)


def _of_both(draft: Draft, problem: Problem) -> tuple[Path, str]:
    last = max(i for i, p in enumerate(draft.file[PEERINGS]) if set(p.between) == set(problem.subjects))
    return ("peerings", last), f"peering {last + 1}: "


def _remote_gateways(draft: Draft, problem: Problem) -> tuple[Path, str]:
    peerings, subjects = draft.file[PEERINGS], set(problem.subjects)
    last = max(i for i, p in enumerate(peerings) if subjects <= set(p.between) and p.use_remote_gateways)
    return ("peerings", last, "use_remote_gateways"), ""


class PeeringKind(Kind):
    """Peerings; a link between the switches of the two virtual networks."""

    section = PEERINGS
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.PEERING_DUPLICATE: AzureRefusal("Azure refuses the second. Remove it.", _of_both),
        Code.URG_TWICE: AzureRefusal(
            "Azure refuses the second. Let one hub do it, or give the spoke a route server of its own.",
            _remote_gateways,
        ),
        Code.URG_OWN_SERVER: AzureRefusal(
            "Azure refuses it. Remove use_remote_gateways or the route server.", _remote_gateways
        ),
        Code.URG_OWN_GATEWAY: AzureRefusal(
            "Azure refuses it. Remove use_remote_gateways or the gateway.", _remote_gateways
        ),
        Code.URG_NO_TRANSIT: AzureRefusal(
            "Azure refuses it. Add allow_gateway_transit: {1} to the peering.",
            _remote_gateways,
            lambda draft, _: draft.broken(("peerings",)),
        ),
        Code.URG_NO_SERVER: AzureRefusal(
            "Azure refuses it. Add a route server or a gateway to {1}, or remove use_remote_gateways.",
            _remote_gateways,
            lambda draft, _: draft.broken(("route_servers",)) or draft.broken(("gateways",)),
        ),
    }

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for i, peering in enumerate(checking.draft.file[PEERINGS]):
            _check(checking, ("peerings", i), peering)

    def azure(self, draft: Draft, addresses: Addresses, azure: model.Azure) -> model.Azure:  # noqa: ARG002
        """See `Kind`."""
        networks = draft.file[VIRTUAL_NETWORKS]
        peerings = tuple(
            _direction(peering, local, remote)
            for peering in draft.file[PEERINGS]
            if len(networks.keys() & set(peering.between)) == 2
            for local, remote in (peering.between, peering.between[::-1])
        )
        return replace(azure, peerings=peerings)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:  # noqa: ARG002
        """See `Kind`: one for both directions."""
        networks = [network.name for network in lab.azure.virtual_networks]
        for position, network in enumerate(networks):
            for peering in connected_peerings(lab.azure, network):
                if networks.index(peering.remote) > position:
                    yield Wire(WireEnd(network, handle(peering.remote)), WireEnd(peering.remote, handle(network)))


def _direction(peering: Peering, local: str, remote: str) -> model.Peering:
    def is_set(option: tuple[str, ...] | bool) -> bool:
        return option if isinstance(option, bool) else local in option

    return model.Peering(
        local=local,
        remote=remote,
        use_remote_gateways=is_set(peering.use_remote_gateways),
        allow_gateway_transit=is_set(peering.allow_gateway_transit),
        allow_forwarded_traffic=is_set(peering.allow_forwarded_traffic),
        is_global=peering.is_global,
    )


def _check(checking: Checking, path: Path, peering: Peering) -> None:
    draft, about = checking.draft, checking.draft.subject(path)[0]
    one, two = peering.between
    found = [
        checking.names.refer(draft, (*path, "between", i), about, side, VIRTUAL_NETWORK)
        for i, side in enumerate(peering.between)
    ]
    if all(found) and one == two:
        draft.spoil((*path, "between"))
        draft.error((*path, "between"), f"{about}: {one} can't be peered with itself.", "Name two virtual networks.")
    for option in ("use_remote_gateways", "allow_gateway_transit", "allow_forwarded_traffic"):
        sides: tuple[str, ...] | bool = getattr(peering, option)
        for side in sides if isinstance(sides, tuple) else ():
            # One that is renamed here, and not yet there, is that mistake.
            if side not in peering.between and all(found):
                near = nearest(side, peering.between)
                remedy = f'Did you mean "{near}"?' if near else f"Name the side that it is set on: {one} or {two}."
                text = f"{about}: {option}: {side} is neither {one} nor {two}."
                draft.spoil((*path, option))
                draft.error((*path, option), text, remedy)
