"""Changes of gateways and their connections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure.changes.base import Change, named
from labkit.azure.model import Azure, Connection, Gateway, PeerKind
from labkit.errors import InvalidInput


class _OfGateway(Change):
    """A change of a gateway."""

    __slots__ = ()
    kind: ClassVar[str] = "gateway"
    gateway: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.gateway


@dataclass(frozen=True, slots=True)
class CreateGateway(_OfGateway):
    """Create a gateway without connections (`az network vnet-gateway create`).

    `ip_addresses` are those of its one or two instances in GatewaySubnet; a VPN gateway with two is active-active.
    """

    gateway: str
    virtual_network: str
    gateway_type: PeerKind
    ip_addresses: Annotated[tuple[IPv4Address, ...], Field(min_length=1, max_length=2)]
    asn: int

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        if self.gateway in azure.gateway:
            raise InvalidInput(f"gateway {self.gateway} already exists.", "List them: labkit gateway list")
        named("virtual network", self.virtual_network, azure.virtual_network)
        vpn = self.gateway_type is PeerKind.VPN_GATEWAY
        new = Gateway(
            self.gateway,
            self.virtual_network,
            self.gateway_type,
            self.ip_addresses,
            self.asn,
            active_active=vpn and len(self.ip_addresses) > 1,
        )
        return replace(azure, gateways=(*azure.gateways, new))

    def describe(self, azure: Azure) -> str:  # noqa: ARG002 - the same in every model
        """See `Change`."""
        return "created"


@dataclass(frozen=True, slots=True)
class DeleteGateway(_OfGateway):
    """Delete a gateway that has no connection (`az network vnet-gateway delete`) [gateway-in-use]."""

    gateway: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        named("gateway", self.gateway, azure.gateway)
        used = [each.name for each in azure.connections if self.gateway in (each.gateway, each.remote)]
        if used:
            raise InvalidInput(
                f"Azure would refuse that: gateway {self.gateway} has connections: {', '.join(used)}.",
                "Delete them first: labkit gateway connection delete",
            )
        nodes = {instance.node for instance in azure.gateway[self.gateway].instance_ids}
        return replace(
            azure,
            gateways=tuple(gateway for gateway in azure.gateways if gateway.name != self.gateway),
            nics=tuple(nic for nic in azure.nics if nic.machine not in nodes),
        )

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        named("gateway", self.gateway, azure.gateway)
        return "deleted"


class _OfConnection(Change):
    """A change of a connection."""

    __slots__ = ()
    kind: ClassVar[str] = "connection"
    connection: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.connection


@dataclass(frozen=True, slots=True)
class CreateConnection(_OfConnection):
    """Create a gateway's connection (`az network vpn-connection create`).

    `remote` is an ExpressRoute circuit, a local network gateway, or a VPN gateway of another virtual network. The
    connection to a circuit of another subscription redeems an `authorization` of it [circuit-authorization].
    """

    connection: str
    gateway: str
    remote: str
    authorization: str | None = None

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        named("gateway", self.gateway, azure.gateway)
        named("remote end", self.remote, (*azure.circuit, *azure.local_network_gateway, *azure.gateway))
        if any(each.name == self.connection for each in azure.connections):
            raise InvalidInput(
                f"connection {self.connection} already exists.", "List them: labkit gateway connection list"
            )
        made = Connection(self.connection, self.gateway, self.remote, authorization=self.authorization or "")
        return replace(azure, connections=(*azure.connections, made))

    def describe(self, azure: Azure) -> str:  # noqa: ARG002 - the same in every model
        """See `Change`."""
        return "created"


@dataclass(frozen=True, slots=True)
class DeleteConnection(_OfConnection):
    """Delete a gateway's connection (`az network vpn-connection delete`); its sessions end."""

    never_refused: ClassVar[bool] = True
    connection: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        named("connection", self.connection, (each.name for each in azure.connections))
        return replace(azure, connections=tuple(c for c in azure.connections if c.name != self.connection))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        named("connection", self.connection, (each.name for each in azure.connections))
        return "deleted"
