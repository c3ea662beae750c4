"""One route table in the words of a lab file, for those who change it while the lab runs."""

from __future__ import annotations

from typing import TypedDict

from pydantic import ValidationError

from labkit.azure.model import Azure, NextHopType, RouteTable, UserRoute
from labkit.errors import InvalidInput
from labkit.lab.file.draft import describe
from labkit.lab.kinds import route_table as schema
from labkit.lab.kinds.route_table import NEXT_HOPS, ROUTE_TABLES, address_of, next_hop_type, no_next_hop


class RouteTableText(TypedDict):
    """A route table as a lab file has it: next hop by prefix, and the propagation flag."""

    routes: dict[str, str]
    disable_bgp_route_propagation: bool


def must_be_a_route_table(name: str, azure: Azure) -> None:
    """See that there is such a route table.

    Raises:
        InvalidInput: there is none.
    """
    if name not in azure.route_table:
        known = ", ".join(sorted(azure.route_table)) or "none"
        raise InvalidInput(
            f"there is no route table {name}.",
            f"The lab's route tables: {known}. Create one: labkit route-table create {name}",
        )


def parse_route_table(name: str, body: object, azure: Azure) -> RouteTable:
    """A route table `name` with the content `body`, in the form of a lab file.

    Raises:
        InvalidInput: the content is not one.
    """
    try:
        said = schema.RouteTable.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        about, _ = ROUTE_TABLES.subject(("route_tables", name, *first["loc"]))
        text, remedy = describe(first, schema.RouteTable, {})
        raise InvalidInput(f"{about}: {text}.", remedy) from None
    routes = []
    for prefix, hop in said.routes.items():
        kind = next_hop_type(hop)
        address = None
        if kind is None:
            kind = NextHopType.VIRTUAL_APPLIANCE
            named = azure.nic.get(hop) or azure.load_balancer.get(hop)
            address = named.address if named is not None else address_of(hop)
            if address is None:
                text, remedy = no_next_hop(hop) or (f"{hop} is not a next hop", NEXT_HOPS)
                raise InvalidInput(f"route {prefix} of route table {name}: {text}.", remedy)
        routes.append(UserRoute(prefix, kind, address))
    return RouteTable(name, tuple(routes), said.disable_bgp_route_propagation)


def route_table_text(table: RouteTable) -> RouteTableText:
    """A route table in the form that `parse_route_table` takes."""
    return {
        "routes": {str(r.prefix): str(r.next_hop or r.next_hop_type) for r in table.routes},
        "disable_bgp_route_propagation": table.disable_bgp_route_propagation,
    }
