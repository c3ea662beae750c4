"""A running lab as its init holds it: nodes, links, and what may be asked of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from labkit.runtimes.sandbox import links, state
from labkit.runtimes.sandbox.boot import NodesBoot, watch
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.node import RUNNING, STARTING, STOPPED, Error, RunningNode
from labkit.runtimes.sandbox.spec import Link, SandboxLab
from labkit.runtimes.sandbox.warm import WarmProcesses

Done = Callable[[Error | None], None]


class Sandbox:
    """The lab's nodes and links."""

    def __init__(
        self, loop: Loop, lab: SandboxLab, directory: Path, warm: WarmProcesses, *, own_user_namespace: bool
    ) -> None:
        self.lab = lab
        self._loop = loop
        self.nodes = {
            spec.name: RunningNode(
                loop,
                spec,
                directory / state.SCRATCH / spec.name,
                directory / state.LOGS / f"{spec.name}.log",
                own_user_namespace=own_user_namespace,
            )
            for spec in warm.listen(lab.nodes, directory / state.SCRATCH)
        }
        self._busy: set[str] = set()
        self._starting: dict[str, NodesBoot] = {}

    def boot(self, event: Callable[[str, str], None], done: Done) -> NodesBoot:
        """Boot every node."""
        return NodesBoot(
            self._loop, tuple(self.nodes.values()), lambda: links.create(self.lab.links, self.nodes), event, done
        )

    def _links_of(self, name: str) -> tuple[Link, ...]:
        return tuple(link for link in self.lab.links if name in (link.a.node, link.b.node))

    def stop(self, name: str, done: Done) -> None:
        """Power a node off, also while it starts. Harmless if it is off."""
        node = self.nodes[name]
        if boot := self._starting.get(name):
            boot.abort(_powered_off(name))
            node.kill(lambda: done(None))
            return
        if name in self._busy:
            done(_busy(name))
            return
        if node.state != STOPPED:
            links.down(node, self._links_of(name))
        self._busy.add(name)

        def dead() -> None:
            self._busy.discard(name)
            done(None)

        node.kill(dead)

    def start(self, name: str, within: float | None, done: Done) -> None:
        """Power a node on. Harmless if it is on; a node whose command has ended is power-cycled.

        If it is not healthy within `within` seconds (None: as long as its healthcheck allows), it stays on.
        """
        node = self.nodes[name]
        if name in self._busy:
            done(_busy(name))
            return
        if node.state in (STARTING, RUNNING):
            done(None)
            return
        self._busy.add(name)
        parked, mine = node.namespace, self._links_of(name)

        linked = False

        def link() -> Error | None:
            nonlocal linked
            linked = True
            error = links.rewire(node, parked, mine, self.nodes)
            os.close(parked)
            return error

        def booted(error: Error | None) -> None:
            del self._starting[name]
            if not error:
                self._busy.discard(name)
                done(None)
                return
            if boot.unhealthy:
                self._busy.discard(name)
                self._wait_on(node)
                done(error | {"kind": "not-ready", "message": f"node {name} is on, but {error['message']}"})
                return
            if linked:
                links.down(node, mine)
            elif node.namespace != parked:
                os.close(node.namespace)
                node.namespace = parked

            def dead() -> None:
                self._busy.discard(name)
                done(error)

            node.kill(dead)

        self._starting[name] = boot = NodesBoot(self._loop, (node,), link, lambda *_: None, booted, within=within)

    def _wait_on(self, node: RunningNode) -> None:
        """Notice when a node that was not healthy in time becomes so."""
        node.health = "unhealthy"

        def over(reason: str | None) -> None:
            if reason is None:
                node.health = "healthy"

        watch(self._loop, node, over, within=math.inf)

    def status(self) -> list[dict[str, object]]:
        """Every node's state, as `labkit.runtimes.protocol.NodeStatus` has it."""
        return [
            {
                "name": node.spec.title,
                "state": node.state,
                "health": node.health,
                "image": node.spec.image,
                "exit_code": node.exit_code,
            }
            for node in self.nodes.values()
        ]


def _powered_off(name: str) -> Error:
    return {"kind": "input", "message": f"node {name} was powered off while it started.", "remedy": ""}


def _busy(name: str) -> Error:
    return {
        "kind": "input",
        "message": f"node {name} is being stopped or started already.",
        "remedy": "Try again when that has ended.",
    }
