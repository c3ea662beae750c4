"""Virtual machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from labkit.azure.model import Azure
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import NodeName, ShortPart
from labkit.lab.kinds.addresses import Addresses, Assignment
from labkit.lab.kinds.kind import Checking, Given, GivenMac, Kind
from labkit.lab.kinds.machine import Machine, assign_nics, check_place, given_macs, given_nics, nics
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import VIRTUAL_MACHINE
from labkit.lab.model import Lab


class VirtualMachine(Machine, ShortPart):
    """A virtual machine: its subnet alone, or the subnet and more."""


VIRTUAL_MACHINES: Section[dict[str, VirtualMachine]] = Section(
    "virtual_machines", "virtual machine", dict[NodeName, VirtualMachine], "Virtual machines by name.", dict
)


class VirtualMachineKind(Kind):
    """Virtual machines; each is a node with its agent."""

    section = VIRTUAL_MACHINES
    noun = VIRTUAL_MACHINE

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("virtual_machines"):
            yield Declared(name, VIRTUAL_MACHINE, ("virtual_machines", name))

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, machine in checking.draft.file[VIRTUAL_MACHINES].items():
            check_place(checking, ("virtual_machines", name), machine.subnet)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        return given_nics(draft, "virtual_machines", draft.file[VIRTUAL_MACHINES])

    def macs(self, draft: Draft) -> Iterator[GivenMac]:
        """See `Kind`."""
        return given_macs("virtual_machines", draft.file[VIRTUAL_MACHINES])

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        assign_nics(assignment, "virtual_machines", assignment.draft.file[VIRTUAL_MACHINES])

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        return replace(azure, nics=(*azure.nics, *nics(draft, addresses, draft.file[VIRTUAL_MACHINES])))

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`."""
        return replace(lab, virtual_machines=tuple(map(model.VirtualMachine, draft.file[VIRTUAL_MACHINES])))
