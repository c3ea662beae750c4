"""The FRR of a gateway's instance, from a process in its node: its sessions, its ranges, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr import tables
from labkit.daemons.frr.vty import vty
from labkit.daemons.notifications import notification_text
from labkit.daemons.protocol import GatewayRanges
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour, Query

T = TypeVar("T")


def set_sessions(asn: int, route_servers: Collection[str], *, on: bool) -> None:
    """Start or stop the sessions with the route server [b2b-toggle].

    Raises:
        NoAnswer: FRR refuses, or does not answer.
    """
    _run("configure terminal", *session_lines(asn, route_servers, on=on))


def set_neighbours(asn: int, neighbours: Collection[str], *, on: bool) -> None:
    """Start or stop the sessions with instances of other gateways [gateways-exchange].

    Raises:
        NoAnswer: FRR refuses, or does not answer.
    """
    if neighbours:
        _run("configure terminal", f"router bgp {asn}", *_switching(neighbours, on=on))


def session_lines(asn: int, route_servers: Collection[str], *, on: bool) -> tuple[str, ...]:
    """The commands that start or stop the sessions with the route server.

    With them comes the filter of what one route server relayed and a circuit brings to the next [circuit-relay-filter].
    """
    return (
        f"route-map from-circuit {'deny' if on else 'permit'} 10",
        "exit",
        f"router bgp {asn}",
        *_switching(route_servers, on=on),
        "do clear bgp ipv4 unicast external soft in",  # what circuits have advertised already passes the filter again
    )


def _switching(neighbours: Collection[str], *, on: bool) -> Iterator[str]:
    yield from (f"{'no ' if on else ''}neighbor {address} shutdown" for address in neighbours)


def set_ranges(asn: int, subnet_gateway: str, ranges: GatewayRanges, *, vpn: bool) -> None:
    """Make what FRR originates, and what it leaves to the virtual network, these ranges, if they are others.

    Each daemon is read and changed by itself: one that has just been started has the ranges of its file again.

    Raises:
        NoAnswer: FRR refuses, or does not answer.
    """
    for daemon, lines in (
        ("mgmtd", route_lines(_configuration("mgmtd"), subnet_gateway, ranges)),
        ("bgpd", range_lines(_configuration("bgpd"), asn, ranges, vpn=vpn)),
    ):
        if commands := list(lines):
            _run("configure terminal", *commands, daemon=daemon)


def range_lines(configuration: str, asn: int, ranges: GatewayRanges, *, vpn: bool) -> Iterator[str]:
    """The commands that make bgpd originate these ranges, given its configuration; none if it does.

    A prefix is on the lists before it is originated, and as long as it is: what the filters take for the gateway's own
    never passes as another router's.
    """
    words = [line.split() for line in configuration.splitlines()]
    listed = [line[-1] for line in words if line[:3] == ["ip", "prefix-list", "originated"]]
    networks = {line[1] for line in words if line[:1] == ["network"]}
    old = [prefix for prefix in listed if prefix not in ranges.originated]
    for prefix in ranges.originated:
        if prefix not in listed:
            yield f"ip prefix-list originated permit {prefix}"
            if vpn:
                yield f"ip prefix-list inside permit {prefix} le 32"
    statements = [f"network {prefix}" for prefix in ranges.originated if prefix not in networks]
    statements += [f"no network {prefix}" for prefix in old if prefix in networks]
    if statements:
        yield from (f"router bgp {asn}", "address-family ipv4 unicast", *statements, "exit-address-family", "exit")
    for prefix in old:
        yield f"no ip prefix-list originated permit {prefix}"
        if vpn:
            yield f"no ip prefix-list inside permit {prefix} le 32"
    if old or any(prefix not in listed for prefix in ranges.originated):
        # Routes that the filters took for something else before pass them again.
        yield "do clear bgp ipv4 unicast * soft"


def route_lines(configuration: str, subnet_gateway: str, ranges: GatewayRanges) -> Iterator[str]:
    """The commands that leave what is adjacent to the virtual network, given mgmtd's configuration."""
    words = [line.split() for line in configuration.splitlines()]
    via = [line[2] for line in words if line[:2] == ["ip", "route"] and line[3] == subnet_gateway]
    # A host is the far end of another gateway's line: no virtual network is as small.
    present = [prefix for prefix in via if not prefix.endswith("/32")]
    yield from (f"ip route {prefix} {subnet_gateway}" for prefix in ranges.adjacent if prefix not in present)
    yield from (f"no ip route {prefix} {subnet_gateway}" for prefix in present if prefix not in ranges.adjacent)


