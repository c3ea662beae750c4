"""labkit's command line as a user runs it: with a state folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WITHIN = 60.0
"""Seconds that a command may take."""


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
        # Whose labs are on this machine's Docker engine is nobody's business here.
        own = {"PYTHONPATH": paths, "XDG_STATE_HOME": str(self.home), "DOCKER_HOST": f"unix://{self.home}/no.sock"}
        return usual | own | self.environment

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "labkit.cli.main", *arguments]

    def __call__(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(self.argv(*arguments), given=given)

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
