"""What NVAs and virtual machines have in common: one or several NICs in subnets. It is no kind by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from labkit.azure.model import Nic
from labkit.azure.rules.addressing import DEDICATED_SUBNETS, SUBNET_LONGEST
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema_types import (
    Address,
    Addresses,
    AzureName,
    Mac,
    Part,
    ShortPart,
    missing,
    mistake,
)
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds import addresses as assigned
from labkit.lab.kinds.addresses import Assignment, Slot
from labkit.lab.kinds.kind import Checking, Given, GivenMac
from labkit.lab.kinds.names import Declared, check_azure_names
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import VIRTUAL_NETWORK, Noun
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS, find_subnet
from labkit.lab.plan.nodes import NIC

NICS: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The addresses of NICs by name."""


MAX_NICS = 8
"""What Azure's larger sizes of virtual machines have at most."""


class MachineNic(ShortPart):
    """A NIC of a machine that has several: its subnet alone, or the subnet and more."""

    subnet: Reference
    """Where the NIC is: virtual-network/subnet."""
    address: Address | None = None
    """The NIC's address. Default: the first free one of the subnet."""
    addresses: Addresses = ()
    """Instead of address: those of several IP configurations, the primary one's first."""
    mac: Mac | None = None
    """The NIC's MAC address. Default: made from the names of machine and NIC."""
    ip_forwarding: bool = False
    """True: Azure lets through what is not to or from the NIC's own address."""

    @model_validator(mode="after")
    def _one_address(self) -> MachineNic:
        _check_addresses(self.address, self.addresses)
        return self


