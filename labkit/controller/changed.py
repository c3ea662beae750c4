"""What operators have made of a running lab: where Azure's objects are no longer what the lab file says. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.azure.model import Azure
from labkit.controller.requests import AS_IT_WAS, PEERING_FLAGS, Request, peering_state
from labkit.lab.model import Lab

THERE = "there"
ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that is otherwise: of which object, and which of its settings ("" for the object itself)."""

    object: str
    setting: str
    lab_file: str
    now: str


def changed(built: Azure, now: Azure) -> list[Changed]:
    """What of Azure's objects `now` is other than it was `built`, in the order of the lab file, then by age."""
    before, after = dict(_facts(built)), dict(_facts(now))
    return [
        Changed(*fact, before.get(fact, ABSENT), after.get(fact, ABSENT))
        for fact in dict.fromkeys((*before, *after))
        # The settings of what is gone went with it.
        if before.get(fact) != after.get(fact) and (not fact[1] or (fact[0], "") in after)
    ]


def reset(azure: Azure, lab: Lab) -> Request:
    """Azure's objects as the lab file has them."""
    what = "reset to its lab file" if changed(lab.azure, azure) else AS_IT_WAS
    return Request(lab.azure, "lab", lab.name, what)


def _facts(azure: Azure) -> Iterator[tuple[tuple[str, str], str]]:
    """Everything that operators can change, in words, by its object and setting."""
    for network in azure.virtual_networks:
        of = f"virtual network {network.name}"
        yield (of, ""), THERE
        yield (of, "address space"), " ".join(map(str, network.address_space))
        for subnet in network.subnets:
            yield (of, f"route table of subnet {subnet.name}"), subnet.route_table or ABSENT
    for peering in azure.peerings:
        of = f"peering {peering.local} to {peering.remote}"
        yield (of, ""), peering_state(azure, peering)
        for flag, attribute in PEERING_FLAGS.items():
            yield (of, flag), _switch(on=getattr(peering, attribute))
    for table in azure.route_tables:
        of = f"route table {table.name}"
        yield (of, ""), THERE
        yield (of, "BGP propagation"), _switch(on=not table.disable_bgp_route_propagation)
        for route in table.routes:
            yield (of, str(route.prefix)), str(route.next_hop or route.next_hop_type)
    for server in azure.route_servers:
        of = f"route server {server.name}"
        yield (of, ""), THERE
        yield (of, "branch-to-branch"), _switch(on=server.branch_to_branch)
        yield (of, "hub routing preference"), str(server.hub_routing_preference)
        for peer in server.peers:
            yield (of, f"peering {peer.name}"), f"{peer.address}, AS {peer.asn}"


def _switch(*, on: bool) -> str:
    return "on" if on else "off"
