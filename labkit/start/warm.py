"""One warm process for all nodes of a sandbox: it has imported what their Python services need, and forks them.

Importing is most of what such a service costs when it starts. A service's `run` becomes `warm_client`, which asks over
a socket in its node; here a fork goes into the namespaces of whoever asks and takes over its descriptors, environment,
working directory and capabilities: it never gets more than the client has. The client forwards signals and ends as the
service does; when the client is killed, so is the service. Containers have no such socket: they start an interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from labkit import linux

PRELOADED = (
    "labkit.routeserver.exabgp",
    "labkit.controller",
    "labkit.fabric",
    "labkit.agent",
    "labkit.firewall",
    "labkit.gateway",
    "labkit.tracker",
)
"""The services, those first for which a lab waits longest: imported in this order, and served as soon as they are."""

CHANNEL = 3
"""The descriptor over which the listening socket and a log come, once there is a lab."""

_LONGEST = 1 << 18
_MOST_DESCRIPTORS = 8
_OUT_OF_THE_WAY = 64
_STATUS = struct.Struct("=i")
_CREDENTIALS = struct.Struct("=3i")
_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC

Start = Callable[[], object]
"""What a fork goes on with."""


@dataclass
class _Client:
    """A connection, what it asks for, and the service once it runs."""

    connection: socket.socket
    caller: int = -1
    capabilities: frozenset[int] = frozenset()
    open_files: tuple[int, int] = (0, 0)
    descriptors: dict[int, int] = field(default_factory=dict)
    directory: str = "/"
    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    pidfd: int = -1

    def let_go(self) -> None:
        """Close what is for the fork alone: many services would use up the descriptors; may be repeated."""
        for descriptor in (self.caller, *self.descriptors.values()):
            if descriptor >= 0:
                os.close(descriptor)
        self.caller = -1
        self.descriptors = {}

    def close(self) -> None:
        """Close everything; may be repeated."""
        self.connection.close()
        self.let_go()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1


def main() -> None:
    """Serve for ever; in a fork, be the service."""
    start = Server(socket.socket(fileno=CHANNEL)).run()
    start()


class Server:
    """Forks services for those who ask at the listening socket, which comes over `channel`."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._by_descriptor: dict[int, _Client] = {}
        self._waiting: list[_Client] = []
        self._loaded: set[str] = set()

    def run(self) -> Start:
        """Import, and serve. Returns in forks alone."""
        for name in PRELOADED:
            _main_of(name)
            self._loaded.add(name)
            gc.freeze()  # what never changes stays shared
            start = self._turn(0)
            if start:
                return start
        while True:
            start = self._turn(None)
            if start:
                return start

    def _turn(self, timeout: int | None) -> Start | None:
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._channel.fileno():
                self._listen()
            elif descriptor == self._listener.fileno():
                connection, _ = self._listener.accept()
                self._watch(connection.fileno(), _Client(connection))
            elif client := self._by_descriptor.get(descriptor):
                if descriptor == client.pidfd:
                    self._ended(client)
                else:
                    self._readable(client)
        everything = len(self._loaded) == len(PRELOADED)
        for client in [c for c in self._waiting if everything or c.words[0] in self._loaded]:
            self._waiting.remove(client)
            start = self._fork(client)
            if start:
                return start
        return None

    def _listen(self) -> None:
        _, descriptors, _, _ = socket.recv_fds(self._channel, 64, 2)
        if not descriptors:
            sys.exit()  # no node of the lab has this image
        listener, log = descriptors
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        self._poll.unregister(self._channel)
        self._channel.close()
        self._listener.close()
        self._listener = socket.socket(fileno=listener)
        self._poll.register(self._listener, select.POLLIN)

    def _watch(self, descriptor: int, client: _Client) -> None:
        self._by_descriptor[descriptor] = client
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, client: _Client) -> None:
        for descriptor in (client.connection.fileno(), client.pidfd):
            if self._by_descriptor.pop(descriptor, None):
                self._poll.unregister(descriptor)
        if client in self._waiting:
            self._waiting.remove(client)
        client.close()

    def _readable(self, client: _Client) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client.connection, _LONGEST, _MOST_DESCRIPTORS)
        except ConnectionResetError:
            data, descriptors = b"", []
        if client.pid:
            with contextlib.suppress(OSError):  # not the number of a signal
                signal.pidfd_send_signal(client.pidfd, data[0] if data else signal.SIGKILL)
            if not data:
                self._by_descriptor.pop(client.connection.fileno())
                self._poll.unregister(client.connection)
        elif not data or client.words:  # it has ended, or a signal is to end the service before it runs
            self._forget(client)
        elif _read_request(client, data, descriptors):
            self._waiting.append(client)
        else:
            sys.stderr.write("warm: a request is not valid\n")
            self._forget(client)

    def _ended(self, client: _Client) -> None:
        _, status = os.waitpid(client.pid, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was killed, the service with it
            client.connection.send(_STATUS.pack(status))
        self._forget(client)

    def _fork(self, client: _Client) -> Start | None:
        """Fork the service; returns in the fork what it goes on with, else None."""
        try:
            caller, _, _ = _CREDENTIALS.unpack(
                client.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            client.caller = os.pidfd_open(caller)
            client.capabilities = linux.permitted_capabilities(caller)
            client.open_files = resource.prlimit(caller, resource.RLIMIT_NOFILE)
            pid = _fork_into(client.caller)
        except OSError as error:  # whoever asks has ended, or the kernel is at a limit: supervision tries again
            sys.stderr.write(f"warm: {client.words[0]} is not started: {error}\n")
            self._forget(client)
            return None
        if pid == 0:
            return self._become(client)
        client.pid, client.pidfd = pid, os.pidfd_open(pid)
        client.let_go()
        self._watch(client.pidfd, client)
        return None

    def _become(self, client: _Client) -> Start:
        """In a fork: turn into the service."""
        linux.setns(client.caller, _NAMESPACES)
        os.setsid()
        os.umask(0o022)
        os.chdir(client.directory)
        # Out of the way first: any number below may be a descriptor of the server's own.
        mine = {target: fcntl.fcntl(own, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for target, own in client.descriptors.items()}
        self._listener.close()
        self._channel.close()
        for each in self._by_descriptor.values():
            each.close()
        for target, source in mine.items():
            os.dup2(source, target)
            os.close(source)
        resource.setrlimit(resource.RLIMIT_NOFILE, client.open_files)
        linux.drop_capabilities(client.capabilities)
        linux.die_with_parent()
        os.environ.clear()
        os.environ.update(client.environment)
        sys.argv = list(client.words)
        linux.set_command_line(["python3", "-m", *client.words])
        return _main_of(client.words[0])


def _fork_into(caller: int) -> int:
    """Fork a child into the PID namespace of the process whose pidfd is given."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(caller, linux.CLONE_NEWPID)
        try:
            pid = os.fork()
        except OSError:
            linux.setns(home, linux.CLONE_NEWPID)
            raise
        if pid:
            linux.setns(home, linux.CLONE_NEWPID)
        return pid
    finally:
        os.close(home)


def _main_of(name: str) -> Start:
    """The `main` that `python3 -m NAME` would call."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    main: Start = module.main
    return main


def _read_request(client: _Client, data: bytes, descriptors: list[int]) -> bool:
    """Take a request; whether it is one. A node may send anything, and the others' services must not end by it."""
    head, _, environment = data.partition(b"\0\0")
    client.descriptors = {-1 - index: descriptor for index, descriptor in enumerate(descriptors)}  # to be closed
    try:
        numbers, directory, *words = head.decode().split("\0")
        targets = dict(zip(map(int, numbers.split()), descriptors, strict=True))
    except ValueError:
        return False
    if len(targets) < len(descriptors):
        return False
    client.descriptors, client.directory, client.words = targets, directory, words
    pairs = (pair.partition("=") for pair in os.fsdecode(environment).split("\0"))
    client.environment = {name: value for name, _, value in pairs if name}
    return bool(words)
