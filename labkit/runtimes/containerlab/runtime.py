"""The containerlab runtime: the genuine `containerlab` on a Docker engine.

containerlab makes and removes labs and switches nodes on and off; what runs in nodes goes by the engine. A lab is
known by the labels that containerlab gives its containers, so everything but `start` and `stop` works without its
topology file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from docker.errors import NotFound

from labkit import names
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.patience import waiting
from labkit.runtimes import topology as clab
from labkit.runtimes.containerlab import docker_connect, docker_exec, docker_files, docker_images, leftovers, tool
from labkit.runtimes.containerlab.docker_engine import (
    Container,
    containers,
    engine,
    engine_is_older_than,
    refusal,
    translated,
)
from labkit.runtimes.containerlab.logs import read_lines
from labkit.runtimes.containerlab.nodes import (
    FOLDER,
    LAB,
    NODE,
    TOPOLOGY,
    is_healthy,
    name_of,
    nodes_of,
    state_of,
    title_of,
)
from labkit.runtimes.protocol import (
    HEALTHY_WITHIN,
    Completed,
    LabStatus,
    NodeStatus,
    NotReady,
    OnProgress,
    Progress,
    ignore_progress,
)

_LAB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_DEPLOY_SECONDS = 900.0
_DESTROY_SECONDS = 300.0
_SWITCH_SECONDS = 120.0
_PAUSE = 0.1
_EXEC_FAILED = "Failed to execute command"
"""What containerlab logs for an exec line that fails; its exit status does not show it."""
_DISK_FULL = re.compile(r"Error response from daemon: (.*no space left on device)")
"""The engine's answer among what containerlab logs. What containerlab itself has no space for is another matter."""

_PARKED = "parked-eth0"
CUT = f"""kill -STOP -1 2>/dev/null
for each in /proc/[0-9]*; do
    read -r name <$each/comm && case $name in runc:*) kill -CONT ${{each#/proc/}};; esac
done 2>/dev/null
cd /sys/class/net && for each in *; do [ $each = lo ] || ip link set dev $each down || exit 1; done
[ ! -e eth0 ] || ip link set dev eth0 name {_PARKED}"""
"""Cut a node off. Its processes are frozen, so that they notice nothing and send nothing.

All but a command that runc is starting, such as a healthcheck: the engine waits for it, and answers no question about
the container until it is there.

containerlab keeps a stopped node's links except `eth0`, which it takes for a management interface of Docker's; labkit's
nodes have none. So it gets another name for the time.
"""
MEND = f"""kill -CONT -1 2>/dev/null
cd /sys/class/net && [ -e {_PARKED} ] || exit 1
ip link set dev {_PARKED} down && ip link set dev {_PARKED} name eth0 && ip link set dev eth0 up"""
"""Undo that; fails if there is nothing to undo."""
_CUT_SECONDS = 30.0


