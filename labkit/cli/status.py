"""`labkit status`: nodes, BGP sessions and programmed routes of a running lab."""

from __future__ import annotations

import time

from labkit.cli.output import (
    Colour,
    Format,
    FormatOption,
    LabArgument,
    LabOption,
    note,
    one_lab,
    put,
    put_json,
    put_table,
    span,
)
from labkit.errors import CheckFailed, LabkitError
from labkit.feed.codec import to_json
from labkit.feed.status import NodeFeed, PlatformStatus
from labkit.names import handle
from labkit.operate.look.client import LabClient
from labkit.operate.look.router_sessions import RouterSession, router_sessions, unread
from labkit.operate.look.running import running

NOT_PROGRAMMED = ("routeserver", "gateway")
"""The roles that speak BGP: a controller configures them, and programs nothing in them."""

WELL = ("running", "healthy", "yes", "Established", "Up")
UNDER_WAY = ("starting", "under way", "stopped")
WRONG = ("exited", "unhealthy", "no feed", "Idle", "Down")


def command(lab: LabArgument = None, named: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show nodes, BGP sessions and whether routes are programmed."""
    record, status = running(one_lab(lab, named))
    platform, client = PlatformStatus(record.lab), LabClient(record)
    silent: LabkitError | None = None
    try:
        platform = client.fetch(PlatformStatus, "status")
    except LabkitError as error:
        silent = error  # the nodes can still be shown
    routers = router_sessions(client, platform, {node.name for node in status.nodes if node.off})
    if output is Format.JSON:
        nodes = [
            {
                "name": n.name,
                "handle": handle(n.name),
                "state": n.state,
                "health": n.health,
                "image": n.image,
                "exit_code": n.exit_code,
            }
            for n in status.nodes
        ]
        put_json(
            {
                "lab": record.lab,
                "variant": record.variant,
                "runtime": record.runtime,
                "state": status.state,
                "nodes": nodes,
                "platform": to_json(PlatformStatus, platform),
                "routers": [to_json(RouterSession, session) for session in routers],
            }
        )
    else:
        put(f"{record.title} on {record.runtime}: {status.state}, up for {span(time.time() - record.created)}\n")
        # Most labs have short names, and need no column for the same again.
        handles = any(handle(n.name) != n.name for n in status.nodes)
        rows = [
            (
                n.name,
                *([handle(n.name)] if handles else []),
                n.state,
                n.health or "-",
                "?" if silent else _programming(platform.nodes.get(n.name)),
            )
            for n in status.nodes
        ]
        put_table(("Node", *(["Handle"] if handles else []), "State", "Health", "Programmed"), rows, _colour)
        put("")
        sessions = [
            (s.route_server, s.instance, s.peer, s.state, _since(s.since), s.reason or "-") for s in platform.sessions
        ]
        if not silent:
            put_table(("Route server", "Instance", "Peer", "State", "For", "Reason"), sessions, _colour)
        lines = [
            (s.gateway, s.instance, s.neighbour, s.state, _since(s.since), s.reason or "-") for s in platform.gateways
        ]
        if lines:
            put("")
            put_table(("Gateway", "Instance", "Neighbour", "State", "For", "Reason"), lines, _colour)
        if routers:
            put("")
            between = [
                (r.router, r.neighbour, r.state, span(r.seconds) if r.seconds else "-", r.reason or "-")
                for r in routers
            ]
            put_table(("Router", "Neighbour", "State", "For", "Reason"), between, _colour)
        backends = [(b.load_balancer, b.frontend, b.backend, b.state, b.reason or "-") for b in platform.backends]
        if backends:
            put("")
            put_table(("Load balancer", "Frontend", "Backend", "State", "Reason"), backends, _colour)
    for name in unread(platform):
        note(f"{name} runs an image of its own: its sessions are shown as their far ends have them.")
    if silent is not None:
        raise CheckFailed(f"BGP sessions and programming can't be shown: {silent.message}", silent.remedy)


def _programming(node: NodeFeed | None) -> str:
    if node is None or node.role in NOT_PROGRAMMED:
        return "-"
    if node.error:
        return f"failed: {node.error}"
    if not node.connected:
        return "no feed"
    return "yes" if node.up_to_date else "under way"


def _since(moment: float | None) -> str:
    return span(time.time() - moment) if moment else "-"


def _colour(cell: str) -> Colour | None:
    if cell in WRONG or cell.startswith("failed"):
        return Colour.RED
    if cell in UNDER_WAY:
        return Colour.YELLOW
    return Colour.GREEN if cell in WELL else None
