"""Reading what a container's first process wrote."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from docker.errors import NotFound

from labkit.runtimes.containerlab.docker_engine import engine, translated

_PAUSE = 0.1
_TAIL_LINES = 20


def read_lines(container: str, *, follow: bool) -> Iterator[str]:
    """The log's lines without their ends. `follow` waits for more until the container is gone, over its stops too."""
    since = 0.0
    while True:
        try:
            with translated():
                yield from _lines(engine().logs(container, stream=True, follow=follow, since=since or None))
                if not follow:
                    return
                since = time.time()
                while not engine().inspect_container(container)["State"]["Running"]:
                    time.sleep(_PAUSE)  # the engine ends a log with its container, and has no wait for a start
        except NotFound:
            return


def tail(container: str) -> str:
    """The end of a container's log, introduced; empty if it is."""
    try:
        with translated():
            text = engine().logs(container, tail=_TAIL_LINES).decode(errors="replace")
    except NotFound:
        return ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\nIts log ends:\n" + "\n".join(lines) if lines else ""


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """A container of containerlab's has a terminal, so lines end as on one."""
    partial = b""
    for piece in pieces:
        *whole, partial = (partial + piece).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")
    if partial:
        yield partial.rstrip(b"\r").decode(errors="replace")
