"""The rows of a NIC's effective routes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model.networks import NextHopType


class RouteSource(StrEnum):
    """The `Source` column of an effective route."""

    DEFAULT = "Default"
    USER = "User"
    VIRTUAL_NETWORK_GATEWAY = "VirtualNetworkGateway"


class RouteState(StrEnum):
    """The `State` column of an effective route."""

    ACTIVE = "Active"
    INVALID = "Invalid"


@dataclass(frozen=True, slots=True)
class EffectiveRoute:
    """One row of a NIC's effective routes. ECMP is one row with several next hops, as in Azure's JSON."""

    source: RouteSource
    state: RouteState
    prefix: IPv4Network
    next_hop_type: NextHopType
    next_hops: tuple[IPv4Address, ...] = ()
