"""The warm process of a lab: it runs in the nodes' image and forks their Python services (`labkit.start.warm`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from labkit.runtimes.sandbox import process
from labkit.runtimes.sandbox.rootfs import build_image
from labkit.runtimes.sandbox.spec import Bind, Node

PROGRAM = "/opt/labkit/bin/warm"
"""An image that has this program has services that ask for it."""

_IN_NODES = "/run/labkit-warm.sock"
_LISTENER = 3
_ROOM = " " * 200
"""For the command lines of the services."""


def with_warm_process(nodes: Iterable[Node], scratch: Path, *, own_user_namespace: bool) -> tuple[Node, ...]:
    """Start a warm process for each image that has one; returns the nodes with its socket in them."""
    binds: dict[tuple[str, ...], tuple[Bind, ...]] = {}
    found = []
    for node in nodes:
        if node.layers not in binds:
            has_one = any(Path(layer + PROGRAM).is_file() for layer in node.layers)
            place = scratch / f".warm{len(binds)}"
            binds[node.layers] = (_start(node.layers, place, own_user_namespace),) if has_one else ()
        found.append(replace(node, binds=(*node.binds, *binds[node.layers])))
    return tuple(found)


def _start(layers: tuple[str, ...], place: Path, own_user_namespace: bool) -> Bind:
    place.mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    where = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # A socket's address has room for 107 bytes, a state directory may be longer.
    listener.bind(f"/proc/self/fd/{where}/socket")
    os.close(where)
    listener.listen(64)

    def child() -> NoReturn:
        build_image(layers, str(place), own_user_namespace=own_user_namespace)
        os.dup2(listener.fileno(), _LISTENER)
        environment = process.environment("warm", {})
        os.execve(PROGRAM, [PROGRAM, _ROOM], environment)  # noqa: S606 - no shell is wanted

    process.fork(lambda: None, child)
    listener.close()
    return Bind(str(place / "socket"), _IN_NODES, read_only=False)
