"""One function a kind of proof: does a look at the lab bear the claim out? None if so, else what is wrong instead.

The texts are for a learner: what was wanted, what is there, and where to look next.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from ipaddress import IPv4Address
from typing import Any

from labkit.lab import proofs
from labkit.lab.model import Lab
from labkit.lab.nodes import address_of, instance_addresses, target_address
from labkit.operate.observe import Look
from labkit.operate.probes import ping, traceroute

ESTABLISHED = "Established"


@singledispatch
def check(claim: Any, _look: Look) -> str | None:
    """What is wrong with a claim, None if it holds."""
    raise TypeError(f"{type(claim).__name__} is not a proof")


@check.register
def _(claim: proofs.Session, look: Look) -> str | None:
    server, peer = _server_and_peer(look.lab, claim.on, claim.with_)
    if server is None:
        wanted = {_session_address(look.lab, claim.on, claim.with_)}
        return _frr_sessions_down(look, claim.on, claim.with_, wanted)
    mine = [s for s in look.state["status"]["sessions"] if (s["route_server"], s["peer"]) == (server, peer)]
    down = [s for s in mine if s["state"] != ESTABLISHED]
    if len(mine) < 2 or down:
        first = down[0] if down else {"instance": "?", "state": "not reported", "reason": ""}
        reason = f" ({first['reason']})" if first["reason"] else ""
        return (
            f"{server} instance {first['instance']} sees the session with {peer} as {first['state']}{reason}. "
            f"Look: labkit logs {peer}"
        )
    return _frr_sessions_down(look, peer, server, set(instance_addresses(look.lab, server)))


@check.register
def _(claim: proofs.LearnedRoute, look: Look) -> str | None:
    if claim.on in look.lab.azure.route_server:
        return _learned_by_server(claim, look)
    paths = [p for p in look.frr(claim.on).paths if p.prefix == claim.prefix]
    wanted: tuple[IPv4Address, ...]
    if claim.from_ in look.lab.azure.route_server:
        wanted = instance_addresses(look.lab, claim.from_)
        own_next_hop = True
    else:
        wanted = (_session_address(look.lab, claim.on, claim.from_),)
        own_next_hop = False
    for neighbour in wanted:
        found = [p for p in paths if p.neighbour == neighbour]
        if not found:
            hint = f"Look: labkit routes {claim.on} --bgp"
            return f"{claim.on} has no {claim.prefix} from {neighbour} ({claim.from_}). {hint}"
        if own_next_hop and found[0].next_hop != neighbour:
            return f"{claim.on} has {claim.prefix} from {neighbour}, but with next hop {found[0].next_hop}."
        if claim.as_path is not None and found[0].as_path != claim.as_path:
            there, wanted_path = _path(found[0].as_path), _path(claim.as_path)
            return f"{claim.on} has {claim.prefix} from {neighbour} with path {there}, wanted {wanted_path}."
    return None


def _learned_by_server(claim: proofs.LearnedRoute, look: Look) -> str | None:
    rows = look.state["learned"][claim.on].get(claim.from_, {})
    return _in_both_instances(rows, claim, f"{claim.on} instance {{}} has no {claim.prefix} from {claim.from_}")


@check.register
def _(claim: proofs.AdvertisedRoute, look: Look) -> str | None:
    rows = look.state["advertised"][claim.by].get(claim.to, {})
    return _in_both_instances(rows, claim, f"{claim.by} instance {{}} does not advertise {claim.prefix} to {claim.to}")


def _in_both_instances(
    rows: dict[str, list[dict[str, Any]]], claim: proofs.LearnedRoute | proofs.AdvertisedRoute, missing: str
) -> str | None:
    wanted = None if claim.as_path is None else "-".join(map(str, claim.as_path))
    for index in (0, 1):
        found = [r for r in rows.get(f"RouteServiceRole_IN_{index}", []) if r["network"] == str(claim.prefix)]
        if not found:
            return missing.format(index) + "."
        if wanted is not None and found[0]["asPath"] != wanted:
            return f"instance {index}: {claim.prefix} has path {found[0]['asPath']}, wanted {wanted}."
    return None


@check.register
def _(claim: proofs.EffectiveRoute, look: Look) -> str | None:
    rows = [r for r in look.state["effective"][claim.on]["value"] if str(claim.prefix) in r["addressPrefix"]]
    active = [r for r in rows if r["state"] == "Active"]
    hint = f"Look: labkit effective-routes {claim.on}"
    if not active:
        return f"the NIC of {claim.on} has no active route for {claim.prefix}. {hint}"
    row = active[0]
    if claim.type is not None and row["nextHopType"] != claim.type:
        return f"{claim.prefix} of {claim.on} is of type {row['nextHopType']}, wanted {claim.type}. {hint}"
    return _wrong_hops(
        look.lab, claim.via, map(IPv4Address, row["nextHopIpAddress"]), f"{claim.prefix} of {claim.on}", hint
    )


@check.register
def _(claim: proofs.KernelRoute, look: Look) -> str | None:
    rows = [r for r in look.kernel(claim.on) if r.prefix == claim.prefix]
    hint = f"Look: labkit routes {claim.on}"
    if not rows:
        return f"the kernel of {claim.on} has no route for {claim.prefix}. {hint}"
    return _wrong_hops(look.lab, claim.via, rows[0].gateways, f"{claim.prefix} in the kernel of {claim.on}", hint)


@check.register
def _(claim: proofs.Ping, look: Look) -> str | None:
    target = target_address(look.lab, claim.to)
    if ping(look.client, claim.from_, target):
        return None
    return f"{claim.from_} gets no reply from {claim.to} ({target}). Look: labkit trace {claim.from_} {target}"


@check.register
def _(claim: proofs.Path, look: Look) -> str | None:
    target = target_address(look.lab, claim.to)
    hops = traceroute(look.client, claim.from_, target)
    way = f"the path from {claim.from_} to {claim.to}"
    seen = " → ".join(str(h) if h else "*" for h in hops) or "nothing"
    owners = [look.owners.get(h) if h else None for h in hops]
    if not hops or hops[-1] != target:
        return f"{way} ends before {target}: {seen}."
    if None in owners:
        return f"{way} has a hop that no node owns: {seen}."
    names = [o for o in owners if o is not None]
    remaining = iter(names)
    for node in claim.through:
        if node not in remaining:
            return f"{way} does not lead through {node} in its turn: {' → '.join(names)}."
    for node in claim.never:
        if node in look.lab.azure.route_server:
            for instance in (f"{node}-0", f"{node}-1"):
                count = look.foreign_packets(instance)
                if count:
                    return f"{instance} got {count} packets that were not for it: a route server is in the data path."
        elif node in names:
            return f"{way} leads through {node}: {' → '.join(names)}."
    return None


@check.register
def _(claim: proofs.Absent, look: Look) -> str | None:
    if check(claim.row, look) is not None:
        return None
    return f"{describe(claim.row)} holds, but must not."


def describe(claim: object) -> str:
    """A claim in a few words, as `labkit verify` lists it."""
    match claim:
        case proofs.Session():
            return f"session {claim.on} - {claim.with_}"
        case proofs.LearnedRoute():
            return f"{claim.on} learned {claim.prefix} from {claim.from_}"
        case proofs.AdvertisedRoute():
            return f"{claim.by} advertises {claim.prefix} to {claim.to}"
        case proofs.EffectiveRoute():
            return f"effective route {claim.prefix} of {claim.on}{_via(claim.via)}"
        case proofs.KernelRoute():
            return f"kernel route {claim.prefix} in {claim.on}{_via(claim.via)}"
        case proofs.Ping():
            return f"ping {claim.from_} → {claim.to}"
        case proofs.Path():
            return f"path {claim.from_} → {claim.to}" + "".join(f" through {n}" for n in claim.through)
        case proofs.Absent():
            return f"absent: {describe(claim.row)}"
    raise TypeError(f"{type(claim).__name__} is not a proof")


def _via(via: tuple[str, ...] | None) -> str:
    return f" via {', '.join(via)}" if via else ""


def _path(as_path: Iterable[int]) -> str:
    return " ".join(map(str, as_path)) or "empty"


def _wrong_hops(
    lab: Lab, via: tuple[str, ...] | None, found: Iterable[IPv4Address], what: str, hint: str
) -> str | None:
    if via is None:
        return None
    wanted = sorted(address_of(lab, name) for name in via)
    there = sorted(found)
    if there == wanted:
        return None
    return f"{what} leads via {', '.join(map(str, there)) or 'nothing'}, wanted {', '.join(map(str, wanted))}. {hint}"


def _server_and_peer(lab: Lab, a: str, b: str) -> tuple[str | None, str]:
    for server, peer in ((a, b), (b, a)):
        if server in lab.azure.route_server:
            return server, peer
    return None, b


def _session_address(lab: Lab, on: str, with_: str) -> IPv4Address:
    """The address of `with_` on the WAN link that it shares with `on`."""
    for link in lab.wan_links:
        if (link.nva, link.site) == (on, with_):
            return link.site_address.ip
        if (link.site, link.nva) == (on, with_):
            return link.nva_address.ip
    raise ValueError(f"{on} and {with_} share no link")


def _frr_sessions_down(look: Look, node: str, far: str, wanted: set[IPv4Address]) -> str | None:
    sessions = look.frr(node).sessions
    for address in sorted(wanted):
        state = sessions.get(address, "not configured")
        if state != ESTABLISHED:
            hint = f"Look: labkit exec {node} -- vtysh -c 'show bgp summary'"
            return f"{node} sees its session with {address} ({far}) as {state}. {hint}"
    return None
