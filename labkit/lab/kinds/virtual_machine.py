"""Virtual machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import Field, model_validator

from labkit.azure.model import Azure
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import MAX_NODE_NAME, Address, AzureName, Mac, NodeName, ShortPart, mistake
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment
from labkit.lab.kinds.kind import Checking, Given, GivenMac, Kind
from labkit.lab.kinds.machine import FileNic, Machine, assign_nics, check_place, given_macs, given_nics, nics
from labkit.lab.kinds.names import Declared, check_azure_names
from labkit.lab.kinds.nouns import NIC as NOUN_OF_NICS
from labkit.lab.kinds.nouns import VIRTUAL_MACHINE
from labkit.lab.model import Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, platform_channel, ready, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nic_tables import nic_rules
from labkit.lab.plan.nodes import NIC
from labkit.lab.plan.wires import Wiring

MAX_NICS = 8
"""What Azure's larger sizes of virtual machines have at most."""


class VirtualMachineNic(Machine, ShortPart):
    """A NIC of a virtual machine that has several: its subnet alone, or the subnet and more."""


_ONE = ("subnet", "address", "mac", "ip_forwarding")


class VirtualMachine(ShortPart):
    """A virtual machine: its subnet alone, or the subnet and more, or several NICs."""

    subnet: str | None = None
    """Where its NIC is: virtual-network/subnet."""
    address: Address | None = None
    """Its NIC's address. Default: the first free one of the subnet."""
    mac: Mac | None = None
    """Its NIC's MAC address. Default: made from its name."""
    ip_forwarding: bool = False
    """True: Azure lets through what is not to or from the NIC's own address."""
    nics: dict[AzureName, VirtualMachineNic] = Field(default_factory=dict)
    """Instead of the keys above: several NICs by name, in one virtual network. The first is the primary one."""

    @model_validator(mode="after")
    def _one_form(self) -> VirtualMachine:
        own = [key for key in _ONE if key in self.model_fields_set]
        if self.nics and own:
            raise mistake(f"{own[0]} is a key of each of its nics", f"Move it to one of them, or remove {own[0]}.")
        if len(self.nics) > MAX_NICS:
            raise mistake(f"it has {len(self.nics)} NICs", f"Azure's largest sizes have {MAX_NICS}: remove some.")
        if not self.nics and self.subnet is None:
            raise mistake("subnet is missing", 'Add "subnet: virtual-network/subnet", or several NICs as nics.')
        return self


VIRTUAL_MACHINES: Section[dict[str, VirtualMachine]] = Section(
    "virtual_machines",
    "virtual machine",
    dict[NodeName, VirtualMachine],
    "Virtual machines by name.",
    dict,
    parts={"nics": "NIC {1} of virtual machine {0}"},
)


def _nics(draft: Draft) -> Iterator[FileNic]:
    for name, machine in draft.file[VIRTUAL_MACHINES].items():
        place: Path = ("virtual_machines", name)
        for number, (nic, keys) in enumerate(machine.nics.items()):
            yield FileNic(f"{name}/{nic}", name, f"eth{number}", (*place, "nics", nic), keys)
        if machine.subnet is not None:
            keys = VirtualMachineNic(
                subnet=machine.subnet, address=machine.address, mac=machine.mac, ip_forwarding=machine.ip_forwarding
            )
            yield FileNic(name, name, NIC, place, keys)


class VirtualMachineKind(Kind):
    """Virtual machines; each is a node with its agent."""

    section = VIRTUAL_MACHINES
    noun = VIRTUAL_MACHINE

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("virtual_machines"):
            yield Declared(name, VIRTUAL_MACHINE, ("virtual_machines", name))
            nics = {nic.casefold(): nic for nic in reversed(draft.names("virtual_machines", name, "nics"))}
            for nic in nics.values():
                made_of = f"NIC {nic} of virtual machine {name}"
                yield Declared(f"{name}/{nic}", NOUN_OF_NICS, ("virtual_machines", name, "nics", nic), made_of)

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for nic in _nics(checking.draft):
            check_place(checking, nic.place, nic.keys.subnet)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        return given_nics(draft, _nics(draft))

    def macs(self, draft: Draft) -> Iterator[GivenMac]:
        """See `Kind`."""
        return given_macs(_nics(draft))

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        assign_nics(assignment, _nics(assignment.draft))

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        return replace(azure, nics=(*azure.nics, *nics(draft, addresses, _nics(draft))))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, machine in draft.file[VIRTUAL_MACHINES].items():
            if machine.nics:
                _check_nics(draft, name, machine)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`."""
        return replace(lab, virtual_machines=tuple(map(model.VirtualMachine, draft.file[VIRTUAL_MACHINES])))

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        yield from (_node(lab, wiring, machine) for machine in lab.virtual_machines)


def _check_nics(draft: Draft, name: str, machine: VirtualMachine) -> None:
    """Notes what several NICs of a machine can't be."""
    place: Path = ("virtual_machines", name, "nics")
    check_azure_names(draft, place, f"NIC {{}} of virtual machine {name}", {})
    longest = MAX_NODE_NAME - len(".1")
    if len(name) > longest:
        text = f"virtual machine {name}: the name has {len(name)} characters; with several NICs at most {longest} are"
        remedy = f"The ports of its NICs are called {name}.1 and so on, and Linux ends an interface's name at"
        draft.error(place[:2], f"{text} allowed.", f"{remedy} {MAX_NODE_NAME} characters: shorten it.")
    first, *others = machine.nics.items()
    network = first[1].subnet.partition("/")[0]
    for nic, keys in others:
        there = keys.subnet.partition("/")[0]
        if there != network and not draft.broken((*place, nic, "subnet")) and not draft.broken((*place, first[0])):
            text = f"NIC {nic} of virtual machine {name}: {there} is not the virtual network of its NIC {first[0]}."
            remedy = f"Azure has all NICs of a machine in one virtual network: use a subnet of {network}."
            draft.error((*place, nic, "subnet"), text, remedy)


def _node(lab: Lab, wiring: Wiring, machine: model.VirtualMachine) -> Planned:
    """A virtual machine: its addresses, and no route but its agent's, so that its kernel shows what Azure programs."""
    keep, channel = platform_channel(machine.name)
    nics = lab.azure.nics_of(machine.name)
    node = Node(
        name=machine.name,
        role=Role.VM,
        services=("agent",),
        env=environment(lab.name, machine.name, LABKIT_INTERFACE=" ".join(nic.interface for nic in nics)),
        binds=(channel,),
        exec=(*wiring.up(machine.name), *nic_rules(nics)),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
        healthcheck=ready(("agent",)),
    )
    return Planned(node, (keep,))
