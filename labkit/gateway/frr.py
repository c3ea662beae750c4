"""The FRR of a gateway's instance: what is changed in it while it runs, and what it tells of its neighbours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.gateway.bmp import CLOSED_HERE
from labkit.routeserver.reasons import reason_text

_LOCK = "/run/frr/configure.lock"
"""Held while a daemon reads its configuration; what is said to it meanwhile would be lost."""

_PATIENCE = 8.0
"""Seconds that FRR may take to answer; who asks the controller waits for 10."""

_UNSPECIFIED = "0.0.0.0"  # noqa: S104 - FRR's word for itself as the next hop


def set_sessions(asn: int, route_servers: Sequence[str], *, on: bool) -> None:
    """Start or stop the sessions with the route server [b2b-toggle].

    Raises:
        SubprocessError: FRR refuses, or does not answer.
    """
    _vtysh("configure terminal", *session_lines(asn, route_servers, on=on))


def session_lines(asn: int, route_servers: Sequence[str], *, on: bool) -> tuple[str, ...]:
    """The commands that start or stop the sessions with the route server.

    With them comes the filter of what one route server relayed and a circuit brings to the next [circuit-relay-filter].
    """
    return (
        f"route-map from-circuit {'deny' if on else 'permit'} 10",
        "exit",
        f"router bgp {asn}",
        *(f"{'no ' if on else ''}neighbor {address} shutdown" for address in route_servers),
        "do clear bgp ipv4 unicast external soft in",  # what circuits have said already passes the filter anew
    )


@dataclass(frozen=True, slots=True)
class Ranges:
    """Prefixes: what a gateway has `originated`, and the virtual networks that are `adjacent`."""

    originated: tuple[str, ...]
    adjacent: tuple[str, ...]


def set_ranges(asn: int, subnet_gateway: str, ranges: Ranges, *, vpn: bool) -> None:
    """Make what FRR originates, and what it leaves to the virtual network, these ranges, if they are others.

    Each daemon is asked and told for itself: one that has just been started has the ranges of its file again.

    Raises:
        SubprocessError: FRR refuses, or does not answer.
    """
    for daemon, lines in (
        ("mgmtd", route_lines(_configuration("mgmtd"), subnet_gateway, ranges)),
        ("bgpd", range_lines(_configuration("bgpd"), asn, ranges, vpn=vpn)),
    ):
        if commands := list(lines):
            _vtysh("configure terminal", *commands, daemon=daemon)


def range_lines(configuration: str, asn: int, ranges: Ranges, *, vpn: bool) -> Iterator[str]:
    """The commands that make bgpd originate these ranges, given its configuration; none if it does.

    A prefix is on the lists before it is originated, and as long as it is: what the filters take for the gateway's own
    they never let pass as somebody else's.
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
        # Routes that the filters took for something else before pass them anew.
        yield "do clear bgp ipv4 unicast * soft"


def route_lines(configuration: str, subnet_gateway: str, ranges: Ranges) -> Iterator[str]:
    """The commands that leave what is adjacent to the virtual network, given mgmtd's configuration."""
    words = [line.split() for line in configuration.splitlines()]
    via = [line[2] for line in words if line[:2] == ["ip", "route"] and line[3] == subnet_gateway]
    # A host is the far end of another gateway's line: no virtual network is as small.
    present = [prefix for prefix in via if not prefix.endswith("/32")]
    yield from (f"ip route {prefix} {subnet_gateway}" for prefix in ranges.adjacent if prefix not in present)
    yield from (f"no ip route {prefix} {subnet_gateway}" for prefix in present if prefix not in ranges.adjacent)


def advertised(peer: str) -> list[dict[str, Any]]:
    """What FRR tells a peer (its address), as `advertised_paths` has it; nothing where it knows no such peer.

    Raises:
        SubprocessError: FRR does not answer.
    """
    return list(advertised_paths(_ask(f"show bgp ipv4 unicast neighbors {peer} advertised-routes detail json")))


