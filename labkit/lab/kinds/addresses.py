"""Addresses and MACs that a lab file leaves open. The same file always gives the same ones.

Kinds take theirs in the order of `labkit.lab.kinds.KINDS`, from what the file gives nobody:

- A NIC gets the first free usable address of its subnet: NVAs first, then virtual machines, each in file order; after
  them the frontends of load balancers.
- A route server's instances get the first two of RouteServerSubnet: .4 and .5, as in Azure.
- A gateway's instances get the first free ones of GatewaySubnet; Microsoft's edge, where their lines end, gets
  addresses of `gateway.EDGES`.
- The ends of VPNs have public addresses of the Internet's prefix, below those of its legs.
- A site's router is .1 of every prefix and its host .10 of the first, or whatever is the first to fit.
- A link between an NVA or a circuit and a site, or an overlay between two NVAs, is a /30 of `WAN`, skipping what the
  lab uses otherwise; the site, or the NVA that is named, has the higher end. Of a circuit's link the site has the
  lower one, as in Azure.
- The Internet's host is .10 of its prefix; its legs take public addresses from the prefix's top downwards.

Addresses are unique in the whole lab, so that a traceroute's hop has one name. What the file gives goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Generic, TypeVar, cast

from labkit.azure.rules.addressing import usable_addresses
from labkit.lab.file.draft import Draft
from labkit.lab.file.yaml_source import Path
from labkit.lab.plan.macs import derive_mac
from labkit.lab.plan.nodes import NIC

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

WAN = IPv4Network("100.64.0.0/16")
"""Links to sites: a part of the shared address space (RFC 6598) that no Azure range is likely to use."""

WAN_LENGTH = 30


def ends(prefix: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The two addresses of a link of /30 or /31, lower one first."""
    first = prefix.network_address if prefix.prefixlen == 31 else prefix.network_address + 1
    return first, first + 1


@dataclass(frozen=True, eq=False)
class Slot(Generic[T_co]):
    """Where a kind keeps the addresses of its objects; `T_co` is their type, `empty` makes none."""

    empty: Callable[[], T_co]


@dataclass
class Addresses:
    """Every address and NIC MAC of a lab, given or assigned.

    Attributes:
        next_hops: what a next hop may name: NICs and frontends.
        hosts: who answers where a name is no node's own address: a site's host, the Internet's.
        macs: MACs of NICs.
    """

    next_hops: dict[str, IPv4Address] = field(default_factory=dict)
    hosts: dict[str, IPv4Address] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    _slots: dict[Slot[Any], Any] = field(default_factory=dict)

    def __getitem__(self, slot: Slot[T]) -> T:
        """The addresses of one kind."""
        return cast("T", self._slots.setdefault(slot, slot.empty()))


class Assignment:
    """The addresses of the sound part of a file on their way to be complete.

    `given` and `macs` are those that the file gives, and `used` the ranges that links must keep off.
    """

    def __init__(
        self, draft: Draft, given: Iterable[IPv4Address], macs: Iterable[str], used: Iterable[IPv4Network]
    ) -> None:
        self.draft = draft
        self.addresses = Addresses()
        self._taken = set(given)
        self._macs = set(macs)
        # What is taken stays so: nobody looks at an address twice.
        self._usable: dict[IPv4Network, Iterator[IPv4Address]] = {}
        self._hosts: dict[IPv4Network, Iterator[IPv4Address]] = {}
        nearby = [prefix for prefix in used if prefix.overlaps(WAN)]
        self.links: Iterator[IPv4Network] = (
            n for n in WAN.subnets(new_prefix=WAN_LENGTH) if not any(n.overlaps(u) for u in nearby)
        )
        """Ranges of links that nobody has yet."""

    def first(self, candidates: Iterable[IPv4Address]) -> IPv4Address | None:
        """The first free one of the candidates, which is free no longer."""
        found = next((a for a in candidates if a not in self._taken), None)
        if found is not None:
            self._taken.add(found)
        return found

    def usable(self, subnet: IPv4Network) -> IPv4Address | None:
        """The first free address of a subnet that a NIC may have, which is free no longer."""
        return self.first(self._usable.setdefault(subnet, usable_addresses(subnet)))

    def host(self, prefix: IPv4Network) -> IPv4Address | None:
        """The first free address of a range outside Azure, which is free no longer."""
        return self.first(self._hosts.setdefault(prefix, iter(prefix.hosts())))

    def near(self, prefix: IPv4Network, offset: int) -> IPv4Address | None:
        """The address `offset` into the prefix, or the first free one."""
        wish = [prefix.network_address + offset] if offset < prefix.num_addresses - 1 else []
        return self.first(wish) or self.host(prefix)

    def mac(self, node: str, interface: str = NIC) -> str:
        """A MAC of its own for a NIC of a node."""
        made = derive_mac(node, interface, self._macs)
        self._macs.add(made)
        return made

    def full(self, path: Path, what: str, prefix: IPv4Network, remedy: str) -> None:
        """Notes that a range has no room left."""
        if not self.draft.broken(path):
            self.draft.error(path, f"{what}: {prefix} has no free address left.", remedy)
