"""What the controller wants a fabric to be: ports and forwarding tables, as immutable values read from messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from labkit.fabric import load_balancers
from labkit.fabric.load_balancers import LoadBalancer
from labkit.fabric.prefixes import Range, intervals, parse_address, parse_prefix

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ON_LINK = frozenset({"VnetLocal", "VNetPeering", "VNetGlobalPeering"})
_VIA = frozenset({"VirtualAppliance", "VirtualNetworkGateway"})
_OTHER = frozenset({"Internet", "None"})
_IFNAMSIZ = 16


@dataclass(frozen=True, slots=True)
class NicPort:
    """The port of a NIC in this virtual network. Packets that come in are routed by the table named `table`.

    The NIC is the way to the addresses `beyond` it, too.
    """

    mac: str
    address: str
    ip_forwarding: bool
    table: str
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InternetPort:
    """The port of the Internet node's leg."""

    mac: str


@dataclass(frozen=True, slots=True)
class PeeringPort:
    """The port to a peered virtual network's fabric, with the address and MAC of every NIC reachable over it.

    With `sources` (prefixes), nothing from elsewhere comes in.
    """

    neighbours: tuple[tuple[str, str], ...]
    sources: tuple[str, ...] | None = None


Port = NicPort | InternetPort | PeeringPort


@dataclass(frozen=True, slots=True)
class Group:
    """A next-hop group: a type (`NextHopType`'s strings) and, for appliances and gateways, next hop addresses."""

    type: str
    next_hops: tuple[str, ...] = ()

    @property
    def on_link(self) -> bool:
        """Whether the destination itself is the next hop."""
        return self.type in _ON_LINK

    @property
    def via(self) -> bool:
        """Whether the next hops are named NICs."""
        return self.type in _VIA


@dataclass(frozen=True)
class Table:
    """A forwarding table: groups by id, and the id of every prefix's group."""

    groups: Mapping[int, Group] = field(default_factory=dict)
    routes: Mapping[Range, int] = field(default_factory=dict)

    @cached_property
    def intervals(self) -> Mapping[Range, int]:
        """The group of every disjoint interval."""
        return intervals(self.routes)


@dataclass(frozen=True)
class Fabric:
    """Everything a fabric is told. `seed` starts the ECMP hash (32 bits)."""

    mac: str
    seed: int
    ports: Mapping[str, Port]
    tables: Mapping[str, Table]
    load_balancers: Mapping[str, LoadBalancer] = field(default_factory=dict)

    def found(self, balancer: str, backend: str, *, up: bool) -> Fabric:
        """The fabric after news of a backend of a load balancer, by their names."""
        known = self.load_balancers[balancer].found(backend, up=up)
        return replace(self, load_balancers={**self.load_balancers, balancer: known})

    @cached_property
    def frontends(self) -> Mapping[str, str]:
        """The name of the load balancer that has each frontend's address."""
        return {balancer.address: name for name, balancer in self.load_balancers.items()}

    @cached_property
    def nics(self) -> Mapping[str, str]:
        """MAC by address of the NICs of this virtual network, and of what is beyond them."""
        return {a: p.mac for p in self.ports.values() if isinstance(p, NicPort) for a in (*p.beyond, p.address)}

    @cached_property
    def reachable(self) -> Mapping[str, str]:
        """MAC by address of every NIC a packet may be sent to: this virtual network's and its peers'."""
        peered = {
            address: mac for p in self.ports.values() if isinstance(p, PeeringPort) for address, mac in p.neighbours
        }
        return {**peered, **self.nics}

    @cached_property
    def internet(self) -> str | None:
        """MAC of the Internet leg; None without one."""
        return next((p.mac for p in self.ports.values() if isinstance(p, InternetPort)), None)

    @cached_property
    def forwarding(self) -> Mapping[str, str]:
        """The static forwarding database: the port of every MAC."""
        database: dict[str, str] = {}
        for name, port in self.ports.items():
            if isinstance(port, PeeringPort):
                database |= {mac: name for _, mac in port.neighbours}
        for name, port in self.ports.items():
            if not isinstance(port, PeeringPort):
                database[port.mac] = name
        return database


def follow(fabric: Fabric | None, message: Mapping[str, Any]) -> Fabric:
    """The fabric after a message, which is a snapshot or, once there is something to change, a delta.

    Raises:
        ValueError: the message makes no sense; the text says why.
    """
    if message.get("type") == "snapshot":
        return _remembering(read_snapshot(message), fabric)
    if message.get("type") == "delta" and fabric is not None:
        return apply_delta(fabric, message)
    raise ValueError(f"unexpected message of type {message.get('type')!r}")


