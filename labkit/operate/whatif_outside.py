"""What NVAs and sites know by what they say and are told: whatever else they do, the model can't know. Pure.

It is taken for granted that

- an NVA sends out of its NIC what it does not know better from a site behind it: a route that it announces to a route
  server and whose path goes on with the ASN of a site, or of an NVA at the far end of an overlay, that it is linked to;
- an NVA tells its sites what route servers tell it, and what it tells them;
- a site's router takes the longest prefix that it is told, and the shortest path to it; of equal ones either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from labkit.azure.model import AsPath, PeerKind
from labkit.azure.world import World
from labkit.lab.model import Lab
from labkit.lab.nodes import instance_node

T = TypeVar("T")

ASSUMED = (
    "An NVA sends out of its NIC whatever it has no site or tunnel for, by its own announcements; it drops nothing.",
    "An NVA and its sites tell each other what route servers tell the NVA.",
    "A site's router takes the longest prefix that it is told, then the shortest path, of equal ones either.",
)
"""The same for readers of a prediction."""


class Outside:
    """What NVAs and sites know in a world."""

    def __init__(self, lab: Lab, world: World) -> None:
        self._lab, self._world = lab, world
        # Every pair asks for the same tables, which are as long as what is announced.
        self.announced = cache(self._announced)
        self.to_servers = cache(self._to_servers)
        self.told = cache(self._told)
        self._heard = cache(lambda site: list(self._tells(site)))

    def _announced(self, nva: str) -> dict[IPv4Network, tuple[str, AsPath]]:
        """What an appliance tells route servers and has from somebody it is linked to: from whom, and the path."""
        asns = {self._lab.site[name].asn: name for name in self.linked_sites(nva)}
        for overlay in self._lab.overlays:
            if nva in overlay.nvas:
                far = overlay.nvas[1 - overlay.nvas.index(nva)]
                asns[self._lab.nva[far].asn] = far
        found: dict[IPv4Network, tuple[str, AsPath]] = {}
        for prefix, as_path in self.to_servers(nva).items():
            own = self._lab.nva[nva].asn
            rest = as_path[next((i for i, hop in enumerate(as_path) if hop != own), len(as_path)) :]
            if rest and rest[0] in asns:
                found.setdefault(prefix, (asns[rest[0]], as_path))
        return found

    def _to_servers(self, nva: str) -> dict[IPv4Network, AsPath]:
        """What an appliance tells route servers: for each prefix the shortest path."""
        found: dict[IPv4Network, AsPath] = {}
        for table in self._world.heard.servers.values():
            for prefix, paths in table.items():
                for path in paths:
                    if path.peer.kind is PeerKind.NVA and path.peer.name == nva:
                        as_path = path.attributes.as_path
                        found[prefix] = min(found.get(prefix, as_path), as_path, key=len)
        return found

    def _told(self, nva: str) -> dict[IPv4Network, AsPath]:
        """What route servers tell an appliance, as far as it accepts it."""
        found: dict[IPv4Network, AsPath] = {}
        for name, instance in self._world.at_server:
            for peer in self._world.servers[name].peers:
                if peer.kind is PeerKind.NVA and peer.name == nva:
                    for prefix, attributes in self._world.told_by_server(name, instance, peer).items():
                        if peer.asn not in attributes.as_path:
                            found.setdefault(prefix, attributes.as_path)
        return found

    def linked_sites(self, nva: str) -> list[str]:
        """The sites behind an appliance."""
        return [link.site for link in self._lab.wan_links if link.router == nva]

    def offers(self, site: str, target: IPv4Address) -> Iterator[tuple[tuple[int, int], str]]:
        """Who tells a site a way to an address, with its rank: the smaller, the better."""
        asn = self._lab.site[site].asn
        for router, told in self._heard(site):
            accepted = {prefix: as_path for prefix, as_path in told.items() if asn not in as_path}
            found = longest(accepted, target)
            if found is not None:
                yield (-found[0].prefixlen, len(found[1])), router

    def _tells(self, site: str) -> Iterator[tuple[str, Mapping[IPv4Network, AsPath]]]:
        """What a site's router hears, by who says it: an NVA, a circuit or an instance of a gateway."""
        for link in self._lab.wan_links:
            if link.site != site:
                continue
            if link.router in self._world.azure.circuit:
                told = self._world.told_to_customer(link.router)
                yield link.router, {prefix: attributes.as_path for prefix, attributes in told.items()}
            else:
                nva = self._lab.nva[link.router]
                own = (nva.asn,) * (1 + nva.prepend)
                from_servers = {prefix: (*own, *as_path) for prefix, as_path in self.told(link.router).items()}
                yield link.router, {**from_servers, **self.to_servers(link.router)}
        for gateway in self._lab.gateways:
            for tunnel in gateway.tunnels:
                instance = (gateway.name, tunnel.instance)
                if tunnel.site != site or instance not in self._world.at_gateway:
                    continue
                node = instance_node(*instance)
                if tunnel.bgp:
                    told = self._world.told_by_gateway(*instance, site)
                    yield node, {prefix: attributes.as_path for prefix, attributes in told.items()}
                else:
                    yield node, dict.fromkeys(tunnel.remote_prefixes, ())

    def on_lan(self, site: str, target: IPv4Address) -> bool:
        """Whether an address is on a site's LAN."""
        return any(target in interface.network for interface in self._lab.site[site].lan)


def longest(table: Mapping[IPv4Network, T], address: IPv4Address) -> tuple[IPv4Network, T] | None:
    """The longest prefix of a table that covers an address, and what the table has for it."""
    covering: Iterable[IPv4Network] = (prefix for prefix in table if address in prefix)
    best = max(covering, key=lambda prefix: prefix.prefixlen, default=None)
    return None if best is None else (best, table[best])
