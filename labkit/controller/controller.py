"""The controller: takes the reports of instances, concludes, programs agents and fabrics, and keeps the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from labkit.azure.changes.base import Change
from labkit.azure.changes.outcome import Done, servers_that_refresh
from labkit.azure.model import BgpPeer, InstanceId, Nic, RouteServer
from labkit.azure.rules.rows import AdvertisedRow, advertised_rows
from labkit.controller import desired, liveness
from labkit.controller.appliances import Policies, discard, put_in_place
from labkit.controller.events import EventLog
from labkit.controller.load_balancers import LoadBalancers
from labkit.controller.narrate import route_changes
from labkit.controller.platform import Platform, RunningInstance, TableKey
from labkit.controller.speakers import gateway_config, instance_config
from labkit.controller.switch import Switches
from labkit.controller.tables import Delta
from labkit.errors import EnvironmentProblem
from labkit.feed.bgp import (
    AdjRibOutQuery,
    InstanceDown,
    PeerRoutes,
    RefreshRoutes,
    RibDelta,
    RibSnapshot,
    RouteGroup,
    Routes,
    SessionRefused,
    SessionsClosed,
    SessionState,
    Withdrawal,
)
from labkit.feed.connection import Answer, FeedConnection, Query
from labkit.feed.firewall import FirewallPolicy
from labkit.feed.server import Feeds, Report
from labkit.feed.switch import FabricDelta, Finding, ProbeReport
from labkit.feed.tables import AgentDelta, AgentSnapshot
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import INSTANCES
from labkit.lab.running import carry_out
from labkit.names import handle

PATIENCE = 30.0
"""Seconds that a controller which came back waits for an instance that lives but does not report."""

JOIN_PATIENCE = 10.0
"""Seconds that an instance which came up may take to learn what the other one knows."""

RETURN_PATIENCE = 75.0
"""The same for one that was up before.

