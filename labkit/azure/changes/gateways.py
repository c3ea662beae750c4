"""Changes of the connections of gateways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from labkit.azure.changes.base import Change, named
from labkit.azure.model import Azure, Connection
from labkit.errors import InvalidInput


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

    `remote` is an ExpressRoute circuit, a local network gateway, or a VPN gateway of another virtual network.
    """

    connection: str
    gateway: str
    remote: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        named("gateway", self.gateway, azure.gateway)
        named("remote end", self.remote, (*azure.circuit, *azure.local_network_gateway, *azure.gateway))
        if any(each.name == self.connection for each in azure.connections):
            raise InvalidInput(
                f"connection {self.connection} already exists.", "List them: labkit gateway connection list"
            )
        return replace(azure, connections=(*azure.connections, Connection(self.connection, self.gateway, self.remote)))

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
