"""What route servers of Azure have learned (`list-learned-routes`): what each peer advertises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.arm.read.fields import Fields
from labkit.arm.resource import Json

ROLE = "RouteServiceRole_IN_"
"""How the keys of such a table begin: one for each instance. What else is in it, such as `value`, means nothing."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A route that an instance of a route server has learned, as Azure lists it; `file` is where."""

    file: str
    instance: IPv4Address
    prefix: IPv4Network
    next_hop: IPv4Address
    peer: IPv4Address
    origin: str
    as_path: tuple[int, ...]
    weight: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as labkit prints it."""
        path = "-".join(map(str, self.as_path)) or "-"
        found = self.instance, self.prefix, self.next_hop, self.peer, self.origin, path, self.weight
        return tuple(map(str, found))


def is_learned_routes(found: Mapping[str, Json]) -> bool:
    """Whether JSON is a table of learned routes."""
    return any(key.startswith(ROLE) for key in found)


def learned_routes(found: Mapping[str, Json], name: str) -> list[Learned]:
    """The routes of such a table.

    Raises:
        InvalidInput: a row is not what Azure lists.
    """
    table = Fields({key: value for key, value in found.items() if value is not None}, name)
    return [_row(row, name) for key in table.values if key.startswith(ROLE) for row in table.parts(key)]


def _row(row: Fields, name: str) -> Learned:
    path = row.text("asPath") if row.values.get("asPath") else ""
    try:
        asns = tuple(int(asn) for asn in path.replace("-", " ").split())
    except ValueError:
        raise row.wrong("asPath", "ASNs with hyphens between") from None
    return Learned(
        name,
        row.address("localAddress"),
        row.prefix("network"),
        row.address("nextHop"),
        row.address("sourcePeer"),
        row.text("origin"),
        asns,
        row.number("weight"),
    )


@dataclass(frozen=True, slots=True)
class Advertised:
    """What makes an NVA advertise routes: prefixes of its own and of sites, by their ASN; times that it prepends.

    `other` are routes whose AS path comes about in the lab by itself, or not at all.
    """

    own: tuple[IPv4Network, ...]
    of_sites: Mapping[int, tuple[IPv4Network, ...]]
    prepends: Mapping[IPv4Network, int]
    other: tuple[IPv4Network, ...]


def advertised(routes: Iterable[Learned], asn: int, in_the_lab: Iterable[int]) -> Advertised:
    """What makes an NVA with this ASN advertise routes.

    A path with its ASN alone is of a prefix of its own, and one with another ASN behind it of a site. `in_the_lab` are
    the ASNs of other NVAs and of Azure: what is behind those is no site.
    """
    own: dict[IPv4Network, None] = {}
    sites: dict[int, dict[IPv4Network, None]] = {}
    prepends: dict[IPv4Network, int] = {}
    other: dict[IPv4Network, None] = {}
    inside = {*in_the_lab}
    for route in routes:
        rest = [number for number in route.as_path if number != asn]
        times = len(route.as_path) - len(rest)
        plain = times > 0 and route.as_path == (*[asn] * times, *rest)
        if plain and not rest:
            own[route.prefix] = None
        elif plain and len(rest) == 1 and rest[0] not in inside:
            sites.setdefault(rest[0], {})[route.prefix] = None
        else:
            other[route.prefix] = None
            continue
        if times > 1:
            prepends[route.prefix] = times - 1
    return Advertised(tuple(own), {n: tuple(found) for n, found in sites.items()}, prepends, tuple(other))
