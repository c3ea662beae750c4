"""The warm process of an image: it runs in that image and forks its nodes' Python services (`labkit.start.warm`).

It starts before anything of the lab is known, and imports meanwhile; `listen` gives it its socket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from labkit.runtimes.sandbox import process
from labkit.runtimes.sandbox.rootfs import read_only_image
from labkit.runtimes.sandbox.spec import Bind, Node

PROGRAM = "/opt/labkit/bin/warm"
"""An image that has this program has services that ask for it."""

Layers = tuple[str, ...]

_IN_NODES = "/run/labkit-warm.sock"
_CHANNEL = 3
_LOG = 2
_ROOM = " " * 200
"""For the command lines of the services."""


class WarmProcesses:
    """The warm processes of a sandbox, at most one for each image."""

    def __init__(self) -> None:
        self._channels: dict[Layers, socket.socket] = {}
        self._binds: dict[Layers, tuple[Bind, ...]] = {}

    def start(self, layers: Layers) -> None:
        """Start the warm process of an image that has one."""
        if layers in self._channels or not any(Path(layer + PROGRAM).is_file() for layer in layers):
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def child() -> NoReturn:
            read_only_image(layers)
            os.dup2(theirs.fileno(), _CHANNEL)
            environment = process.environment("warm", {})
            os.execve(PROGRAM, [PROGRAM, _ROOM], environment)  # noqa: S606 - no shell is wanted

        process.fork(lambda: None, child)
        theirs.close()
        self._channels[layers] = ours

    def listen(self, nodes: Sequence[Node], scratch: Path) -> tuple[Node, ...]:
        """Have them serve a lab, whose files are in `scratch`; returns its nodes with a socket in those that ask."""
        for layers in dict.fromkeys(node.layers for node in nodes):
            self.start(layers)
            self._binds[layers] = self._listen(layers, scratch / f".warm{len(self._binds)}")
        for channel in self._channels.values():
            channel.close()
        return tuple(map(self.served, nodes))

    def served(self, node: Node) -> Node:
        """A node with a socket in it if its image was served when the lab began, and asks for it."""
        return replace(node, binds=(*node.binds, *self._binds.get(node.layers, ())))

    def _listen(self, layers: Layers, place: Path) -> tuple[Bind, ...]:
        channel = self._channels.get(layers)
        if channel is None:
            return ()
        place.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            where = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            # A socket's address has room for 107 bytes, a state directory may be longer.
            listener.bind(f"/proc/self/fd/{where}/socket")
            os.close(where)
            listener.listen(64)
            try:
                socket.send_fds(channel, [b"lab"], [listener.fileno(), _LOG])
            except ConnectionError:  # it has ended; services start by themselves then
                return ()
        return (Bind(str(place / "socket"), _IN_NODES, read_only=False),)
