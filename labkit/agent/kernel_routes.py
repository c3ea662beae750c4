"""From a feed's table to what the kernel shall hold, and from what it holds to the difference. Pure functions.

Every feed group with next hops becomes one kernel nexthop *group*, even when it has a single member. The kernel can
replace a group by a group in one message, however many routes point at it, but never a group by a single nexthop: so
losing or gaining an ECMP leg stays one message. `ip route` shows a group of one as plain `via ADDRESS dev eth0`.

The other types lead to one place for ever, and are plain routes: on-link, or via the subnet's gateway. That is so for
rows of type None too: the fabric drops their packets, and a machine in Azure gets no error [none-is-silent].
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from labkit.agent.feed_table import Address, FeedTable, Hop, Prefix
from labkit.azure.model import ON_LINK, NextHopType
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN, nic_table

RTN_UNICAST = 1
RT_SCOPE_UNIVERSE = 0
RT_SCOPE_LINK = 253

_IDS = 1 << 24
"""How many nexthop ids the range of a share has."""


class Share(NamedTuple):
    """A share of the kernel: a routing table and a range of nexthop ids, for one NIC's routes.

    `number` is its place among the `of` shares of the machine. The first is the main table, and whatever of the agent's
    is in no other share; NICs with a table of their own have a further one each.
    """

    number: int = 0
    of: int = 1

    @property
    def table(self) -> int:
        """The number of the routing table."""
        return _table(self.number)

    @property
    def first_id(self) -> int:
        """The lowest nexthop id to choose."""
        return self.number * _IDS + 1

    def has_table(self, table: int) -> bool:
        """Whether what the agent has in a routing table is in this share."""
        others = {_table(number) for number in range(1, self.of)}
        return table == self.table if self.number else table not in others

    def has_id(self, number: int) -> bool:
        """Whether a nexthop of the agent's is in this share."""
        place = number // _IDS
        return self.number == (place if place < self.of else 0)


def _table(share: int) -> int:
    return nic_table(share - 1) if share else RT_TABLE_MAIN


class Uplink(NamedTuple):
    """A VM's NIC, up and with an address. `subnets` are the connected ones, the primary address's first.

    `also_connected` are those of the machine's other NICs. `own` are the addresses of the machine.
    """

    name: str
    ifindex: int
    subnets: tuple[Prefix, ...]
    share: Share = Share()
    also_connected: tuple[Prefix, ...] = ()
    own: tuple[Address, ...] = ()

    def connects(self, prefix: Prefix) -> bool:
        """Whether the kernel's own routes lead to a prefix, so that the table shall have none of ours for it.

        That are those to the subnets of all NICs, in the main table. A route of the primary NIC to a part of another
        one's subnet would lead there by the wrong NIC.
        """
        if self.share.number:
            return False
        return prefix in self.subnets or any(_within(prefix, subnet) for subnet in self.also_connected)

    @property
    def gateway(self) -> Address:
        """The first host address of the subnet, which is Azure's default gateway."""
        return (int.from_bytes(self.subnets[0][:4], "big") + 1).to_bytes(4, "big")


def _within(prefix: Prefix, subnet: Prefix) -> bool:
    bits = 32 - subnet[4]
    one, other = (int.from_bytes(each[:4], "big") >> bits for each in (prefix, subnet))
    return prefix[4] >= subnet[4] and one == other


def sendable(table: FeedTable, uplink: Uplink) -> FeedTable:
    """The table as a kernel can have it: no kernel sends to itself as a next hop, so that goes via the gateway.

    A user-defined route may lead a machine's packets to one of its own NICs: the fabric decides what becomes of them
    [two-stage-forwarding].
    """

    def hop(wanted: Hop) -> Hop:
        hops = (uplink.gateway if address in uplink.own else address for address in wanted.next_hops)
        return wanted._replace(next_hops=tuple(dict.fromkeys(hops)))

    return FeedTable({group: hop(wanted) for group, wanted in table.groups.items()}, table.routes)


class Target(NamedTuple):
    """Where a kernel route leads: a nexthop group, or (`group` 0) a gateway or the bare interface."""

    type: int
    scope: int = RT_SCOPE_UNIVERSE
    group: int = 0
    gateway: Address = b""
    interface: int = 0


class Member(NamedTuple):
    """A nexthop in a group; `weight` is as the kernel has it, 0 for an equal share."""

    nexthop: int
    weight: int = 0


Members = tuple[Member, ...]


@dataclass(slots=True)
class KernelState:
    """What the kernel holds under the agent's route protocol.

    `hops` are single nexthops through the uplink by id, `groups` nexthop groups. `routes` are the routes in its
    table without TOS or metric that are in effect. What else bears the agent's protocol, whoever made it, is a stray
    and goes: `stray_routes` are the kernel's own descriptions, `stray_nexthops` ids with groups first.
    `foreign_nexthops` are ids of other protocols and in other shares, which are not to be used.
    """

    hops: dict[int, Address] = field(default_factory=dict)
    groups: dict[int, Members] = field(default_factory=dict)
    routes: dict[Prefix, Target] = field(default_factory=dict)
    stray_routes: list[bytes] = field(default_factory=list)
    stray_nexthops: list[int] = field(default_factory=list)
    foreign_nexthops: set[int] = field(default_factory=set)

    def used_ids(self) -> set[int]:
        """Every nexthop id that is taken."""
        return self.hops.keys() | self.groups.keys() | set(self.stray_nexthops) | self.foreign_nexthops


