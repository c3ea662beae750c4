"""What the platform of a lab knows and concludes: learned routes in, forwarding tables out. No I/O.

The rules are `labkit.azure`'s. NICs that provably have the same effective routes (same virtual network, same route
table, same route server instance listened to) share one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network

from labkit.azure.model import (
    Azure,
    BgpPeer,
    EffectiveRoute,
    InstanceId,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    PathAttributes,
    RouteServer,
)
from labkit.azure.rules.effective import effective_routes, listened_instance
from labkit.azure.rules.gateways import with_gateway_peers
from labkit.controller.gateways import Gateways
from labkit.controller.tables import Delta, Table, diff
from labkit.feed.bgp import SessionState
from labkit.feed.tables import desired
from labkit.lab.build import wiring
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.plan.model import Link
from labkit.lab.sessions import BgpSession


@dataclass(slots=True)
class RunningInstance:
    """What is known of a running instance. `routes` holds accepted paths by prefix and peer name.

    One that is `joining` has just come up and still learns what the other one knows, or what it knew itself when it
    was `former`. NICs that listen to it have the other's routes meanwhile: a route server survives the restart of an
    instance [instance-maintenance].
    """

    sessions: dict[str, SessionState] = field(default_factory=dict)
    routes: dict[IPv4Network, dict[str, LearnedRoute]] = field(default_factory=dict)
    joining: bool = False
    former: RunningInstance | None = None

    @property
    def established(self) -> frozenset[str]:
        """The peers whose session is up."""
        return frozenset(peer for peer, session in self.sessions.items() if session.established)

    def knows(self, other: RunningInstance) -> bool:
        """Whether it has the sessions that another instance has, and from each peer the same prefixes."""
        up = other.established
        return up <= self.established and other.prefixes(up) <= self.prefixes(up)

    def prefixes(self, peers: Set[str]) -> set[tuple[str, IPv4Network]]:
        """What came from these peers, as `(peer, prefix)`."""
        return {(peer, prefix) for prefix, paths in self.routes.items() for peer in paths.keys() & peers}


@dataclass(frozen=True, slots=True, order=True)
class TableKey:
    """What NICs must have in common to have the same effective routes."""

    virtual_network: str
    route_table: str
    instance: int


@dataclass(frozen=True, slots=True)
class TableChange:
    """What changed for NICs that share a table, and shared one before: its rows before and after.

    `delta` is what is new in the table `key`. NICs that have `moved` to it from another one must receive all of it.
    """

    key: TableKey
    nics: tuple[str, ...]
    moved: bool
    delta: Delta
    before: tuple[EffectiveRoute, ...]
    after: tuple[EffectiveRoute, ...]


class Platform:
    """The lab's state as the controller holds it. Instances that are down are absent from it."""

    def __init__(self, lab: Lab, azure: Azure | None = None) -> None:
        """Start with no instance known. `azure` is what operators have made of the lab's own."""
        self.declared = lab
        """What was built. Nodes and links stay as they are, whatever operators change."""
        self.azure: Azure = lab.azure if azure is None else azure
        self.instances: dict[InstanceId, RunningInstance] = {}
        self.gateways = Gateways(lab)
        self.alone: set[InstanceId] = set()
        """The instances that have closed their last session, of route servers that are no more."""
        self._former: dict[InstanceId, RunningInstance] = {}
        """What instances that are down knew."""
        self.table_key: Mapping[str, TableKey] = _table_keys(self.azure)
        """The key of every NIC's table, as of the last `conclude`."""
        self._tables: dict[TableKey, Table] = {}
        self._rows: dict[TableKey, tuple[EffectiveRoute, ...]] = {}

    @property
    def instance_ids(self) -> tuple[InstanceId, ...]:
        """Both instances of every route server."""
        return tuple(i for s in self.azure.route_servers for i in s.instance_ids)

    @cached_property
    def built_instances(self) -> tuple[InstanceId, ...]:
        """The instances that have nodes: those of deleted route servers, too."""
        return tuple(i for s in self.declared.azure.route_servers for i in s.instance_ids)

    @property
    def gone(self) -> frozenset[str]:
        """The nodes of deleted route servers that have no session to close any more, or are off."""
        deleted = (i for i in self.built_instances if i.name not in self.azure.route_server)
        return frozenset(i.node for i in deleted if i in self.alone or i not in self.instances)

    @property
    def idle(self) -> frozenset[tuple[str, str]]:
        """The instances of gateways that have nothing of a circuit (`labkit.lab.plan.nodes.beyond`)."""
        return frozenset(self.gateways.idle())

    @cached_property
    def built_sessions(self) -> tuple[BgpSession, ...]:
        """The BGP sessions for which nodes are configured."""
        return bgp_sessions(self.declared)

    @cached_property
    def built_links(self) -> tuple[Link, ...]:
        """The links between nodes."""
        return wiring(self.declared).links

    @property
    def table_keys(self) -> list[TableKey]:
        """The tables there are, in a stable order."""
        return sorted(set(self.table_key.values()))

    def came_up(self, instance: InstanceId) -> None:
        """An instance is about to report from the beginning. It joins as soon as it knows enough (`conclude`)."""
        former = self.instances.get(instance) or self._former.pop(instance, None)
        if former is not None and former.joining:
            former = former.former
        self.instances[instance] = RunningInstance(joining=True, former=former)

    def went_down(self, instance: InstanceId) -> bool:
        """An instance is down; what it knew is kept for its return. False if it was down already."""
        known = self.instances.pop(instance, None)
        if known is not None:
            self._former[instance] = known
        return known is not None

    def joined(self, instance: InstanceId) -> bool:
        """Let an instance that has waited long enough take part with what it has; false if it does already."""
        known = self.instances.get(instance)
        if known is None or not known.joining:
            return False
        known.joining, known.former = False, None
        return True

    def _join(self) -> None:
        """Let every instance take part that has nobody to learn from, or has learned it."""
        for instance, known in self.instances.items():
            other, former = self.instances.get(instance.other), known.former
            learned = other is None or other.joining or known.knows(other)
            if known.joining and (learned or (former is not None and former.established and known.knows(former))):
                known.joining, known.former = False, None

    def learned(self) -> LearnedRoutes:
        """What every instance has learned, in the form that the rules want; None for an instance that is down."""
        return {s.name: (self._routes(s, 0), self._routes(s, 1)) for s in self.azure.route_servers}

    def _routes(self, server: RouteServer, index: int) -> InstanceRoutes | None:
        instance = self.instances.get(InstanceId(server.name, index))
        if instance is None or instance.joining:
            return None
        order = {peer.name: i for i, peer in enumerate(with_gateway_peers(self.azure, server).peers)}
        return {
            prefix: tuple(paths[name] for name in sorted(paths.keys() & order.keys(), key=order.__getitem__))
            for prefix, paths in instance.routes.items()
        }

    def announce(
        self, instance: InstanceId, peer: str, attributes: PathAttributes, prefixes: Iterable[IPv4Network]
    ) -> None:
        """An instance accepted these paths of a peer, in place of those it had from it for the same prefixes."""
        peers = {p.name: p for p in self.all_peers(instance.name)}
        routes = self.instances[instance].routes
        for prefix in prefixes if peer in peers else ():  # a session that is being ended may still bring routes
            routes.setdefault(prefix, {})[peer] = LearnedRoute(prefix, attributes, peers[peer])

    def withdraw(self, instance: InstanceId, peer: str, prefixes: Iterable[IPv4Network]) -> None:
        """An instance lost these paths of a peer."""
        routes = self.instances[instance].routes
        for prefix in prefixes:
            paths = routes.get(prefix, {})
            paths.pop(peer, None)
            if not paths:
                routes.pop(prefix, None)

    def forget(self, instance: InstanceId, peer: str) -> None:
        """An instance lost its session with a peer, and all it had from it."""
        self.withdraw(instance, peer, [p for p, paths in self.instances[instance].routes.items() if peer in paths])

    def all_peers(self, route_server: str) -> tuple[BgpPeer, ...]:
        """The peers of a route server, those that are instances of gateways included; none of a deleted one."""
        server = self.azure.route_server.get(route_server)
        return with_gateway_peers(self.azure, server).peers if server is not None else ()

    def rows(self, nic: str) -> tuple[EffectiveRoute, ...]:
        """The effective routes of a NIC as of the last `conclude`; empty before the first."""
        return self._rows.get(self.table_key[nic], ())

    def table(self, key: TableKey) -> Table:
        """A forwarding table as of the last `conclude`; empty before the first."""
        return self._tables.get(key, Table())

    def conclude(self) -> list[TableChange]:
        """Work every table out again: what changed, and for whom."""
        self._join()
        learned, gateways = self.learned(), self.gateways.routes(self.azure)
        former, self.table_key = self.table_key, _table_keys(self.azure)
        rows, tables = self._rows, self._tables
        self._rows, self._tables = {}, {}
        sharing: dict[tuple[TableKey, TableKey], list[str]] = {}
        for nic, key in self.table_key.items():
            sharing.setdefault((key, former.get(nic, key)), []).append(nic)
        deltas: dict[TableKey, Delta] = {}
        changes = []
        for (key, came_from), nics in sorted(sharing.items()):
            if key not in self._rows:
                self._rows[key] = effective_routes(self.azure, nics[0], learned, gateways)
                self._tables[key], deltas[key] = diff(tables.get(key, Table()), desired(self._rows[key]))
            moved, delta = key != came_from, deltas[key]
            if moved or delta:
                before, after = rows.get(came_from, ()), self._rows[key]
                changes.append(TableChange(key, tuple(nics), moved, delta, before, after))
        return changes


def _table_keys(azure: Azure) -> dict[str, TableKey]:
    """The key of every NIC's table."""
    route_tables = {(v.name, s.name): s.route_table or "" for v in azure.virtual_networks for s in v.subnets}
    return {
        nic.name: TableKey(
            nic.virtual_network, route_tables[nic.virtual_network, nic.subnet], listened_instance(nic.name)
        )
        for nic in azure.nics
    }
