"""The `containerlab` program: finding it, its version, running it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from labkit import linux
from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab.docker_engine import SET_UP

OLDEST = (0, 79)
"""What labkit is tested with, and the first with everything that it uses."""
_STOP_SECONDS = 30.0
_LOOK = 0.05
_SPENT_PAIRS = 50
"""Two indices each: more devices than a node makes by itself while it boots."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Finished:
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
            f"containerlab ({path}) makes network interfaces, which needs root's rights; you are not root.",
            f"Run labkit by sudo, or give containerlab the rights as its own package does: sudo chmod u+s {path}",
        )
    return path


def version(path: str) -> str:
    """The version of a containerlab program. Raises EnvironmentProblem if it shows none."""
    try:
        done = subprocess.run(
            [path, "version", "--json"], capture_output=True, text=True, check=True, timeout=30, env=_environment()
        )
        return str(json.loads(done.stdout)["version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise EnvironmentProblem(f"{path} does not show its version: {error}", SET_UP) from error


def run(
    arguments: Sequence[str], seconds: float, meanwhile: Callable[[], None] = lambda: None, *, apart: bool
) -> Finished:
    """Run containerlab to its end, `meanwhile` being called all the time.

    It runs in a session of its own, so that Ctrl-C reaches labkit alone; if anything goes wrong here it is asked to
    clean up, and ended if it does not within half a minute.

    `apart`: the topology's links are all between its own nodes. Then root runs it in a network namespace of its own,
    where it makes the links before it moves them into containers: no interface is ever made on the host, and none can
    stay behind, however containerlab ends.

    Raises:
        EnvironmentProblem: it can't be run, or did not end within so many seconds.
    """
    command = [program(), *arguments, "--log-level", "error"]
    if os.geteuid() == 0:
        # It dies with labkit, however that dies, and cleans up on SIGTERM.
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    pipe = subprocess.PIPE
    waited = 0.0
    process = None
    try:
        with _own_network() if apart and os.geteuid() == 0 else contextlib.nullcontext():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace",
                env=_environment(), start_new_session=True,
            )  # fmt: skip
        while True:
            try:
                output, errors = process.communicate(timeout=_LOOK)
                return Finished(process.returncode, output, _STYLE.sub("", errors).strip())
            except subprocess.TimeoutExpired:
                waited += _LOOK
                if waited > seconds:
                    raise EnvironmentProblem(
                        f"`containerlab {arguments[0]}` did not end within {seconds:g} s.",
                        "Look at the Docker engine's log, and at the machine's load.",
                    ) from None
                meanwhile()
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentProblem(f"containerlab can't be run: {error}", "Run: labkit doctor") from error
    finally:
        if process is not None and process.returncode is None:
            _end(process)


@contextlib.contextmanager
def _own_network() -> Iterator[None]:
    """Within this context, this thread and what it starts are in a new network namespace.

    containerlab goes on calling a link by its index after it has moved the link, which the kernel numbers again if the
    container has a device of that index already: containerlab would then rename that one. So links begin to count here
    where no container's own devices do.
    """
    with Path("/proc/thread-self/ns/net").open() as before:
        linux.unshare(linux.CLONE_NEWNET)
        try:
            subprocess.run(["ip", "-batch", "-"], input="link add type veth\n" * _SPENT_PAIRS, text=True, check=True)
            yield
        finally:
            linux.setns(before.fileno(), linux.CLONE_NEWNET)


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
