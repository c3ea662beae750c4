"""The sandbox runtime: labs as process trees in Linux namespaces."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit import linux, paths
from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.names import handle
from labkit.patience import waiting
from labkit.runtimes import topology as clab
from labkit.runtimes.image import images
from labkit.runtimes.protocol import HEALTHY_WITHIN, Completed, LabStatus, NodeStatus, OnProgress, ignore_progress
from labkit.runtimes.sandbox import client, spec, state, sysctls
from labkit.runtimes.sandbox.client import SandboxCommand
from labkit.runtimes.sandbox.deploy import Launch
from labkit.runtimes.sandbox.logs import read_lines
from labkit.runtimes.sandbox.messages import ControlRequest, NodeRow
from labkit.runtimes.sandbox.terminal import attach

_DIRECTORY = "sandbox"
_SWITCHED_WITHIN = 300.0
"""Seconds. The init has ends of its own for what it waits for when a node starts, which are sooner."""
_DOCKER_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "NET_RAW",
    "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP",
)  # fmt: skip
# What a node gets with Docker's default set if its topology lacks `privileged: false`. containerlab would give
# it everything, which as root without a user namespace would be the machine itself.
_NETWORK_CAPABILITIES = ("NET_ADMIN", "SYS_ADMIN")

Layers = Callable[[str], Sequence[Path]]
"""The directories of an image reference, top first. Raises a LabkitError if there is no such image."""


class SandboxRuntime:
    """Implements `labkit.runtimes.protocol.Runtime`. State is kept in `<state>/labs/<lab>/sandbox/`."""

    name = "sandbox"

    def __init__(self, state_home: Path | None = None, layers: Layers | None = None) -> None:
        """Keep labs below `state_home` (labkit's own if None) and find images by `layers` (those installed if None)."""
        self._layers = layers or _installed_layers
        self._labs = (state_home or paths.state_home()) / "labs"
        self._prepared: Launch | None = None

    def _directory(self, lab: str) -> Path:
        if not lab or "/" in lab or lab in (".", ".."):
            raise InvalidInput(f"{lab!r} is not a lab's name.", "`labkit list` shows the labs.")
        return self._labs / lab / _DIRECTORY

    @contextmanager
    def prepare(self, image: str) -> Iterator[None]:
        """Start the sandbox's first processes, which import what nodes of this image need."""
        try:
            layers = self._layers(image)
        except EnvironmentProblem:  # it is yet to be built
            layers = ()
        self._prepared = Launch(layers)
        try:
            yield
        finally:
            launch, self._prepared = self._prepared, None
            if launch:
                launch.close()

    def deploy(self, topology: Path, on_progress: OnProgress = ignore_progress) -> LabStatus:
        """Boot the topology file and return once every healthcheck has succeeded."""
        begin = time.monotonic()
        launch, self._prepared = self._prepared or Launch(), None
        with launch:
            found = clab.read(topology)
            lab = self._resolve(found)
            resolved = time.monotonic()
            message = launch.boot(lab, self._directory(lab.name), on_progress)
        timings = {"resolved": resolved} | message["timings"] | {"committed": time.monotonic()}
        since = {phase: moment - begin for phase, moment in timings.items()}
        return LabStatus(lab.name, self.name, "running", _nodes(message["nodes"]), since)

    def reshape(self, topology: Path, restart: Collection[str] = ()) -> LabStatus:
        """Make the running lab that of a topology file."""
        lab = self._resolve(clab.read(topology))
        request: ControlRequest = {"op": "reshape", "lab": lab.to_json(), "restart": [handle(node) for node in restart]}
        try:
            answer = client.request(self._directory(lab.name), request, _SWITCHED_WITHIN)
        except client.NotRunning:
            raise _not_running(lab.name) from None
        return LabStatus(lab.name, self.name, "running", _nodes(answer["nodes"]))

    def _resolve(self, found: clab.Topology) -> spec.SandboxLab:
        images = {reference: tuple(str(layer) for layer in self._layers(reference))
                  for reference in dict.fromkeys(node.image for node in found.nodes)}  # fmt: skip
        missing = [(node, bind) for node in found.nodes for bind in node.binds if not bind.source.exists()]
        if missing:
            raise InvalidInput(
                "\n".join(f"{found.file}:{node.line}: node {node.name}: bind source {bind.source} does not exist."
                          for node, bind in missing),
                "Create it, or take the bind out of the topology.",
            )  # fmt: skip
        return spec.SandboxLab(
            found.name,
            tuple(_node(found, node, images[node.image]) for node in found.nodes),
            tuple(
                spec.Link(
                    spec.End(link.a.node, link.a.interface, link.a.mac),
                    spec.End(link.b.node, link.b.interface, link.b.mac),
                    link.mtu,
                )
                for link in found.links
            ),
        )

    def destroy(self, lab: str) -> bool:
        """Take the lab away, whatever state it is in; False if there was none."""
        directory = self._directory(lab)
        # A link leads to what is not ours, or to another lab.
        if directory.is_symlink() or directory.parent.is_symlink() or not directory.exists():
            return False
        identity = state.read(directory) or state.listener(directory)
        try:
            if identity:
                state.kill(identity)
            if not state.wait_unlocked(directory):
                raise EnvironmentProblem(
                    f"Processes of lab {lab} still run, and its state does not name them: {directory}.",
                    f"If it is booting, wait. Otherwise end the processes that `fuser {directory}` shows.",
                )
            state.remove(directory)
        except PermissionError as error:
            raise EnvironmentProblem(
                f"Lab {lab} belongs to another user ({error.filename or error.strerror}).",
                "Run the command as the user who booted it.",
            ) from error
        except TimeoutError as error:
            raise EnvironmentProblem(f"Lab {lab}: {error}.", "Look at `dmesg`; a reboot takes it away.") from error
        except OSError as error:
            text = f"The state of lab {lab} can't be removed: {error.filename or directory}: {error.strerror}."
            raise EnvironmentProblem(text, "Remove what is in the way, then repeat the command.") from error
        return True

    def inspect(self, lab: str) -> LabStatus | None:
        """The lab's nodes and their states; None if there is no such lab."""
        directory = self._directory(lab)
        if not directory.exists():
            return None
        try:
            nodes = _nodes(client.request(directory, {"op": "status"})["nodes"])
        except client.NotRunning:
            return LabStatus(lab, self.name, "deploying" if state.locked(directory) else "dead", ())
        deploying = any(node.state == "starting" or node.health == "starting" for node in nodes)
        return LabStatus(lab, self.name, "deploying" if deploying else "running", nodes)

    def labs(self) -> tuple[str, ...]:
        """The names of the labs that have a sandbox, living or dead."""
        return tuple(sorted(path.parent.name for path in self._labs.glob(f"*/{_DIRECTORY}")))

    def exec(
        self,
        lab: str,
        node: str,
        argv: Sequence[str],
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout: float | None = None,
    ) -> Completed:
        """Run a command in a node and collect its output. Raises `CommandTimeout` after `timeout` seconds."""
        try:
            return client.run(self._directory(lab), node, _command(argv), input, timeout)
        except client.NotRunning:
            raise _not_running(lab) from None

    def attach(self, lab: str, node: str, argv: Sequence[str]) -> int:
        """Run a command in a node on this process's own standard streams; return its exit status."""
        try:
            return attach(self._directory(lab), node, _command(argv))
        except client.NotRunning:
            raise _not_running(lab) from None

    def stream(self, lab: str, node: str, argv: Sequence[str]) -> SandboxCommand:
        """Start a command in a node with pipes for its standard streams."""
        try:
            return SandboxCommand(self._directory(lab), node, _command(argv))
        except client.NotRunning:
            raise _not_running(lab) from None

    def connect(self, lab: str, node: str, path: str) -> socket.socket:
        """Connect to a Unix socket in a node. Raises `NotListening` if nothing listens there."""
        try:
            return client.connect_in(self._directory(lab), node, path)
        except client.NotRunning:
            raise _not_running(lab) from None

    def stop(self, lab: str, node: str) -> None:
        """Power the node off: its links go down first, then all its processes die at once."""
        with waiting(f"node {node} of lab {lab} to end", _SWITCHED_WITHIN):
            self._switch(lab, {"op": "stop", "node": node})

    def start(self, lab: str, node: str, within: float | None = None) -> None:
        """Power the node on again; returns when its exec lines have run and it is healthy."""
        with waiting(f"the services of node {node} to be ready", within or HEALTHY_WITHIN):
            self._switch(lab, {"op": "start", "node": node, "within": within})

    def _switch(self, lab: str, message: ControlRequest) -> None:
        try:
            client.switch(self._directory(lab), message, _SWITCHED_WITHIN)
        except client.NotRunning:
            raise _not_running(lab) from None

    def logs(self, lab: str, node: str, follow: bool = False) -> Iterator[str]:
        """The lines that the node's `cmd` wrote; with `follow`, waits for more as long as the lab lives."""
        directory = self._directory(lab)
        if not directory.exists():
            raise _not_running(lab)
        return read_lines(directory, node, follow=follow)


def _installed_layers(reference: str) -> Sequence[Path]:
    image = images.installed(reference)
    if image is None:
        raise EnvironmentProblem(
            f"Image {reference} is not on this machine.",
            "The sandbox has no image registry: it runs labkit's own image, which `labkit up` or `make image` builds. "
            f"This labkit's is {images.node_image().reference}.",
        )
    return image.layers


def _nodes(found: Sequence[NodeRow]) -> tuple[NodeStatus, ...]:
    return tuple(NodeStatus(**node) for node in found)


def _not_running(lab: str) -> InvalidInput:
    return InvalidInput(f"No lab named {lab} is running in the sandbox.", "`labkit list` shows the running labs.")


def _command(argv: Sequence[str]) -> Sequence[str]:
    if not argv or not argv[0]:
        raise InvalidInput("There is no command to run.", "Name one, such as `ip route`.")
    return argv


def _node(found: clab.Topology, node: clab.Node, layers: tuple[str, ...]) -> spec.Node:
    names = set(_DOCKER_CAPABILITIES) | set(node.cap_add)
    if node.privileged is None:
        names |= set(_NETWORK_CAPABILITIES)
    if "ALL" in names:
        names = names - {"ALL"} | set(linux.CAPABILITIES)
    unknown = sorted(names - set(linux.CAPABILITIES))
    if unknown:
        raise InvalidInput(
            f"{found.file}:{node.line}: node {node.name}: `{unknown[0]}` is not a capability.",
            "Write it as capabilities(7) does, without CAP_, such as NET_ADMIN.",
        )
    for name in node.sysctls:
        if not sysctls.namespaced(name):
            raise InvalidInput(
                f"{found.file}:{node.line}: node {node.name}: sysctl {name} belongs to the whole machine.",
                "Take it out of the topology; if the lab needs it, set it on the machine.",
            )
    check = node.healthcheck
    return spec.Node(
        name=node.name,
        title=node.title,
        image=node.image,
        layers=layers,
        argv=node.argv,
        env=dict(node.env),
        binds=tuple(spec.Bind(str(bind.source), bind.target, bind.read_only) for bind in node.binds),
        sysctls=dict(node.sysctls),
        capabilities=tuple(sorted(linux.CAPABILITIES.index(name) for name in names)),
        writable_sysctls=node.privileged is None,
        exec=node.exec,
        health=spec.Health(check.test, check.start_period, check.interval, check.timeout, check.retries)
        if check
        else None,
    )
