"""A runtime to try with small topologies: two nodes and a link."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.runtimes.containerlab.runtime import ContainerlabRuntime
from labkit.runtimes.protocol import Completed, LabStatus, Runtime
from labkit.runtimes.sandbox import state
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from tests.e2e.engines import host
from tests.e2e.waiting import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def apart() -> dict[str, str]:
    """The environment of a process that imports what this one imports."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in (str(REPOSITORY), *sys.path) if p)}


def refused(kind: type[LabkitError], action: Callable[[], object]) -> str:
    """The message of the error that `action` raises; it has a remedy."""
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.remedy
    return caught.value.message


class Bed(ABC):
    """A runtime, a folder for topologies, and the name of the lab in them."""

    def __init__(self, runtime: Runtime, folder: Path, name: str, image: str) -> None:
        self.runtime = runtime
        self.folder = folder
        self.name = name
        self.image = image
        self.token = str(uuid.uuid4().int)[:12]
        """An argument that the nodes' commands have, by which their processes are found."""

    make: str
    """Python's source of a line that makes the runtime and calls it `runtime`."""

    def write(
        self,
        name: str = "",
        *,
        extra: str = "",
        links: str = "",
        node_a: str = "",
        node_b: str = "",
        mgmt: str = "skip-when-unused: true",
    ) -> Path:
        """A topology of two nodes `a` and `b`, linked and addressed; the parts are YAML for their places in it."""
        file = self.folder / f"{name or self.name}.clab.yml"
        file.write_text(f"""
name: {name or self.name}
mgmt:
  {mgmt}
topology:
  defaults:
    kind: linux
    image: {self.image}
    network-mode: none
    privileged: false
    restart-policy: "no"
    cap-add: [NET_ADMIN]
    cmd: sleep {self.token}
    {extra}
  nodes:
    a:
      exec: [ip addr replace 10.0.0.1/24 dev eth0]
      {node_a}
    b:
      exec: [ip addr replace 10.0.0.2/24 dev eth1]
      {node_b}
  links:
    - endpoints: ["a:eth0", "b:eth1"]
    {links}
""")
        return file

    def deploy(self, name: str = "", **parts: str) -> LabStatus:
        return self.runtime.deploy(self.write(name, **parts))

    def run(self, node: str, *argv: str, text: str | None = None) -> Completed:
        """Run a command in a node of the lab, with `text` as its input."""
        return self.runtime.exec(self.name, node, argv, input=text)

    def states(self) -> dict[str, str]:
        """The state of every node of the lab."""
        found = self.runtime.inspect(self.name)
        assert found
        return {node.name: node.state for node in found.nodes}

    def pings(self, name: str = "") -> bool:
        """Whether the link carries packets."""
        return self.runtime.exec(name or self.name, "a", ["ping", "-c1", "-W2", "10.0.0.2"], timeout=60).rc == 0

    def processes(self) -> list[str]:
        """The commands of all processes on this machine that have to do with this bed."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().decode(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if self.token in words:
                found.append(words)
        return found

    def run_apart(self, topology: Path, progress: str = "lambda p: None") -> subprocess.Popen[str]:
        """Deploy in a process of its own, as the command line does; returns as it begins.

        Python may lose an interrupt that comes while it imports; the command line has its own handler before that.
        """
        code = f"import sys; from pathlib import Path\n{self.make}\nprint('begins', flush=True)\n"
        code += f"runtime.deploy(Path(sys.argv[1]), {progress})\nprint('deployed', flush=True)\n"
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(topology)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=apart(),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        return process

    def attached(self, *argv: str) -> list[str]:
        """The command line of a process that is attached to a command in node `a`."""
        code = f"import sys; from pathlib import Path\n{self.make}\n"
        code += "sys.exit(runtime.attach(sys.argv[1], 'a', sys.argv[2:]))"
        return [sys.executable, "-c", code, self.name, *argv]

    def nothing_left(self) -> None:
        """Nothing of the bed's labs runs or is left anywhere."""
        eventually(self.processes, lambda found: not found)

    @abstractmethod
    def end(self) -> None:
        """Take every lab of this bed down; nothing of them is left."""


class SandboxBed(Bed):
    """A sandbox with a state folder of its own, so that its labs are all of the bed's."""

    def __init__(self, folder: Path, layers: list[Path], name: str = "two") -> None:
        self.layers = layers
        self.state = folder / "state"
        super().__init__(SandboxRuntime(self.state, lambda _: layers), folder, name, "labkit/node:test")
        self.make = (
            "from labkit.runtimes.sandbox.runtime import SandboxRuntime\n"
            f"layers = [Path(p) for p in {list(map(str, layers))}]\n"
            f"runtime = SandboxRuntime(Path({str(self.state)!r}), lambda _: layers)"
        )

    def sandbox(self, name: str) -> Path:
        return self.state / "labs" / name / "sandbox"

    def init(self, name: str) -> state.Identity:
        found = state.read(self.sandbox(name))
        assert found
        return found

    def nothing_left(self) -> None:
        super().nothing_left()
        eventually(lambda: list(self.state.glob("labs/*")), lambda found: not found)

    def end(self) -> None:
        for lab in self.runtime.labs():
            self.runtime.destroy(lab)
        self.nothing_left()


class ContainerlabBed(Bed):
    """The machine's Docker engine, where the lab has a name that no other part of the tests uses."""

    make = "from labkit.runtimes.containerlab.runtime import ContainerlabRuntime\nruntime = ContainerlabRuntime()"

    def __init__(self, folder: Path, image: str, name: str = "labkit-two") -> None:
        self._before = host()
        super().__init__(ContainerlabRuntime(), folder, name, image)

    def nothing_left(self) -> None:
        super().nothing_left()
        eventually(host, lambda after: after == self._before)

    def end(self) -> None:
        self.runtime.destroy(self.name)
        self.nothing_left()
