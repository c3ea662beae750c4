"""Run `ip`, `bridge` and `nft`. They start in 2-3 ms each; importing a netlink library takes 80-120 ms and 30 MB."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

_COMPLAINT_LINES = 6
_PATIENCE = 60.0
"""Seconds that a command may take; the largest transaction of nftables takes a few."""


class KernelRefused(Exception):
    """The kernel, or the tool that talks to it, refused. The message is the tool's own."""


def run(argv: list[str], script: Iterable[str] = ()) -> str:
    """Run a command with `script` as its input and return its output.

    Raises:
        KernelRefused: the command failed, or took too long.
    """
    text = "".join(f"{line}\n" for line in script)
    try:
        done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise KernelRefused(f"{' '.join(argv)}: not done after {_PATIENCE:.0f} s") from error
    if done.returncode:
        # nft repeats a mistake for every element; the first is enough.
        complaint = "\n".join(done.stderr.strip().splitlines()[:_COMPLAINT_LINES])
        raise KernelRefused(f"{' '.join(argv)}: {complaint or f'ended with status {done.returncode}'}")
    return done.stdout


def batch(tool: str, commands: Iterable[str]) -> None:
    """Have `ip` or `bridge` execute commands, all of them even if some fail; nothing is started for none.

    Raises:
        KernelRefused: some failed.
    """
    lines = list(commands)
    if lines:
        run([tool, "-force", "-batch", "-"], lines)


def query(*argv: str) -> Any:
    """The JSON output of a listing, such as `query("bridge", "-j", "fdb", "show")`; None if it is empty.

    Raises:
        KernelRefused: the command failed.
    """
    return json.loads(run(list(argv)) or "null")
