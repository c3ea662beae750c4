"""The changes that `labkit whatif` tries: each a value that makes another model of a model. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any, Protocol

from labkit.azure.changes import edit as changes
from labkit.azure.model import (
    Azure,
    HubRoutingPreference,
    InstanceRoutes,
    LearnedRoute,
    Peering,
    PeerKind,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.errors import InvalidInput
from labkit.lab.file.refusal import refuse_ranges
from labkit.predict.azure_speakers import AdjRibsIn

FLAGS = {
    "use-remote-gateways": "use_remote_gateways",
    "allow-gateway-transit": "allow_gateway_transit",
    "allow-forwarded-traffic": "allow_forwarded_traffic",
}
"""The switches of a peering's side, by the names that people say."""


class Change(Protocol):
    """A change of what Azure knows, or of what an NVA says to it."""

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """The model and what its speakers hear, with the change.

        Raises:
            InvalidInput: what it changes is not there.
        """

    def title(self, azure: Azure) -> str:
        """The change in a few words, given the model before it."""


@dataclass(frozen=True, slots=True)
class BranchToBranch:
    """A route server's branch-to-branch setting."""

    server: str
    on: bool

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        after = replace(_server(azure, self.server), branch_to_branch=self.on)
        return changes.with_route_server(azure, after), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        before = _server(azure, self.server).branch_to_branch
        return f"branch-to-branch of {self.server}: {_step(_switch(on=before), _switch(on=self.on))}"


@dataclass(frozen=True, slots=True)
class Preference:
    """A route server's hub routing preference."""

    server: str
    value: HubRoutingPreference

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        after = replace(_server(azure, self.server), hub_routing_preference=self.value)
        return changes.with_route_server(azure, after), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        before = _server(azure, self.server).hub_routing_preference
        return f"hub routing preference of {self.server}: {_step(str(before), str(self.value))}"


@dataclass(frozen=True, slots=True)
class Prepend:
    """An NVA puts its ASN into the paths it tells route servers `times` more; less, if negative."""

    peer: str
    times: int

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        if not any(p.name == self.peer and p.kind is PeerKind.NVA for s in azure.route_servers for p in s.peers):
            names = dict.fromkeys(p.name for s in azure.route_servers for p in s.peers if p.kind is PeerKind.NVA)
            raise InvalidInput(
                f"{self.peer} is no NVA that a route server has as its peer.",
                f"These are: {', '.join(names) or 'none'}.",
            )
        return azure, replace(heard, servers={i: self._longer(table) for i, table in heard.servers.items()})

    def title(self, azure: Azure) -> str:  # noqa: ARG002 - it is the same in every model
        """See `Change`."""
        word = "more" if self.times >= 0 else "less"
        return f"{self.peer} prepends its ASN {_times(abs(self.times))} {word} towards route servers"

    def _longer(self, table: InstanceRoutes) -> InstanceRoutes:
        return {
            prefix: tuple(self._prepended(path) if path.peer.name == self.peer else path for path in paths)
            for prefix, paths in table.items()
        }

    def _prepended(self, path: LearnedRoute) -> LearnedRoute:
        asn, as_path = path.peer.asn, path.attributes.as_path
        if self.times >= 0:
            as_path = (asn,) * self.times + as_path
        elif as_path[: 1 - self.times] == (asn,) * (1 - self.times):
            as_path = as_path[-self.times :]
        else:
            raise InvalidInput(
                f"{self.peer} does not put its ASN {_times(-self.times)} more than needed into {path.prefix}.",
                f"Look: labkit learned-routes SERVER {self.peer}",
            )
        return replace(path, attributes=replace(path.attributes, as_path=as_path))


@dataclass(frozen=True, slots=True)
class Route:
    """A user-defined route of a route table, in place of the one for its prefix; None takes that one away."""

    table: str
    prefix: IPv4Network
    route: UserRoute | None

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        table = _table(azure, self.table)
        routes = {route.prefix: route for route in table.routes}
        if self.route is not None:
            routes[self.prefix] = self.route
        elif routes.pop(self.prefix, None) is None:
            has = ", ".join(map(str, routes)) or "none"
            raise InvalidInput(f"route table {self.table} has no route for {self.prefix}.", f"It has: {has}.")
        return changes.with_route_table(azure, replace(table, routes=tuple(routes.values()))), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        before = next((r for r in _table(azure, self.table).routes if r.prefix == self.prefix), None)
        return f"{self.prefix} in route table {self.table}: {_step(_hop(before), _hop(self.route))}"


@dataclass(frozen=True, slots=True)
class Propagation:
    """Whether the subnets of a route table get BGP routes."""

    table: str
    on: bool

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        table = replace(_table(azure, self.table), disable_bgp_route_propagation=not self.on)
        return changes.with_route_table(azure, table), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        before = not _table(azure, self.table).disable_bgp_route_propagation
        return f"BGP propagation of route table {self.table}: {_step(_switch(on=before), _switch(on=self.on))}"


