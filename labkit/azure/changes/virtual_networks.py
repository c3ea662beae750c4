"""Changes of virtual networks and their peerings. Each side of a peering is an object of its own, as in Azure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure.changes.base import UNCHANGED, Change, named, step, switch
from labkit.azure.model import Azure, Peering, VirtualNetwork
from labkit.azure.rules.addressing import LARGEST_SPACE, SUBNET_LONGEST, forbidden_address_space, wrong_size
from labkit.azure.rules.adjacency import remote_ranges
from labkit.errors import InvalidInput

PEERING_FLAGS = {
    "useRemoteGateways": "use_remote_gateways",
    "allowGatewayTransit": "allow_gateway_transit",
    "allowForwardedTraffic": "allow_forwarded_traffic",
}
"""The switches of a side of a peering: Azure's names, and those of the model and of changes."""


@dataclass(frozen=True, slots=True)
class SetAddressSpace(Change):
    """Set the address space of a virtual network, all its ranges (`az network vnet update --address-prefixes`).

    What is peered with it has the former one until its side of the peering is synced [peering-sync].
    """

    kind: ClassVar[str] = "virtual-network"
    virtual_network: str
    address_prefixes: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.virtual_network

    @property
    def part(self) -> str:
        """See `Change`."""
        return "address space"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        network = virtual_network_of(azure, self.virtual_network)
        for each in self.address_prefixes:
            forbidden = forbidden_address_space(each)
            if forbidden is not None:
                raise InvalidInput(f"{each} overlaps {forbidden}, which Azure refuses.", "Use a private range.")
            size = wrong_size(each)
            if size is not None:
                raise InvalidInput(f"{each} is too {size}.", f"Azure accepts /{LARGEST_SPACE} to /{SUBNET_LONGEST}.")
        sides = tuple(
            with_remote_ranges(side, side.remote_address_space or network.address_space, self._ranges)
            if side.remote == network.name
            else side
            for side in azure.peerings
        )
        return with_virtual_network(replace(azure, peerings=sides), replace(network, address_space=self._ranges))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = virtual_network_of(azure, self.virtual_network).address_space
        return f"address space {step(_listed(before), _listed(self._ranges))}" if before != self._ranges else UNCHANGED

    @property
    def _ranges(self) -> tuple[IPv4Network, ...]:
        return tuple(dict.fromkeys(self.address_prefixes))


@dataclass(frozen=True, slots=True)
class PutPeering(Change):
    """Create a side of a peering, or set its switches (`az network vnet peering create` and `update`).

    A new side has Azure's defaults. A side that was Disconnected is "back to Initiated state", as Azure calls it
    (github.com/hashicorp/terraform-provider-azurerm/issues/14051).
    """

    kind: ClassVar[str] = "peering"
    virtual_network: str
    remote_virtual_network: str
    use_remote_gateways: bool | None = None
    allow_gateway_transit: bool | None = None
    allow_forwarded_traffic: bool | None = None

    @property
    def subject(self) -> str:
        """See `Change`."""
        return f"{self.virtual_network} to {self.remote_virtual_network}"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        virtual_network_of(azure, self.virtual_network)
        virtual_network_of(azure, self.remote_virtual_network)
        before, after = self._before(azure), self._after(azure)
        if before is None:
            return replace(azure, peerings=(*azure.peerings, after))
        return replace(azure, peerings=tuple(after if p == before else p for p in azure.peerings))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before, after = self._before(azure), self._after(azure)
        initiated = peering_side(azure, self.remote_virtual_network, self.virtual_network) is None
        if before is None:
            found = ["created"]
        else:
            found = [
                f"{flag} {step(switch(on=getattr(before, field)), switch(on=getattr(after, field)))}"
                for flag, field in PEERING_FLAGS.items()
                if getattr(before, field) != getattr(after, field)
            ]
            initiated &= before.disconnected
        if initiated:
            found.append("Initiated until the other side exists")
        return ", ".join(found) or UNCHANGED

    def _before(self, azure: Azure) -> Peering | None:
        return peering_side(azure, self.virtual_network, self.remote_virtual_network)

    def _after(self, azure: Azure) -> Peering:
        before = self._before(azure) or Peering(self.virtual_network, self.remote_virtual_network)
        remote, transit, forwarded = (
            self.use_remote_gateways,
            self.allow_gateway_transit,
            self.allow_forwarded_traffic,
        )
        return replace(
            before,
            disconnected=False,
            use_remote_gateways=before.use_remote_gateways if remote is None else remote,
            allow_gateway_transit=before.allow_gateway_transit if transit is None else transit,
            allow_forwarded_traffic=before.allow_forwarded_traffic if forwarded is None else forwarded,
        )


