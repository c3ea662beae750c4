"""Gateways in the shapes that Azure's command line prints [gateway-listings]."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv4Address
from typing import TypedDict

from labkit.azure.model import Gateway, InstanceId, PeerKind
from labkit.azure.rules.adjacency import server_in
from labkit.azure.rules.gateway_policy import PathSource
from labkit.azure.rules.gateways import session_server
from labkit.azure.rules.rows import ADVERTISED_WEIGHT, AdvertisedRow, LearnedTable, as_path_text, gateway_rows
from labkit.controller.controller import Controller
from labkit.controller.gateways import GatewayNeighbour
from labkit.controller.platform import Platform
from labkit.controller.session import shown
from labkit.daemons.tables import ESTABLISHED, AdvertisedPath, BgpNeighbour
from labkit.errors import InvalidInput
from labkit.feed.bgp import AdjRibOutQuery, AdvertisedPaths, NeighboursQuery, NeighbourStates
from labkit.feed.status import GatewaySession
from labkit.lab.connections import unconnected
from labkit.names import meant

UNKNOWN = "Unknown"
"""The state in which Azure lists an instance as a neighbour of itself."""


class GatewayAdvertisedRow(AdvertisedRow):
    """One element of `az network vnet-gateway list-advertised-routes`; Azure prints `"sourcePeer": null`."""

    sourcePeer: None  # noqa: N815 - Azure's name


class BgpPeerRow(TypedDict):
    """One element of `az network vnet-gateway list-bgp-peer-status`; `connectedDuration` is null if not connected.

    Azure's states are Unknown, Stopped, Idle, Connecting and Connected.
    """

    asn: int
    connectedDuration: str | None
    localAddress: str
    messagesReceived: int
    messagesSent: int
    neighbor: str
    routesReceived: int
    state: str


class GatewayAdvertisedTable(TypedDict):
    """The JSON document of `az network vnet-gateway list-advertised-routes`."""

    value: list[GatewayAdvertisedRow]


class BgpPeerTable(TypedDict):
    """The JSON document of `az network vnet-gateway list-bgp-peer-status`."""

    value: list[BgpPeerRow]


def learned(platform: Platform, gateway: Gateway, of: Iterable[InstanceId]) -> LearnedTable:
    """What instances of a gateway have, as `az network vnet-gateway list-learned-routes` prints it."""
    return {
        "value": [
            row
            for instance in of
            for row in gateway_rows(gateway, instance.index, platform.gateways.table(platform.azure, instance))
        ]
    }


async def advertised(controller: Controller, gateway: Gateway, peer: str) -> GatewayAdvertisedTable:
    """What the instances advertise to a neighbour (name or address), as `list-advertised-routes --peer` prints it.

    Of a circuit's name both edge routers are meant. Each instance is asked; one that does not answer has no rows. Of an
    ExpressRoute gateway one is `listed`.

    Raises:
        InvalidInput: the gateway has no such neighbour.
    """
    known = [
        (instance, address, neighbour)
        for instance in instances(controller.platform, gateway)
        for address, neighbour in neighbours(controller.platform, instance).items()
    ]
    circuits = controller.platform.azure.circuit
    name = meant(peer, (n for *_, each in known for n in (each.name, each.sender) if n == each.name or n in circuits))
    sessions = [each for each in known if name in {each[2].name, each[2].sender} or peer == str(each[1])]
    if not sessions:
        raise _no_neighbour(controller.platform, gateway, peer)
    answers = await asyncio.gather(
        *(controller.ask(instance.node, AdjRibOutQuery(str(address))) for instance, address, _ in sessions)
    )
    found = [
        (instance, neighbour.asn, answer.paths)
        for (instance, _, neighbour), answer in zip(sessions, answers, strict=True)
        if isinstance(answer, AdvertisedPaths)
    ]
    of = listed(gateway, [instance for instance, _, paths in found if paths])
    return {
        "value": [
            row
            for instance, asn, paths in found
            if instance in of
            for row in advertised_rows(gateway, instance.index, asn, paths)
        ]
    }


async def bgp_peers(controller: Controller, gateway: Gateway) -> BgpPeerTable:
    """The state of every session of a gateway, as `az network vnet-gateway list-bgp-peer-status` prints it.

    On-premises comes first. An instance that does not answer has no rows; of an ExpressRoute gateway one is `listed`.
    One of two of a VPN gateway has itself among them, as in Azure.
    """
    known = instances(controller.platform, gateway)
    answers = await asyncio.gather(*(controller.ask(instance.node, NeighboursQuery()) for instance in known))
    found = {
        instance: answer.neighbours
        for instance, answer in zip(known, answers, strict=True)
        if isinstance(answer, NeighbourStates) and answer.neighbours
    }
    rows = []
    for instance in listed(gateway, [*found]):
        states = found[instance]
        by_address = {state.address: state for state in states}
        rows += [
            peer_row(gateway.instances[instance.index], by_address[address])
            for address in neighbours(controller.platform, instance)
            if address in by_address
        ]
        if gateway.active_active and gateway.kind is PeerKind.VPN_GATEWAY:
            own = gateway.instances[instance.index]
            rows.append(peer_row(own, BgpNeighbour(own, gateway.asn, UNKNOWN, 0.0, 0, 0, 0)))
    return {"value": rows}


def sessions(platform: Platform) -> Iterator[GatewaySession]:
    """The sessions of every gateway."""
    for instance in platform.gateways.existing(platform.azure):
        known = platform.gateways.running.get(instance)
        for address, neighbour in neighbours(platform, instance).items():
            session = known.sessions.get(address) if known is not None else None
            parts = shown(session, alive=known is not None)
            yield GatewaySession(instance.name, instance.index, neighbour.name, *parts)


def instances(platform: Platform, gateway: Gateway) -> list[InstanceId]:
    """The instances of a gateway, whether they run or not."""
    return [instance for instance in platform.gateways.existing(platform.azure) if instance.name == gateway.name]


def listed(gateway: Gateway, answering: Sequence[InstanceId]) -> Sequence[InstanceId]:
    """Whose rows are in Azure's listings, of the instances of a gateway that answer [gateway-listings].

    All of a VPN gateway's; of an ExpressRoute gateway one's. It may be either in Azure, and is the first here.
    """
    return answering if gateway.kind is PeerKind.VPN_GATEWAY else answering[:1]


def neighbours(platform: Platform, instance: InstanceId) -> Mapping[IPv4Address, GatewayNeighbour]:
    """With whom an instance has sessions now, by address: on-premises first, then gateways, then the route server.

    With the route server it has none while branch-to-branch is off [b2b-sessions], with gateways of another type none
    while there is one [gateways-exchange], with on-premises none whose connection is deleted.
    """
    azure, known = platform.azure, platform.gateways.neighbours[instance]
    closed = unconnected(platform.declared, azure)
    outer = {
        a: n
        for a, n in known.items()
        if n.source is PathSource.ON_PREMISES and frozenset((instance.node, n.name)) not in closed
    }
    apart = server_in(azure, azure.gateway[instance.name].virtual_network) is None
    wanted = [PathSource.INSTANCE, *([PathSource.GATEWAY] if apart else [])]
    there = {address for gateway in azure.gateways for address in gateway.instances}
    gateways = {a: n for a, n in known.items() if n.source in wanted and a in there}
    inside = session_server(azure, azure.gateway[instance.name]) is not None
    servers = {a: n for a, n in known.items() if n.source is PathSource.ROUTE_SERVER and inside}
    return outer | gateways | servers


def advertised_rows(
    gateway: Gateway, instance: int, neighbour_asn: int, paths: Iterable[AdvertisedPath]
) -> list[GatewayAdvertisedRow]:
    """What an instance advertises to a neighbour, by ascending prefix, given its daemon's Adj-RIB-Out.

    Azure shows what the neighbour gets. The daemon shows what it has before it puts its own ASN in front of the path
    and itself in as the next hop, which it does for eBGP neighbours; an iBGP neighbour gets both as they are.
    """
    address, internal = gateway.instances[instance], neighbour_asn == gateway.asn
    return [
        {
            "asPath": as_path_text(path.as_path if internal else (gateway.asn, *path.as_path)),
            "localAddress": str(address),
            "network": str(path.prefix),
            "nextHop": str(path.next_hop if internal and path.next_hop is not None else address),
            "origin": str(path.origin).capitalize(),
            "sourcePeer": None,
            "weight": ADVERTISED_WEIGHT,
        }
        for path in sorted(paths, key=lambda path: path.prefix)
    ]


def peer_row(local: IPv4Address, neighbour: BgpNeighbour) -> BgpPeerRow:
    """A session of the instance with the address `local` in Azure's words."""
    state = "Connected" if neighbour.state == ESTABLISHED else "Connecting"
    if neighbour.state.startswith("Idle"):
        state = "Idle"
    state = UNKNOWN if neighbour.state == UNKNOWN else state
    return {
        "asn": neighbour.asn,
        "connectedDuration": time_span(neighbour.seconds) if state == "Connected" else None,
        "localAddress": str(local),
        "messagesReceived": neighbour.received,
        "messagesSent": neighbour.sent,
        "neighbor": str(neighbour.address),
        "routesReceived": neighbour.routes,
        "state": state,
    }


