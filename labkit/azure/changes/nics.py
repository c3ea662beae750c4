"""Changes of NICs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure.changes.base import UNCHANGED, Change, named, step, switch
from labkit.azure.model import Azure, Nic
from labkit.azure.rules.addressing import FIREWALL_SUBNET, GATEWAY_SUBNET


@dataclass(frozen=True, slots=True)
class SetIpForwarding(Change):
    """Switch IP forwarding of a NIC (`az network nic update --ip-forwarding`) [ip-forwarding]."""

    kind: ClassVar[str] = "nic"
    nic: str
    enable_ip_forwarding: Annotated[bool, Field(alias="enableIPForwarding")]

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.nic

    @property
    def part(self) -> str:
        """See `Change`."""
        return "IP forwarding"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        before = self._before(azure)
        after = replace(before, ip_forwarding=self.enable_ip_forwarding)
        return replace(azure, nics=tuple(after if nic == before else nic for nic in azure.nics))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before, after = self._before(azure).ip_forwarding, self.enable_ip_forwarding
        return f"IP forwarding {step(switch(on=before), switch(on=after))}" if before != after else UNCHANGED

    def _before(self, azure: Azure) -> Nic:
        named("NIC", self.nic, (nic.name for nic in customer_nics(azure)))
        return azure.nic[self.nic]


def customer_nics(azure: Azure) -> tuple[Nic, ...]:
    """The NICs of virtual machines and NVAs: those of gateways and firewalls are Azure's own."""
    return tuple(nic for nic in azure.nics if nic.subnet not in (FIREWALL_SUBNET, GATEWAY_SUBNET))
