"""What the user's own configurations and images have from a lab: variables with its addresses, and a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labkit.azure.rules.addressing import gateway_address
from labkit.daemons.protocol import TemplateVariables
from labkit.daemons.speaker import CustomerSpeaker, StaticRouter
from labkit.lab.model import Container, Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.common import NET_ADMIN, sysctls
from labkit.lab.plan.model import Bind, Node, Role
from labkit.lab.plan.nodes import addresses


def variables(lab: Lab, speaker: CustomerSpeaker) -> TemplateVariables:
    """The variables of an NVA's own configuration file. docs/own-routers.md has them for users."""
    nics = {
        nic.name.rpartition("/")[2]: {
            "address": nic.address,
            "subnet": subnet_of(lab.azure, nic),
            "gateway": gateway_address(subnet_of(lab.azure, nic)),
            "interface": nic.interface,
        }
        for nic in lab.azure.nics_of(speaker.name)
    }
    primary = next(iter(nics.values()))
    return {
        "name": speaker.name,
        "asn": speaker.asn,
        "router_id": speaker.router_id,
        "address": primary["address"],
        "gateway": primary["gateway"],
        "nics": nics,
        "neighbors": {each.name: {"address": each.address, "asn": each.asn} for each in speaker.neighbours},
        "addresses": addresses(lab),
    }


def route_commands(router: CustomerSpeaker | StaticRouter) -> Iterator[str]:
    """The commands that give a node the static routes that labkit's daemons would have."""
    for route in router.static_routes:
        table = "" if route.table is None else f" table {route.table}"
        yield f"ip route replace {route.prefix} via {route.via}{table}"


def own_node(name: str, container: Container, commands: Iterable[str]) -> Node:
    """A router's node with an image of the user's own. The commands run in it, so it must have `ip`."""
    return Node(
        name=name,
        role=Role.NVA,
        env=container.env,
        binds=tuple(map(_bind, container.binds)),
        exec=tuple(commands),
        sysctls=sysctls(forward=True),
        cap_add=(*NET_ADMIN, *container.cap_add),
        image=container.image,
        cmd=container.cmd,
    )


def _bind(text: str) -> Bind:
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    return Bind(source, target, read_only="ro" in options.split(","), own=True)
