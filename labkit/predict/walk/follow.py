"""Which of equal next hops a walker follows, and from which address a node answers where a TTL ends."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Protocol

from labkit.predict.walk.steps import NextHop


class Follow(Protocol):
    """Which of equal next hops are followed, and what a traceroute shows. `position` counts hops from 0."""

    def among(self, position: int, hops: Sequence[NextHop]) -> Sequence[NextHop]:
        """Those of some next hops, at least one, that are followed."""
        ...

    def answers_from(self, position: int, node: str, source: IPv4Address, arrived_at: IPv4Address) -> IPv4Address:
        """The address from which a node answers `source` when a TTL has ended there."""
        ...


class Everything:
    """Follows every next hop; a node answers from the address at which it is reached."""

    def among(self, position: int, hops: Sequence[NextHop]) -> Sequence[NextHop]:  # noqa: ARG002 - see Follow
        """All of them."""
        return hops

    def answers_from(
        self,
        position: int,  # noqa: ARG002 - see Follow
        node: str,  # noqa: ARG002
        source: IPv4Address,  # noqa: ARG002
        arrived_at: IPv4Address,
    ) -> IPv4Address:
        """The address at which it is reached."""
        return arrived_at
