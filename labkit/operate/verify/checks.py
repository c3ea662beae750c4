"""One function a kind of proof: does a look at the lab bear the claim out? None if so, else what is wrong instead.

The texts are for a learner: what was wanted, what is there, and where to look next.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.model import NextHopType
from labkit.azure.rules.rows import AdvertisedRow
from labkit.daemons.tables import ESTABLISHED
from labkit.feed.state import Listing
from labkit.feed.status import RouteServerSession
from labkit.lab import proofs
from labkit.lab.model import Lab
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.lab.plan.nodes import INSTANCES, target_address
from labkit.lab.sessions import daemon_of, peer_names, router_daemons, speakers
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.operate.verify.captures import compare


@singledispatch
def check(claim: Any, _live: LiveState) -> str | None:
    """What is wrong with a claim, None if it holds."""
    raise TypeError(f"{type(claim).__name__} is not a proof")


@check.register
def _(
    claim: proofs.SessionClaim | proofs.LearnedRouteClaim | proofs.AdvertisedRouteClaim, live: LiveState
) -> str | None:
    found = tuple(_by_speaker(claim, live))
    if not found:  # of nobody everything would hold
        return f"there is no BGP session: {describe(claim)}."
    return next((problem for problem in found if problem is not None), None)


def _by_speaker(claim: Any, live: LiveState) -> Iterator[str | None]:
    """What is wrong with a claim about several speakers, for each of them."""
    match claim:
        case proofs.SessionClaim():
            yield from _session(claim, live)
        case proofs.LearnedRouteClaim() if claim.on in live.lab.azure.route_server:
            for peer in peer_names(_lab(live, claim.from_), claim.on, claim.from_):
                rows = live.state.listing("learned", claim.on, peer)
                missing = f"{claim.on} instance {{}} has no {claim.prefix} from {peer}"
                yield from _in_both_instances(rows, claim, missing)
        case proofs.LearnedRouteClaim():
            for node, neighbour in speakers(_lab(live, claim.on, claim.from_), claim.on, claim.from_):
                yield _learned(claim, live, node, neighbour)
        case proofs.AdvertisedRouteClaim():
            for peer in peer_names(_lab(live, claim.to), claim.by, claim.to):
                rows = live.state.listing("advertised", claim.by, peer)
                missing = f"{claim.by} instance {{}} does not advertise {claim.prefix} to {peer}"
                yield from _in_both_instances(rows, claim, missing)
        case _:
            yield check(claim, live)


def _session(claim: proofs.SessionClaim, live: LiveState) -> Iterator[str | None]:
    lab = _lab(live, claim.on, claim.with_)
    server, far = (claim.on, claim.with_) if claim.on in lab.azure.route_server else (claim.with_, claim.on)
    if server in lab.azure.route_server:
        for peer in peer_names(lab, server, far):
            mine = [s for s in live.state.status.sessions if (s.route_server, s.peer) == (server, peer)]
            if len(mine) < len(INSTANCES):
                yield f"{server}: no session with {peer}. Look: labkit status"
            for session in mine:
                yield _server_session(session)
        near, other = far, server
    else:
        near, other = claim.on, claim.with_
    for node, address in speakers(lab, near, other):
        if node not in router_daemons(lab):  # an image of the user's own
            continue
        state = live.bgp(node).states.get(address, "not configured")
        shown = shlex.join(daemon_of(lab, node).tables.sessions_shown())
        hint = f"Look: labkit exec {node} -- {shown}"
        yield (None if state == ESTABLISHED else f"{node}: session with {address} ({other}): {state}. {hint}")


def _server_session(session: RouteServerSession) -> str | None:
    if session.established:
        return None
    reason = f" ({session.reason})" if session.reason else ""
    return (
        f"{session.route_server} instance {session.instance}: session with {session.peer}: "
        f"{session.state}{reason}. Look: labkit logs {session.peer}"
    )


def _learned(claim: proofs.LearnedRouteClaim, live: LiveState, node: str, neighbour: IPv4Address) -> str | None:
    found = [p for p in live.bgp(node).paths if p.prefix == claim.prefix and p.neighbour == neighbour]
    if not found:
        return f"{node} has no {claim.prefix} from {neighbour} ({claim.from_}). Look: labkit routes {node} --bgp"
    if not found[0].resolved:
        where = f"{claim.prefix} from {neighbour} ({claim.from_})"
        return f"{node} does not use {where}: no route leads to the next hop {found[0].next_hop}."
    internal = node not in live.lab.nva  # a gateway's session with a route server, which leaves next hops alone
    if claim.from_ in live.lab.azure.route_server and not internal and found[0].next_hop != neighbour:
        return f"{node} has {claim.prefix} from {neighbour}, but with next hop {found[0].next_hop}."
    if claim.as_path is not None and found[0].as_path != claim.as_path:
        there, wanted_path = _path(found[0].as_path), _path(claim.as_path)
        return f"{node} has {claim.prefix} from {neighbour} with path {there}, expected {wanted_path}."
    return None


def _in_both_instances(
    rows: Mapping[str, Sequence[AdvertisedRow]],
    claim: proofs.LearnedRouteClaim | proofs.AdvertisedRouteClaim,
    missing: str,
) -> Iterator[str | None]:
    wanted = None if claim.as_path is None else "-".join(map(str, claim.as_path))
    for index in INSTANCES:
        found = [r for r in rows.get(f"RouteServiceRole_IN_{index}", []) if r["network"] == str(claim.prefix)]
        if not found:
            yield missing.format(index) + "."
        elif wanted is not None and found[0]["asPath"] != wanted:
            yield f"instance {index}: {claim.prefix} has path {found[0]['asPath'] or 'empty'}, expected {wanted}."
        else:
            yield None


@check.register
def _(claim: proofs.LearnedRoutesClaim | proofs.AdvertisedRoutesClaim, live: LiveState) -> str | None:
    tables = tuple(_tables(claim, live))
    if not tables:
        return f"there is no BGP session: {describe(claim)}."
    for where, there in tables:
        wanted = {prefix: _path(as_path) for prefix, as_path in claim.rows.items()}
        difference = _difference(wanted, there)
        if difference:
            return f"{where}: {difference}"
    return None


def _tables(
    claim: proofs.LearnedRoutesClaim | proofs.AdvertisedRoutesClaim, live: LiveState
) -> Iterator[tuple[str, dict[IPv4Network, str]]]:
    """The tables that a claim is about, one for each speaker: where it is, and the AS path of every prefix in it."""
    if isinstance(claim, proofs.LearnedRoutesClaim) and claim.on not in live.lab.azure.route_server:
        for node, neighbour in speakers(_lab(live, claim.on, claim.from_), claim.on, claim.from_):
            paths = [p for p in live.bgp(node).paths if p.neighbour == neighbour and p.resolved]
            yield f"{node}, from {neighbour}", {p.prefix: _path(p.as_path) for p in paths}
        return
    which: Listing
    if isinstance(claim, proofs.LearnedRoutesClaim):
        which, server, peer = "learned", claim.on, claim.from_
    else:
        which, server, peer = "advertised", claim.by, claim.to
    for name in peer_names(_lab(live, peer), server, peer):
        rows = live.state.listing(which, server, name)
        for index in INSTANCES:
            found = rows.get(f"RouteServiceRole_IN_{index}", [])
            where = f"{server} instance {index}, {'from' if which == 'learned' else 'to'} {name}"
            yield where, {IPv4Network(r["network"]): r["asPath"].replace("-", " ") or "empty" for r in found}


@check.register
def _(claim: proofs.EffectiveRoutesClaim, live: LiveState) -> str | None:
    wanted = {prefix: " ".join(sorted(_known(live, hop) for hop in hops)) for prefix, hops in claim.rows.items()}
    there = {
        IPv4Network(prefix): " ".join(_as_named(live, row["nextHopIpAddress"], claim.rows.get(IPv4Network(prefix), ())))
        or row["nextHopType"]
        for row in live.effective(claim.on)["value"]
        if row["state"] == "Active" and row["nextHopType"] != NextHopType.NONE
        for prefix in row["addressPrefix"]
    }
    difference = _difference(wanted, there)
    return f"{claim.on}: {difference} Look: labkit effective-routes {claim.on}" if difference else None


def _known(live: LiveState, hop: str) -> str:
    """A next hop by the name of what has it, where a file may have the address, or its NIC's name."""
    nic = live.lab.azure.nic.get(hop)
    try:
        return live.name_of(nic.address if nic is not None else IPv4Address(hop))
    except ValueError:
        return hop


