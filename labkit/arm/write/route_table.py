"""Route tables with their routes."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import REGIONS, Scope, region_of
from labkit.azure.model import Azure, UserRoute


def route_tables(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Each route table, in the region of the virtual network that uses it, then its routes."""
    used = {s.route_table: region_of(azure, v.name) for v in azure.virtual_networks for s in v.subnets}
    for table in azure.route_tables:
        id_ = scope.id("routeTables", table.name)
        properties: dict[str, Json] = {"disableBgpRoutePropagation": table.disable_bgp_route_propagation}
        yield Resource(id_, used.get(table.name, REGIONS[0]), properties=properties)
        for route in table.routes:
            name = f"to-{str(route.prefix).replace('/', '-')}"
            yield Resource(id_.child("routes", name), properties=_route(route))


def _route(route: UserRoute) -> dict[str, Json]:
    hop = route.next_hop
    return {
        "addressPrefix": str(route.prefix),
        "nextHopType": str(route.next_hop_type),
        **({"nextHopIpAddress": str(hop)} if hop is not None else {}),
    }