def peers() -> list[dict[str, Any]]:
    """FRR's neighbours, as `summary` has them.

    Raises:
        SubprocessError: FRR does not answer.
    """
    return list(summary(_ask("show bgp ipv4 unicast summary json")))


def has_routes_of(peers: Collection[str]) -> bool:
    """Whether FRR still holds a path from one of these peers (their addresses); not, where it does not answer."""
    try:
        return holds_paths_of(_ask("show bgp ipv4 unicast json"), peers)
    except (subprocess.SubprocessError, ValueError):
        return False


def why_closed(peer: str) -> str:
    """Why FRR itself ended the session with a peer (its address), in words."""
    try:
        return why_reset(_ask(f"show bgp neighbors {peer} json").get(peer, {}))
    except (subprocess.SubprocessError, ValueError):
        return CLOSED_HERE


def holds_paths_of(said: Mapping[str, Any], peers: Collection[str]) -> bool:
    """Whether FRR's `show bgp json` has a path from one of these peers."""
    return any(path.get("peerId") in peers for paths in said.get("routes", {}).values() for path in paths)


def advertised_paths(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """FRR's `advertised-routes detail json` as paths: `network`, `as_path` (an AS_SET is a list), `next_hop`, `origin`.

    It shows them as they are before FRR puts its own ASN in front for an eBGP neighbour. A path that FRR originates, or
    of which it makes itself the next hop, has none here: `next_hop` is None.
    """
    for network, route in said.get("advertisedRoutes", {}).items():
        paths = route["paths"]
        path = next((p for p in paths if p.get("bestpath", {}).get("overall")), paths[0])
        hop = next((h["ip"] for h in path["nexthops"] if h.get("afi") == "ipv4"), _UNSPECIFIED)
        as_path: list[int | list[int]] = []
        for segment in path["aspath"]["segments"]:
            as_path += [segment["list"]] if segment["type"] == "as-set" else segment["list"]
        yield {
            "network": network,
            "as_path": as_path,
            "next_hop": None if hop == _UNSPECIFIED else hop,
            "origin": path["origin"].lower(),
        }


def summary(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """FRR's `summary json` as a row per `neighbour` (its address): `state`, `seconds` in it, and what is counted."""
    for address, peer in said.get("peers", {}).items():
        yield {
            "neighbour": address,
            "asn": peer["remoteAs"],
            "state": peer["state"],
            "seconds": peer["peerUptimeMsec"] / 1000,
            "received": peer["msgRcvd"],
            "sent": peer["msgSent"],
            "routes": peer.get("pfxRcd", 0),
        }


def why_reset(neighbour: Mapping[str, Any]) -> str:
    """The reason of the last reset in FRR's `neighbors json`, in words."""
    if "lastErrorCodeSubcode" in neighbour:
        code, subcode = bytes.fromhex(neighbour["lastErrorCodeSubcode"])[:2]
        received = "received" in neighbour.get("lastResetDueTo", "")
        return reason_text(f"notification {'received' if received else 'sent'} ({code},{subcode})")
    why = str(neighbour.get("lastResetDueTo", ""))
    return {"": CLOSED_HERE, "Admin. shutdown": "administrative shutdown", "User reset": "administrative reset"}.get(
        why, why[:1].lower() + why[1:]
    )


def _ask(command: str) -> dict[str, Any]:
    found = json.loads(_vtysh(command))
    return found if isinstance(found, dict) else {}


def _configuration(daemon: str) -> str:
    return _vtysh("show running-config", daemon=daemon)


def _vtysh(*commands: str, daemon: str = "") -> str:
    """What FRR, or one daemon of it, answers to commands."""
    words = [*(("-d", daemon) if daemon else ()), *(word for command in commands for word in ("-c", command))]
    return subprocess.run(
        ["flock", _LOCK, "vtysh", *words],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_PATIENCE,
    ).stdout