def _as_named(live: LiveState, found: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Next hops by their names, ascending: an edge router by its circuit's, where a proof names that."""
    names = set()
    for hop in found:
        name = _known(live, hop)
        circuit = live.lab.azure.edge_router.get(name)
        names.add(circuit.name if circuit is not None and circuit.name in wanted else name)
    return sorted(names)


def _difference(wanted: Mapping[IPv4Network, str], there: Mapping[IPv4Network, str]) -> str:
    """The rows in which two tables differ, in words; empty if in none."""
    texts = []
    for prefix in sorted(wanted.keys() | there.keys()):
        if prefix not in there:
            texts.append(f"{prefix} {wanted[prefix]} is missing")
        elif prefix not in wanted:
            texts.append(f"unexpected: {prefix} {there[prefix]}")
        elif there[prefix] != wanted[prefix]:
            texts.append(f"{prefix} is {there[prefix]}, expected {wanted[prefix]}")
    return "; ".join(texts) + "." if texts else ""


@check.register
def _(claim: proofs.Capture, live: LiveState) -> str | None:
    return compare(claim, live).problem


@check.register
def _(claim: proofs.EffectiveRouteClaim, live: LiveState) -> str | None:
    rows = [r for r in live.effective(claim.on)["value"] if str(claim.prefix) in r["addressPrefix"]]
    active = [r for r in rows if r["state"] == "Active"]
    hint = f"Look: labkit effective-routes {claim.on}"
    if not active:
        return f"the NIC of {claim.on} has no active route for {claim.prefix}. {hint}"
    row = active[0]
    if claim.type is not None and row["nextHopType"] != claim.type:
        return f"{claim.prefix} of {claim.on} is of type {row['nextHopType']}, expected {claim.type}. {hint}"
    return _wrong_hops(
        live, claim.via, map(IPv4Address, row["nextHopIpAddress"]), f"{claim.prefix} of {claim.on}", hint
    )


@check.register
def _(claim: proofs.KernelRouteClaim, live: LiveState) -> str | None:
    node, source = _sender(live, claim.on)
    table = live.table_from(node, source) if source is not None else None
    rows = [r for r in live.kernel(node, table or RT_TABLE_MAIN) if r.prefix == claim.prefix]
    hint = (
        f"Look: labkit routes {node}" if table is None else f"Look: labkit exec {node} -- ip route show table {table}"
    )
    if not rows:
        return f"the kernel of {claim.on} has no route for {claim.prefix}. {hint}"
    return _wrong_hops(live, claim.via, rows[0].gateways, f"{claim.prefix} in the kernel of {claim.on}", hint)


def _sender(live: LiveState, name: str) -> tuple[str, IPv4Address | None]:
    """The node that a node's or a NIC's name means, and the source of its packets if it is one of several NICs."""
    nic = live.lab.azure.nic.get(name)
    return (nic.machine, nic.address) if nic is not None and nic.name != nic.machine else (name, None)


@check.register
def _(claim: proofs.PingClaim, live: LiveState) -> str | None:
    target, (node, source) = target_address(live.lab, claim.to), _sender(live, claim.from_)
    if ping(live.client, node, target, source):
        return None
    return f"{claim.from_} gets no reply from {claim.to} ({target}). Look: labkit trace {claim.from_} {target}"


@check.register
def _(claim: proofs.PathClaim, live: LiveState) -> str | None:
    target, (node, source) = target_address(live.lab, claim.to), _sender(live, claim.from_)
    hops = traceroute(live.client, node, target, source)
    way = f"the path from {claim.from_} to {claim.to}"
    seen = " → ".join(str(h) if h else "*" for h in hops) or "nothing"
    if not hops or hops[-1] != target:
        return f"{way} ends before {target}: {seen}."
    shown = " → ".join(live.name_of(h) if h else "*" for h in hops)
    passed: list[set[str]] = []
    for before, hop in zip((None, *hops), hops, strict=False):
        if hop is None and before is not None and live.owners.get(before) in live.lab.azure.edge_router:
            continue  # behind a circuit, the gateway is a hop that does not answer [expressroute-gateway-ttl]
        if hop is None or hop not in live.owners:
            return f"{way} has a hop that no node owns: {seen}."
        owner = live.owners[hop]
        circuit = live.lab.azure.edge_router.get(owner)
        passed.append({owner, *_nics(live, hop), *([circuit.name] if circuit is not None else [])})
    remaining = iter(passed)
    for node in claim.through:
        if not any(node in each for each in remaining):
            return f"{way} does not lead through {node} at that point: {shown}."
    for node in claim.never:
        if node in live.lab.azure.route_server:
            for instance in (f"{node}-0", f"{node}-1"):
                count = live.foreign_packets(instance)
                if count:
                    return f"{instance} got {count} packets that were not for it: a route server is in the data path."
        elif any(node in each for each in passed):
            return f"{way} leads through {node}: {shown}."
    return None


def _nics(live: LiveState, address: IPv4Address | None) -> Iterator[str]:
    """The NIC that has an address in its virtual network, by its name."""
    return (nic.name for nic in live.lab.azure.nics if address in nic.addresses)


def _lab(live: LiveState, *ends: str) -> Lab:
    """The lab whose sessions a claim is about.

    Where an end is named as one of several NICs, it has the peers that there are now, which may have other addresses.
    """
    nics = live.lab.azure.nic
    by_nic = any(nics[end].machine != end for end in ends if end in nics)
    return replace(live.lab, azure=live.azure) if by_nic else live.lab


@check.register
def _(claim: proofs.Absent, live: LiveState) -> str | None:
    if None not in tuple(_by_speaker(claim.row, live)):
        return None
    return f"{describe(claim.row)} is present but must be absent."


def describe(claim: object) -> str:
    """A claim in a few words, as `labkit verify` lists it."""
    match claim:
        case proofs.SessionClaim():
            return f"session {claim.on} - {claim.with_}"
        case proofs.LearnedRouteClaim():
            return f"{claim.on} learned {claim.prefix} from {claim.from_}"
        case proofs.AdvertisedRouteClaim():
            return f"{claim.by} advertises {claim.prefix} to {claim.to}"
        case proofs.EffectiveRouteClaim():
            return f"effective route {claim.prefix} of {claim.on}{_via(claim.via)}"
        case proofs.LearnedRoutesClaim():
            return f"{claim.on} learned exactly {_rows(claim.rows)} from {claim.from_}"
        case proofs.AdvertisedRoutesClaim():
            return f"{claim.by} advertises exactly {_rows(claim.rows)} to {claim.to}"
        case proofs.EffectiveRoutesClaim():
            return f"effective routes of {claim.on} are exactly {_rows(claim.rows)}"
        case proofs.Capture():
            return f"{claim.table} as in Azure ({claim.source})"
        case proofs.KernelRouteClaim():
            return f"kernel route {claim.prefix} in {claim.on}{_via(claim.via)}"
        case proofs.PingClaim():
            return f"ping {claim.from_} → {claim.to}"
        case proofs.PathClaim():
            return f"path {claim.from_} → {claim.to}" + "".join(f" through {n}" for n in claim.through)
        case proofs.Absent():
            return f"absent: {describe(claim.row)}"
    raise TypeError(f"{type(claim).__name__} is not a proof")


def _rows(rows: Mapping[IPv4Network, object]) -> str:
    return "one row" if len(rows) == 1 else f"{len(rows)} rows"


def _via(via: tuple[str, ...] | None) -> str:
    return f" via {', '.join(via)}" if via else ""


def _path(as_path: Iterable[int]) -> str:
    return " ".join(map(str, as_path)) or "empty"


def _wrong_hops(
    live: LiveState, via: tuple[str, ...] | None, found: Iterable[IPv4Address], what: str, hint: str
) -> str | None:
    """A node's name means any of its addresses, but those of NICs after its first, which have names of their own."""
    if via is None:
        return None
    there = _as_named(live, map(str, found), via)
    if there == sorted({_known(live, name) for name in via}):
        return None
    return f"{what} leads via {', '.join(there) or 'nothing'}, expected {', '.join(via) or 'nothing'}. {hint}"