Its peers may hold on to their old sessions until their next keepalive finds that it has forgotten them: a minute, with
BGP's usual hold time of three.
"""

_SPEAKERS = ("routeserver", "gateway")
"""The roles that get a configuration and report what they learn."""

_CONFIGURED = (*_SPEAKERS, "firewall")
"""The roles that get a configuration, and no tables."""


class Controller:
    """One lab's controller. Its input comes from the feeds (it is a `feed.server.Controller`) and the API."""

    def __init__(self, lab: Lab, run: Path, store: Path, version: str = "") -> None:
        """`run` holds the nodes' platform folders, `store` the event log and the desired state.

        `version` is the lab file's; a lab that runs may get another one, and its controller starts again.
        """
        self.events = EventLog(store / "events.jsonl")
        self._desired = store / "desired.json"
        self._version = version
        self.platform = Platform(lab, desired.load(self._desired, lab, version))
        self._run = run
        self._policies = Policies(lab, run)
        self.load_balancers = LoadBalancers(lab)
        self.switches = Switches(self.platform)
        self._instances = {i.node: i for i in self.platform.built_instances}
        self._gateways = {i.node: i for i in self.platform.gateways.ids}
        self._firewalls = {i.node: i.name for firewall in lab.azure.firewalls for i in firewall.instance_ids}
        roles = dict.fromkeys(self._instances, "routeserver")
        roles |= dict.fromkeys(self._gateways, "gateway")
        roles |= dict.fromkeys(self._firewalls, "firewall")
        roles |= dict.fromkeys((vm.name for vm in lab.virtual_machines), "agent")
        roles |= dict.fromkeys((vnet.name for vnet in lab.azure.virtual_networks), "fabric")
        self.roles = roles
        self.feeds = Feeds(run, roles, self)
        self._awaited: set[InstanceId] = set()
        self._watched: set[str] = set()
        self._to_refresh: set[str] = set()
        """Instances that ask for routes again when they are back."""
        self._causes: list[str] = []
        self._scheduled = False
        self.reported = self.received_at = self.concluded = 0.0
        """When (Unix time) an instance last sent a report, when it was received, and when all was concluded from it."""

    async def start(self) -> None:
        """Open the feeds.

        A controller that comes back finds machines that are programmed. It sends no tables before every instance that
        lives has reported, or it would take away what is right.
        """
        if self.events.has_past:
            converge: tuple[InstanceId, ...] = (*self._instances.values(), *self._gateways.values())
            self._awaited = {i for i in converge if liveness.is_alive(self._alive(i.node))}
        for instance in self._awaited:
            self._watch(instance)
        put_in_place(self._policies.prepare(self.platform.azure))
        await self.feeds.start()
        asyncio.get_running_loop().call_later(PATIENCE, self._stop_waiting)
        self._changed("the controller started")

    async def stop(self) -> None:
        """Close the feeds; nodes keep what they have."""
        await self.feeds.stop()

    # What nodes send.

    def connected(self, connection: FeedConnection) -> None:
        """Greet a node with what it needs to know.

        Before the first conclusion every table is empty: that one sends a snapshot to all who wait for theirs.
        """
        if connection.role in _CONFIGURED:
            self._configure(connection)
        elif self.concluded:
            self._snapshot(connection)

    def received(self, connection: FeedConnection, report: Report) -> None:
        """Take the report of an instance of a route server or a gateway, or what a fabric's probes found."""
        if isinstance(report, ProbeReport):
            self._probed(connection.node, report.found)
            return
        if isinstance(report, SessionRefused):
            who = f"{report.peer} ({report.address})" if report.peer else report.address
            self.events.add(connection.node, "session", f"session {who} not established: {report.reason}")
            return
        self.reported, self.received_at = report.time, time.time()
        match report:
            case InstanceDown():
                self._down(self._instances[connection.node], report.reason)
            case SessionsClosed():
                self._sessions_closed(self._instances[connection.node])
            case RibSnapshot() | RibDelta() if connection.role == "gateway":
                self._gateway_reported(self._gateways[connection.node], report)
            case RibSnapshot() | RibDelta():
                self._instance_reported(self._instances[connection.node], report)

    def _sessions_closed(self, instance: InstanceId) -> None:
        if instance.name not in self.platform.azure.route_server:
            self.platform.alone.add(instance)
            self._changed(f"{instance.node} has closed its last session")

    def _instance_reported(self, instance: InstanceId, report: RibSnapshot | RibDelta) -> None:
        if isinstance(report, RibSnapshot):
            self.platform.came_up(instance)
            joining = self.platform.instances[instance]
            patience = JOIN_PATIENCE if joining.former is None else RETURN_PATIENCE
            asyncio.get_running_loop().call_later(patience, self._stop_joining, instance, joining, patience)
            self._awaited.discard(instance)
            self._watch(instance)
        if instance not in self.platform.instances:
            return
        causes = [f"{instance.node} reported"]
        for peer, session in report.sessions.items():
            causes.append(self._session(instance, peer, session))
        for withdrawal in _withdrawn(report):
            self.platform.withdraw(instance, withdrawal.peer, map(IPv4Network, withdrawal.prefixes))
            causes.append(f"{withdrawal.peer} withdrew {_named(withdrawal.prefixes)} from {instance.node}")
        for group in _announced(report):
            self.platform.announce(instance, group.peer, group.attributes, map(IPv4Network, group.prefixes))
            causes.append(f"{group.peer} advertised {_named(group.prefixes)} to {instance.node}")
        self._changed(*filter(None, causes[1:] or causes))

    def _probed(self, fabric: str, found: tuple[Finding, ...]) -> None:
        """The fabric has acted on it; those of peered virtual networks get it from here."""
        news = self.load_balancers.report(fabric, found)
        for name, what, because in news:
            self.events.add(name, "probe", what, because)
        for connection in self.feeds.connections.values():
            healthy = self.load_balancers.delta(connection.node, dict.fromkeys(name for name, *_ in news))
            if connection.role == "fabric" and connection.sent > 0 and healthy:
                connection.send(FabricDelta(healthy=healthy))

    def _gateway_reported(self, instance: InstanceId, report: RibSnapshot | RibDelta) -> None:
        gateways = self.platform.gateways
        former = gateways.running.get(instance)  # a snapshot replaces it; the sessions may go on
        if isinstance(report, RibSnapshot):
            gateways.came_up(instance)
            self._awaited.discard(instance)
            self._watch(instance)
        if instance not in gateways.running:
            return
        known, neighbours = gateways.running[instance], gateways.neighbours[instance]
        causes = [f"{instance.node} reported"]
        for peer, session in report.sessions.items():
            address = IPv4Address(peer)
            before = former.sessions.get(address) if former is not None else None
            known.sessions[address] = session
            if not session.established:
                gateways.forget(instance, address)
            if address in neighbours:
                causes.append(self._session_event(instance.node, neighbours[address].name, before, session))
        for withdrawal in _withdrawn(report):
            gateways.withdraw(instance, IPv4Address(withdrawal.peer), map(IPv4Network, withdrawal.prefixes))
            causes.append(f"{instance.node} no longer has {_named(withdrawal.prefixes)}")
        for group in _announced(report):
            prefixes = map(IPv4Network, group.prefixes)
            gateways.announce(instance, IPv4Address(group.peer), group.attributes, prefixes)
            causes.append(f"{instance.node} learned {_named(group.prefixes)}")
        self._changed(*filter(None, causes[1:] or causes))

    def refused(self, connection: FeedConnection, problem: str) -> None:
        """Record that a node sent what is not valid."""
        self.events.add(connection.node, "error", f"its message is not valid: {problem}")

    def acknowledged(self, connection: FeedConnection) -> None:
        """Record a failure that a node reports."""
        if connection.error:
            self.events.add(connection.node, "error", connection.error, f"message {connection.applied}")

    def disconnected(self, connection: FeedConnection) -> None:
        """Record a lost feed. What the node reported stays true until the kernel or a new report contradicts it."""
        self.events.add(connection.node, "feed", f"{connection.role}: its feed to the controller was lost")

    # What operators want.

    async def advertised(self, server: RouteServer, index: int, peer: BgpPeer) -> list[AdvertisedRow]:
        """What an instance advertises to a peer, asked of the instance itself; nothing of one that does not answer."""
        groups = await self.routes(InstanceId(server.name, index).node, AdjRibOutQuery(peer.name))
        routes = {IPv4Network(prefix): group.attributes for group in groups for prefix in group.prefixes}
        return advertised_rows(server, index, routes)

    async def routes(self, node: str, query: Query) -> tuple[RouteGroup, ...]:
        """The routes that a route server's instance answers; nothing of one that does not."""
        answer = await self.ask(node, query)
        return answer.routes if isinstance(answer, Routes) else ()

    async def ask(self, node: str, query: Query) -> Answer | None:
        """What a node answers; None if it does not."""
        connection = self.feeds.connections.get(node)
        if connection is None:
            return None
        try:
            return await connection.query(query)
        except (TimeoutError, ConnectionError):
            return None

    def change(self, changes: Sequence[Change]) -> tuple[Done, ...]:
        """Carry out changes, all of them or none, durably, and inform everyone they concern.

        Raises:
            InvalidInput: one of them is refused, and nothing was changed.
            EnvironmentProblem: there is no room to keep them, and nothing was changed.
        """
        lab, before = self.platform.declared, self.platform.azure
        outcome = carry_out(lab, before, changes)
        after = outcome.azure
        refreshing = servers_that_refresh(before, after)
        policies = self._policies.prepare(after)
        try:
            desired.save(self._desired, lab, after, self._version)
        except EnvironmentProblem:
            discard(policies)
            raise
        put_in_place(policies)
        self.platform.azure = after
        self.platform.alone = {i for i in self.platform.alone if i.name not in after.route_server}
        for done in outcome.done:
            self.events.add(done.change.subject, done.change.kind, f"{done.what}, by the operator")
        for connection in self.feeds.connections.values():
            changed = connection.role != "firewall" or before.firewalls != after.firewalls
            if connection.role in _CONFIGURED and changed:
                self._configure(connection)
        for server in refreshing:
            self._refresh(server)
        self._changed(*(f"{done.change.kind} {done.title}" for done in outcome.done))
        return outcome.done

    def adopt(self, parts: Sequence[tuple[str, str]], refresh: Collection[str]) -> None:
        """Keep the lab file that this controller began with as that of a lab which an operator has given it.

        `parts` are what came of that, each with its object, for the event log. The route servers of `refresh` ask all
        NVAs for their routes again, as soon as they have their configuration.

        Raises:
            EnvironmentProblem: there is no room to keep it.
        """
        desired.save(self._desired, self.platform.declared, self.platform.azure, self._version)
        for subject, what in parts:
            self.events.add(subject, "lab", f"{what}, by the operator")
        for server in refresh:
            self._refresh(server)

    def programmed(self) -> bool:
        """Whether every agent and fabric has applied all that it was sent."""
        nodes = [n for n, role in self.roles.items() if role not in _SPEAKERS]
        return not self._awaited and all(
            (c := self.feeds.connections.get(n)) is not None and c.sent > 0 and c.applied == c.sent and not c.error
            for n in nodes
        )

    # How it concludes.

    def _changed(self, *causes: str) -> None:
        self._causes += causes
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._conclude)

    def _conclude(self) -> None:
        """Work out what is new, and send it; whatever arrived meanwhile counts as one change."""
        self._scheduled = False
        if self._awaited:
            return
        causes, self._causes = self._causes, []
        changes = self.platform.conclude()
        because = "; ".join(dict.fromkeys(causes))
        for nics, text in route_changes(changes):
            self.events.add(nics, "route", text, because)
        deltas = {change.key: change.delta for change in changes if change.delta}
        moved = {nic for change in changes if change.moved for nic in change.nics}
        for connection in list(self.feeds.connections.values()):
            if connection.role in _CONFIGURED:
                continue
            if connection.sent == 0 or any(nic.name in moved for nic in self._nics(connection)):
                self._snapshot(connection)
            else:
                self._delta(connection, deltas)
        self.concluded = time.time()

    def _delta(self, connection: FeedConnection, deltas: Mapping[TableKey, Delta]) -> None:
        if connection.role == "agent":
            keys = {nic.interface: self.platform.table_key[nic.name] for nic in self._nics(connection)}
            tables = {interface: deltas[key].message() for interface, key in keys.items() if key in deltas}
            if tables:
                connection.send(AgentDelta(tables))
        else:
            news = self.switches.delta(connection.node, deltas)
            if news is not None:
                connection.send(news)

    def _snapshot(self, connection: FeedConnection) -> None:
        if connection.role == "agent":
            keys = {nic.interface: self.platform.table_key[nic.name] for nic in self._nics(connection)}
            tables = {interface: self.platform.table(key).message() for interface, key in keys.items()}
            connection.send(AgentSnapshot(tables))
        else:
            connection.send(self.switches.snapshot(connection.node, self.load_balancers.snapshot(connection.node)))

    def _nics(self, connection: FeedConnection) -> tuple[Nic, ...]:
        """The NICs of the machine whose agent this is; none for a fabric."""
        return self.platform.azure.nics_of(connection.node) if connection.role == "agent" else ()

    def _configure(self, connection: FeedConnection) -> None:
        if connection.role == "gateway":
            connection.send(gateway_config(self.platform, self._gateways[connection.node]))
        elif connection.role == "firewall":
            connection.send(FirewallPolicy(self.platform.azure.firewall[self._firewalls[connection.node]].rules))
        else:
            connection.send(instance_config(self.platform, self._instances[connection.node]))
            if connection.node in self._to_refresh:
                self._to_refresh.remove(connection.node)
                connection.send(RefreshRoutes())

    def _refresh(self, server: str) -> None:
        for index in INSTANCES:
            node = InstanceId(server, index).node
            connection = self.feeds.connections.get(node)
            if connection is not None:
                connection.send(RefreshRoutes())
            else:
                self._to_refresh.add(node)

    # Who lives.

    def _alive(self, node: str) -> Path:
        return self._run / handle(node) / "alive"

    def _watch(self, instance: InstanceId) -> None:
        if instance.node not in self._watched:
            self._watched.add(instance.node)
            liveness.on_death(self._alive(instance.node), lambda: self._died(instance))

    def _died(self, instance: InstanceId) -> None:
        self._watched.discard(instance.node)
        self._down(instance, "no process of the instance is left")

    def _down(self, instance: InstanceId, reason: str) -> None:
        self._awaited.discard(instance)
        if instance in self.platform.gateways.neighbours:
            was_up = self.platform.gateways.running.pop(instance, None) is not None
        else:
            was_up = self.platform.went_down(instance)
        if was_up:
            self.events.add(instance.node, "instance", f"down: {reason}")
            self._changed(f"{instance.node} is down")

    def _stop_waiting(self) -> None:
        for instance in self._awaited:
            self.events.add(instance.node, "instance", f"is alive but did not report within {PATIENCE:.0f} s")
        self._awaited.clear()
        self._changed("the controller stopped waiting")

    def _stop_joining(self, instance: InstanceId, joining: RunningInstance, patience: float) -> None:
        # It may have gone and come back since: then it has only begun to learn.
        if self.platform.instances.get(instance) is joining and self.platform.joined(instance):
            self._changed(f"{instance.node} is used with the routes that it has learned within {patience:.0f} s")

    def _session(self, instance: InstanceId, peer: str, now: SessionState) -> str:
        """Record a session's state; the text is the cause of what follows, empty if nothing changed."""
        sessions = self.platform.instances[instance].sessions
        former = self.platform.instances[instance].former  # a snapshot replaces it; the session may go on
        before = sessions.get(peer) or (former.sessions.get(peer) if former is not None else None)
        sessions[peer] = now
        if not now.established:
            self.platform.forget(instance, peer)
        return self._session_event(instance.node, peer, before, now)

    def _session_event(self, node: str, peer: str, before: SessionState | None, now: SessionState) -> str:
        was_up, is_up = before is not None and before.established, now.established
        if was_up == is_up:
            return ""
        text = f"session {peer} {'up' if is_up else 'down'}" + (f": {now.reason}" if now.reason else "")
        self.events.add(node, "session", text)
        return f"{node} {text}"


def _announced(report: RibSnapshot | RibDelta) -> tuple[PeerRoutes, ...]:
    return report.routes if isinstance(report, RibSnapshot) else report.announced


def _withdrawn(report: RibSnapshot | RibDelta) -> tuple[Withdrawal, ...]:
    return () if isinstance(report, RibSnapshot) else report.withdrawn


def _named(prefixes: Collection[str]) -> str:
    return " ".join(prefixes) if len(prefixes) <= 3 else f"{len(prefixes):,} prefixes"
