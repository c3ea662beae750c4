"""The `containerlab` program: finding it, its version, running it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.runtimes.docker_engine import SET_UP

OLDEST = (0, 79)
"""What labkit is tested with, and the first with everything that it uses."""
_STOP_SECONDS = 30.0
_LOOK = 0.05
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Said:
    """How a run of containerlab ended. `errors` are the lines that it logged as errors."""

    status: int
    output: str
    errors: str


@lru_cache(maxsize=1)
def program() -> str:
    """The path of a containerlab that is new enough and may do its work.

    Raises:
        EnvironmentProblem: there is none.
    """
    path = shutil.which("containerlab")
    if path is None:
        raise EnvironmentProblem("containerlab is not installed on this machine.", SET_UP)
    found = version(path)
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EnvironmentProblem(f"containerlab {found} ({path}) is too old: labkit needs {oldest} or newer.", SET_UP)
    if os.geteuid() != 0 and not Path(path).stat().st_mode & stat.S_ISUID:
        raise EnvironmentProblem(
            f"containerlab ({path}) makes network interfaces, which takes root's rights, and you are not root.",
            f"Run labkit by sudo, or give containerlab the rights as its own package does: sudo chmod u+s {path}",
        )
    return path


def version(path: str) -> str:
    """The version that a containerlab gives itself. Raises EnvironmentProblem if it can't say."""
    try:
        done = subprocess.run(
            [path, "version", "--json"], capture_output=True, text=True, check=True, timeout=30, env=_environment()
        )
        return str(json.loads(done.stdout)["version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise EnvironmentProblem(f"{path} can't tell its version: {error}", SET_UP) from error


def run(
    arguments: Sequence[str], seconds: float, meanwhile: Callable[[], None] = lambda: None, cwd: Path | None = None
) -> Said:
    """Run containerlab to its end, `meanwhile` being called all the time.

    It runs in a session of its own, so that Ctrl-C reaches labkit alone; if anything goes wrong here it is asked to
    clean up, and ended if it does not within half a minute.

    Raises:
        EnvironmentProblem: it can't be run, or did not end within so many seconds.
    """
    command = [program(), *arguments, "--log-level", "error"]
    # It dies with labkit, however that dies, and cleans up on SIGTERM.
    guarded = ["setpriv", "--pdeathsig", "TERM", "--", *command] if os.geteuid() == 0 else command
    pipe = subprocess.PIPE
    waited = 0.0
    with subprocess.Popen(
        guarded, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace",
        env=_environment(), start_new_session=True, cwd=cwd,
    ) as process:  # fmt: skip
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=_LOOK)
                    return Said(process.returncode, output, _STYLE.sub("", errors).strip())
                except subprocess.TimeoutExpired:
                    waited += _LOOK
                    if waited > seconds:
                        raise EnvironmentProblem(
                            f"`containerlab {arguments[0]}` did not end within {seconds:g} s.",
                            "Look at the Docker engine's log, and at the machine's load.",
                        ) from None
                    meanwhile()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _environment() -> dict[str, str]:
    """Ours, without the look for a newer version, which every deploy waits for."""
    return {**os.environ, "CLAB_VERSION_CHECK": "disable"}
