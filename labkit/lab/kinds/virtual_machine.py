"""Virtual machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from labkit.azure.model import Azure
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import MachineName, ShortPart
from labkit.lab.kinds.addresses import Addresses, Assignment
from labkit.lab.kinds.kind import Checking, Given, GivenMac, Kind
from labkit.lab.kinds.machine import (
    FileNic,
    Machine,
    assign_nics,
    check_place,
    check_several_nics,
    declared_machines,
    file_nics,
    given_macs,
    given_nics,
    nics,
)
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import NIC as NOUN_OF_NICS
from labkit.lab.kinds.nouns import VIRTUAL_MACHINE
from labkit.lab.model import Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, platform_channel, ready, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nic_tables import nic_rules
from labkit.lab.plan.wires import Wiring


class VirtualMachine(Machine, ShortPart):
    """A virtual machine: its subnet alone, or the subnet and more, or several NICs."""


VIRTUAL_MACHINES: Section[dict[str, VirtualMachine]] = Section(
    "virtual_machines",
    "virtual machine",
    dict[MachineName, VirtualMachine],
    "Virtual machines by name.",
    dict,
    parts={"nics": "NIC {1} of virtual machine {0}"},
)


def _nics(draft: Draft) -> Iterator[FileNic]:
    return file_nics("virtual_machines", draft.file[VIRTUAL_MACHINES])


class VirtualMachineKind(Kind):
    """Virtual machines; each is a node with its agent."""

    section = VIRTUAL_MACHINES
    noun = VIRTUAL_MACHINE

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        return declared_machines(draft, "virtual_machines", VIRTUAL_MACHINE, NOUN_OF_NICS)

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
        for name, machine in checking.draft.file[VIRTUAL_MACHINES].items():
            check_several_nics(checking.draft, "virtual_machines", VIRTUAL_MACHINE, name, machine)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`."""
        machines = draft.file[VIRTUAL_MACHINES].items()
        made = tuple(model.VirtualMachine(name, machine.policy_routing) for name, machine in machines)
        return replace(lab, virtual_machines=made)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        yield from (_node(lab, wiring, machine) for machine in lab.virtual_machines)


def _node(lab: Lab, wiring: Wiring, machine: model.VirtualMachine) -> Planned:
    """A virtual machine: its addresses, and no route but its agent's, so that its kernel shows what Azure programs."""
    keep, channel = platform_channel(machine.name)
    nics, by_policy = lab.azure.nics_of(machine.name), machine.name in lab.policy_routed
    env = {"LABKIT_INTERFACE": " ".join(nic.interface for nic in nics)} | (
        {"LABKIT_NIC_TABLES": "1"} if by_policy else {}
    )
    node = Node(
        name=machine.name,
        role=Role.VM,
        services=("agent",),
        env=environment(lab.name, machine.name, **env),
        binds=(channel,),
        exec=(*wiring.up(machine.name), *(nic_rules(nics) if by_policy else ())),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
        healthcheck=ready(("agent",)),
    )
    return Planned(node, (keep,))
