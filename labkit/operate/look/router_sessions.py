"""The BGP sessions that routers have with one another: NVAs, sites and circuits, as their daemons show them.

The controller knows those of route servers and gateways, and for these only with whom they are.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.daemons.registry import DAEMONS
from labkit.daemons.tables import ESTABLISHED, BgpNeighbour
from labkit.errors import LabkitError
from labkit.feed.status import PlatformStatus
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.operate.look.client import AT_ONCE, LabClient
from labkit.operate.look.held_sessions import held_session
from labkit.patience import waiting
from labkit.runtimes.protocol import NotListening

IDLE = "Idle"
"""The state of a session at an end that has none."""

Neighbours = Mapping[IPv4Address, BgpNeighbour]


@dataclass(frozen=True, slots=True)
class RouterSession:
    """A session of two routers: its state, for how many seconds (None: unknown), and why it is not up."""

    router: str
    neighbour: str
    state: str
    seconds: float | None
    reason: str


def unread(platform: PlatformStatus) -> tuple[str, ...]:
    """The routers whose tables can't be read: they run images of the user's own."""
    ends = (end for session in platform.configured for end in session.ends if not end.daemon)
    return tuple(dict.fromkeys(end.node for end in ends if end.node not in _azures(platform)))


def router_sessions(client: LabClient, platform: PlatformStatus, off: Collection[str]) -> list[RouterSession]:
    """The sessions of a lab whose ends are neither a route server's nor a gateway's; `off` are nodes without power."""
    azures = _azures(platform)
    sessions = [s for s in platform.configured if not azures & {end.node for end in s.ends}]
    sessions = [s for s in sessions if any(end.daemon for end in s.ends)]
    ends = {end.node: end for s in sessions for end in s.ends if end.daemon and end.node not in off}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = dict(zip(ends, pool.map(lambda end: _neighbours(client, end), ends.values()), strict=True))
        return list(pool.map(lambda session: _shown(client, session, known), sessions))


def _azures(platform: PlatformStatus) -> set[str]:
    """The instances of route servers and gateways."""
    return {name for name, node in platform.nodes.items() if node.role in {"routeserver", "gateway"}}


def _neighbours(client: LabClient, end: SessionEnd) -> Neighbours | str:
    """The neighbours of a router, or why there are none."""
    tables = DAEMONS[end.daemon].tables
    try:
        with waiting(f"the BGP daemon of node {end.node}", tables.PATIENCE):
            return {each.address: each for each in client.ask(end.node, tables, tables.neighbours())}
    except NotListening:
        return f"{end.node}: BGP is not running"
    except LabkitError as error:
        return error.message


def _shown(client: LabClient, session: BgpSession, known: Mapping[str, Neighbours | str]) -> RouterSession:
    first, second = session.ends
    # An end in an image of the user's own can't be asked.
    at = {end: _at(session, end, known.get(end.node, f"{end.node} is off")) for end in session.ends if end.daemon}
    down = [end for end, there in at.items() if there.state != ESTABLISHED]
    if not down:
        return RouterSession(first.node, second.node, ESTABLISHED, next(iter(at.values())).seconds, "")
    reasons = [at[end].reason for end in down if at[end].reason]
    if len(down) == 1 and not isinstance(known.get(down[0].node), str):  # of one that is frozen nobody knows
        held = held_session(client, session, session.far(down[0]), on=down[0].node in known)
        reasons += [held.text(time.time())] if held is not None else []
    worst = at[down[0]]
    return RouterSession(first.node, second.node, worst.state, worst.seconds, "; ".join(reasons))


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a session at one end, for how many seconds (None: unknown), and why."""

    state: str
    seconds: float | None = None
    reason: str = ""


def _at(session: BgpSession, end: SessionEnd, neighbours: Neighbours | str) -> _State:
    if isinstance(neighbours, str):
        return _State(IDLE, None, neighbours)
    neighbour = neighbours.get(session.far(end).address)
    if neighbour is None:
        return _State(IDLE, None, f"{end.node} is not configured for it")
    return _State(neighbour.state, neighbour.seconds)
