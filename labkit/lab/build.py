"""From a lab to its plan: every node, link and file, with names, MACs and addresses fixed.

Pure and deterministic: the same lab gives the same plan, down to the order of everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.lab.kinds.registry import KINDS
from labkit.lab.model import Lab
from labkit.lab.plan.common import Planned, environment, ready, sysctls
from labkit.lab.plan.model import LAB_FILE, Bind, File, Node, Plan, Role
from labkit.lab.plan.nodes import CONTROLLER, owners
from labkit.lab.plan.wires import Interfaces, Wiring
from labkit.paths import CONTROLLERS_LAB_FILE


def wiring(lab: Lab) -> Wiring:
    """Every interface and veth of a lab."""
    interfaces = Interfaces(lab)
    return Wiring(lab, tuple(wire for kind in KINDS for wire in kind.wires(lab, interfaces)))


def plan(lab: Lab) -> Plan:
    """The plan of a lab. Nodes come in the order of their roles, and in file order within each."""
    found, order = wiring(lab), list(Role)
    nodes = (_controller(lab), *(each for kind in KINDS for each in kind.nodes(lab, found)))
    planned = sorted(nodes, key=lambda each: order.index(each.node.role))
    return Plan(
        lab=lab.name,
        nodes=tuple(p.node for p in planned),
        links=found.links,
        files=tuple(file for p in planned for file in p.files),
        owners=_owners(lab),
        variant=lab.variant,
    )


def _controller(lab: Lab) -> Planned:
    """The controller: no interface and no privilege, only the folders in which it meets the others."""
    node = Node(
        name=CONTROLLER,
        role=Role.CONTROLLER,
        services=("controller",),
        env=environment(lab.name, CONTROLLER),
        binds=(
            Bind(LAB_FILE, CONTROLLERS_LAB_FILE),
            Bind("run", "/run/lab", read_only=False),
            Bind("controller", "/var/lib/labkit", read_only=False),
        ),
        sysctls=sysctls(forward=False),
        healthcheck=ready(("controller",)),
    )
    return Planned(node, (File("controller/.keep", ""),))


def _owners(lab: Lab) -> Mapping[str, str]:
    found = {str(address): node for address, node in owners(lab).items()}
    if lab.internet is not None:
        found |= {str(leg.public): lab.internet.name for leg in lab.internet.legs}
    return found