@dataclass(frozen=True, slots=True)
class PeeringFlag:
    """A switch of a peering, on the side of `local`; `flag` is a key of `FLAGS`."""

    local: str
    remote: str
    flag: str
    on: bool

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        changed: dict[str, Any] = {FLAGS[self.flag]: self.on}
        return changes.with_peering(azure, replace(_peering(azure, self.local, self.remote), **changed)), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        before = bool(getattr(_peering(azure, self.local, self.remote), FLAGS[self.flag]))
        step = _step(_switch(on=before), _switch(on=self.on))
        return f"{self.flag} of the peering {self.local} to {self.remote}: {step}"


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """Another address space of a virtual network."""

    network: str
    ranges: tuple[IPv4Network, ...]

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        self._before(azure)
        refuse_ranges(self.ranges)
        return changes.with_address_space(azure, self.network, self.ranges), heard

    def title(self, azure: Azure) -> str:
        """See `Change`."""
        return f"address space of {self.network}: {_step(_listed(self._before(azure)), _listed(self.ranges))}"

    def _before(self, azure: Azure) -> tuple[IPv4Network, ...]:
        if self.network not in azure.virtual_network:
            known = ", ".join(azure.virtual_network)
            raise InvalidInput(f"there is no virtual network {self.network}.", f"The lab's: {known}.")
        return azure.virtual_network[self.network].address_space


@dataclass(frozen=True, slots=True)
class NoPeering:
    """A peering's side at `local` is deleted."""

    local: str
    remote: str

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        _peering(azure, self.local, self.remote)
        return changes.without_peering(azure, self.local, self.remote), heard

    def title(self, azure: Azure) -> str:  # noqa: ARG002 - it is the same in every model
        """See `Change`."""
        return f"the peering {self.local} to {self.remote} is deleted"


@dataclass(frozen=True, slots=True)
class NoServer:
    """A route server is deleted."""

    server: str

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        _server(azure, self.server)
        servers = {instance: table for instance, table in heard.servers.items() if instance.name != self.server}
        return changes.without_route_server(azure, self.server), replace(heard, servers=servers)

    def title(self, azure: Azure) -> str:  # noqa: ARG002 - it is the same in every model
        """See `Change`."""
        return f"route server {self.server} is deleted"


@dataclass(frozen=True, slots=True)
class NoPeer:
    """A peer of a route server is deleted."""

    server: str
    peer: str

    def apply(self, azure: Azure, heard: AdjRibsIn) -> tuple[Azure, AdjRibsIn]:
        """See `Change`."""
        server = _server(azure, self.server)
        names = [peer.name for peer in server.peers]
        if self.peer not in names:
            has = ", ".join(names) or "none"
            raise InvalidInput(f"route server {self.server} has no peer {self.peer}.", f"Its peers are: {has}.")
        return changes.with_route_server(azure, changes.without_peer(server, self.peer)), heard

    def title(self, azure: Azure) -> str:  # noqa: ARG002 - it is the same in every model
        """See `Change`."""
        return f"peer {self.peer} of {self.server} is deleted"


DELETIONS = (NoPeering, NoServer, NoPeer)
"""What Azure never refuses, whatever is left in the air by it."""


def _server(azure: Azure, name: str) -> RouteServer:
    if name not in azure.route_server:
        known = ", ".join(sorted(azure.route_server)) or "none"
        raise InvalidInput(f"there is no route server {name}.", f"The lab's route servers: {known}.")
    return azure.route_server[name]


def _table(azure: Azure, name: str) -> RouteTable:
    if name not in azure.route_table:
        known = ", ".join(sorted(azure.route_table)) or "none"
        raise InvalidInput(f"there is no route table {name}.", f"The lab's route tables: {known}.")
    return azure.route_table[name]


def _peering(azure: Azure, local: str, remote: str) -> Peering:
    for peering in azure.peerings:
        if (peering.local, peering.remote) == (local, remote):
            return peering
    if any((p.local, p.remote) == (remote, local) for p in azure.peerings):
        raise InvalidInput(
            f"there is no peering {local} to {remote}: of the two sides, only {remote} to {local} is there.",
            f"Create it: labkit vnet peering create {local} {remote}",
        )
    known = dict.fromkeys(" - ".join(sorted((p.local, p.remote))) for p in azure.peerings)
    raise InvalidInput(f"{local} and {remote} are not peered.", f"The lab's peerings: {', '.join(known) or 'none'}.")


def _listed(ranges: tuple[IPv4Network, ...]) -> str:
    return " ".join(map(str, ranges))


def _step(before: str, after: str) -> str:
    return f"{before} → {after}" if before != after else f"{after} already"


def _switch(*, on: bool) -> str:
    return "on" if on else "off"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _hop(route: UserRoute | None) -> str:
    return "none" if route is None else str(route.next_hop or route.next_hop_type)