class Machine(Part):
    """Something with one NIC in a subnet, or with several."""

    per_nic: ClassVar[tuple[str, ...]] = ("subnet", "address", "addresses", "mac", "ip_forwarding")
    """The keys that each NIC has for itself where there are several."""

    nics: Mapping[AzureName, MachineNic] = Field(default_factory=dict)
    """Instead of subnet, address and so on: several NICs by name, in one virtual network. The first is the primary."""
    subnet: Annotated[Reference | None, Field(validate_default=True)] = None
    """Where its NIC is: virtual-network/subnet."""
    address: Address | None = None
    """Its NIC's address. Default: the first free one of the subnet."""
    addresses: Addresses = ()
    """Instead of address: those of several IP configurations of its NIC, the primary one's first."""
    mac: Mac | None = None
    """Its NIC's MAC address. Default: made from its name."""
    ip_forwarding: bool = False
    """True: Azure lets through what is not to or from the NIC's own address."""
    policy_routing: bool = False
    """True: a routing table and rules for each of its NICs, so that what has a NIC's address leaves by that NIC."""

    @field_validator("subnet")
    @classmethod
    def _placed(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("nics") == {}:
            raise missing(instead="nics")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Machine:
        own = [key for key in self.per_nic if key in self.model_fields_set]
        if self.nics and own:
            raise mistake(f"{own[0]} is a key of each of its nics", f"Move it to one of them, or remove {own[0]}.")
        if len(self.nics) > MAX_NICS:
            raise mistake(f"it has {len(self.nics)} NICs", f"Azure's largest sizes have {MAX_NICS}: remove some.")
        _check_addresses(self.address, self.addresses)
        return self


def _check_addresses(one: IPv4Address | None, several: tuple[IPv4Address, ...]) -> None:
    if one is not None and several:
        raise mistake(
            "it has address and addresses", "Write the primary address first in addresses, and remove address."
        )


def check_place(checking: Checking, place: Path, reference: str) -> None:
    """Notes a `subnet` that is not there, or that is for Azure's own services, of the object at `place`."""
    draft = checking.draft
    about, path = draft.subject(place)[0], (*place, "subnet")
    network, slash, name = reference.partition("/")
    if not slash:
        known = [
            f"{v}/{s}" for v in draft.names("virtual_networks") for s in draft.names("virtual_networks", v, "subnets")
        ]
        near = next((k for k in known if k.partition("/")[2] == reference), draft.nearest(reference, known))
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
            text = f'{about}: virtual network {network} has no subnet "{name}"'
            remedy = draft.suggestion(name, [k for k in known if k not in DEDICATED_SUBNETS], "subnets there")
            checking.names.note_unknown(draft, path, reference, text, remedy)
    elif name in DEDICATED_SUBNETS:
        draft.spoil(path)
        text = f"{about}: {name} is reserved for an Azure service."
        draft.error(path, text, "Azure refuses anything else in it. Use a subnet of its own.")


def given_address(
    draft: Draft, place: Path, whose: str, reference: str, address: IPv4Address | None
) -> Iterator[Given]:
    """The address that the file gives to something in a subnet, if it does. `place` is that of the address."""
    if address is not None:
        found = find_subnet(draft, reference)
        prefix = found[2].prefix if found else None
        yield Given(address, whose, place, prefix, f"subnet {reference}", azure=True)


def free_address(assignment: Assignment, place: Path, what: str, reference: str) -> IPv4Address | None:
    """The first free address of a subnet; that it has none left is noted."""
    found = find_subnet(assignment.draft, reference)
    if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
        return None
    network, name, subnet = found
    address = assignment.usable(subnet.prefix)
    if address is None:
        remedy = "Widen the subnet; Azure keeps its first four addresses and its last."
        assignment.full(place, f'{what}: subnet "{name}" of virtual network {network}', subnet.prefix, remedy)
    return address


@dataclass(frozen=True, slots=True)
class FileNic:
    """A NIC as the file has it: its unique name, its machine, its interface there, and the place of its keys."""

    name: str
    machine: str
    interface: str
    place: Path
    keys: MachineNic


def file_nics(section: str, machines: Mapping[str, Machine]) -> Iterator[FileNic]:
    """The NICs of machines. The only one of a machine has the machine's name; others are called `machine/nic`."""
    for name, machine in machines.items():
        place: Path = (section, name)
        for number, (nic, keys) in enumerate(machine.nics.items()):
            yield FileNic(f"{name}/{nic}", name, f"eth{number}", (*place, "nics", nic), keys)
        if machine.subnet is not None:
            own = {key: getattr(machine, key) for key in MachineNic.model_fields}
            yield FileNic(name, name, NIC, place, MachineNic.model_construct(**own))


def own_nics(section: str, name: str, machine: Machine) -> dict[str, FileNic]:
    """The NICs of a machine by the names that they may have in its entry; its own name is the primary one's."""
    mine = list(file_nics(section, {name: machine}))
    return {each: nic for nic in reversed(mine) for each in (nic.name.removeprefix(f"{name}/"), nic.name, name)}


def machine_of(name: str) -> str:
    """The machine of a NIC, by the NIC's name; other names have themselves."""
    return name.partition("/")[0]


def declared_machines(draft: Draft, section: str, noun: Noun, nic_noun: Noun) -> Iterator[Declared]:
    """The names of a section's machines, and those of the NICs of machines that have several."""
    for name in draft.names(section):
        yield Declared(name, noun, (section, name))
        nics = {nic.casefold(): nic for nic in reversed(draft.names(section, name, "nics"))}
        for nic in nics.values():
            made_of = f"NIC {nic} of {noun} {name}"
            yield Declared(f"{name}/{nic}", nic_noun, (section, name, "nics", nic), made_of)


def check_several_nics(draft: Draft, section: str, noun: Noun, name: str, machine: Machine) -> None:
    """Notes what several NICs of a machine can't be."""
    if not machine.nics:
        if machine.policy_routing:
            text = f"{noun} {name}: policy_routing has no effect: it has one NIC."
            draft.warn((section, name, "policy_routing"), text, "Remove it, or give it several NICs as nics.")
        return
    place: Path = (section, name, "nics")
    check_azure_names(draft, place, f"NIC {{}} of {noun} {name}", {})
    for nic in (each for each in machine.nics if address_of(each) is not None):
        text = f"NIC {nic} of {noun} {name}: a name that is an address can't be told from one."
        draft.error((*place, nic), text, "Use another name.")
    first, *others = machine.nics.items()
    network = first[1].subnet.partition("/")[0]
    for nic, keys in others:
        there = keys.subnet.partition("/")[0]
        if there != network and not draft.broken((*place, nic, "subnet")) and not draft.broken((*place, first[0])):
            text = f"NIC {nic} of {noun} {name}: {there} is not the virtual network of its NIC {first[0]}."
            remedy = f"Azure has all NICs of a machine in one virtual network: use a subnet of {network}."
            draft.error((*place, nic, "subnet"), text, remedy)


def given_nics(draft: Draft, found: Iterable[FileNic]) -> Iterator[Given]:
    """The addresses that the file gives to NICs."""
    for nic in found:
        whose = draft.subject(nic.place)[0]
        yield from given_address(draft, (*nic.place, "address"), whose, nic.keys.subnet, nic.keys.address)
        for i, address in enumerate(nic.keys.addresses):
            yield from given_address(draft, (*nic.place, "addresses", i), whose, nic.keys.subnet, address)


def assign_nics(assignment: Assignment, found: Iterable[FileNic]) -> None:
    """Completes the addresses and MACs of NICs. The name of a machine, as a next hop, means its first NIC."""
    addresses = assignment.addresses
    for nic in found:
        addresses.macs[nic.name] = nic.keys.mac or assignment.mac(nic.machine, nic.interface)
        given = next(iter(nic.keys.addresses), nic.keys.address)
        address = given or free_address(assignment, nic.place, nic.name, nic.keys.subnet)
        if address is not None:
            addresses[NICS][nic.name] = addresses.next_hops[nic.name] = address
            addresses.next_hops.setdefault(nic.machine, address)


def nics(draft: Draft, addresses: assigned.Addresses, found: Iterable[FileNic]) -> tuple[Nic, ...]:
    """The NICs that are sound."""
    return tuple(
        Nic(
            nic.name,
            nic.machine,
            nic.interface,
            place[0],
            place[1],
            addresses[NICS][nic.name],
            addresses.macs[nic.name],
            nic.keys.ip_forwarding,
            nic.keys.addresses[1:],
        )
        for nic in found
        if (place := find_subnet(draft, nic.keys.subnet)) is not None and nic.name in addresses[NICS]
    )


def given_macs(found: Iterable[FileNic]) -> Iterator[GivenMac]:
    """The MAC addresses that the file gives to NICs."""
    for nic in found:
        if nic.keys.mac is not None:
            yield GivenMac(nic.keys.mac, (*nic.place, "mac"))
