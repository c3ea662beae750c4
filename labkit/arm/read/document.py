"""The whole lab file of some resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.arm.captures import Learned
from labkit.arm.read.firewall import firewalls
from labkit.arm.read.gateway import SUPPLIED_INTERNET, outside
from labkit.arm.read.learned import advertise, proofs
from labkit.arm.read.load_balancer import load_balancers
from labkit.arm.read.machine import machines, virtual_machines
from labkit.arm.read.reading import LeftOut, Reading
from labkit.arm.read.route_table import route_tables
from labkit.arm.read.virtual_hub import nvas, peers, route_servers
from labkit.arm.read.virtual_network import peerings, virtual_networks
from labkit.arm.resource import Bag
from labkit.lab.file.yaml_source import Data

_EFFECTS = {
    "Microsoft.Network/networkSecurityGroups": (
        "labkit has no security groups",
        "None on routes. Packets that it drops in Azure arrive in the lab.",
    ),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A lab file: its values, remarks about entries by section and name, and what is not in it."""

    values: Mapping[str, Data]
    remarks: Mapping[tuple[str, str], str]
    left_out: tuple[LeftOut, ...]


def document_of(bag: Bag, beyond: Mapping[str, Data], name: str, learned: Sequence[Learned] = ()) -> Document:
    """The lab file of the resources, and of what Azure does not know of the lab.

    `beyond` has a lab file's shape (`labkit.arm.beyond`); it is empty for a network that no lab was made of yet. `name`
    is the lab's, unless `beyond` has one. `learned` is what Azure's route servers have learned of NVAs of which nothing
    else is known.

    Raises:
        InvalidInput: a property of a resource is not what it must be.
    """
    reading = Reading(bag, beyond)
    all_machines, all_peers = machines(reading), peers(reading)
    found_nvas = nvas(reading, all_machines, all_peers)
    found = outside(reading, found_nvas)
    advertise(reading, found_nvas, found.sites, all_peers, learned)
    for type_, (reason, effect) in _EFFECTS.items():
        for resource in bag.of_type(type_):
            reading.leave_out(resource.id, reason, effect)
    values: dict[str, Data] = {
        "name": name,
        "virtual_networks": virtual_networks(reading),
        "peerings": list(peerings(reading)),
        "route_tables": route_tables(reading),
        "route_servers": route_servers(reading, all_machines, found_nvas, all_peers),
        "gateways": found.gateways,
        "circuits": found.circuits,
        "nvas": found_nvas,
        "sites": found.sites,
        "load_balancers": load_balancers(reading, all_machines),
        "firewalls": firewalls(reading),
        "virtual_machines": virtual_machines(reading, all_machines, found_nvas),
    }
    if proofs_of := proofs(all_peers, found_nvas, learned):
        values["proofs"] = proofs_of
    if found.tunnels and "internet" not in beyond:
        values["internet"] = {"prefix": SUPPLIED_INTERNET}
        reading.remarks["internet", "prefix"] = "Supplied: tunnels need an Internet."
    values |= {key: value for key, value in beyond.items() if key not in values or key == "name"}
    full = {key: value for key, value in values.items() if value}
    return Document(full, reading.remarks, tuple(reading.left_out))
