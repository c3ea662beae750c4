"""Reading what a node's command wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import InvalidInput
from labkit.runtimes.sandbox import state

_PAUSE = 0.05


def read_lines(directory: Path, node: str, *, follow: bool) -> Iterator[str]:
    """The log's lines without their ends. `follow` waits for more until the lab is gone."""
    logs = directory / state.LOGS
    path = logs / f"{node}.log"
    if not path.is_file() or path.parent != logs:
        nodes = ", ".join(sorted(each.stem for each in logs.glob("*.log")))
        raise InvalidInput(f"There is no log of a node {node!r}.", f"Nodes with logs: {nodes or 'none'}.")
    return _lines(directory, path, follow=follow)


def _lines(directory: Path, path: Path, *, follow: bool) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        partial = ""
        while True:
            living = follow and state.locked(directory)  # asked before reading, so that the last words are read
            for piece in file:
                partial += piece
                if partial.endswith("\n"):
                    yield partial[:-1]
                    partial = ""
            if not living:
                break
            time.sleep(_PAUSE)
        if partial:
            yield partial
