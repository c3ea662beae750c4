"""Route tables with their routes."""

from __future__ import annotations

from labkit.arm.read.fields import Fields
from labkit.arm.read.reading import Reading
from labkit.azure.model import NextHopType
from labkit.lab.file.yaml_source import Data


def route_tables(reading: Reading) -> dict[str, Data]:
    """The section `route_tables`."""
    found: dict[str, Data] = {}
    for name, resource, fields in reading.of_type("routeTables"):
        routes: dict[str, Data] = {}
        for child in reading.bag.children_of(resource.id, "routes"):
            route = Fields.of(child)
            prefix, kind = route.text("addressPrefix"), route.text("nextHopType")
            if not prefix[:1].isdigit() or ":" in prefix:
                reason = f"its prefix {prefix[:60]} is a service tag or IPv6"
                reading.leave_out(child.id, reason, "Packets to it follow the table's other routes.")
            elif kind.casefold() == NextHopType.VIRTUAL_APPLIANCE.casefold():
                routes[str(route.prefix("addressPrefix"))] = str(route.address("nextHopIpAddress"))
            else:
                routes[str(route.prefix("addressPrefix"))] = kind
        entry: dict[str, Data] = {"routes": routes} if routes else {}
        if fields.flag("disableBgpRoutePropagation", False):
            entry["disable_bgp_route_propagation"] = "true"
        found[name] = entry
    return found
