"""Making a running sandbox another lab: what is gone goes, what is new is made, and the rest is left alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, MutableMapping

from labkit.names import mentions
from labkit.runtimes.sandbox import links
from labkit.runtimes.sandbox.boot import NodesBoot, run_lines
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.messages import SandboxError
from labkit.runtimes.sandbox.node import RunningNode
from labkit.runtimes.sandbox.spec import Node, SandboxLab

Done = Callable[[SandboxError | None], None]


class NodesReshape:
    """One change of a running lab; calls `done` once with None or the first error.

    After an error the lab is neither what it was nor what it should be; another reshaping leads back. `nodes` are those
    of the lab by handle, which follow. `restart` are handles of nodes that are made again with their new files and
    settings, and keep their links.
    """

    def __init__(
        self,
        loop: Loop,
        nodes: MutableMapping[str, RunningNode],
        before: SandboxLab,
        after: SandboxLab,
        restart: Collection[str],
        *,
        make: Callable[[Node], RunningNode],
        done: Done,
    ) -> None:
        self._loop = loop
        self._nodes = nodes
        self._lab = after
        self._wanted = {spec.name: spec for spec in after.nodes}
        self._make = make
        self._done = done
        self._gone = [name for name in nodes if name not in self._wanted]
        self._restarted = [name for name in nodes if name in self._wanted and name in restart]
        self._parked: dict[str, int] = {}
        self._lines: dict[str, tuple[tuple[str, ...], ...]] = {}
        self._kept = [link for link in before.links if link in after.links]
        links.delete([link for link in before.links if link not in after.links], nodes)
        for name in self._restarted:
            links.down(nodes[name], self._kept)
        ending = [*self._gone, *self._restarted]
        self._left = len(ending) + 1
        for name in ending:
            nodes[name].kill(self._ended)
        self._ended()

    def _ended(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._loop.after(0, self._boot)

    def _boot(self) -> None:
        for name in self._gone:
            self._nodes.pop(name).remove()
        made = [name for name in self._wanted if name not in self._nodes]
        self._lines = {name: self._new_lines(name) for name in self._wanted if name not in (*made, *self._restarted)}
        for name, spec in self._wanted.items():
            if name in made:
                self._nodes[name] = self._make(spec)
            else:
                self._nodes[name].settle(spec)
        for name in self._restarted:
            self._nodes[name].clear()
        self._parked = {name: self._nodes[name].namespace for name in self._restarted}
        booting = [self._nodes[name] for name in (*made, *self._restarted)]
        self._left = 1 + sum(1 for lines in self._lines.values() if lines)
        if booting:
            NodesBoot(self._loop, booting, self._link, lambda *_: None, self._through)
        else:
            self._through(self._link())

    def _new_lines(self, name: str) -> tuple[tuple[str, ...], ...]:
        """What a node that stays on has to run: what is new for it, and what is for an interface that is new."""
        ends = [end for link in self._lab.links if link not in self._kept for end in (link.a, link.b)]
        fresh = [end.interface for end in ends if end.node == name]
        before = self._nodes[name].spec.exec
        lines = self._wanted[name].exec
        return tuple(line for line in lines if line not in before or mentions(" ".join(line), fresh))

    def _link(self) -> SandboxError | None:
        for name, parked in self._parked.items():
            links.transfer(self._nodes[name], parked, self._kept)
        self._close_parked()
        error = links.create(links.missing(self._lab.links, self._nodes), self._nodes)
        if not error:
            for name, lines in self._lines.items():
                if lines:
                    run_lines(self._loop, self._nodes[name], lines, self._through)
        return error

    def _through(self, error: SandboxError | None) -> None:
        """The nodes have booted, or one that runs has run its new lines; or this failed."""
        self._left -= 1
        if error or self._left == 0:
            self._close_parked()
            done, self._done = self._done, lambda _: None
            done(error)

    def _close_parked(self) -> None:
        for parked in self._parked.values():
            if parked >= 0:
                os.close(parked)
        self._parked = {}
