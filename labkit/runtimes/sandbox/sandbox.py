"""A running lab as its init holds it: nodes, links, and what may be asked of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from labkit.runtimes.sandbox import links, state
from labkit.runtimes.sandbox.boot import NodesBoot, not_healthy, watch
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.messages import NodeRow, SandboxError
from labkit.runtimes.sandbox.node import HEALTHY, RUNNING, STARTING, STOPPED, UNHEALTHY, RunningNode
from labkit.runtimes.sandbox.reshape import NodesReshape
from labkit.runtimes.sandbox.spec import Link, Node, SandboxLab
from labkit.runtimes.sandbox.warm import WarmProcesses

Done = Callable[[SandboxError | None], None]


class Sandbox:
    """The lab's nodes and links."""

    def __init__(
        self, loop: Loop, lab: SandboxLab, directory: Path, warm: WarmProcesses, *, own_user_namespace: bool
    ) -> None:
        self.lab = lab
        self._loop = loop
        self._directory = directory
        self._own_user_namespace = own_user_namespace
        self._warm = warm
        self.nodes = {spec.name: self._node(spec) for spec in warm.listen(lab.nodes, directory / state.SCRATCH)}
        self._busy: set[str] = set()
        self._starting: dict[str, NodesBoot] = {}
        self._unready: dict[str, _Unready] = {}

    def _node(self, spec: Node) -> RunningNode:
        return RunningNode(
            self._loop,
            spec,
            self._directory / state.SCRATCH / spec.name,
            self._directory / state.LOGS / f"{spec.name}.log",
            own_user_namespace=self._own_user_namespace,
        )

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
        """Power a node on. One that is on is waited for; one whose command has ended is power-cycled.

        If it is not healthy within `within` seconds (None: as long as its healthcheck allows), it stays on.
        """
        node = self.nodes[name]
        if name in self._busy:
            done(_busy(name))
            return
        if node.state in (STARTING, RUNNING):
            if node.health == UNHEALTHY:
                self._unready[name].wait(within, done)
            else:
                done(None)
            return
        self._busy.add(name)
        parked, mine = node.namespace, self._links_of(name)

        linked = False

        def link() -> SandboxError | None:
            nonlocal linked
            linked = True
            error = links.rewire(node, parked, mine, self.nodes)
            os.close(parked)
            return error

        def booted(error: SandboxError | None) -> None:
            del self._starting[name]
            if not error:
                self._busy.discard(name)
                done(None)
                return
            if boot.unhealthy:
                self._busy.discard(name)
                self._unready[name] = _Unready(self._loop, node)
                done(_not_ready(node, error))
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

    def reshape(self, lab: SandboxLab, restart: Collection[str], done: Done) -> None:
        """Make this another lab; nodes of `restart`, by handle, are made again with their new files and settings.

        Meanwhile no node can be stopped or started. After an error, what was made is there: reshape it back.
        """
        if self._busy:
            done(_busy(min(self._busy)))
            return
        lab = replace(lab, nodes=tuple(map(self._warm.served, lab.nodes)))
        before, self.lab = self.lab, lab
        self._busy = {*self.nodes, *(node.name for node in lab.nodes)}
        for name in (*restart, *self.nodes.keys() - {node.name for node in lab.nodes}):
            self._unready.pop(name, None)

        def over(error: SandboxError | None) -> None:
            self._busy.clear()
            done(error)

        NodesReshape(self._loop, self.nodes, before, lab, restart, make=self._node, done=over)

    def status(self) -> list[NodeRow]:
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


class _Unready:
    """A node that is on and was not healthy in time, and those who wait until it is."""

    def __init__(self, loop: Loop, node: RunningNode) -> None:
        self._loop, self._node = loop, node
        self._waiting: list[Callable[[str | None], None]] = []
        node.health = UNHEALTHY
        self._watch = watch(loop, node, self._over, within=math.inf)

    def wait(self, within: float | None, done: Done) -> None:
        """Call back once it is healthy, or has ended, or `within` seconds are over (None: what its check allows)."""
        node = self._node
        assert node.spec.health

        def over(reason: str | None) -> None:
            timer.cancel()
            if reason is None:
                done(None)
            else:
                done(_powered_off(node.spec.name) if node.state == STOPPED else not_healthy(node, reason))

        def late() -> None:
            self._waiting.remove(over)
            done(_not_ready(node, not_healthy(node, self._watch.reason)))

        self._waiting.append(over)
        timer = self._loop.after(node.spec.health.allowed if within is None else within, late)

    def _over(self, reason: str | None) -> None:
        if reason is None:
            self._node.health = HEALTHY
        for each in self._waiting:
            each(reason)


def _not_ready(node: RunningNode, error: SandboxError) -> SandboxError:
    return error | {"kind": "not-ready", "message": f"node {node.spec.name} is on, but {error['message']}"}


def _powered_off(name: str) -> SandboxError:
    return {"kind": "input", "message": f"node {name} was powered off while it started.", "remedy": ""}


def _busy(name: str) -> SandboxError:
    return {
        "kind": "input",
        "message": f"node {name} is being stopped or started already.",
        "remedy": "Try again when that has ended.",
    }