class ContainerlabRuntime:
    """Labs as containers. Whoever may use the Docker engine may do everything with them."""

    name = "containerlab"

    def prepare(self, image: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's
        """There is nothing to begin with: containerlab starts with the topology."""
        return contextlib.nullcontext()

    def deploy(self, topology: Path, on_progress: OnProgress = ignore_progress) -> LabStatus:
        """Boot the topology file and return once every healthcheck has succeeded."""
        begin = time.monotonic()
        tool.program()
        lab, nodes, references = _outline(topology)
        if self.labs_containers(lab):
            raise InvalidInput(
                f"A lab named {lab} runs on containerlab, or what is left of one.",
                f"Take it down (`labkit down {lab}`, `containerlab destroy --name {lab}`) or rename this lab.",
            )
        for reference in references:
            docker_images.ensure(reference)
        timings = {"image": time.monotonic() - begin}
        before = leftovers.Before.now()
        try:
            self._create(topology, lab, len(nodes), on_progress)
            timings["created"] = time.monotonic() - begin
            found = self._healthy(lab, set(nodes), on_progress)
        except BaseException:
            # What can't be removed now is there to be seen and destroyed; why this failed is what matters.
            with contextlib.suppress(LabkitError):
                self._destroy(lab, topology)
                before.restore()
            raise
        before.remember()
        timings["healthy"] = time.monotonic() - begin
        return LabStatus(lab, self.name, "running", found, timings)

    def _create(self, topology: Path, lab: str, total: int, on_progress: OnProgress) -> None:
        seen: set[str] = set()

        def look() -> None:
            for each in containers({LAB: lab}, running=True):
                node = each["Labels"].get(NODE, "")
                if node not in seen:
                    seen.add(node)
                    on_progress(Progress("started", node, len(seen), total))

        arguments = ["deploy", "--topo", str(topology), "--format", "json"]
        finished = tool.run(arguments, _DEPLOY_SECONDS, look, apart=_keeps_to_itself(topology))
        look()
        if finished.status != 0 or _EXEC_FAILED in finished.errors:
            with translated():
                engine().ping()  # else that is why, in fewer words
            if full := _DISK_FULL.search(finished.errors):
                raise refusal(full[1])
            raise EnvironmentProblem(
                f"containerlab could not deploy lab {lab}: {_paragraph(finished.errors)}",
                "Correct what it names; `labkit doctor` shows what this machine lacks.",
            )

    def _healthy(
        self, lab: str, nodes: set[str], on_progress: OnProgress, within: float | None = None
    ) -> tuple[NodeStatus, ...]:
        """Wait until every one of the nodes runs and is healthy if it has a healthcheck.

        The engine looks too seldom for a boot, so the checks are also run from here. Raises `NotReady` after `within`
        seconds.
        """
        waiting = {each["Labels"][NODE]: each["Id"] for each in self.labs_containers(lab)}
        waiting = {node: container for node, container in waiting.items() if node in nodes}
        total = len(waiting)
        began = time.monotonic()
        while True:
            for node, container in list(waiting.items()):
                with translated():
                    details = engine().inspect_container(container)
                if is_healthy(node, details, time.monotonic() - began):
                    del waiting[node]
                    on_progress(Progress("healthy", node, total - len(waiting), total))
            if not waiting:
                return nodes_of(self.labs_containers(lab), healthy=nodes)
            if within is not None and time.monotonic() - began > within:
                raise NotReady(f"node {', '.join(waiting)} did not become healthy within {within:g} s.")
            time.sleep(_PAUSE)  # healthchecks are commands, which are run until they succeed

    def reshape(self, topology: Path, restart: Collection[str] = ()) -> LabStatus:  # noqa: ARG002 - the protocol's
        """Refused: containerlab deploys a lab as a whole."""
        raise InvalidInput(
            "the containerlab runtime can't add nodes to a lab that runs.",
            f"Start it from the file: labkit down {topology.name.partition('.')[0]}, then labkit up",
        )

    def destroy(self, lab: str) -> bool:
        """Take the lab away, whatever state it is in; False if there was none."""
        try:
            found = self.labs_containers(lab)
            if found:
                # Without a topology file, containerlab makes a management network before it removes it.
                before = leftovers.Before.now()
                self._destroy(lab, Path(found[0]["Labels"].get(TOPOLOGY, "")))
                before.restore()
                leftovers.restore_settings()
        except EnvironmentProblem as problem:
            raise EnvironmentProblem(
                f"Lab {lab} can't be removed: {problem.message}", f"{problem.remedy}\nThen run: labkit down {lab}"
            ) from problem
        return bool(found)

    def _destroy(self, lab: str, topology: Path) -> None:
        found = self.labs_containers(lab)
        names = [name_of(each) for each in found]
        folders = {Path(folder).parent for each in found if (folder := each["Labels"].get(FOLDER))}
        if found:
            docker_files.give_back(found[0]["Image"], topology.parent)
            by = ["--topo", str(topology)] if os.access(topology, os.R_OK) else ["--name", lab]
            # Docker before 23 can lock itself up for ever when containers end side by side (libnetwork).
            one_by_one = ["--max-workers", "1"] if engine_is_older_than("1.42") else []
            arguments = ["destroy", *by, "--cleanup", *one_by_one]
            tool.run(arguments, _DESTROY_SECONDS, apart=_keeps_to_itself(topology))
        for each in self.labs_containers(lab):  # what containerlab could not remove, or did not know
            try:
                with translated():
                    engine().remove_container(each["Id"], force=True, v=True)
            except NotFound:
                continue
        leftovers.sweep(lab, names, folders)

    def labs_containers(self, lab: str) -> list[Container]:
        """The lab's containers, by node. Raises InvalidInput if that is not a lab's name."""
        if not _LAB_NAME.match(lab):
            raise InvalidInput(f"{lab!r} is not a lab's name.", "`labkit list` shows the labs.")
        found = [each for each in containers({LAB: lab}) if NODE in each["Labels"]]
        return sorted(found, key=lambda each: str(each["Labels"][NODE]))

    def inspect(self, lab: str) -> LabStatus | None:
        """The lab's nodes and their states; None if there is no such lab."""
        found = self.labs_containers(lab)
        if not found:
            return None
        nodes = nodes_of(found)
        states = {node.state for node in nodes}
        if "running" not in states and states != {"stopped"}:
            # Made but never started, too: containerlab starts a container as soon as it has made it.
            return LabStatus(lab, self.name, "dead", nodes)
        deploying = any(node.state == "starting" or node.health == "starting" for node in nodes)
        return LabStatus(lab, self.name, "deploying" if deploying else "running", nodes)

    def labs(self) -> tuple[str, ...]:
        """The names of all labs on this engine, whoever deployed them."""
        return tuple(sorted({str(each["Labels"][LAB]) for each in containers({LAB: ""}) if NODE in each["Labels"]}))

    def exec(
        self,
        lab: str,
        node: str,
        argv: Sequence[str],
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout: float | None = None,
    ) -> Completed:
        """Run a command in a node and collect its output. Raises `CommandTimeout` after `timeout` seconds."""
        return docker_exec.run(self._running(lab, node), f"node {node}", _command(argv), input, timeout)

    def attach(self, lab: str, node: str, argv: Sequence[str]) -> int:
        """Run a command in a node on this process's own standard streams; return its exit status."""
        return docker_exec.attach(self._running(lab, node), _command(argv))

    def stream(self, lab: str, node: str, argv: Sequence[str]) -> docker_exec.DockerCommand:
        """Start a command in a node with pipes for its standard streams."""
        return docker_exec.DockerCommand(self._running(lab, node), _command(argv))

    def connect(self, lab: str, node: str, path: str) -> socket.socket:
        """Connect to a Unix socket in a node. Raises `NotListening` if nothing listens there."""
        return docker_connect.connect(self._running(lab, node), node, path)

    def stop(self, lab: str, node: str) -> None:
        """Power the node off: its links go down first, so that no session is ended properly, then its processes."""
        container = self._container(lab, node)
        if container["State"] != "running":
            return
        topology = _topology(container, "stop")
        cut = docker_exec.run(container["Id"], f"node {node}", ["sh", "-c", CUT], None, _CUT_SECONDS)

        def kill() -> None:
            # Docker before 23 sends SIGTERM, whatever containerlab asks for: the node's init would wait for the rest.
            if leftovers.links_are_parked(name_of(container)):
                with contextlib.suppress(EnvironmentProblem, NotFound), translated():  # dead already
                    engine().kill(container["Id"], "KILL")

        arguments = ["stop", "--topo", str(topology), "--node", container["Labels"][NODE]]
        apart = _keeps_to_itself(topology)
        finished = tool.run(arguments, _SWITCH_SECONDS, kill, apart=apart) if cut.rc == 0 else None
        if finished is None or finished.status != 0:
            why = cut.stderr.strip() if finished is None else _paragraph(finished.errors)
            docker_exec.run(container["Id"], f"node {node}", ["sh", "-c", MEND], None, _CUT_SECONDS)
            raise EnvironmentProblem(f"Node {node} of lab {lab} could not be stopped: {why}", "Try again.")

    def start(self, lab: str, node: str, within: float | None = None) -> None:
        """Power the node on again; returns when its exec lines have run and it is healthy."""
        container = self._container(lab, node)
        handle = container["Labels"][NODE]
        if container["State"] == "running":
            self._ready(lab, node, handle, within)
            return
        if state_of(container) == "exited":
            raise EnvironmentProblem(
                f"Node {node} of lab {lab} was not powered off, its command ended; its links are gone.",
                f"See why: labkit logs {node} --lab {lab}. Then take the lab down (`labkit down {lab}`) and up again.",
            )
        topology = _topology(container, "start")
        lines = _exec_lines(docker_files.read(container["Image"], topology), handle)
        arguments = ["start", "--topo", str(topology), "--node", handle]
        finished = tool.run(arguments, _SWITCH_SECONDS, apart=_keeps_to_itself(topology))
        if finished.status != 0:
            raise EnvironmentProblem(
                f"containerlab could not start node {node} of lab {lab}: {_paragraph(finished.errors)}", "Try again."
            )
        try:
            self._after_start(node, container["Id"], lines, finished)
            self._ready(lab, node, handle, within)
        except NotReady:
            raise
        except BaseException:
            self.stop(lab, node)  # so that a start can be tried again
            raise

    def _ready(self, lab: str, node: str, handle: str, within: float | None) -> None:
        with waiting(f"the services of node {node} to be ready", within or HEALTHY_WITHIN):
            self._healthy(lab, {handle}, ignore_progress, within)

    def _after_start(self, node: str, container: str, lines: Sequence[Sequence[str]], finished: tool.Finished) -> None:
        what = f"node {node}"
        if docker_exec.run(container, what, ["sh", "-c", MEND], None, _CUT_SECONDS).rc == 0:
            # containerlab has run the lines while the first interface had not its name yet.
            for line in lines:
                done = docker_exec.run(container, what, line, None, _SWITCH_SECONDS)
                if done.rc != 0:
                    words = f"{what}: exec `{shlex.join(line)}` failed with exit status {done.rc}"
                    output = (done.stdout + done.stderr).strip()
                    remedy = "Correct the node's exec lines in the topology."
                    raise EnvironmentProblem(words + (f": {output}" if output else "."), remedy)
        elif _EXEC_FAILED in finished.errors:
            raise EnvironmentProblem(f"{what}: {_paragraph(finished.errors)}", "Correct the node's exec lines.")

    def logs(self, lab: str, node: str, follow: bool = False) -> Iterator[str]:
        """The lines that the node's `cmd` wrote; with `follow`, waits for more as long as the lab lives."""
        return read_lines(str(self._container(lab, node)["Id"]), follow=follow)

    def _container(self, lab: str, node: str) -> Container:
        if not _LAB_NAME.match(lab):
            raise InvalidInput(f"{lab!r} is not a lab's name.", "`labkit list` shows the labs.")
        if exact := containers({LAB: lab, NODE: names.handle(node)}):
            return exact[0]
        found = {str(each["Labels"][NODE]): each for each in self.labs_containers(lab)}
        handle = names.node(node, found)
        if handle is not None:
            return found[handle]
        if found:
            known = ", ".join(map(title_of, found.values()))
            raise InvalidInput(f"lab {lab} has no node {node!r}.", f"Its nodes are: {known}.")
        raise InvalidInput(f"No lab named {lab} is running on containerlab.", "`labkit list` shows the running labs.")

    def _running(self, lab: str, node: str) -> str:
        container = self._container(lab, node)
        if container["State"] != "running":
            raise InvalidInput(
                f"node {node} is {state_of(container)}, so nothing can run in it.", "Start the node first."
            )
        return str(container["Id"])


def _outline(topology: Path) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A topology's lab name, nodes and images; what else is in the file is containerlab's to judge."""
    try:
        top = yaml.safe_load(topology.read_text(encoding="utf-8"))
        inner = top["topology"]
        nodes = {str(name): value or {} for name, value in inner["nodes"].items()}
        parts = [inner.get("defaults") or {}, *(inner.get("kinds") or {}).values()]
        parts += [*(inner.get("groups") or {}).values(), *nodes.values()]
        images = dict.fromkeys(str(part["image"]) for part in parts if part and part.get("image"))
        return str(top["name"]), tuple(nodes), tuple(images)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{topology} is not a containerlab topology: {error}", "Name a containerlab topology file (*.clab.yml)."
        ) from error


def _exec_lines(topology: bytes, node: str) -> Sequence[Sequence[str]]:
    """A node's exec lines in a topology's text."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "topology.clab.yml"
        copy.write_bytes(topology)
        return next((each.exec for each in clab.read(copy).nodes if each.name == node), ())


def _keeps_to_itself(topology: Path) -> bool:
    """Whether a topology's links are all between its own nodes, as in labkit's labs.

    What labkit can't read may be right for containerlab, with links to the host for example.
    """
    try:
        return not clab.read(topology).management
    except (InvalidInput, OSError):
        return False


def _topology(container: Container, verb: str) -> Path:
    """The topology file that a container was deployed from; containerlab needs it to switch nodes."""
    topology = Path(container["Labels"].get(TOPOLOGY, ""))
    try:
        there = topology.is_file()
    except PermissionError:
        there = True  # another user's; containerlab may have the rights to read it
    if not there:
        raise EnvironmentProblem(
            f"containerlab needs the topology file to {verb} a node, and {topology} is gone.",
            "Take the lab down (labkit down) and up again.",
        )
    return topology


def _command(argv: Sequence[str]) -> Sequence[str]:
    if not argv or not argv[0]:
        raise InvalidInput("There is no command to run.", "Name one, such as `ip route`.")
    return argv


def _paragraph(errors: str) -> str:
    """The end of what containerlab logged, at most a dozen lines."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return "\n".join(lines[-12:]) or "no reason was given."
