"""A router's node, with a daemon in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.daemons.protocol import TemplateVariables
from labkit.daemons.registry import DAEMONS
from labkit.daemons.speaker import Speaker, StaticRouter
from labkit.lab.model import Lab
from labkit.lab.plan.common import environment, node_file, ready, sysctls
from labkit.lab.plan.model import Bind, File, Node, Role


def speaker_files(
    daemon: str, speaker: Speaker | StaticRouter, own: str = "", variables: TemplateVariables | None = None
) -> tuple[list[File], list[Bind]]:
    """The configuration files of a router's daemon, and their binds; `own` is one of the user's in their place."""
    found = DAEMONS[daemon].config.files(speaker)
    if own:
        ((file, bind),) = (node_file(speaker.name, each.name, each.target, "", **(variables or {})) for each in found)
        return [replace(file, own=own)], [bind]
    rendered = [node_file(speaker.name, each.name, each.target, each.template, **each.context) for each in found]
    return [file for file, _ in rendered], [bind for _, bind in rendered]


def router_node(  # noqa: PLR0917 - what every router has
    lab: Lab, name: str, daemon: str, role: Role, binds: Iterable[Bind], commands: Iterable[str], *, bgp: bool = True
) -> Node:
    """A node that a daemon routes in, with `bgp` or by static routes alone."""
    services = DAEMONS[daemon].services
    names = services.names if bgp else services.without_bgp
    return Node(
        name=name,
        role=role,
        services=names,
        env=environment(lab.name, name),
        binds=tuple(binds),
        exec=tuple(commands),
        # Of several next hops, one that does not answer ARP is left out: a tunnel has no other sign of life.
        sysctls=sysctls(forward=True) | {"net.ipv4.fib_multipath_use_neigh": "1"},
        cap_add=services.capabilities,
        healthcheck=ready(names),
    )