@dataclass(frozen=True, slots=True)
class DeletePeering(Change):
    """Delete a side of a peering; the other side becomes Disconnected (`az network vnet peering delete`)."""

    kind: ClassVar[str] = "peering"
    never_refused: ClassVar[bool] = True
    virtual_network: str
    remote_virtual_network: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return f"{self.virtual_network} to {self.remote_virtual_network}"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        local, remote = self._ends(azure)
        return replace(
            azure,
            peerings=tuple(
                replace(p, disconnected=True) if (p.local, p.remote) == (remote, local) else p
                for p in azure.peerings
                if (p.local, p.remote) != (local, remote)
            ),
        )

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        local, remote = self._ends(azure)
        return "deleted" + (": the other side is Disconnected" if peering_side(azure, remote, local) else "")

    def _ends(self, azure: Azure) -> tuple[str, str]:
        must_be_a_peering(azure, self.virtual_network, self.remote_virtual_network)
        return self.virtual_network, self.remote_virtual_network


@dataclass(frozen=True, slots=True)
class SyncPeering(Change):
    """Make a side of a peering take the ranges of its remote network (`az network vnet peering sync`) [peering-sync].

    `remote_address_space` are other ranges than those of today: a record of what the side had before.
    """

    kind: ClassVar[str] = "peering"
    virtual_network: str
    remote_virtual_network: str
    remote_address_space: tuple[IPv4Network, ...] | None = None

    @property
    def subject(self) -> str:
        """See `Change`."""
        return f"{self.virtual_network} to {self.remote_virtual_network}"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        before, after = self._sides(azure)
        return replace(azure, peerings=tuple(after if side == before else side for side in azure.peerings))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before, after = self._sides(azure)
        if before == after:
            return UNCHANGED
        had, has = remote_ranges(azure, before), remote_ranges(azure, after)
        return f"ranges of {before.remote} {step(_listed(had), _listed(has))}"

    def _sides(self, azure: Azure) -> tuple[Peering, Peering]:
        """The side before and after."""
        must_be_a_peering(azure, self.virtual_network, self.remote_virtual_network)
        before = peering_side(azure, self.virtual_network, self.remote_virtual_network)
        assert before is not None
        today = azure.virtual_network[before.remote].address_space
        return before, with_remote_ranges(before, self.remote_address_space or today, today)


def with_remote_ranges(side: Peering, ranges: tuple[IPv4Network, ...], today: tuple[IPv4Network, ...]) -> Peering:
    """A side of a peering that has these ranges of its remote virtual network, which has those of `today`."""
    return replace(side, remote_address_space=None if {*ranges} == {*today} else ranges)


def virtual_network_of(azure: Azure, name: str) -> VirtualNetwork:
    """The virtual network of this name.

    Raises:
        InvalidInput: there is none.
    """
    named("virtual network", name, azure.virtual_network)
    return azure.virtual_network[name]


def with_virtual_network(azure: Azure, network: VirtualNetwork) -> Azure:
    """The model with this virtual network in place of the one of its name."""
    return replace(
        azure, virtual_networks=tuple(network if v.name == network.name else v for v in azure.virtual_networks)
    )


def peering_side(azure: Azure, local: str, remote: str) -> Peering | None:
    """A side of a peering, if it exists."""
    return next((p for p in azure.peerings if (p.local, p.remote) == (local, remote)), None)


def must_be_a_peering(azure: Azure, local: str, remote: str) -> None:
    """Check that a side of a peering exists.

    Raises:
        InvalidInput: it does not.
    """
    if peering_side(azure, local, remote) is None:
        known = ", ".join(f"{p.local} to {p.remote}" for p in azure.peerings) or "none"
        raise InvalidInput(f"there is no peering {local} to {remote}.", f"The lab's peerings: {known}.")


def peering_state(azure: Azure, peering: Peering) -> str:
    """Azure's `peeringState` of a side."""
    if peering_side(azure, peering.remote, peering.local) is not None:
        return "Connected"
    return "Disconnected" if peering.disconnected else "Initiated"


def peering_sync_level(azure: Azure, peering: Peering) -> str:
    """Azure's `peeringSyncLevel` of a side: that whose remote network has changed is LocalNotInSync [peering-sync]."""
    other = peering_side(azure, peering.remote, peering.local)
    local = peering.remote_address_space is not None
    remote = other is not None and other.remote_address_space is not None
    return {
        (False, False): "FullyInSync",
        (True, False): "LocalNotInSync",
        (False, True): "RemoteNotInSync",
        (True, True): "LocalAndRemoteNotInSync",
    }[local, remote]


def _listed(ranges: tuple[IPv4Network, ...]) -> str:
    return " ".join(map(str, ranges))
