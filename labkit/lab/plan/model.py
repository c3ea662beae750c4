"""A plan: every node, link and file of a lab, with all names, MACs and addresses fixed.

Paths in a plan are relative to the rendered folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.daemons.protocol import TemplateVariables
from labkit.names import handle

LAB_FILE = "lab.yml"
"""The lab file in the rendered folder."""


class Role(StrEnum):
    """What a node is in the lab, in the order of nodes; the value of its label `labkit-role`."""

    CONTROLLER = "controller"
    FABRIC = "fabric"
    ROUTE_SERVER = "route-server"
    NVA = "nva"
    FIREWALL = "firewall"
    GATEWAY = "gateway"
    CIRCUIT = "circuit"
    SITE = "site"
    LAN = "lan"
    HOST = "host"
    INTERNET = "internet"
    VM = "vm"


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """containerlab's healthcheck; times in seconds. Docker runs it for ever, and each run costs a process start."""

    test: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    retries: int = 3
    start_period: int = 30


@dataclass(frozen=True, slots=True)
class Bind:
    """`source` (relative to the rendered folder; with `own` to the lab file) appears at `target` in the node."""

    source: str
    target: str
    read_only: bool = True
    own: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A containerlab node of kind `linux`, which goes by its handle there.

    `services` are what its init supervises (`labkit.start`). With an `image` of the user's own, `cmd` is its command;
    if that is empty, the image's is.
    """

    name: str
    role: Role
    services: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    exec: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    image: str = ""
    cmd: str = ""

    @property
    def handle(self) -> str:
        """The handle of its name."""
        return handle(self.name)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a link."""

    node: str
    interface: str
    mac: str

    @property
    def handle(self) -> str:
        """The handle of its node's name."""
        return handle(self.node)


@dataclass(frozen=True, slots=True)
class Link:
    """A veth link."""

    a: Endpoint
    b: Endpoint


@dataclass(frozen=True, slots=True)
class File:
    """A file of the rendered folder: `template` rendered with `context`. An empty template name: an empty file.

    `own` is a file of the user's in place of a template, by its path from the lab file.

    In a node that runs, the program `loader` makes a new text of it true, which it reads from its standard input; and
    the node's services follow the variables `followed` themselves, as the controller sends them.
    """

    path: str
    template: str
    context: TemplateVariables = field(default_factory=dict)
    own: str = ""
    loader: tuple[str, ...] = ()
    followed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a renderer needs. `owners` maps every address of the lab to the node that owns it.

    `variant` is that of the lab file, "" for the base.
    """

    lab: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    files: tuple[File, ...]
    owners: Mapping[str, str]
    variant: str = ""
