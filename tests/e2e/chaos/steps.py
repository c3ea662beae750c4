"""What is done to a running lab: commands that a user could type, and the nodes whose sessions may end by them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.azure.changes.base import Change
from labkit.daemons.registry import DAEMONS
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.sessions import router_daemons

SERVICES = "/run/labkit-services"

SHORT_HOLD = 5
"""Seconds."""


@dataclass(frozen=True)
class Step:
    """One or more lines for a shell. While they take effect, everything by BGP that leads to `disturbs` may go.

    `node` is where they are run, if in a node. `turns` are the nodes that are off after it and were not, or the other
    way round; `change` is what they change of Azure, and `resets` whether they undo all changes.
    """

    lines: str
    node: str = ""
    disturbs: frozenset[str] = frozenset()
    turns: frozenset[str] = frozenset()
    change: Change | None = None
    resets: bool = False

    def __str__(self) -> str:
        return self.lines

    def run(self, lab: str) -> None:
        """Do it, as a user does; it must succeed."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "LABKIT_LAB": lab}
        shell = ("sh", "-ec", self.lines)
        done = subprocess.run(shell, capture_output=True, text=True, env=environment, timeout=120, check=False)
        assert done.returncode == 0, f"{self.lines}\n{done.stdout}{done.stderr}"


RESET = Step("labkit reset", resets=True)
"""Everything that operators have changed is as in the lab's file again."""


def kill(node: str, service: str, disturbs: frozenset[str]) -> Step:
    """A process dies at once, and its supervisor starts another; the step ends when it has."""
    return Step(f"labkit exec {node} -- s6-svc -wr -T 20000 -k {SERVICES}/{service}", node, disturbs)


def freeze(node: str, service: str) -> Step:
    """A process stands still for a second, as on a machine that is far too busy."""
    word = f"labkit exec {node} -- s6-svc"
    return Step(f"{word} -p {SERVICES}/{service}; sleep 1; {word} -c {SERVICES}/{service}", node)


def flap(node: str, interface: str) -> Step:
    """A link goes down and comes up again at once: its routing daemon finds it up."""
    link = f"ip link set {interface}"
    return Step(f"labkit exec {node} -- sh -c '{link} down; {link} up'", node, frozenset({node}))


def power_off(node: str) -> Step:
    """A node loses its power."""
    return Step(f"labkit stop {node}", node, frozenset({node}), frozenset({node}))


def power_on(node: str) -> Step:
    """And has it again."""
    return Step(f"labkit start {node}", node, frozenset({node}), frozenset({node}))


CLEAR = {"frr": "vtysh -c 'clear bgp *'", "bird": "birdc restart all"}


def clear(router: str, daemon: str) -> Step:
    """A router ends all its sessions."""
    return Step(f"labkit exec {router} -- {CLEAR[daemon]}", router, frozenset({router}))


def changed(change: Change) -> Step:
    """A change that an operator makes."""
    return Step(f"labkit apply - <<'END'\n{json.dumps([change.to_json()])}\nEND", change=change)


def may_be_off(lab: Lab) -> frozenset[str]:
    """The nodes whose power cut is noticed within `SHORT_HOLD`, or at once: no session of theirs is held for longer."""
    azure, routers = lab.azure, lab.nva.keys() | lab.site_router.keys()
    nodes = {vm.name for vm in lab.virtual_machines} | routers
    nodes |= {i.node for server in azure.route_servers for i in server.instance_ids}
    held = {
        end.node
        for session in bgp_sessions(lab)
        if session.hold > SHORT_HOLD and not {end.node for end in session.ends} <= routers
        for end in session.ends
    }
    return frozenset(nodes - held)


def faults(lab: Lab) -> Iterator[Step]:
    """Everything that breaks and mends itself: processes that die or stand still, links, sessions."""
    azure = lab.azure
    servers = [i.node for server in azure.route_servers for i in server.instance_ids]
    gateways = [i.node for gateway in azure.gateways for i in gateway.instance_ids]
    platform = [
        ("controller", "controller"),
        *((vm.name, "agent") for vm in lab.virtual_machines),
        *((vnet.name, "fabric") for vnet in azure.virtual_networks),
        *((gateway, "gateway") for gateway in gateways),
        *((i.node, "firewall") for firewall in azure.firewalls for i in firewall.instance_ids),
    ]
    for node, service in platform:
        yield kill(node, service, frozenset())
        yield freeze(node, service)
    for node in servers:
        yield kill(node, "exabgp", frozenset({node}))
        yield freeze(node, "exabgp")
    for node, daemon in router_daemons(lab).items():
        yield kill(node, DAEMONS[daemon].services.bgp, frozenset({node}))
        yield clear(node, daemon)
        if node in lab.nva and "zebra" in DAEMONS[daemon].services.names:
            yield kill(node, "zebra", frozenset({node}))
    for node in lab.nva:
        yield flap(node, "eth0")
