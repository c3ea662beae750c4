"""Where the resources of a lab are: subscription, resource group, and the region of each virtual network."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.arm.ids import NETWORK, ResourceId
from labkit.arm.resource import Json
from labkit.azure.model import Azure

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
"""The subscription of labs."""

REGIONS = ("westeurope", "northeurope", "eastus", "westus", "uksouth", "francecentral", "japaneast", "australiaeast")
"""Regions of virtual networks whose peerings are global; labs without such peerings are in the first."""

COMPUTE = "Microsoft.Compute"


@dataclass(frozen=True, slots=True)
class Scope:
    """A subscription and a resource group."""

    subscription: str
    group: str

    def id(self, type_: str, *names: str) -> ResourceId:
        """The id of a resource of `Microsoft.Network`, by its type without the provider."""
        return ResourceId.of(self.subscription, self.group, f"{NETWORK}/{type_}", *names)

    def reference(self, type_: str, *names: str) -> Json:
        """A reference to such a resource, as properties have them."""
        return {"id": str(self.id(type_, *names))}

    def part(self, type_: str, owner: str, kind: str, name: str) -> str:
        """The id of a part of a resource that is no resource of its own, such as a NIC's ipConfiguration."""
        return f"{self.id(type_, owner)}/{kind}/{name}"

    def virtual_machine(self, name: str) -> ResourceId:
        """The id of a virtual machine."""
        return ResourceId.of(self.subscription, self.group, f"{COMPUTE}/virtualMachines", name)


def region_of(azure: Azure, virtual_network: str) -> str:
    """The region of a virtual network: those that are peered within a region share one."""
    if not any(peering.is_global for peering in azure.peerings):
        return REGIONS[0]
    return REGIONS[_regions(azure)[virtual_network] % len(REGIONS)]


def _regions(azure: Azure) -> dict[str, int]:
    near: dict[str, set[str]] = {network.name: set() for network in azure.virtual_networks}
    for peering in azure.peerings:
        if not peering.is_global:
            near[peering.local].add(peering.remote)
            near[peering.remote].add(peering.local)
    found: dict[str, int] = {}
    for network in near:
        if network not in found:
            number, pending = len(set(found.values())), [network]
            while pending:
                name = pending.pop()
                if name not in found:
                    found[name] = number
                    pending += near[name]
    return found
