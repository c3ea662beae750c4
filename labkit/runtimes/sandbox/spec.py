"""What the sandbox's init boots: a topology with images, paths and commands resolved, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Health:
    """A healthcheck: `test` as in Docker (`CMD` or `CMD-SHELL` first); times in seconds."""

    test: tuple[str, ...]
    start_period: float
    interval: float
    timeout: float
    retries: int

    @property
    def allowed(self) -> float:
        """The seconds that a node has to become healthy."""
        return self.start_period + self.interval * max(1, self.retries)


@dataclass(frozen=True, slots=True)
class Bind:
    """The absolute path `source` outside appears at the absolute path `target` inside."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `layers` are its image's directories, top first; without `argv` it idles.

    `name` is its handle, `title` what people call it.
    """

    name: str
    title: str
    image: str
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    env: dict[str, str]
    binds: tuple[Bind, ...]
    sysctls: dict[str, str]
    capabilities: tuple[int, ...]
    writable_sysctls: bool
    exec: tuple[tuple[str, ...], ...]
    health: Health | None


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link."""

    node: str
    interface: str
    mac: str


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair."""

    a: End
    b: End
    mtu: int


@dataclass(frozen=True, slots=True)
class SandboxLab:
    """All that a lab is made of."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def to_json(self) -> dict[str, Any]:
        """The lab as JSON values."""
        return asdict(self)


def from_json(data: Mapping[str, Any]) -> SandboxLab:
    """The inverse of `Lab.to_json`."""
    return SandboxLab(
        name=data["name"],
        nodes=tuple(
            Node(
                name=node["name"],
                title=node["title"],
                image=node["image"],
                layers=tuple(node["layers"]),
                argv=tuple(node["argv"]),
                env=node["env"],
                binds=tuple(Bind(**bind) for bind in node["binds"]),
                sysctls=node["sysctls"],
                capabilities=tuple(node["capabilities"]),
                writable_sysctls=node["writable_sysctls"],
                exec=tuple(tuple(line) for line in node["exec"]),
                health=Health(**(node["health"] | {"test": tuple(node["health"]["test"])})) if node["health"] else None,
            )
            for node in data["nodes"]
        ),
        links=tuple(Link(End(**link["a"]), End(**link["b"]), link["mtu"]) for link in data["links"]),
    )
