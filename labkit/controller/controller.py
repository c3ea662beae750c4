"""The controller: hears the route server instances, concludes, tells agents and fabrics, and keeps the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from labkit.azure.acceptance import originated
from labkit.azure.attributes_json import attributes_from_json
from labkit.azure.model import BgpPeer, RouteServer, RouteTable
from labkit.azure.rows import AdvertisedRow, advertised_rows
from labkit.controller import desired, liveness
from labkit.controller.connection import Connection
from labkit.controller.events import EventLog
from labkit.controller.feeds import Feeds
from labkit.controller.narrate import route_changes
from labkit.controller.platform import ESTABLISHED, InstanceId, Platform, Session, TableChange, TableKey
from labkit.controller.switch import Switches
from labkit.lab.model import Lab

PATIENCE = 30.0
"""Seconds that a controller which came back waits for an instance that lives but does not report."""

JOIN_PATIENCE = 10.0
"""Seconds that an instance which came up may take to learn what the other one knows."""

_SERVER: TypeAdapter[RouteServer] = TypeAdapter(RouteServer)


class Controller:
    """One lab's controller. Its input comes in through `Feeds` (the methods of `feeds.Node`) and the operator API."""

    def __init__(self, lab: Lab, run: Path, store: Path) -> None:
        """`run` holds the nodes' platform folders, `store` the event log and the desired state."""
        self.events = EventLog(store / "events.jsonl")
        self._desired = store / "desired.json"
        self.platform = Platform(lab, desired.load(self._desired))
        self._run = run
        self.switches = Switches(self.platform)
        self._instances = {i.node: i for i in self.platform.instance_ids}
        roles = dict.fromkeys(self._instances, "routeserver")
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
            self._awaited = {i for i in self._instances.values() if liveness.is_alive(self._alive(i.node))}
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
        if connection.role == "routeserver":
            self._configure(connection)
        elif not self._awaited:
            self._snapshot(connection)

    def received(self, connection: Connection, message: Mapping[str, Any]) -> None:
        """Take a route server instance's report."""
        instance = self._instances[connection.node]
        self.reported, self.heard = message.get("time", 0.0), time.time()
        if message["type"] == "down":
            self._down(instance, message["reason"])
            return
        if message["type"] == "snapshot":
            self.platform.came_up(instance)
            asyncio.get_running_loop().call_later(JOIN_PATIENCE, self._stop_joining, instance)
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

    def acknowledged(self, connection: Connection) -> None:
        """Record a failure that a node reports."""
        if connection.error:
            self.events.add(connection.node, "error", connection.error, f"message {connection.applied}")

    def disconnected(self, connection: Connection) -> None:
        """Record a lost feed. What the node last said stays true until the kernel or a new report says otherwise."""
        self.events.add(connection.node, "feed", f"{connection.role} lost its feed")

    # What operators want.

    async def advertised(self, instance: InstanceId, peer: BgpPeer) -> list[AdvertisedRow]:
        """What an instance advertises to a peer, asked of the instance itself; nothing of one that does not answer."""
        connection = self.feeds.connections.get(instance.node)
        if connection is None:
            return []
        try:
            groups = await connection.query(table="advertised", peer=peer.name)
        except (TimeoutError, ConnectionError):
            return []
        routes = {
            IPv4Network(prefix): attributes
            for group in groups
            for attributes in (attributes_from_json(group["attributes"]),)
            for prefix in group["prefixes"]
        }
        return advertised_rows(self.platform.azure.route_server[instance.route_server], instance.index, routes)

    def set_route_table(self, table: RouteTable) -> None:
        """Change a route table of the running lab, durably."""
        self.platform.set_route_table(table)
        desired.save(self._desired, self.platform.azure.route_tables)
        self.events.add(table.name, "route-table", "changed by the operator")
        self._changed(f"route table {table.name} was changed")

    def programmed(self) -> bool:
        """Whether every agent and fabric has applied all that it was told."""
        nodes = [n for n, role in self.roles.items() if role != "routeserver"]
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
        by_key = {change.key: change for change in changes}
        for connection in list(self.feeds.connections.values()):
            if connection.role == "routeserver":
                continue
            if connection.sent == 0:
                self._snapshot(connection)
            else:
                self._delta(connection, by_key)
        self.concluded = time.time()

    def _delta(self, connection: Connection, changes: Mapping[TableKey, TableChange]) -> None:
        if connection.role == "agent":
            change = changes.get(self.platform.table_key[connection.node])
            if change is not None:
                connection.send({"type": "delta", "table": change.delta.wire()})
        else:
            tables = self.switches.table_deltas(connection.node, changes)
            if tables:
                connection.send({"type": "delta", "ports": {}, "tables": tables})

    def _snapshot(self, connection: Connection) -> None:
        if connection.role == "agent":
            table = self.platform.table(self.platform.table_key[connection.node])
            connection.send({"type": "snapshot", "table": table.wire()})
        else:
            connection.send({"type": "snapshot", **self.switches.snapshot(connection.node)})

    def _configure(self, connection: Connection) -> None:
        instance = self._instances[connection.node]
        server = self.platform.azure.route_server[instance.route_server]
        ranges = originated(self.platform.azure, server.name)
        connection.send(
            {
                "type": "config",
                "instance": instance.index,
                "server": _SERVER.dump_python(server, mode="json"),
                "originated": {"own": [str(p) for p in ranges.own], "spokes": [str(p) for p in ranges.spokes]},
            }
        )

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
        if self.platform.instances.pop(instance, None) is not None:
            self.events.add(instance.node, "instance", f"down: {reason}")
            self._changed(f"{instance.node} is down")

    def _stop_waiting(self) -> None:
        for instance in self._awaited:
            self.events.add(instance.node, "instance", f"lives but did not report within {PATIENCE:.0f} s")
        self._awaited.clear()
        self._changed("the controller stopped waiting")

    def _stop_joining(self, instance: InstanceId) -> None:
        if self.platform.joined(instance):
            self._changed(f"{instance.node} takes part with what it has learned in {JOIN_PATIENCE:.0f} s")

    def _session(self, instance: InstanceId, peer: str, now: Session) -> str:
        """Record a session's state; the text is the cause of what follows, empty if nothing changed."""
        sessions = self.platform.instances[instance].sessions
        was_up = peer in sessions and sessions[peer].state == ESTABLISHED
        sessions[peer] = now
        is_up = now.state == ESTABLISHED
        if not is_up:
            self.platform.forget(instance, peer)
        if was_up == is_up:
            return ""
        text = f"session {peer} {'up' if is_up else 'down'}" + (f": {now.reason}" if now.reason else "")
        self.events.add(instance.node, "session", text)
        return f"{instance.node} {text}"


def _named(prefixes: Iterable[str]) -> str:
    named = list(prefixes)
    return " ".join(named) if len(named) <= 3 else f"{len(named):,} prefixes"
