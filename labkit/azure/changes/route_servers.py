"""Changes of route servers and their peers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure.changes.base import UNCHANGED, Change, named, step, switch
from labkit.azure.model import Azure, BgpPeer, HubRoutingPreference, RouteServer
from labkit.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


def must_be_a_name(name: str, what: str) -> None:
    """Check that Azure takes a name for an object.

    Raises:
        InvalidInput: it does not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not a valid name of {what}.",
            "Use letters, digits, hyphens, underscores and periods, at most 80.",
        )


class _OfRouteServer(Change):
    """A change of a route server."""

    __slots__ = ()
    kind: ClassVar[str] = "route-server"
    route_server: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.route_server


class _OfPeer(_OfRouteServer):
    """A change of a peer of a route server."""

    __slots__ = ()
    name: str

    @property
    def part(self) -> str:
        """See `Change`."""
        return f"peering {self.name}"


@dataclass(frozen=True, slots=True)
class SetRouteServerSettings(_OfRouteServer):
    """Set a route server's branch-to-branch or its hub routing preference (`az network routeserver update`)."""

    route_server: str
    allow_branch_to_branch_traffic: bool | None = None
    hub_routing_preference: HubRoutingPreference | None = None

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        return with_route_server(azure, self._after(route_server_of(azure, self.route_server)))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = route_server_of(azure, self.route_server)
        after = self._after(before)
        found = []
        if before.branch_to_branch != after.branch_to_branch:
            found.append(
                f"branch-to-branch {step(switch(on=before.branch_to_branch), switch(on=after.branch_to_branch))}"
            )
        if before.hub_routing_preference != after.hub_routing_preference:
            preferences = step(before.hub_routing_preference, after.hub_routing_preference)
            found.append(f"hub routing preference {preferences}")
        return ", ".join(found) or UNCHANGED

    def _after(self, before: RouteServer) -> RouteServer:
        on, preference = self.allow_branch_to_branch_traffic, self.hub_routing_preference
        return replace(
            before,
            branch_to_branch=before.branch_to_branch if on is None else on,
            hub_routing_preference=before.hub_routing_preference if preference is None else preference,
        )


@dataclass(frozen=True, slots=True)
class CreateRouteServer(_OfRouteServer):
    """Create a route server with Azure's defaults and without peers (`az network routeserver create`).

    Facts: [branch-to-branch-default, hub-routing-preference].
    `virtual_router_ips` are the addresses of its two instances.
    """

    route_server: str
    virtual_network: str
    virtual_router_ips: tuple[IPv4Address, IPv4Address]

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        if self.route_server in azure.route_server:
            raise InvalidInput(
                f"route server {self.route_server} already exists.",
                f"List its peers: labkit route-server peering list {self.route_server}",
            )
        must_be_a_name(self.route_server, "a route server")
        named("virtual network", self.virtual_network, azure.virtual_network)
        server = RouteServer(self.route_server, self.virtual_network, self.virtual_router_ips)
        return replace(azure, route_servers=(*azure.route_servers, server))

    def describe(self, azure: Azure) -> str:  # noqa: ARG002 - the same in every model
        """See `Change`."""
        return "created"


@dataclass(frozen=True, slots=True)
class DeleteRouteServer(_OfRouteServer):
    """Delete a route server and its peers (`az network routeserver delete`)."""

    never_refused: ClassVar[bool] = True
    route_server: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        gone = route_server_of(azure, self.route_server)
        return replace(azure, route_servers=tuple(s for s in azure.route_servers if s != gone))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        route_server_of(azure, self.route_server)
        return "deleted"


@dataclass(frozen=True, slots=True)
class PutPeer(_OfPeer):
    """Create a peer of a route server, or replace the one of its name (`az network routeserver peering create`)."""

    route_server: str
    name: str
    peer_asn: Annotated[int, Field(gt=0, lt=1 << 32)]
    peer_ip: IPv4Address

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        server = route_server_of(azure, self.route_server)
        must_be_a_name(self.name, "a peering")
        if any(self.name == instance.node for gateway in azure.gateways for instance in gateway.instance_ids):
            raise InvalidInput(f"{self.name} is an instance of a gateway.", "Give the peering another name.")
        peer = BgpPeer(self.name, self.peer_asn, self.peer_ip)
        if self._before(server) is None:
            peers = (*server.peers, peer)
        else:
            peers = tuple(peer if p.name == self.name else p for p in server.peers)
        return with_route_server(azure, replace(server, peers=peers))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = self._before(route_server_of(azure, self.route_server))
        what = f"peering {self.name} ({self.peer_ip}, AS {self.peer_asn})"
        if before is None:
            return f"{what} created"
        if before == BgpPeer(self.name, self.peer_asn, self.peer_ip):
            return UNCHANGED
        return f"{what} changed (it was {before.address}, AS {before.asn})"

    def _before(self, server: RouteServer) -> BgpPeer | None:
        return next((p for p in server.peers if p.name == self.name), None)


@dataclass(frozen=True, slots=True)
class DeletePeer(_OfPeer):
    """Delete a peer of a route server (`az network routeserver peering delete`)."""

    never_refused: ClassVar[bool] = True
    route_server: str
    name: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        server = self._server(azure)
        return with_route_server(azure, replace(server, peers=tuple(p for p in server.peers if p.name != self.name)))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        self._server(azure)
        return f"peering {self.name} deleted"

    def _server(self, azure: Azure) -> RouteServer:
        server = route_server_of(azure, self.route_server)
        names = [peer.name for peer in server.peers]
        if self.name not in names:
            raise InvalidInput(
                f"route server {server.name} has no peer {self.name}.", f"Its peers are: {', '.join(names) or 'none'}."
            )
        return server


def route_server_of(azure: Azure, name: str) -> RouteServer:
    """The route server of this name.

    Raises:
        InvalidInput: there is none.
    """
    named("route server", name, azure.route_server, _remedy)
    return azure.route_server[name]


def with_route_server(azure: Azure, server: RouteServer) -> Azure:
    """The model with this route server in place of the one of its name."""
    return replace(azure, route_servers=tuple(server if s.name == server.name else s for s in azure.route_servers))


def _remedy(listing: str) -> str:
    return f"The lab's route servers: {listing}." if listing != "none" else "Create it: labkit route-server create"
