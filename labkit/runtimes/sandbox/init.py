"""PID 1 of a sandbox: prepares what any lab needs, boots the one that it is given, and serves its control socket.

Until the one who asked for the lab has acknowledged it, the end of that connection ends the init, and with it
everything: a lab is up or it is not there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from pathlib import Path
from typing import NoReturn

from labkit import linux
from labkit.runtimes.sandbox import state, wire
from labkit.runtimes.sandbox.control import ControlSocket
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.messages import BootCommit, BootEvent, BootOrder, SandboxError
from labkit.runtimes.sandbox.sandbox import Sandbox
from labkit.runtimes.sandbox.spec import SandboxLab, from_json
from labkit.runtimes.sandbox.warm import Layers, WarmProcesses


def main(orders: socket.socket, connection: socket.socket, layers: Layers, *, own_user_namespace: bool) -> NoReturn:
    """Start what nodes of the image `layers` need, then boot the lab that comes from the launcher over `orders`.

    `connection` leads to whoever deploys it. Never returns.
    """
    warm = WarmProcesses()
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the machine shuts down
        linux.unshare(linux.CLONE_NEWNS)
        # Nothing mounted here may show outside; what the host unmounts must not stay busy because of us.
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        if layers:
            warm.start(layers)
        problem = None
    except OSError as error:
        problem = error
    try:
        order, descriptors = wire.Reader[BootOrder](orders).read()
    except wire.Closed:
        os._exit(0)  # there will be no lab
    _lock, log = descriptors  # the lab's directory stays locked as long as a process of the lab has this descriptor
    for stream in (1, 2):
        os.dup2(log, stream)
    init = Init(from_json(order["lab"]), Path(order["directory"]), connection, own_user_namespace=own_user_namespace)
    if problem:
        init.refuse(problem)
    init.run(warm)


class Init:
    """The sandbox's first process, once it knows the lab. `connection` leads to whoever deploys it."""

    def __init__(
        self, lab: SandboxLab, directory: Path, connection: socket.socket, *, own_user_namespace: bool
    ) -> None:
        self._lab = lab
        self._directory = directory
        self._connection = connection
        self._reader = wire.Reader[BootCommit](connection)
        self._own_user_namespace = own_user_namespace
        self._committed = False

    def run(self, warm: WarmProcesses) -> NoReturn:
        """Boot and serve. Never returns."""
        try:
            self._make_folders()
            listener = self._listen()
            loop = Loop()
            sandbox = Sandbox(loop, self._lab, self._directory, warm, own_user_namespace=self._own_user_namespace)
        except OSError as error:
            self.refuse(error)
        loop.on_readable(self._connection.fileno(), lambda: self._deployer(loop))
        ControlSocket(loop, sandbox, listener)
        boot = sandbox.boot(
            lambda kind, node: self._tell({"event": kind, "node": node}),
            lambda error: (
                self._fail(error)
                if error
                else self._tell({"event": "up", "timings": boot.timings, "nodes": sandbox.status()})
            ),
        )
        loop.run()
        raise AssertionError

    def refuse(self, error: OSError) -> NoReturn:
        """End, because this machine does not let the sandbox be made."""
        what = f"{error.filename or 'preparing the sandbox'}: {error.strerror}"
        # A full disk; or a chroot, or Ubuntu's AppArmor: it grants user namespaces where nothing is allowed.
        reason = "directory" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "namespaces"
        self._end({"event": "refused", "reason": reason, "text": what, "claimed": True})

    def _make_folders(self) -> None:
        scratch = self._directory / state.SCRATCH
        scratch.mkdir()
        (self._directory / state.LOGS).mkdir()
        linux.mount("labkit", str(scratch), "tmpfs", linux.MS_NODEV, "mode=755,size=16m")

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.umask(0o177)
        # A socket's address has room for 107 bytes, a state directory may be longer.
        listener.bind(f"/proc/self/fd/{directory}/{state.SOCKET}")
        os.umask(0o077)
        os.close(directory)
        listener.listen(64)
        listener.setblocking(False)
        return listener

    def _tell(self, message: BootEvent) -> None:
        if self._committed:
            return
        try:
            wire.send(self._connection, message)
        except wire.Closed:
            self._vanish()

    def _deployer(self, loop: Loop) -> None:
        try:
            self._reader.fill()
            found = self._reader.take()
        except wire.Closed:
            self._vanish()
        if found and found[0].get("commit"):
            self._committed = True
            with contextlib.suppress(wire.Closed):
                wire.send(self._connection, {"event": "committed"})
            loop.forget(self._connection.fileno())
            self._connection.close()

    def _fail(self, error: SandboxError) -> NoReturn:
        self._end({"event": "error", "error": error})

    def _end(self, message: BootEvent) -> NoReturn:
        with contextlib.suppress(wire.Closed):
            wire.send(self._connection, message)
        self._vanish()

    def _vanish(self) -> NoReturn:
        """Leave nothing: the kernel ends everything that runs here when its PID 1 ends."""
        with contextlib.suppress(OSError):  # it may not be mounted yet
            linux.umount(str(self._directory / state.SCRATCH), linux.MNT_DETACH)
        try:
            state.remove(self._directory)
        finally:
            os._exit(1)
