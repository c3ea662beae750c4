"""Changes of route tables, their routes, and the subnets that have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labkit.azure.changes.base import UNCHANGED, Change, named, step, switch
from labkit.azure.changes.route_servers import must_be_a_name
from labkit.azure.changes.virtual_networks import virtual_network_of, with_virtual_network
from labkit.azure.model import Azure, NextHopType, RouteTable, UserRoute
from labkit.errors import InvalidInput

_HOPS = (
    NextHopType.VNET_LOCAL,
    NextHopType.INTERNET,
    NextHopType.VIRTUAL_APPLIANCE,
    NextHopType.VIRTUAL_NETWORK_GATEWAY,
    NextHopType.NONE,
)
"""The next hop types that a user-defined route may have (`RouteNextHopType`)."""


class _OfRouteTable(Change):
    """A change of a route table."""

    __slots__ = ()
    kind: ClassVar[str] = "route-table"
    route_table: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.route_table


class _OfRoute(_OfRouteTable):
    """A change of a user-defined route."""

    __slots__ = ()
    address_prefix: IPv4Network

    @property
    def part(self) -> str:
        """See `Change`."""
        return f"route {self.address_prefix}"


@dataclass(frozen=True, slots=True)
class PutRouteTable(_OfRouteTable):
    """Create a route table, or set whether it takes BGP routes (`az network route-table create` and `update`)."""

    route_table: str
    disable_bgp_route_propagation: bool | None = None

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        disable = self.disable_bgp_route_propagation
        before = azure.route_table.get(self.route_table)
        if before is None:
            must_be_a_name(self.route_table, "a route table")
            new = RouteTable(self.route_table, disable_bgp_route_propagation=bool(disable))
            return replace(azure, route_tables=(*azure.route_tables, new))
        return _with_route_table(azure, replace(before, disable_bgp_route_propagation=self._disabled(before, disable)))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        disable = self.disable_bgp_route_propagation
        before = azure.route_table.get(self.route_table)
        if before is None:
            return "created" + (", BGP propagation off" if disable else "")
        had, has = before.disable_bgp_route_propagation, self._disabled(before, disable)
        return f"BGP propagation {step(switch(on=not had), switch(on=not has))}" if had != has else UNCHANGED

    @staticmethod
    def _disabled(before: RouteTable, disable: bool | None) -> bool:
        return before.disable_bgp_route_propagation if disable is None else disable


@dataclass(frozen=True, slots=True)
class DeleteRouteTable(_OfRouteTable):
    """Delete a route table that no subnet has (`az network route-table delete`).

    While one has it, Azure refuses (`InUseRouteTableCannotBeDeleted`; github.com/Azure/azure-xplat-cli/issues/2867).
    """

    route_table: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        gone = route_table_of(azure, self.route_table)
        users = subnets_with(azure, gone.name)
        if users:
            text = f"Azure would refuse that: route table {gone.name} is in use by {', '.join(users)}."
            raise InvalidInput(text, f"Dissociate it first: labkit route-table dissociate {users[0]}")
        return replace(azure, route_tables=tuple(t for t in azure.route_tables if t.name != gone.name))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        route_table_of(azure, self.route_table)
        return "deleted"


@dataclass(frozen=True, slots=True)
class PutRoute(_OfRoute):
    """Create a user-defined route (`az network route-table route create`), with `replace` in the place of another one.

    Azure refuses a second one for a prefix (`RouteConflict`) [route-conflict]. `next_hop_ip_address` is given exactly
    for `VirtualAppliance`.
    """

    route_table: str
    address_prefix: IPv4Network
    next_hop_type: NextHopType
    next_hop_ip_address: IPv4Address | None = None
    replace: bool | None = None

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        table = route_table_of(azure, self.route_table)
        if self.next_hop_type not in _HOPS:
            raise InvalidInput(
                f"{self.next_hop_type} can't be the next hop of a user-defined route.",
                f"Write one of: {', '.join(_HOPS)}.",
            )
        if (self.next_hop_type is NextHopType.VIRTUAL_APPLIANCE) is (self.next_hop_ip_address is None):
            raise InvalidInput(
                f"route {self.address_prefix} of route table {table.name}: nextHopIpAddress goes with "
                f"{NextHopType.VIRTUAL_APPLIANCE}, and only with it.",
                "Give both or neither.",
            )
        before = _route(azure, table.name, self.address_prefix)
        if not self.replace and before not in (None, self._route):
            raise InvalidInput(
                f"Azure would refuse that (RouteConflict): route table {table.name} has a route for "
                f"{self.address_prefix} already, {hop(before)}.",
                f"Put it in that one's place: labkit route-table add {table.name} {self.address_prefix} "
                f"{hop(self._route)} --replace",
            )
        routes = {route.prefix: route for route in table.routes} | {self.address_prefix: self._route}
        return _with_route_table(azure, replace(table, routes=tuple(routes.values())))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = _route(azure, self.route_table, self.address_prefix)
        if before is None:
            return f"route {self.address_prefix} created: {hop(self._route)}"
        if before == self._route:
            return UNCHANGED
        return f"route {self.address_prefix} {step(hop(before), hop(self._route))}"

    @property
    def _route(self) -> UserRoute:
        return UserRoute(self.address_prefix, self.next_hop_type, self.next_hop_ip_address)


@dataclass(frozen=True, slots=True)
class DeleteRoute(_OfRoute):
    """Delete the user-defined route for a prefix, if there is one (`az network route-table route delete`)."""

    route_table: str
    address_prefix: IPv4Network

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        table = route_table_of(azure, self.route_table)
        kept = tuple(route for route in table.routes if route.prefix != self.address_prefix)
        return _with_route_table(azure, replace(table, routes=kept))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = _route(azure, self.route_table, self.address_prefix)
        if before is None:
            return f"{UNCHANGED}: there is no route {self.address_prefix}"
        return f"route {self.address_prefix} deleted: it was {hop(before)}"


@dataclass(frozen=True, slots=True)
class AssociateRouteTable(Change):
    """Give a subnet a route table (`az network vnet subnet update --route-table`).

    A subnet has one: Azure replaces the one it had without a question (github.com/Azure/azure-cli/issues/7210).
    """

    kind: ClassVar[str] = "subnet"
    virtual_network: str
    subnet: str
    route_table: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return f"{self.virtual_network}/{self.subnet}"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        route_table_of(azure, self.route_table)
        return _associated(azure, self.virtual_network, self.subnet, self.route_table)

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = _table_of_subnet(azure, self.virtual_network, self.subnet)
        if before == self.route_table:
            return UNCHANGED
        return f"route table {self.route_table} associated" + (f" in place of {before}" if before is not None else "")


@dataclass(frozen=True, slots=True)
class DissociateRouteTable(Change):
    """Take a subnet's route table away from it (`az network vnet subnet update --remove routeTable`)."""

    kind: ClassVar[str] = "subnet"
    virtual_network: str
    subnet: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return f"{self.virtual_network}/{self.subnet}"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        return _associated(azure, self.virtual_network, self.subnet, None)

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = _table_of_subnet(azure, self.virtual_network, self.subnet)
        return UNCHANGED if before is None else f"route table {before} dissociated"


