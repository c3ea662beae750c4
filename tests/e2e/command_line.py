"""labkit's command line as a user runs it: with a state folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.verbs import in_process

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WITHIN = 180.0
"""Seconds that a command may take."""

ANSWERS = frozenset({
    "advertised-routes", "changes", "diff", "down", "effective-routes", "learned-routes", "list", "logs", "next-hop",
    "nic", "route-server", "route-table", "start", "status", "stop", "trace", "validate", "verify", "whatif",
})  # fmt: skip
"""Verbs of which tests want the answer: they run in this process, because an interpreter takes longer to start."""


@dataclass
class Labkit:
    """labkit's command line with a state folder of its own."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        paths = os.pathsep.join((str(REPOSITORY), *filter(None, sys.path)))
        # As a user has it: what is not flushed is not seen.
        usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        return usual | {"PYTHONPATH": paths} | self._own | self.environment

    @property
    def _own(self) -> dict[str, str]:
        # Whose labs are on this machine's Docker engine is nobody's business here.
        return {"XDG_STATE_HOME": str(self.home), "DOCKER_HOST": f"unix://{self.home}/no.sock"}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "labkit.cli.main", *arguments]

    def __call__(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        if arguments[0] in ANSWERS and not given:
            return self._here(arguments)
        return self.apart(*arguments, given=given)

    def apart(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command line in a process of its own, whatever the verb."""
        return self.run(self.argv(*arguments), given=given)

    def _here(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self._own | self.environment).items():
                patch.setenv(name, value)
            status, output, messages = in_process(arguments)
        return subprocess.CompletedProcess(arguments, status, output, messages)

    def run(self, argv: list[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            env=self.variables,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # names and output may be in any encoding
            check=False,
            timeout=WITHIN,
            input=given,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def ok(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--format", "json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments), env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def left(self) -> list[str]:
        """What there is in the state folder beside empty folders of labkit's own."""
        return [path.name for folder in ("labs", "locks") for path in (self.home / "labkit" / folder).glob("*")]


def in_private_mounts(labkit: Labkit, mounts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """labkit in a mount namespace of its own, where `mounts` (shell) was run before; then what is left in its state."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    script = f'{mounts} || exit 99; "$@"; status=$?; find {labkit.home} -type f -o -type s; exit $status'
    labkit.home.mkdir(exist_ok=True)
    return labkit.run([*unshare, "sh", "-c", script, "sh", *labkit.argv(*arguments)])
