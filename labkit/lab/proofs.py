"""What a lab file may claim of its running lab. `labkit.operate.verify.run` checks the claims.

A proof is a value: which rows, addresses or paths must be seen. Names refer to the lab's own objects; where an
address is wanted, a name of a node means its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """The BGP session of `on` with every address of `with_` is Established (a route server has two).

    The NIC of an NVA, here and in claims of learned and advertised routes, means the session that goes by it.
    """

    on: str
    with_: str


@dataclass(frozen=True, slots=True)
class LearnedRouteClaim:
    """`on` holds `prefix` learned from `from_`.

    `on` is a route server (then both instances must hold it), an NVA or a site. For a route server as `from_`,
    one path from each instance is wanted, its next hop that instance's own address. `as_path` None: any.
    """

    on: str
    prefix: IPv4Network
    from_: str
    as_path: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class AdvertisedRouteClaim:
    """Both instances of route server `by` advertise `prefix` to peer `to`. `as_path` None: any."""

    by: str
    to: str
    prefix: IPv4Network
    as_path: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class EffectiveRouteClaim:
    """The NIC `on` has `prefix` as an Active effective route of `type` and next hops `via`; None: any."""

    on: str
    prefix: IPv4Network
    type: str | None = None
    via: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LearnedRoutesClaim:
    """`on` holds from `from_` exactly these prefixes, with these AS paths; speakers as for `LearnedRouteClaim`."""

    on: str
    from_: str
    rows: Mapping[IPv4Network, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class AdvertisedRoutesClaim:
    """Both instances of route server `by` advertise to peer `to` exactly these prefixes, with these AS paths."""

    by: str
    to: str
    rows: Mapping[IPv4Network, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class EffectiveRoutesClaim:
    """The Active effective routes of the NIC `on` are exactly these: a next hop type alone, or next hops.

    Rows of type None are left out: Azure's list of reserved blocks is another one every few years.
    """

    on: str
    rows: Mapping[IPv4Network, tuple[str, ...]]


class TableKind(StrEnum):
    """The tables that can be compared with a published one."""

    LEARNED = "learned-routes"
    ADVERTISED = "advertised-routes"
    EFFECTIVE = "effective-routes"
    GATEWAY = "gateway learned-routes"
    BGP = "routes --bgp"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by their names in Azure's JSON, in the order of Azure's listings."""
        return _COLUMNS[self]


_LEARNED = ("localAddress", "network", "nextHop", "sourcePeer", "origin", "asPath", "weight")
_COLUMNS = {
    TableKind.LEARNED: _LEARNED,
    TableKind.ADVERTISED: tuple(column for column in _LEARNED if column != "sourcePeer"),
    TableKind.EFFECTIVE: ("source", "addressPrefix", "nextHopType", "nextHopIpAddress"),
    TableKind.GATEWAY: _LEARNED,
    TableKind.BGP: ("network", "nextHop", "asPath"),
}


@dataclass(frozen=True, slots=True)
class TableName:
    """A table that labkit prints: the words of the command, and of what it is.

    `names` are a route server and its peer (`learned-routes`, `advertised-routes`), a NIC (`effective-routes`), a
    gateway (`gateway learned-routes`), or a node with BGP (`routes --bgp`).
    """

    kind: TableKind
    names: tuple[str, ...]

    def __str__(self) -> str:
        if self.kind is TableKind.BGP:
            return f"routes {self.names[0]} --bgp"
        return " ".join([self.kind, *self.names])


def table_of(words: str) -> TableName | None:
    """The table that `labkit` prints with these words behind it, such as `learned-routes rs1 nva1`; None if none."""
    match words.split():
        case ["learned-routes" | "advertised-routes" as kind, server, peer]:
            return TableName(TableKind(kind), (server, peer))
        case ["effective-routes", nic]:
            return TableName(TableKind.EFFECTIVE, (nic,))
        case ["gateway", "learned-routes", gateway]:
            return TableName(TableKind.GATEWAY, (gateway,))
        case ["routes", node, "--bgp"]:
            return TableName(TableKind.BGP, (node,))
    return None


Cells = tuple[str, ...]
"""A row of a table, in the order of its columns; an empty text where there is nothing."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Rows that only the published table has (`azure`) or only this lab's (`here`), and why."""

    because: str
    azure: tuple[Cells, ...] = ()
    here: tuple[Cells, ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """`table` is what was published at `source`, but for `otherwise`.

    Effective routes are the Active ones without those of type None, as for `EffectiveRoutesClaim`.
    """

    table: TableName
    source: str
    rows: tuple[Cells, ...]
    otherwise: tuple[Deviation, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelRouteClaim:
    """The kernel FIB of node `on` holds `prefix` via exactly the next hops `via`; None: any.

    Of a NIC it is the table that packets with its address as their source follow.
    """

    on: str
    prefix: IPv4Network
    via: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PingClaim:
    """Node `from_` gets an echo reply from `to`: a node, a site (its host), `internet`, or an address."""

    from_: str
    to: str | IPv4Address


@dataclass(frozen=True, slots=True)
class PathClaim:
    """A traceroute from `from_` reaches `to`; it shows `through` in that order and none of `never`.

    A hop that no node of the lab owns, or one the traceroute cannot name, fails the proof. For a route server in
    `never`, its count of packets that were not addressed to it must stay zero as well. A NIC is crossed where its own
    address is a hop: packets enter by it.
    """

    from_: str
    to: str | IPv4Address
    through: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


TableProof = LearnedRoutesClaim | AdvertisedRoutesClaim | EffectiveRoutesClaim

RowProof = SessionClaim | LearnedRouteClaim | AdvertisedRouteClaim | EffectiveRouteClaim | KernelRouteClaim


Claim = RowProof | TableProof | Capture | PingClaim | PathClaim


@dataclass(frozen=True, slots=True)
class Absent:
    """`row` must not be there. Checked after every positive proof before it holds."""

    row: RowProof | PingClaim


@dataclass(frozen=True, slots=True)
class Proof:
    """One claim of a lab file: `line` is its line in the file, `within` how many seconds it may take to hold."""

    claim: Claim | Absent
    line: int
    within: float = 30.0