def _remembering(fabric: Fabric, former: Fabric | None) -> Fabric:
    known = former.load_balancers if former is not None else {}
    now = {n: load_balancers.remembering(b, known.get(n)) for n, b in fabric.load_balancers.items()}
    return replace(fabric, load_balancers=now)


def read_snapshot(message: Mapping[str, Any]) -> Fabric:
    """The fabric that a `snapshot` message describes.

    Raises:
        ValueError: the message contradicts itself or the protocol; the text says how.
    """
    try:
        return _checked(
            Fabric(
                mac=_mac(message["mac"]),
                seed=int(message["seed"]) & 0xFFFFFFFF,
                ports={_interface(name): _port(port) for name, port in message["ports"].items()},
                tables={_name(name): _changed(Table(), table) for name, table in message["tables"].items()},
                load_balancers={
                    _name(name): load_balancers.read(said) for name, said in message.get("load_balancers", {}).items()
                },
            )
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"malformed snapshot: {error!r}") from error


def apply_delta(fabric: Fabric, message: Mapping[str, Any]) -> Fabric:
    """The fabric after a `delta` message; `fabric` itself stays as it is.

    Raises:
        ValueError: the message contradicts itself, the protocol or what it changes; the text says how.
    """
    try:
        ports = dict(fabric.ports)
        for name, port in message["ports"].items():
            if port is None:
                ports.pop(name, None)
            else:
                ports[_interface(name)] = _port(port)
        tables = dict(fabric.tables)
        for name, table in message["tables"].items():
            if table is None:
                tables.pop(name, None)
            elif "full" in table:
                tables[_name(name)] = _changed(Table(), table["full"])
            else:
                tables[name] = _changed(tables[name], table)
        balancers = dict(fabric.load_balancers)
        for name, healthy in message.get("healthy", {}).items():
            balancers[name] = replace(balancers[name], healthy=frozenset(healthy))
        return _checked(Fabric(fabric.mac, fabric.seed, ports, tables, balancers))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"malformed delta: {error!r}") from error


def _changed(table: Table, change: Mapping[str, Any]) -> Table:
    # A whole table is the delta from the empty one, but for the two lists of what is removed.
    groups = dict(table.groups)
    for number, group in change["groups"].items():
        groups[int(number)] = _group(group)
    routes = dict(table.routes)
    for prefix, number in change["routes"].items():
        routes[parse_prefix(prefix)] = int(number)
    for prefix in change.get("removed_routes", ()):
        routes.pop(parse_prefix(prefix), None)
    for number in change.get("removed_groups", ()):
        groups.pop(int(number), None)
    dangling = set(routes.values()) - groups.keys()
    if dangling:
        raise ValueError(f"routes point at groups that do not exist: {sorted(dangling)}")
    changed = Table(groups, routes)
    if routes == table.routes:
        # Only groups changed: hand the flattened form on, so that a failover does not pay for it.
        changed.__dict__["intervals"] = table.intervals
    return changed


def _checked(fabric: Fabric) -> Fabric:
    for name, port in fabric.ports.items():
        if isinstance(port, NicPort) and port.table not in fabric.tables:
            raise ValueError(f"port {name} has table {port.table!r}, which does not exist")
    return fabric


def _group(group: Mapping[str, Any]) -> Group:
    kind = group["type"]
    if kind not in _ON_LINK | _VIA | _OTHER:
        raise ValueError(f"unknown next hop type {kind!r}")
    hops = tuple(group["next_hops"])
    for hop in hops:
        parse_address(hop)
    if (kind in _VIA) != bool(hops):
        raise ValueError(f"next hop type {kind} with next hops {list(hops)}")
    return Group(kind, hops)


def _port(port: Mapping[str, Any]) -> Port:
    kind = port["kind"]
    if kind == "nic":
        beyond = tuple(port.get("beyond", ()))
        for address in (port["address"], *beyond):
            parse_address(address)
        return NicPort(_mac(port["mac"]), port["address"], bool(port["ip_forwarding"]), _name(port["table"]), beyond)
    if kind == "internet":
        return InternetPort(_mac(port["mac"]))
    if kind == "peering":
        for address, _ in port["neighbours"]:
            parse_address(address)
        sources = port.get("sources")
        for prefix in sources or ():
            parse_prefix(prefix)
        neighbours = tuple((address, _mac(mac)) for address, mac in port["neighbours"])
        return PeeringPort(neighbours, None if sources is None else tuple(sources))
    raise ValueError(f"unknown kind of port {kind!r}")


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is not a MAC address in lower case with colons")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot be part of an nftables identifier")
    return text


def _interface(text: str) -> str:
    if len(_name(text)) >= _IFNAMSIZ:
        raise ValueError(f"{text!r} is too long for an interface")
    return text
