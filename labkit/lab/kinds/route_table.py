"""Route tables with their user-defined routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from pydantic import Field

from labkit.azure import model
from labkit.azure.model import NextHopType
from labkit.azure.model.problem import Code
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import HopReference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import AzureName, Part, Prefix
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import AzureRefusal, Checking, Kind, at
from labkit.lab.kinds.names import check_azure_names
from labkit.lab.kinds.next_hop import next_hop_address, refer_next_hop

_SYSTEM = (NextHopType.INTERNET, NextHopType.VNET_LOCAL, NextHopType.VIRTUAL_NETWORK_GATEWAY, NextHopType.NONE)
_TYPES = {str(t).casefold(): t for t in _SYSTEM}

NEXT_HOPS = "Write Internet, VnetLocal, VirtualNetworkGateway, None, or the name or address of an appliance."


class RouteTable(Part):
    """A route table: user-defined routes for the subnets that name it."""

    routes: dict[Prefix, HopReference] = Field(default_factory=dict)
    """Next hop by prefix: Internet, VnetLocal, VirtualNetworkGateway (the VPN gateway), None, or the name or address of
    an appliance or a load balancer."""
    disable_bgp_route_propagation: bool = False
    """True: the subnets' NICs get no routes from route servers."""


ROUTE_TABLES: Section[dict[str, RouteTable]] = Section(
    "route_tables",
    "route table",
    dict[AzureName, RouteTable],
    "Route tables by name.",
    dict,
    parts={"routes": "route {1} of route table {0}"},
)


def next_hop_type(text: str) -> NextHopType | None:
    """The next hop type that a route of a route table names; None if the text must be a name or an address."""
    return _TYPES.get(text.casefold())


def no_next_hop(text: str) -> tuple[str, str] | None:
    """Why one of Azure's next hop types can't be in a route here, and the remedy; None for any other text."""
    kind = next((t for t in NextHopType if t.casefold() == text.casefold()), None)
    if kind is None or next_hop_type(text) is not None:
        return None
    if kind is NextHopType.VIRTUAL_APPLIANCE:
        return f"{text} alone can't be a next hop", "Write the appliance's name or address."
    return f"{text} can't be a next hop: peerings bring their routes by themselves", NEXT_HOPS


class RouteTableKind(Kind):
    """Route tables; nothing in a lab's nodes but what the rules make of them."""

    section = ROUTE_TABLES
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.NEXT_HOP_NOBODYS: AzureRefusal(
            "Packets by it are lost: write the name or the address of an appliance, or None.",
            at("route_tables", 0, "routes", 1),
        ),
        Code.ROUTE_TO_NO_GATEWAY: AzureRefusal(
            "Azure drops packets by it. Write None if that is meant, or announce the prefix by BGP.",
            at("route_tables", 0, "routes", 1),
        ),
    }

    def references(self, checking: Checking) -> None:
        """See `Kind`: route tables have Azure's names, and no nodes."""
        check_azure_names(checking.draft, ("route_tables",), 'route table "{}"', {})
        for name, table in checking.draft.file[ROUTE_TABLES].items():
            for prefix, hop in table.routes.items():
                _check_next_hop(checking, ("route_tables", name, "routes", str(prefix)), hop)

    def azure(self, draft: Draft, addresses: Addresses, azure: model.Azure) -> model.Azure:
        """See `Kind`."""
        tables = tuple(
            model.RouteTable(
                name,
                tuple(r for prefix, hop in table.routes.items() for r in _routes(prefix, hop, addresses.next_hops)),
                table.disable_bgp_route_propagation,
            )
            for name, table in draft.file[ROUTE_TABLES].items()
        )
        return replace(azure, route_tables=tables)


def _routes(prefix: IPv4Network, hop: str, next_hops: Mapping[str, IPv4Address]) -> Iterator[model.UserRoute]:
    kind = next_hop_type(hop)
    address = next_hop_address(hop, next_hops)
    if kind is not None:
        yield model.UserRoute(prefix, kind)
    elif address is not None:
        yield model.UserRoute(prefix, NextHopType.VIRTUAL_APPLIANCE, address)


def _check_next_hop(checking: Checking, path: Path, hop: str) -> None:
    draft = checking.draft
    about = draft.subject(path)[0]
    wrong = no_next_hop(hop)
    if wrong is not None:
        text, remedy = wrong
        draft.spoil(path)
        draft.error(path, f"{about}: {text}.", remedy)
    elif next_hop_type(hop) is None:
        refer_next_hop(checking, path, about, hop, _SYSTEM)
