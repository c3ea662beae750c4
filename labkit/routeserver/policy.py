"""The rules of `labkit.azure` applied to one instance, for many prefixes at once.

What depends on the attributes alone is asked once for each distinct set of attributes, what depends on the prefix
alone once for each prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network

from labkit.azure.model import BgpPeer, LearnedRoute, PathAttributes, RouteServer
from labkit.azure.rules.acceptance import Originated, attributes_rejection, prefix_rejection
from labkit.azure.rules.advertisement import export_policy, originated_routes, withheld
from labkit.azure.rules.selection import best_path

CACHED = 1 << 17

MOST_ASNS, EXTENDED = 255, 256
"""ASNs in one segment of a path, at most; the length from which that of an attribute takes two bytes."""

PASSED_ON = 256
"""Bytes of attributes that peers may add when they pass a route on. FRR 10.3 ends if a route then no longer fits: one
peer could end the daemons of all others by a path of a thousand ASNs."""

ROOM = 4096 - 23 - 5 - PASSED_ON
"""Bytes of attributes in a message of BGP (RFC 4271 §4.1) that has room for one prefix of any length, and for these."""


@dataclass(frozen=True)
class PolicyConfig:
    """What an instance (0 or 1) has from its feed: its server, and what that originates."""

    instance: int
    server: RouteServer
    originated: Originated


class Policy:
    """What one configuration makes of routes. Peers are known by address."""

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._server = config.server
        self.peers: dict[str, BgpPeer] = {str(peer.address): peer for peer in config.server.peers}
        self._network = lru_cache(maxsize=CACHED)(IPv4Network)
        self._kept_prefix = lru_cache(maxsize=CACHED)(self._keeps_prefix)
        self._kept_path = lru_cache(maxsize=CACHED)(self._keeps_path)
        self._relayed = lru_cache(maxsize=CACHED)(self._relay)
        self._withheld = lru_cache(maxsize=CACHED)(self._withholds)
        self._originated = {peer: dict(self._originates(peer)) for peer in self.peers}

    def keeps(self, peer: str, prefix: str, attributes: PathAttributes) -> bool:
        """Whether a received route survives the acceptance rules [path-with-65515]."""
        return self._kept_path(peer, attributes) and self._kept_prefix(prefix)

    def originated(self, peer: str) -> Mapping[str, PathAttributes]:
        """What the instance originates towards a peer."""
        return self._originated[peer]

    def advertised(self, prefix: str, paths: Mapping[str, PathAttributes]) -> Mapping[str, PathAttributes]:
        """What is advertised to each peer of a learned prefix with these kept paths, by the peers that sent them."""
        if not paths:
            return {}
        if len(paths) == 1:
            ((source, attributes),) = paths.items()
        else:
            network = self._network(prefix)
            learned = [LearnedRoute(network, paths[a], peer) for a, peer in self.peers.items() if a in paths]
            best = best_path(learned, self._server.hub_routing_preference, self._server.assumptions)
            assert best is not None
            source, attributes = str(best.peer.address), best.attributes
        exported, withheld_from = self._relayed(source, attributes), self._withheld(prefix)
        if not withheld_from:
            return exported
        return {peer: sent for peer, sent in exported.items() if peer not in withheld_from}

    def _keeps_prefix(self, prefix: str) -> bool:
        return prefix_rejection(self._network(prefix), self._server, self._config.originated) is None

    def _keeps_path(self, peer: str, attributes: PathAttributes) -> bool:
        return peer in self.peers and attributes_rejection(attributes, self.peers[peer], self._server) is None

    def _originates(self, peer: str) -> Iterator[tuple[str, PathAttributes]]:
        config = self._config
        routes = originated_routes(config.server, config.instance, self.peers[peer], config.originated)
        return ((str(prefix), attributes) for prefix, attributes in routes.items())

    def _withholds(self, prefix: str) -> frozenset[str]:
        network, originated = self._network(prefix), self._config.originated
        return frozenset(a for a, peer in self.peers.items() if withheld(self._server, peer, originated, network))

    def _relay(self, source: str, attributes: PathAttributes) -> Mapping[str, PathAttributes]:
        exported = {}
        for address, peer in self.peers.items():
            sent = export_policy(self._server, self._config.instance, peer, self.peers[source], attributes)
            if sent is not None and encoded_size(sent) <= ROOM:
                exported[address] = sent
        return exported


def encoded_size(attributes: PathAttributes) -> int:
    """Bytes of the attributes in an UPDATE. Those for which a message has no room must not go out (RFC 4271 §9.2).

    ExaBGP would leave such a route out silently, and the peer would keep the one that it had.
    """
    segments: list[int] = []
    """How many ASNs each has; a sequence ends at a set, and at 255."""
    open_sequence = False
    for hop in attributes.as_path:
        if isinstance(hop, frozenset):
            segments.append(len(hop))
        elif open_sequence and segments[-1] < MOST_ASNS:
            segments[-1] += 1
        else:
            segments.append(1)
        open_sequence = not isinstance(hop, frozenset)
    values = [1, 4, sum(2 + 4 * asns for asns in segments), *(len(value) for _, _, value in attributes.unknown)]
    values += [4] * (attributes.med is not None)
    values += [4 * len(attributes.communities)] * bool(attributes.communities)
    values += [12 * len(attributes.large_communities)] * bool(attributes.large_communities)
    return sum(value + (3 if value < EXTENDED else 4) for value in values)
