"""From a lab to its plan: every node, link and file, with names, MACs and addresses fixed.

Pure and deterministic: the same lab gives the same plan, down to the order of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labkit.lab.model import Lab
from labkit.lab.plan.common import Planned
from labkit.lab.plan.gateways import plan_circuit, plan_gateway
from labkit.lab.plan.internet import plan_internet
from labkit.lab.plan.model import Plan
from labkit.lab.plan.nodes import INSTANCES, owners
from labkit.lab.plan.platform import plan_controller, plan_fabric, plan_instance, plan_virtual_machine
from labkit.lab.plan.routers import plan_host, plan_nva, plan_site
from labkit.lab.plan.wires import wires


def plan(lab: Lab) -> Plan:
    """The plan of a lab.

    Nodes come in the order controller, virtual networks, instances of route servers, NVAs, instances of gateways,
    circuits, sites, hosts, Internet, virtual machines, and in file order within each.
    """
    planned = tuple(_planned(lab))
    return Plan(
        lab=lab.name,
        nodes=tuple(p.node for p in planned),
        links=wires(lab),
        files=tuple(file for p in planned for file in p.files),
        owners=_owners(lab),
        variant=lab.variant,
    )


def _planned(lab: Lab) -> Iterator[Planned]:
    yield plan_controller(lab)
    for network in lab.azure.virtual_networks:
        yield plan_fabric(lab, network)
    for server in lab.azure.route_servers:
        for index in INSTANCES:
            yield plan_instance(lab, server, index)
    for nva in lab.nvas:
        yield plan_nva(lab, nva)
    for gateway in lab.gateways:
        for index in range(len(lab.azure.gateway[gateway.name].instances)):
            yield plan_gateway(lab, gateway, index)
    for circuit in lab.azure.circuits:
        yield plan_circuit(lab, circuit)
    for site in lab.sites:
        yield plan_site(lab, site)
    for site in lab.sites:
        yield plan_host(lab, site)
    if lab.internet is not None:
        yield plan_internet(lab, lab.internet)
    for machine in lab.virtual_machines:
        yield plan_virtual_machine(lab, machine)


def _owners(lab: Lab) -> Mapping[str, str]:
    found = {str(address): node for address, node in owners(lab).items()}
    if lab.internet is not None:
        found |= {str(leg.public): lab.internet.name for leg in lab.internet.legs}
    return found
