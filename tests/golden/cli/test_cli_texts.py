"""The texts of the command line that a newcomer meets: the help, and what wrong input leads to.

`*.txt` hold command lines, each with its output and exit status. After a change of wording run with
LABKIT_UPDATE_GOLDEN=1 and read the difference before committing it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.resources import topologies
from tests.golden.texts import compare

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent.parent
COMMANDS = {
    "help": [["--help"], ["up", "--help"], ["exec", "--help"], ["whatif", "--help"], ["apply", "--help"]],
    "errors": [
        ["statsu"],
        ["up"],
        ["up", "nowhere"],
        ["up", "overview", "--runtime", "cloud"],
        ["up", "overview", "--bogus"],
        ["exec", "vm1"],
        ["status"],
        ["status", "--lab", "nowhere"],
        ["status", "--format", "xml"],
        ["list"],
        ["verify"],
        ["down"],
        ["down", "nowhere"],
        ["down", "no/where"],
        ["down", "overview", "--all"],
        ["render", "overview"],
        ["route-table", "change"],
        ["whatif"],
        ["whatif", "status"],
        ["whatif", "route-server", "show"],
        ["whatif", "nva", "prepend", "csr1", "0"],
        ["apply"],
        ["apply", "changes.json"],
    ],
}


def transcript(commands: list[list[str]], folder: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",  # nobody's labs are there
        "PYTHONPATH": os.pathsep.join((str(REPOSITORY), *filter(None, sys.path))),
        "HOME": str(folder),
        "COLUMNS": "100",
        "TERMINAL_WIDTH": "100",
    }
    parts = []
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli.main", *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        parts.append(f"$ labkit {' '.join(command)}\n{done.stdout}{done.stderr}[exit status {done.returncode}]\n")
    text = re.sub(r" +$", "", "\n".join(parts), flags=re.MULTILINE)
    # Which labs come with labkit is not what is tested here.
    labs = ", ".join(sorted(path.parent.name for path in topologies().glob("*/lab.yml")))
    return re.sub(rf"(bundled lab: |comes with: ){re.escape(labs)}", r"\1LABS", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_text(name: str, tmp_path: Path) -> None:
    golden = HERE / f"{name}.txt"
    actual = transcript(COMMANDS[name], tmp_path)
    compare(actual, golden)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []  # nothing was created
