"""The BGP sessions that the model expects, each as both of its ends have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from labkit.azure.rules.gateways import with_gateway_peers
from labkit.daemons.tables import ESTABLISHED
from labkit.errors import CheckFailed
from labkit.lab.model import Lab
from labkit.lab.running import applied
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.operate.look.client import LabClient
from labkit.operate.look.held_sessions import held_session
from labkit.operate.look.live_state import BgpIsGoneError, LiveState
from labkit.predict.sessions import expected_sessions


def session_checks(lab: Lab, client: LabClient) -> Iterator[tuple[str, Callable[[LiveState], str | None]]]:
    """A check for every session that is to be up in a lab as operators have changed it, each with its title."""
    try:
        azure = applied(lab, lab.azure, client.changes())
    except CheckFailed:  # the checks themselves will find that the controller does not answer
        azure = lab.azure
    for session in expected_sessions(lab, azure):
        yield f"BGP session {session}", partial(session_problem, session)


def session_problem(session: BgpSession, live: LiveState) -> str | None:
    """Why a session is not up, None if it is up at both ends."""
    problems = {end: _problem(session, end, live) for end in session.ends}
    up = [end for end, problem in problems.items() if problem is None]
    if len(up) == len(problems):
        return None
    texts = [f"{end.node}: {problem}" for end, problem in problems.items() if problem is not None]
    if up:
        held = held_session(live.client, session, up[0], on=session.far(up[0]).node not in live.off)
        texts += [held.text(time.time())] if held is not None else []
    return f"{'; '.join(texts)}. Look: labkit status"


def _problem(session: BgpSession, end: SessionEnd, live: LiveState) -> str | None:
    """Why a session is not up at one end, None if it is."""
    if end.node in live.off:
        return "off"
    if not end.daemon:
        return _at_route_server(session, end, live)
    try:
        neighbours = live.neighbours(end.node)
    except BgpIsGoneError:
        return "BGP is not running"
    neighbour = neighbours.get(session.far(end).address)
    if neighbour is None:
        return "not configured"
    return None if neighbour.state == ESTABLISHED else neighbour.state


def _at_route_server(session: BgpSession, end: SessionEnd, live: LiveState) -> str | None:
    """Why an instance of a route server does not have a session, None if it has it."""
    names = {
        peer.address: (server.name, peer.name)
        for server in live.azure.route_servers
        if end.address in server.instances
        for peer in with_gateway_peers(live.azure, server).peers
    }
    found = names.get(session.far(end).address)
    for shown in live.state.status.sessions:
        if shown.id.node == end.node and (shown.route_server, shown.peer) == found:
            reason = f" ({shown.reason})" if shown.reason else ""
            return None if shown.established else f"{shown.state}{reason}"
    return "no such peer"
