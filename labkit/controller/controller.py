"""The controller: hears the route server instances, concludes, tells agents and fabrics, and keeps the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from labkit.azure.changes.base import Change
from labkit.azure.changes.outcome import Done, servers_that_refresh
from labkit.azure.model import BgpPeer, InstanceId, RouteServer
from labkit.azure.rules.rows import AdvertisedRow, advertised_rows
from labkit.controller import desired, liveness
from labkit.controller.connection import Connection
from labkit.controller.events import EventLog
from labkit.controller.feeds import Feeds
from labkit.controller.load_balancers import LoadBalancers
from labkit.controller.narrate import route_changes
from labkit.controller.platform import Instance, Platform, TableKey
from labkit.controller.session import ESTABLISHED, Session
from labkit.controller.speakers import gateway_config, instance_config
from labkit.controller.switch import Switches
from labkit.controller.tables import Delta
from labkit.feed.attributes import attributes_from_json
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import INSTANCES
from labkit.lab.running import carry_out

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
"""The roles that are told a configuration and report what they learn."""


class Controller:
    """One lab's controller. Its input comes in through `Feeds` (the methods of `feeds.Node`) and the operator API."""

    def __init__(self, lab: Lab, run: Path, store: Path) -> None:
        """`run` holds the nodes' platform folders, `store` the event log and the desired state."""
        self.events = EventLog(store / "events.jsonl")
        self._desired = store / "desired.json"
        self.platform = Platform(lab, desired.load(self._desired, lab))
        self._run = run
        self.load_balancers = LoadBalancers(lab)
        self.switches = Switches(self.platform)
        self._instances = {i.node: i for i in self.platform.built_instances}
        self._gateways = {i.node: i for i in self.platform.gateways.ids}
        roles = dict.fromkeys(self._instances, "routeserver")
        roles |= dict.fromkeys(self._gateways, "gateway")
        roles |= dict.fromkeys((vm.name for vm in lab.virtual_machines), "agent")
        roles |= dict.fromkeys((vnet.name for vnet in lab.azure.virtual_networks), "fabric")
        self.roles = roles
        self.feeds = Feeds(run, roles, self)
        self._awaited: set[InstanceId] = set()
        self._watched: set[str] = set()
        self._causes: list[str] = []
        self._scheduled = False
        self.reported = self.heard = self.concluded = 0.0
        """When (Unix time) an instance last sent a report, when it was read, and when all was concluded from it."""

    async def start(self) -> None:
        """Open the feeds.

        A controller that comes back finds machines that are programmed. It tells nobody anything before every
        instance that lives has reported, or it would take away what is right.
        """
        if self.events.has_past:
            converge: tuple[InstanceId, ...] = (*self._instances.values(), *self._gateways.values())
            self._awaited = {i for i in converge if liveness.is_alive(self._alive(i.node))}
        for instance in self._awaited:
            self._watch(instance)
        await self.feeds.start()
        asyncio.get_running_loop().call_later(PATIENCE, self._stop_waiting)
        self._changed("the controller started")

    async def stop(self) -> None:
        """Close the feeds; nodes keep what they have."""
        await self.feeds.stop()

    # What the nodes say.

    def connected(self, connection: Connection) -> None:
        """Greet a node with what it needs to know."""
        if connection.role in _SPEAKERS:
            self._configure(connection)
        elif not self._awaited:
            self._snapshot(connection)

    def received(self, connection: Connection, message: Mapping[str, Any]) -> None:
        """Take the report of an instance of a route server or a gateway, or what a fabric's probes found."""
        if connection.role == "fabric":
            self._probed(connection.node, message)
            return
        self.reported, self.heard = message.get("time", 0.0), time.time()
        if connection.role == "gateway":
            self._gateway_reported(self._gateways[connection.node], message)
            return
        instance = self._instances[connection.node]
        if message["type"] == "down":
            self._down(instance, message["reason"])
            return
        if message["type"] == "alone":
            if instance.name not in self.platform.azure.route_server:
                self.platform.alone.add(instance)
                self._changed(f"{connection.node} has closed its last session")
            return
        if message["type"] == "snapshot":
            self.platform.came_up(instance)
            joining = self.platform.instances[instance]
            patience = JOIN_PATIENCE if joining.former is None else RETURN_PATIENCE
            asyncio.get_running_loop().call_later(patience, self._stop_joining, instance, joining, patience)
            self._awaited.discard(instance)
            self._watch(instance)
            message = {**message, "announced": message["routes"], "withdrawn": []}
        if instance not in self.platform.instances:
            return
        causes = [f"{connection.node} reported"]
        for peer, state in message["sessions"].items():
            causes.append(self._session(instance, peer, Session(**state)))
        for item in message["withdrawn"]:
            prefixes = [IPv4Network(p) for p in item["prefixes"]]
            self.platform.withdraw(instance, item["peer"], prefixes)
            causes.append(f"{item['peer']} withdrew {_named(item['prefixes'])} from {connection.node}")
        for item in message["announced"]:
            attributes = attributes_from_json(item["attributes"])
            prefixes = [IPv4Network(p) for p in item["prefixes"]]
            self.platform.announce(instance, item["peer"], attributes, prefixes)
            causes.append(f"{item['peer']} announced {_named(item['prefixes'])} to {connection.node}")
        self._changed(*filter(None, causes[1:] or causes))

    def _probed(self, fabric: str, message: Mapping[str, Any]) -> None:
        """The fabric has acted on it; those of peered virtual networks are told."""
        news = self.load_balancers.heard(fabric, message["found"])
        for name, what, because in news:
            self.events.add(name, "probe", what, because)
        for connection in self.feeds.connections.values():
            healthy = self.load_balancers.delta(connection.node, dict.fromkeys(name for name, *_ in news))
            if connection.role == "fabric" and connection.sent > 0 and healthy:
                connection.send({"type": "delta", "ports": {}, "tables": {}, "healthy": healthy})

    def _gateway_reported(self, instance: InstanceId, message: Mapping[str, Any]) -> None:
        gateways = self.platform.gateways
        former = gateways.running.get(instance)  # a snapshot begins anew; the sessions may go on
        if message["type"] == "snapshot":
            gateways.came_up(instance)
            self._awaited.discard(instance)
            self._watch(instance)
            message = {**message, "announced": message["routes"], "withdrawn": []}
        if instance not in gateways.running:
            return
        known, neighbours = gateways.running[instance], gateways.neighbours[instance]
        causes = [f"{instance.node} reported"]
        for peer, state in message["sessions"].items():
            address, now = IPv4Address(peer), Session(**state)
            before = former.sessions.get(address) if former is not None else None
            known.sessions[address] = now
            if now.state != ESTABLISHED:
                gateways.forget(instance, address)
            if address in neighbours:
                causes.append(self._session_event(instance.node, neighbours[address].name, before, now))
        for item in message["withdrawn"]:
            gateways.withdraw(instance, IPv4Address(item["peer"]), [IPv4Network(p) for p in item["prefixes"]])
            causes.append(f"{instance.node} lost {_named(item['prefixes'])}")
        for item in message["announced"]:
            attributes, prefixes = attributes_from_json(item["attributes"]), [IPv4Network(p) for p in item["prefixes"]]
            gateways.announce(instance, IPv4Address(item["peer"]), attributes, prefixes)
            causes.append(f"{instance.node} learned {_named(item['prefixes'])}")
        self._changed(*filter(None, causes[1:] or causes))

    def acknowledged(self, connection: Connection) -> None:
        """Record a failure that a node reports."""
        if connection.error:
            self.events.add(connection.node, "error", connection.error, f"message {connection.applied}")

    def disconnected(self, connection: Connection) -> None:
        """Record a lost feed. What the node last said stays true until the kernel or a new report says otherwise."""
        self.events.add(connection.node, "feed", f"{connection.role} lost its feed")

    # What operators want.

    async def advertised(self, server: RouteServer, index: int, peer: BgpPeer) -> list[AdvertisedRow]:
        """What an instance advertises to a peer, asked of the instance itself; nothing of one that does not answer."""
        groups = await self.ask(InstanceId(server.name, index).node, table="advertised", peer=peer.name)
        routes = {
            IPv4Network(prefix): attributes
            for group in groups
            for attributes in (attributes_from_json(group["attributes"]),)
            for prefix in group["prefixes"]
        }
        return advertised_rows(server, index, routes)

    async def ask(self, node: str, **question: object) -> list[dict[str, Any]]:
        """What a node answers; nothing of one that does not."""
        connection = self.feeds.connections.get(node)
        if connection is None:
            return []
        try:
            answer: list[dict[str, Any]] = await connection.query(**question)
        except (TimeoutError, ConnectionError):
            return []
        return answer

    def change(self, changes: Sequence[Change]) -> tuple[Done, ...]:
        """Carry out changes, all of them or none, durably, and inform everyone they concern.

        Raises:
            InvalidInput: one of them is refused, and nothing was changed.
        """
        lab, before = self.platform.declared, self.platform.azure
        outcome = carry_out(lab, before, changes)
        after = outcome.azure
        refreshing = servers_that_refresh(before, after)
        desired.save(self._desired, lab, after)
        self.platform.azure = after
        self.platform.alone = {i for i in self.platform.alone if i.name not in after.route_server}
        for done in outcome.done:
            self.events.add(done.change.subject, done.change.kind, f"{done.what}, by the operator")
        for connection in self.feeds.connections.values():
            if connection.role in _SPEAKERS:
                self._configure(connection)
        for server in refreshing:
            self._refresh(server)
        self._changed(*(f"{done.change.kind} {done.title}" for done in outcome.done))
        return outcome.done

    def programmed(self) -> bool:
        """Whether every agent and fabric has applied all that it was told."""
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
        """Work out what is new and tell those whom it concerns; whatever arrived meanwhile counts as one change."""
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
            if connection.role in _SPEAKERS:
                continue
            if connection.sent == 0 or connection.node in moved:
                self._snapshot(connection)
            else:
                self._delta(connection, deltas)
        self.concluded = time.time()

    def _delta(self, connection: Connection, deltas: Mapping[TableKey, Delta]) -> None:
        if connection.role == "agent":
            delta = deltas.get(self.platform.table_key[connection.node])
            if delta is not None:
                connection.send({"type": "delta", "table": delta.wire()})
        else:
            news = self.switches.delta(connection.node, deltas)
            if news is not None:
                connection.send({"type": "delta", **news})

    def _snapshot(self, connection: Connection) -> None:
        if connection.role == "agent":
            table = self.platform.table(self.platform.table_key[connection.node])
            connection.send({"type": "snapshot", "table": table.wire()})
        else:
            balancers = self.load_balancers.snapshot(connection.node)
            snapshot = self.switches.snapshot(connection.node)
            connection.send({"type": "snapshot", **snapshot, "load_balancers": balancers})

    def _configure(self, connection: Connection) -> None:
        if connection.role == "gateway":
            connection.send(gateway_config(self.platform, self._gateways[connection.node]))
        else:
            connection.send(instance_config(self.platform, self._instances[connection.node]))

    def _refresh(self, server: str) -> None:
        for index in INSTANCES:
            connection = self.feeds.connections.get(InstanceId(server, index).node)
            if connection is not None:
                connection.send({"type": "refresh"})

    # Who lives.

    def _alive(self, node: str) -> Path:
        return self._run / node / "alive"

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
            self.events.add(instance.node, "instance", f"lives but did not report within {PATIENCE:.0f} s")
        self._awaited.clear()
        self._changed("the controller stopped waiting")

    def _stop_joining(self, instance: InstanceId, joining: Instance, patience: float) -> None:
        # It may have gone and come back since: then it has only begun to learn.
        if self.platform.instances.get(instance) is joining and self.platform.joined(instance):
            self._changed(f"{instance.node} takes part with what it has learned in {patience:.0f} s")

    def _session(self, instance: InstanceId, peer: str, now: Session) -> str:
        """Record a session's state; the text is the cause of what follows, empty if nothing changed."""
        sessions = self.platform.instances[instance].sessions
        former = self.platform.instances[instance].former  # a snapshot begins anew; the session may go on
        before = sessions.get(peer) or (former.sessions.get(peer) if former is not None else None)
        sessions[peer] = now
        if now.state != ESTABLISHED:
            self.platform.forget(instance, peer)
        return self._session_event(instance.node, peer, before, now)

    def _session_event(self, node: str, peer: str, before: Session | None, now: Session) -> str:
        was_up, is_up = before is not None and before.state == ESTABLISHED, now.state == ESTABLISHED
        if was_up == is_up:
            return ""
        text = f"session {peer} {'up' if is_up else 'down'}" + (f": {now.reason}" if now.reason else "")
        self.events.add(node, "session", text)
        return f"{node} {text}"


def _named(prefixes: Iterable[str]) -> str:
    named = list(prefixes)
    return " ".join(named) if len(named) <= 3 else f"{len(named):,} prefixes"
