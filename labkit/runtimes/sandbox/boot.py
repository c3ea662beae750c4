"""Booting nodes: roots and namespaces, links, commands, exec lines, health.

As containerlab orders it, but for the links: it adds them to containers that run already, at no moment that a program
could rely on. Here they are made first, while nothing competes for the processors yet, so that no program meets a node
whose interfaces are on their way.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.runtimes.sandbox import links, process
from labkit.runtimes.sandbox.health import Watch
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.messages import SandboxError
from labkit.runtimes.sandbox.node import HEALTHY, RunningNode, environment_error, refused_by_system

_EXEC_DEADLINE = 120.0
_DEATH_IS_KNOWN = 0.05
_MOST_OUTPUT = 4000

Done = Callable[[SandboxError | None], None]


class NodesBoot:
    """Boots some nodes together; calls `done` once with None or the first error.

    `link` connects the nodes once all of them are built. `event` gets `started` and `healthy` with a node's name.
    `unhealthy` are the nodes that run but were not healthy within `within` seconds.
    """

    def __init__(
        self,
        loop: Loop,
        nodes: Sequence[RunningNode],
        link: Callable[[], SandboxError | None],
        event: Callable[[str, str], None],
        done: Done,
        *,
        within: float | None = None,
    ) -> None:
        self._within = within
        self.unhealthy: list[str] = []
        self._loop = loop
        self._nodes = nodes
        self._link = link
        self._event = event
        self._done: Done | None = done
        self._watches: list[Watch] = []
        self._waiting = len(nodes)
        self.timings: dict[str, float] = {"prepared": time.monotonic()}
        for node in nodes:
            node.fork(lambda error, node=node: self._take(lambda: self._built(node, error)))  # type: ignore[misc]
        self._mark("forked")
        if not nodes:
            self._loop.after(0, lambda: self._finish(None))

    def _mark(self, phase: str) -> None:
        self.timings[phase] = time.monotonic()  # the same clock in every process of the machine

    def _finish(self, error: SandboxError | None) -> None:
        done, self._done = self._done, None
        if done:
            for watch in self._watches:
                watch.cancel()
            done(error)

    def abort(self, error: SandboxError) -> None:
        """End it with an error; harmless if it has ended."""
        self._finish(error)

    def _take(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._finish(refused_by_system("booting nodes", error))

    def _step(self, error: SandboxError | None) -> bool:
        """One node more is through a phase; True if it was the last and nothing has failed."""
        if error:
            self._finish(error)
        self._waiting -= 1
        return self._waiting == 0 and self._done is not None

    def _built(self, node: RunningNode, error: SandboxError | None) -> None:
        if not error and self._done:  # a node that is powered off meanwhile has its former one back
            node.namespace = links.open_namespace(node)
        if self._step(error):
            self._mark("built")
            error = self._link()
            if error:
                self._finish(error)
                return
            self._mark("linked")
            self._waiting = len(self._nodes)
            for each in self._nodes:
                each.go(lambda error, node=each: self._take(lambda: self._started(node, error)))  # type: ignore[misc]

    def _started(self, node: RunningNode, error: SandboxError | None) -> None:
        if error:
            self._finish(error)
        elif self._done:
            self._event("started", node.spec.name)
            self._mark("started")
            lines = node.spec.exec
            run_lines(self._loop, node, lines, lambda error: self._take(lambda: self._configured(error)))

    def _configured(self, error: SandboxError | None) -> None:
        if self._step(error):
            self._mark("configured")
            self._watch_all()

    def _watch_all(self) -> None:
        watched = [node for node in self._nodes if node.spec.health]
        self._waiting = len(watched)
        for node in self._nodes:
            if not node.spec.health:
                self._event("healthy", node.spec.name)
        if not watched:
            self._finish(None)
        for node in watched:
            report = functools.partial(self._healthy, node)
            self._watches.append(watch(self._loop, node, report, within=self._within))

    def _healthy(self, node: RunningNode, reason: str | None) -> None:
        error = None
        if reason is None:
            node.health = HEALTHY
            node.drain_log()
            self._event("healthy", node.spec.name)
        else:
            if node.pid:
                self.unhealthy.append(node.spec.name)
            error = not_healthy(node, reason)
        if self._step(error):
            self._mark("healthy")
            self._finish(None)


def watch(loop: Loop, node: RunningNode, done: Callable[[str | None], None], *, within: float | None = None) -> Watch:
    """Watch a node's healthcheck, for as long as `Watch` has it, or until the node's first process ends."""
    assert node.spec.health
    found = Watch(
        loop,
        node.spec.health,
        Path(f"/proc/{node.pid}/root"),
        lambda argv, seconds, ended: run(loop, node, argv, seconds, ended),
        done,
        alive=lambda: node.pid != 0,
        within=within,
    )
    node.when_ended = found.node_ended
    if not node.pid:
        found.node_ended()
    return found


def not_healthy(node: RunningNode, reason: str) -> SandboxError:
    """The error for a node that was not healthy in time."""
    text = f"node {node.spec.name} did not become healthy. {reason}{log_tail(node)}"
    return environment_error(text, "Correct what its log shows.")


def log_tail(node: RunningNode) -> str:
    """The end of a node's log, introduced; empty if it is."""
    node.drain_log()
    try:
        text = node.log.read_bytes()[-_MOST_OUTPUT // 2 :].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return f"\nIts log ends:\n{text}" if text else ""


def run(loop: Loop, node: RunningNode, argv: list[str], seconds: float, ended: Callable[[int, str], None]) -> None:
    """Run a command in a node; call back with exit status and the end of its output. Kills it after `seconds`."""
    _spawn(loop, node, lambda streams: node.spawn(argv, streams, {}, terminal=False), seconds, ended)


def run_lines(loop: Loop, node: RunningNode, lines: Sequence[Sequence[str]], done: Done) -> None:
    """Run exec lines in a node in order until one fails; call back with the error if one did."""
    if not lines:
        done(None)
        return
    report = os.memfd_create("report")

    def ended(status: int, output: str) -> None:
        reached = len(os.pread(report, len(lines), 0))  # one byte for every line that was begun
        os.close(report)
        if status == 0:
            done(None)
            return
        what = f"node {node.spec.name}: exec `{shlex.join(lines[max(0, reached - 1)])}` failed"

        def explain() -> None:
            if node.pid == 0:
                why = f"the node's command ended with status {node.exit_code}{log_tail(node)}"
                done(environment_error(f"{what}: {why}", "Correct the node's `cmd` in the topology."))
                return
            outcome = f" with exit status {status}{': ' if output.strip() else '.'}{output.strip()}"
            done(environment_error(what + outcome, "Correct the node's exec lines in the topology."))

        # If it failed because the node died under it, that is known only once it has been reaped.
        loop.after(_DEATH_IS_KNOWN, explain)

    _spawn(loop, node, lambda streams: node.spawn_lines(lines, streams, report), _EXEC_DEADLINE, ended)


def _spawn(
    loop: Loop,
    node: RunningNode,
    start: Callable[[tuple[int, int, int]], int],
    seconds: float,
    ended: Callable[[int, str], None],
) -> None:
    descriptors = []
    try:
        descriptors = [output := os.memfd_create("output")]
        # Append, so that what several processes write through descriptors of their own does not overwrite each other.
        fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
        descriptors.append(nothing := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        pid = start((nothing, output, output))
    except OSError as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, ProcessLookupError):
            why = f"the node is not running: its command ended with status {node.exit_code}{log_tail(node)}"
        else:
            why = f"it can't be started: {error.strerror}"
        ended(255, why)
        return
    os.close(nothing)
    timer = loop.after(seconds, lambda: process.kill_session(pid))

    def done(status: int) -> None:
        timer.cancel()
        size = os.fstat(output).st_size
        text = os.pread(output, _MOST_OUTPUT, max(0, size - _MOST_OUTPUT)).decode(errors="replace")
        os.close(output)
        ended(status, text)

    loop.on_exit(pid, done)