@dataclass(frozen=True, slots=True)
class Ids:
    """The kernel nexthop of each next hop address, and the kernel group of each feed group."""

    hops: Mapping[Address, int] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)


def adopt(table: FeedTable, kernel: KernelState, first: int = 1) -> Ids:
    """Choose the kernel objects to go on with, so that as little as possible changes; new ids begin at `first`.

    A controller that restarts numbers its groups again from 1, so what a kernel group *is for* is known by the routes
    that point at it. One whose content is right is kept. One whose content is wrong is rewritten only if no
    other feed group's routes point at it, or these would for a moment lead to a place nobody wanted.
    """
    hops = {address: number for number, address in kernel.hops.items()}
    votes = Counter(
        (target.group, group)
        for prefix, group in table.routes.items()
        if (target := kernel.routes.get(prefix)) is not None and target.group in kernel.groups
    )
    content = {
        members: [n for n, m in kernel.groups.items() if m == members] for members in set(kernel.groups.values())
    }
    claimants = Counter(number for number, _ in votes)
    ranked = [pair for pair, _ in votes.most_common()]
    chosen: dict[int, int] = {}
    taken: set[int] = set()

    def choose(group: int, number: int) -> None:
        if group not in chosen and number not in taken:
            chosen[group] = number
            taken.add(number)

    with_hops = {group: hop for group, hop in table.groups.items() if hop.next_hops}
    right = {group: content.get(_members(hop, hops), []) for group, hop in with_hops.items()}
    for number, group in ranked:
        if number in right.get(group, []):
            choose(group, number)
    for number, group in ranked:
        if claimants[number] == 1 and group in with_hops:
            choose(group, number)
    for group, numbers in right.items():
        for number in numbers:
            choose(group, number)
    return extend(Ids(hops, chosen), table, kernel.used_ids(), first)


def extend(ids: Ids, table: FeedTable, used: Container[int], first: int = 1) -> Ids:
    """`ids` for exactly what the table has: unused ones go, what is new gets the lowest free number from `first` on."""
    free = (n for n in itertools.count(first) if n not in used)
    addresses = dict.fromkeys(address for hop in table.groups.values() for address in hop.next_hops)
    hops = {a: ids.hops[a] if a in ids.hops else next(free) for a in addresses}
    groups = {
        group: ids.groups[group] if group in ids.groups else next(free)
        for group, hop in table.groups.items()
        if hop.next_hops
    }
    return Ids(hops, groups)


def _members(hop: Hop, ids: Mapping[Address, int]) -> Members:
    return tuple(Member(ids[address]) for address in hop.next_hops if address in ids)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the kernel shall hold. `targets` is by feed group; None for a group that the kernel cannot have."""

    hops: Mapping[int, Address]
    groups: Mapping[int, Members]
    targets: Mapping[int, Target | None]


def wanted(
    table: FeedTable, ids: Ids, uplink: Uplink, refused_hops: Container[Address], refused_groups: Container[int]
) -> Wanted:
    """Map a table to kernel objects.

    A next hop that the kernel refused is left out of its groups; a group left with none, or itself refused, leaves
    its prefixes without a route. A VM without a route is plain to see, one with a stale route is not.
    """
    hops = {n: address for address, n in ids.hops.items() if address not in refused_hops}
    usable = {address: n for n, address in hops.items()}
    groups: dict[int, Members] = {}
    targets: dict[int, Target | None] = {}
    for group, hop in table.groups.items():
        number = ids.groups.get(group)
        members = _members(hop, usable)
        if number is None:
            targets[group] = _fixed(hop, uplink)
        elif members and group not in refused_groups:
            groups[number] = members
            targets[group] = Target(RTN_UNICAST, group=number)
        else:
            targets[group] = None
    return Wanted(hops, groups, targets)


def _fixed(hop: Hop, uplink: Uplink) -> Target:
    if hop.type in {NextHopType.INTERNET, NextHopType.NONE}:
        return Target(RTN_UNICAST, gateway=uplink.gateway, interface=uplink.ifindex)
    assert hop.type in ON_LINK
    return Target(RTN_UNICAST, RT_SCOPE_LINK, interface=uplink.ifindex)


@dataclass(slots=True)
class RouteChanges:
    """Routes to make, to lead elsewhere (from, to) and to take away; by target, so that messages share a form."""

    added: dict[Target, list[Prefix]] = field(default_factory=dict)
    changed: dict[tuple[Target, Target], list[Prefix]] = field(default_factory=dict)
    removed: dict[Target, list[Prefix]] = field(default_factory=dict)


def route_changes(
    current: Mapping[Prefix, Target | None],
    routes: Mapping[Prefix, int],
    targets: Mapping[int, Target | None],
    left_out: Callable[[Prefix], bool],
) -> RouteChanges:
    """The way from `current` routes to those of `routes` (prefix to feed group).

    Prefixes that are `left_out` shall have no route of ours: what is connected, whose route is the kernel's own (the
    fabric decides what happens to the packets anyway), and what the kernel refused.
    """
    changes = RouteChanges()
    for prefix, group in routes.items():
        target = targets[group]
        now = current.get(prefix)
        if target is None or left_out(prefix):
            if now is not None:
                changes.removed.setdefault(now, []).append(prefix)
        elif now is None:
            changes.added.setdefault(target, []).append(prefix)
        elif now != target:
            changes.changed.setdefault((now, target), []).append(prefix)
    for prefix, now in current.items():
        if now is not None and prefix not in routes:
            changes.removed.setdefault(now, []).append(prefix)
    return changes