def route_table_of(azure: Azure, name: str) -> RouteTable:
    """The route table of this name.

    Raises:
        InvalidInput: there is none.
    """
    remedy = "The lab's route tables: {}. Create one: labkit route-table create {}"
    named("route table", name, sorted(azure.route_table), lambda listing: remedy.format(listing, name))
    return azure.route_table[name]


def subnets_with(azure: Azure, table: str) -> tuple[str, ...]:
    """The subnets that have a route table, each as `network/subnet`, in file order."""
    return tuple(f"{v.name}/{s.name}" for v in azure.virtual_networks for s in v.subnets if s.route_table == table)


def hop(route: UserRoute) -> str:
    """Where a user-defined route leads: an appliance's address, or the next hop type."""
    return str(route.next_hop or route.next_hop_type)


def _with_route_table(azure: Azure, table: RouteTable) -> Azure:
    return replace(azure, route_tables=tuple(table if t.name == table.name else t for t in azure.route_tables))


def _route(azure: Azure, table: str, prefix: IPv4Network) -> UserRoute | None:
    return next((route for route in route_table_of(azure, table).routes if route.prefix == prefix), None)


def _table_of_subnet(azure: Azure, network: str, subnet: str) -> str | None:
    tables = {s.name: s.route_table for s in virtual_network_of(azure, network).subnets}
    if subnet not in tables:
        raise InvalidInput(
            f"virtual network {network} has no subnet {subnet}.", f"Its subnets: {', '.join(tables) or 'none'}."
        )
    return tables[subnet]


def _associated(azure: Azure, network: str, subnet: str, table: str | None) -> Azure:
    _table_of_subnet(azure, network, subnet)
    before = azure.virtual_network[network]
    subnets = tuple(replace(s, route_table=table) if s.name == subnet else s for s in before.subnets)
    return with_virtual_network(azure, replace(before, subnets=subnets))