def set_connections(asn: int, sessions: Mapping[str, bool], *, vpn: bool) -> None:
    """Start or shut down the sessions with the far ends of lines and tunnels, those that are otherwise.

    A VPN gateway originates the addresses of those it has [bgp-neighbour-routes].

    Raises:
        NoAnswer: FRR refuses, or does not answer.
    """
    there = _statements("bgpd")
    if commands := list(session_changes(there, sessions)):
        _run("configure terminal", f"router bgp {asn}", *commands)
    built = [(f"{far}/32", far) for far in sessions if vpn]
    if commands := list(network_lines(there, asn, built, [(prefix, far) for prefix, far in built if sessions[far]])):
        _run("configure terminal", *commands)


def session_changes(there: Collection[str], sessions: Mapping[str, bool]) -> Iterator[str]:
    """The commands that start or shut down sessions, given bgpd's statements; none for those that are so."""
    for far, on in sessions.items():
        shutdown = f"neighbor {far} shutdown"
        if (shutdown in there) is on:
            yield f"no {shutdown}" if on else shutdown


def set_static_routes(asn: int, built: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]) -> None:
    """Make these the static routes into tunnels, as (prefix, far end); `built` are those that the node was built with.

    Raises:
        NoAnswer: FRR refuses, or does not answer.
    """
    there = _statements("mgmtd")
    known = known_routes(there, built, routes)
    for daemon, lines in (
        ("mgmtd", static_lines(there, known, routes)),
        ("bgpd", network_lines(_statements("bgpd"), asn, known, routes)),
    ):
        if commands := list(lines):
            _run("configure terminal", *commands, daemon=daemon)


def known_routes(
    there: Collection[str], built: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """All static routes into these tunnels that there were, are or should be, given mgmtd's statements."""
    ends = {far for _, far in (*built, *routes)}
    words = (statement.split() for statement in there)
    left = sorted((each[2], each[3]) for each in words if each[:2] == ["ip", "route"] and each[3] in ends)
    return tuple(dict.fromkeys((*built, *left, *routes)))


def static_lines(
    there: Collection[str], known: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]
) -> Iterator[str]:
    """The commands that make these the `known` static routes of mgmtd, given its statements."""
    for prefix, far in known:
        statement = f"ip route {prefix} {far}"
        if (statement in there) is not ((prefix, far) in routes):
            yield f"no {statement}" if statement in there else statement


def network_lines(
    there: Collection[str], asn: int, known: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]
) -> Iterator[str]:
    """The commands that make bgpd originate these of the `known` static routes, given its statements."""
    wanted = {prefix for prefix, _ in routes}
    statements = {f"network {prefix}": prefix in wanted for prefix, _ in known}
    changes = [f"{'' if on else 'no '}{text}" for text, on in statements.items() if (text in there) is not on]
    if changes:
        yield from (f"router bgp {asn}", "address-family ipv4 unicast", *changes)


def advertised(peer: str) -> tuple[AdvertisedPath, ...]:
    """The Adj-RIB-Out of a peer (its address); empty if there is no such peer.

    Raises:
        NoAnswer, ValueError: FRR does not answer.
    """
    return _ask(tables.adj_rib_out(peer))


def peers() -> tuple[BgpNeighbour, ...]:
    """FRR's neighbours and their sessions.

    Raises:
        NoAnswer, ValueError: FRR does not answer.
    """
    return _ask(tables.neighbours())


def has_paths_of(peers: Collection[str]) -> bool:
    """Whether FRR still has a path from one of these peers (their addresses); False if it does not answer."""
    try:
        return tables.has_paths_of(_run("show bgp ipv4 unicast json"), peers)
    except (NoAnswer, ValueError):
        return False


def why_closed(peer: str) -> str:
    """Why FRR itself ended the session with a peer (its address), in words; empty if it does not log why."""
    try:
        return why_reset(json.loads(_run(f"show bgp neighbors {peer} json")).get(peer, {}))
    except (NoAnswer, ValueError):
        return ""


def why_reset(neighbour: Mapping[str, Any]) -> str:
    """The reason of the last reset in FRR's `neighbors json`, in words; empty if it has none."""
    why = str(neighbour.get("lastResetDueTo", ""))
    if "lastErrorCodeSubcode" in neighbour:
        code, subcode = bytes.fromhex(neighbour["lastErrorCodeSubcode"])[:2]
        return notification_text(code, subcode, received="received" in why)
    return _RESETS.get(why, why[:1].lower() + why[1:])


_RESETS = {"Admin. shutdown": "administrative shutdown", "User reset": "administrative reset"}


def _ask(query: Query[T]) -> T:
    return query.read(_run(*query.lines))


def _statements(daemon: str) -> frozenset[str]:
    """The statements of a daemon's configuration, without their context."""
    return frozenset(line.strip() for line in _configuration(daemon).splitlines())


def _configuration(daemon: str) -> str:
    return _run("show running-config", daemon=daemon)


def _run(*lines: str, daemon: str = "bgpd") -> str:
    """What a daemon answers to these lines."""
    with vty(daemon) as connection:
        return connection.run(lines)
