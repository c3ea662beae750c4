"""Connected peerings, and the hub that programs a virtual network."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from labkit.azure.model import Azure, Peering, RouteServer


def connected_peerings(azure: Azure, virtual_network: str) -> tuple[Peering, ...]:
    """The peerings of a virtual network whose other direction exists too, in file order, one for each remote.

    Until both sides exist Azure calls a peering "Initiated", and "Disconnected" once one of them is deleted; nothing
    crosses it [half-peering, peering-disconnected]. Peering is non-transitive [non-transitive], so these remotes are
    everything that is adjacent.
    """
    ends = {(p.local, p.remote) for p in azure.peerings}
    found: dict[str, Peering] = {}
    for peering in azure.peerings:
        if peering.local == virtual_network and (peering.remote, peering.local) in ends:
            found.setdefault(peering.remote, peering)
    return tuple(found.values())


def local_and_adjacent_ranges(azure: Azure, virtual_network: str) -> Iterator[IPv4Network]:
    """Every range of the virtual network and of those directly peered with it."""
    yield from azure.virtual_network[virtual_network].address_space
    for peering in connected_peerings(azure, virtual_network):
        yield from remote_ranges(azure, peering)


def remote_ranges(azure: Azure, peering: Peering) -> tuple[IPv4Network, ...]:
    """The ranges of the remote virtual network as this side of a peering has them.

    They are those of the last sync: a new address space is not known before [peering-sync].
    """
    former = peering.remote_address_space
    return azure.virtual_network[peering.remote].address_space if former is None else former


def peered_ranges(azure: Azure, virtual_network: str, remote: str) -> tuple[IPv4Network, ...]:
    """The ranges of a peered virtual network as this one has them; none if they are not connected."""
    sides = (p for p in connected_peerings(azure, virtual_network) if p.remote == remote)
    return next((remote_ranges(azure, side) for side in sides), ())


def gateway_hub(azure: Azure, virtual_network: str) -> str | None:
    """The hub whose gateways and route server a spoke uses ("URG"): its own side asks for it, the hub's allows it.

    None if there is none [spoke-ranges-to-nvas, one-remote-gateway].
    """
    for peering in connected_peerings(azure, virtual_network):
        if peering.use_remote_gateways and _allows_transit(azure, peering.remote, virtual_network):
            return peering.remote
    return None


def gateway_spokes(azure: Azure, hub: str) -> tuple[str, ...]:
    """The spokes that use this hub's route server, in the hub's peering order."""
    return tuple(p.remote for p in connected_peerings(azure, hub) if gateway_hub(azure, p.remote) == hub)


def takes_forwarded(azure: Azure, virtual_network: str, remote: str) -> bool:
    """Whether a virtual network takes from a peered one what comes from farther away, as an NVA's forwarded packets do.

    Its own side of the peering decides (`allowForwardedTraffic`). Where one of the two uses the other's gateways it was
    seen to work without [forwarded-traffic].
    """
    if gateway_hub(azure, virtual_network) == remote or gateway_hub(azure, remote) == virtual_network:
        return True
    return any(p.allow_forwarded_traffic for p in connected_peerings(azure, virtual_network) if p.remote == remote)


def programming_hub(azure: Azure, virtual_network: str) -> str | None:
    """The virtual network whose route server and gateways write into a virtual network's NICs: itself or its URG hub.

    They program every subnet of theirs and of URG spokes [table-per-nic, gateways-program-nics, nva-own-nic]. Azure
    refuses URG where a virtual network has a gateway or a route server of its own [one-remote-gateway,
    dual-homed-spoke], so there is never a choice in a valid model.
    """
    owners = {s.virtual_network for s in azure.route_servers} | {g.virtual_network for g in azure.gateways}
    if virtual_network in owners:
        return virtual_network
    hub = gateway_hub(azure, virtual_network)
    return hub if hub in owners else None


def programming_server(azure: Azure, virtual_network: str) -> RouteServer | None:
    """The route server that writes into the NICs of a virtual network: that of its `programming_hub`, if any."""
    hub = programming_hub(azure, virtual_network)
    return None if hub is None else server_in(azure, hub)


def server_in(azure: Azure, virtual_network: str) -> RouteServer | None:
    """The route server of a virtual network itself; Azure allows one [one-route-server]."""
    return next((s for s in azure.route_servers if s.virtual_network == virtual_network), None)


def _allows_transit(azure: Azure, hub: str, spoke: str) -> bool:
    return any(p.local == hub and p.remote == spoke and p.allow_gateway_transit for p in azure.peerings)
