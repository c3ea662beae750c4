"""Where the processor time of a sandboxed lab went, and how many processes it took.

The kernel's own accounts: what every living process of the lab has used, and what its ended children had. An ended
process is known by its parent alone, so its time counts as that of the parent's `children`. Reading needs no privilege
and measures the lab alone, whatever else the machine does.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from labkit.runtimes.sandbox import state

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Account:
    """Seconds of processor time by program, and how many processes and threads were started."""

    started: int
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def total(self) -> float:
        """Seconds of all programs."""
        return sum(self.seconds.values())


def account(sandbox: Path) -> Account:
    """The account of a lab that runs in the sandbox, since its boot; `sandbox` is its state directory.

    Raises:
        LookupError: no lab runs there.
    """
    identity = state.read(sandbox)
    if identity is None:
        raise LookupError(f"no lab runs in {sandbox}")
    found = Account(_last_pid(identity.pid))
    for pid in descendants(identity.pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            program = "sandbox" if pid == identity.pid else _program(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        user, system, childrens_user, childrens_system = (int(value) / _TICKS for value in fields[11:15])
        found.seconds[program] += user + system
        found.seconds[f"{program}: children"] += childrens_user + childrens_system
    return found


def descendants(root: int) -> list[int]:
    """A process and all that have come from it, also from children in namespaces of their own."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(process.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _program(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _last_pid(init: int) -> int:
    """The last PID that was given in the PID namespace of a process, less the one that finds it out."""
    enter = ["nsenter", "--target", str(init), "--pid"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    done = subprocess.run([*enter, "sh", "-c", "echo $$"], check=True, capture_output=True, text=True)
    return int(done.stdout) - 1
