"""What NVAs and virtual machines have in common: a NIC in a subnet. It is no kind by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from labkit.azure.model import Nic
from labkit.azure.rules.addressing import DEDICATED_SUBNETS, SUBNET_LONGEST, usable_addresses
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import nearest, suggestion
from labkit.lab.file.schema_types import Address, Mac, Part
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.kind import Checking, Given, GivenMac
from labkit.lab.kinds.nouns import VIRTUAL_NETWORK
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS, find_subnet
from labkit.lab.plan.nodes import NIC

NICS: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The addresses of NICs by machine."""


class Machine(Part):
    """Something with a NIC in a subnet."""

    subnet: str
    """Where its NIC is: virtual-network/subnet."""
    address: Address | None = None
    """Its NIC's address. Default: the first free one of the subnet."""
    mac: Mac | None = None
    """Its NIC's MAC address. Default: made from its name."""
    ip_forwarding: bool = False
    """True: Azure lets through what is not to or from the NIC's own address."""


def check_place(checking: Checking, place: Path, reference: str) -> None:
    """Notes a `subnet` that is not there, or that is for Azure's own services, of the object at `place`."""
    draft = checking.draft
    about, path = draft.subject(place)[0], (*place, "subnet")
    network, slash, name = reference.partition("/")
    if not slash:
        known = [
            f"{v}/{s}" for v in draft.names("virtual_networks") for s in draft.names("virtual_networks", v, "subnets")
        ]
        near = next((k for k in known if k.partition("/")[2] == reference), nearest(reference, known))
        draft.spoil(path)
        text = f'{about}: subnet "{reference}" must have the form virtual-network/subnet.'
        draft.error(path, text, f"Write it as virtual-network/subnet{f', such as {near}' if near else ''}.")
        return
    if not checking.names.refer(draft, path, about, network, VIRTUAL_NETWORK):
        return
    known = draft.names("virtual_networks", network, "subnets")
    if name not in known:
        draft.spoil(path)
        sound = network in draft.file[VIRTUAL_NETWORKS]
        if sound and not draft.broken(("virtual_networks", network, "subnets")):
            text = f'{about}: virtual network {network} has no subnet "{name}".'
            draft.error(path, text, suggestion(name, [k for k in known if k not in DEDICATED_SUBNETS], "subnets there"))
    elif name in DEDICATED_SUBNETS:
        draft.spoil(path)
        text = f"{about}: {name} is reserved for an Azure service."
        draft.error(path, text, "Azure refuses anything else in it. Use a subnet of its own.")


def given_address(
    draft: Draft, place: Path, whose: str, reference: str, address: IPv4Address | None
) -> Iterator[Given]:
    """The address that the file gives to something in a subnet, if it does."""
    if address is not None:
        found = find_subnet(draft, reference)
        prefix = found[2].prefix if found else None
        yield Given(address, whose, (*place, "address"), prefix, f"subnet {reference}", azure=True)


def free_address(assignment: Assignment, place: Path, what: str, reference: str) -> IPv4Address | None:
    """The first free address of a subnet; that it has none left is noted."""
    found = find_subnet(assignment.draft, reference)
    if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
        return None
    network, name, subnet = found
    address = assignment.first(usable_addresses(subnet.prefix))
    if address is None:
        remedy = "Widen the subnet; Azure keeps its first four addresses and its last."
        assignment.full(place, f'{what}: subnet "{name}" of virtual network {network}', subnet.prefix, remedy)
    return address


def given_nics(draft: Draft, section: str, machines: Mapping[str, Machine]) -> Iterator[Given]:
    """The addresses that the file gives to machines."""
    for name, machine in machines.items():
        place: Path = (section, name)
        yield from given_address(draft, place, draft.subject(place)[0], machine.subnet, machine.address)


def assign_nics(assignment: Assignment, section: str, machines: Mapping[str, Machine]) -> None:
    """Completes the addresses and MACs of machines."""
    addresses = assignment.addresses
    for name, machine in machines.items():
        addresses.macs[name] = machine.mac or assignment.mac(name)
        address = machine.address or free_address(assignment, (section, name), name, machine.subnet)
        if address is not None:
            addresses[NICS][name] = addresses.next_hops[name] = address


def nics(draft: Draft, addresses: Addresses, machines: Mapping[str, Machine]) -> tuple[Nic, ...]:
    """The NICs of machines."""
    return tuple(
        Nic(name, name, NIC, found[0], found[1], addresses[NICS][name], addresses.macs[name], machine.ip_forwarding)
        for name, machine in machines.items()
        if (found := find_subnet(draft, machine.subnet)) is not None and name in addresses[NICS]
    )


def given_macs(section: str, machines: Mapping[str, Machine]) -> Iterator[GivenMac]:
    """The MAC addresses that the file gives to machines."""
    for name, machine in machines.items():
        if machine.mac is not None:
            yield GivenMac(machine.mac, (section, name, "mac"))
