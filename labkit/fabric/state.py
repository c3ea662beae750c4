"""What the controller wants a fabric to be: ports and forwarding tables, as immutable values read from messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from labkit.fabric.prefixes import Range, intervals, parse_address, parse_prefix
from labkit.feed.switch import FabricDelta, FabricSnapshot, Frontend, InternetPort, NicPort, PeeringPort, Port, ToFabric
from labkit.feed.tables import ForwardingTable, NextHops, TableDelta

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_IFNAMSIZ = 16


@dataclass(frozen=True)
class FabricTable:
    """A forwarding table: groups by id, and the id of every prefix's group."""

    groups: Mapping[int, NextHops] = field(default_factory=dict)
    routes: Mapping[Range, int] = field(default_factory=dict)

    @cached_property
    def intervals(self) -> Mapping[Range, int]:
        """The group of every disjoint interval."""
        return intervals(self.routes)


@dataclass(frozen=True)
class Fabric:
    """Everything that a fabric has to be. `seed` starts the ECMP hash (32 bits)."""

    mac: str
    seed: int
    ports: Mapping[str, Port]
    tables: Mapping[str, FabricTable]
    load_balancers: Mapping[str, Frontend] = field(default_factory=dict)

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
        return {a: p.mac for p in self.ports.values() if isinstance(p, NicPort) for a in (*p.beyond, *p.addresses)}

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


def follow(fabric: Fabric | None, message: ToFabric) -> Fabric:
    """The fabric after a message, which is a snapshot or, once there is something to change, a delta.

    Raises:
        ValueError: the message contradicts itself, or what it changes; the text has how.
    """
    if isinstance(message, FabricSnapshot):
        return _checked(_read(message, fabric))
    if fabric is None:
        raise ValueError("a delta where a snapshot is due")
    return _checked(_changed(fabric, message))


def _read(message: FabricSnapshot, former: Fabric | None) -> Fabric:
    known = former.load_balancers if former is not None else {}
    return Fabric(
        _mac(message.mac),
        message.seed & 0xFFFFFFFF,
        {name: _port(name, port) for name, port in message.ports.items()},
        {_name(name): _table_after(FabricTable(), table) for name, table in message.tables.items()},
        {_name(name): _frontend(frontend, known.get(name)) for name, frontend in message.load_balancers.items()},
    )


def _changed(fabric: Fabric, message: FabricDelta) -> Fabric:
    ports = dict(fabric.ports)
    for name, port in message.ports.items():
        if port is None:
            ports.pop(name, None)
        else:
            ports[name] = _port(name, port)
    tables = dict(fabric.tables)
    for name, delta in message.tables.items():
        if delta is None:
            tables.pop(name, None)
        elif name in tables:
            tables[name] = _table_after(tables[name], delta)
        else:
            raise ValueError(f"there is no table {name!r} to change")
    tables |= {_name(name): _table_after(FabricTable(), table) for name, table in message.new_tables.items()}
    balancers = dict(fabric.load_balancers)
    for name, healthy in message.healthy.items():
        if name not in balancers:
            raise ValueError(f"there is no load balancer {name!r}")
        balancers[name] = replace(balancers[name], healthy=frozenset(healthy))
    return Fabric(fabric.mac, fabric.seed, ports, tables, balancers)


def _table_after(table: FabricTable, change: ForwardingTable | TableDelta) -> FabricTable:
    # A whole table is the delta from the empty one.
    groups, routes = dict(table.groups) | dict(change.groups), dict(table.routes)
    for prefix, number in change.routes.items():
        routes[parse_prefix(prefix)] = number
    if isinstance(change, TableDelta):
        for prefix in change.removed_routes:
            routes.pop(parse_prefix(prefix), None)
        for number in change.removed_groups:
            groups.pop(number, None)
    dangling = set(routes.values()) - groups.keys()
    if dangling:
        raise ValueError(f"routes point at groups that do not exist: {sorted(dangling)}")
    changed = FabricTable(groups, routes)
    if routes == table.routes:
        # Only groups changed: hand the flattened form on, so that a failover does not pay for it.
        changed.__dict__["intervals"] = table.intervals
    return changed


def _checked(fabric: Fabric) -> Fabric:
    for name, port in fabric.ports.items():
        if isinstance(port, NicPort) and port.table not in fabric.tables:
            raise ValueError(f"port {name} has table {port.table!r}, which does not exist")
    return fabric


def _port(name: str, port: Port) -> Port:
    if len(_name(name)) >= _IFNAMSIZ:
        raise ValueError(f"{name!r} is too long for an interface")
    match port:
        case NicPort():
            addresses, macs = (*port.addresses, *port.beyond), [port.mac]
            _name(port.table)
        case InternetPort():
            addresses, macs = (), [port.mac]
        case PeeringPort():
            addresses, macs = tuple(a for a, _ in port.neighbours), [mac for _, mac in port.neighbours]
            for prefix in port.sources or ():
                parse_prefix(prefix)
    for address in addresses:
        parse_address(address)
    for mac in macs:
        _mac(mac)
    return port


def _frontend(frontend: Frontend, former: Frontend | None) -> Frontend:
    """A load balancer of a snapshot, with the health that is known here already.

    What a fabric has found out itself is newer than what the controller has from it; and a controller that came back
    has received nothing yet.
    """
    for address in (frontend.address, *frontend.backends.values()):
        parse_address(address)
    if former is None or former.healthy is None or not (frontend.probe or frontend.healthy is None):
        return frontend
    return replace(frontend, healthy=former.healthy & frontend.backends.keys())


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is not a MAC address in lower case with colons")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot be part of an nftables identifier")
    return text