def time_span(seconds: float) -> str:
    """A time span as .NET prints it, and Azure with it: `00:02:56.0967494`, `9.01:04:53.5768637`."""
    span = timedelta(seconds=seconds)
    minutes, rest = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02}:{minutes:02}:{rest:02}" + (f".{span.microseconds:06}0" if span.microseconds else "")
    return f"{span.days}.{text}" if span.days else text


def _no_neighbour(platform: Platform, gateway: Gateway, peer: str) -> InvalidInput:
    configured = [each for i in instances(platform, gateway) for each in platform.gateways.neighbours[i].items()]
    for address, neighbour in configured:
        if peer in (neighbour.name, str(address)):
            if neighbour.source is PathSource.ON_PREMISES:
                return InvalidInput(
                    f"gateway {gateway.name} has no session with {peer}: the connection is deleted.",
                    f"To have it again: labkit gateway connection create {gateway.name} {neighbour.sender}",
                )
            if neighbour.sender not in platform.azure.route_server:
                return InvalidInput(
                    f"gateway {gateway.name} has no session with {peer}: the route server is deleted.",
                    f"To have it again: labkit route-server create {neighbour.sender}",
                )
            return InvalidInput(
                f"gateway {gateway.name} has no session with {peer}: branch-to-branch is off.",
                f"To switch it on: labkit route-server update {neighbour.sender} --branch-to-branch on",
            )
    now = (n.name for i in instances(platform, gateway) for n in neighbours(platform, i).values())
    names = ", ".join(dict.fromkeys(now))
    return InvalidInput(
        f"gateway {gateway.name} has no neighbour {peer}.", f"These are: {names}." if names else "It has none."
    )
