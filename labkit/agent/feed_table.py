"""A forwarding table that the feed sent: prefixes pointing at next-hop groups, kept in the kernel's byte form.

A prefix is five bytes, address and length, an address is four. That is the form in which both travel over netlink, so
100,000 routes are converted once, when they arrive.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from labkit.azure.model import NextHopType
from labkit.feed.tables import ForwardingTable, NextHops, TableDelta

Prefix = bytes
"""Four bytes of network address, then one with the prefix length."""

Address = bytes
"""Four bytes, in network order."""

_LENGTHS = {str(length): bytes([length]) for length in range(33)}


class Hop(NamedTuple):
    """Where a group leads: Azure's next hop type and, for appliances and gateways, at least one address."""

    type: NextHopType
    next_hops: tuple[Address, ...] = ()


def prefix_bytes(text: str) -> Prefix:
    """`"10.250.0.0/16"` in byte form.

    Raises:
        ValueError: the text is no IPv4 prefix.
    """
    address, _, length = text.partition("/")
    try:
        return socket.inet_aton(address) + _LENGTHS[length]
    except (OSError, KeyError) as problem:
        raise ValueError(f"{text!r} is no IPv4 prefix") from problem


def prefix_text(prefix: Prefix) -> str:
    """The prefix as people write it."""
    return f"{socket.inet_ntoa(prefix[:4])}/{prefix[4]}"


@dataclass(slots=True)
class FeedTable:
    """Groups by id, and the group of every prefix."""

    groups: dict[int, Hop] = field(default_factory=dict)
    routes: dict[Prefix, int] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: ForwardingTable) -> FeedTable:
        """The table of a snapshot.

        Raises:
            ValueError: it contradicts itself.
        """
        table = cls(*_converted(snapshot))
        table._check_groups(table.routes, table.groups.keys())
        return table

    def apply(self, delta: TableDelta) -> dict[Prefix, int | None]:
        """Apply a delta, all of it or (on an error) nothing.

        Returns:
            The prefixes it names with the group each had before, None for none.

        Raises:
            ValueError: the delta does not fit the table.
        """
        groups, routes = _converted(delta)
        removed = [prefix_bytes(prefix) for prefix in delta.removed_routes]
        dropped = set(delta.removed_groups)
        self._check_groups(routes, self.groups.keys() | groups.keys())
        if dropped:
            after = self.routes | routes
            for prefix in removed:
                after.pop(prefix, None)
            self._check_groups(after, (self.groups.keys() | groups.keys()) - dropped)
        before = {prefix: self.routes.get(prefix) for prefix in (*routes, *removed)}
        self.groups.update(groups)
        self.routes.update(routes)
        for prefix in removed:
            self.routes.pop(prefix, None)
        for group in dropped:
            self.groups.pop(group, None)
        return before

    @staticmethod
    def _check_groups(routes: Mapping[Prefix, int], groups: Set[int]) -> None:
        unknown = set(routes.values()) - groups
        if unknown:
            raise ValueError(f"routes point at unknown groups {sorted(unknown)}")


def _converted(content: ForwardingTable | TableDelta) -> tuple[dict[int, Hop], dict[Prefix, int]]:
    groups = {number: _hop(group) for number, group in content.groups.items()}
    return groups, {prefix_bytes(prefix): group for prefix, group in content.routes.items()}


def _hop(group: NextHops) -> Hop:
    return Hop(group.type, tuple(dict.fromkeys(address.packed for address in group.next_hops)))
