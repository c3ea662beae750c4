"""BGP speakers outside Azure: NVAs and sites, as `templates/frr.conf.j2` configures their FRR. Pure.

They do what FRR does, and nothing here is a rule of Azure's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ROUTE_SERVER_ASN, AsPath, Origin, PathAttributes
from labkit.azure.rules.communities import may_be_advertised
from labkit.lab.model import Lab
from labkit.lab.plan.routers import Neighbour, nva_neighbours, site_neighbours
from labkit.lab.sessions import router_id
from labkit.predict.azure_speakers import Advertisements

_HERE = PathAttributes(IPv4Address(0), med=0)
"""A prefix that a router originates: FRR sends it with a MED of 0."""

_ORIGINS = {Origin.IGP: 0, Origin.EGP: 1, Origin.INCOMPLETE: 2}


@dataclass(frozen=True, slots=True)
class Session:
    """A router's session with a neighbour, from the router's side."""

    router: str
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class Best:
    """A prefix in a router's Loc-RIB: the best path, and the sessions that it and its equals in multipath come from.

    A prefix that the router originates has no sessions.
    """

    attributes: PathAttributes
    sessions: tuple[Session, ...]


AdjRibIn = Mapping[Session, Advertisements]
"""What a router has accepted from each neighbour, after import policy."""

LocRib = Mapping[IPv4Network, Best]


@dataclass(frozen=True)
class Router:
    """An NVA or a site as a BGP speaker. With `requires_policy` it neither accepts nor advertises anything.

    What it advertises to route servers has its communities and `next_hop`, and its ASN (`as_override`) or none
    (`strip_route_server_asn`) in place of theirs.
    """

    name: str
    asn: int
    networks: tuple[IPv4Network, ...]
    sessions: tuple[Session, ...]
    identifiers: Mapping[Session, IPv4Address]
    as_override: bool = False
    strip_route_server_asn: bool = False
    requires_policy: bool = False
    communities: tuple[tuple[int, int], ...] = ()
    next_hop: IPv4Address | None = None

    @cached_property
    def by_address(self) -> Mapping[IPv4Address, Session]:
        """Its sessions by the neighbour's address."""
        return {session.neighbour.address: session for session in self.sessions}

    def import_policy(self, received: Advertisements) -> dict[IPv4Network, PathAttributes]:
        """What it accepts of a neighbour's routes: nothing with its own ASN in the path (RFC 4271 §9.1.2)."""
        return {} if self.requires_policy else without(self.asn, received)

    def loc_rib(self, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
        """The best paths: its own, then the shortest path, the ORIGIN, the lowest identifier and address.

        Packets are shared among paths that are as good up to the identifier and come from the same AS (FRR's multipath
        without `as-path multipath-relax`). No neighbour sends a MED other than 0.
        """
        paths: dict[IPv4Network, list[tuple[Session, PathAttributes]]] = {}
        for session, table in adj_rib_in.items():
            for prefix, attributes in table.items():
                paths.setdefault(prefix, []).append((session, attributes))
        found = {}
        for prefix, candidates in paths.items():
            session, attributes = min(candidates, key=lambda each: (_merit(each[1]), self._tie(each[0])))
            equals = (
                other
                for other, theirs in sorted(candidates, key=lambda each: self._tie(each[0]))
                if other.neighbour.asn == session.neighbour.asn and _merit(theirs) == _merit(attributes)
            )
            found[prefix] = Best(attributes, tuple(equals))
        return found | {prefix: Best(_HERE, ()) for prefix in self.networks}

    def advertises(self, session: Session, loc_rib: LocRib, established: Iterable[Session]) -> Advertisements:
        """What it advertises on a session; `established` are its sessions that are up.

        FRR withholds a path from its sender only where no other neighbour of the same update group gets it: both
        instances of a route server get back what one of them advertises, unless paths with their ASN are filtered.
        Others drop it for their own ASN.
        """
        if self.requires_policy:
            return {}
        echoes = session.neighbour.route_server and sum(s.neighbour.route_server for s in established) > 1
        found = {}
        for prefix, chosen in loc_rib.items():
            if session in chosen.sessions[:1] and not echoes:
                continue
            exported = self._exported(session.neighbour, chosen)
            if exported is not None:
                found[prefix] = exported
        return found

    def _exported(self, to: Neighbour, chosen: Best) -> PathAttributes | None:
        attributes, as_path = chosen.attributes, chosen.attributes.as_path
        if not may_be_advertised(attributes, ebgp=True):
            return None
        if to.circuit and to.asn in _asns(as_path):
            return None
        next_hop, communities = to.own, attributes.communities
        if to.route_server:
            if self.as_override:
                as_path = tuple(_swapped(as_path, self.asn))
            elif self.strip_route_server_asn:
                as_path = tuple(_swapped(as_path, None))
            elif ROUTE_SERVER_ASN in _asns(as_path):
                return None
            next_hop = self.next_hop or next_hop
            communities = tuple(sorted({*communities, *self.communities}))
        return replace(
            attributes,
            next_hop=next_hop,
            as_path=(*(self.asn,) * (1 + to.prepend), *as_path),
            med=None if chosen.sessions else attributes.med,
            communities=communities,
        )

    def _tie(self, session: Session) -> tuple[int, int]:
        return int(self.identifiers[session]), int(session.neighbour.address)


def routers(lab: Lab) -> dict[str, Router]:
    """The NVAs and sites of a lab."""
    found = {}
    for nva in lab.nvas:
        found[nva.name] = replace(
            _router(lab, nva.name, nva.asn, nva.advertises, nva_neighbours(lab, nva)),
            as_override=nva.as_override,
            strip_route_server_asn=nva.strip_route_server_asn,
            requires_policy=nva.requires_policy,
            communities=nva.communities,
            next_hop=nva.next_hop,
        )
    for site in lab.sites:
        networks = tuple(interface.network for interface in site.lan)
        found[site.name] = _router(lab, site.name, site.asn, networks, site_neighbours(lab, site))
    return found


def without(asn: int, routes: Advertisements) -> dict[IPv4Network, PathAttributes]:
    """The routes that do not have an ASN in their path."""
    return {prefix: attributes for prefix, attributes in routes.items() if asn not in _asns(attributes.as_path)}


def _router(
    lab: Lab, name: str, asn: int, networks: tuple[IPv4Network, ...], neighbours: Iterable[Neighbour]
) -> Router:
    sessions = tuple(Session(name, neighbour) for neighbour in neighbours)
    known = {*lab.nva, *lab.site, *lab.azure.circuit}
    identifiers = {
        s: router_id(lab, s.neighbour.name) if s.neighbour.name in known else s.neighbour.address for s in sessions
    }
    return Router(name, asn, networks, sessions, identifiers)


def _merit(attributes: PathAttributes) -> tuple[int, int]:
    return len(attributes.as_path), _ORIGINS[attributes.origin]


def _asns(as_path: AsPath) -> Iterator[int]:
    for hop in as_path:
        yield from hop if isinstance(hop, frozenset) else (hop,)


def _swapped(as_path: AsPath, new: int | None) -> Iterator[int | frozenset[int]]:
    """A path with another ASN in place of the route servers', or with none."""
    for hop in as_path:
        if isinstance(hop, frozenset):
            rest = hop - {ROUTE_SERVER_ASN} | ({new} if new is not None and ROUTE_SERVER_ASN in hop else set())
            if rest:
                yield frozenset(rest)
        elif hop != ROUTE_SERVER_ASN:
            yield hop
        elif new is not None:
            yield new
