"""The init's control socket: one connection, one request. Whoever may open the socket owns the lab.

Requests are JSON objects with `op`:

- `status` → `{"nodes": [...]}`
- `stop` (`node`), `start` (`node`, `within` in seconds or null) → `{}` when done
- `reshape` (`lab` as `spec.SandboxLab.to_json` gives it, `restart`: handles of nodes) → `{"nodes": [...]}` when done
- `exec` (`node`, `argv`, `env`, `timeout` in seconds or null, `terminal`), with three descriptors beside it unless
  `terminal` → `{"started": true}` (with a pseudo-terminal's master beside it if `terminal`), then `{"exit": status,
  "timeout": bool}`. Meanwhile `{"signal": N}` may be sent; closing the connection kills the command.

- `connect` (`node`, `path`) → `{"connected": true}` and, as a descriptor, a connection to the Unix socket at `path` in
  the node; or `{"refused": reason}`

Any answer may be `{"error": {"kind", "message", "remedy"}}` instead.
"""

from __future__ import annotations

import json
import os
import signal
import socket

from labkit import names
from labkit.runtimes.sandbox import process, wire
from labkit.runtimes.sandbox.loop import Loop, Timer
from labkit.runtimes.sandbox.messages import ControlAnswer, ControlRequest, SandboxError
from labkit.runtimes.sandbox.node import RunningNode, refused_by_system
from labkit.runtimes.sandbox.sandbox import Sandbox
from labkit.runtimes.sandbox.spec import from_json

_LONGEST_ANSWER = 10.0
_PAUSE = 0.1
"""Seconds without new requests when there are no descriptors for them."""


class ControlSocket:
    """Accepts connections on a listening socket."""

    def __init__(self, loop: Loop, sandbox: Sandbox, listener: socket.socket) -> None:
        self._loop = loop
        self._sandbox = sandbox
        self._listener = listener
        self._listen()

    def _listen(self) -> None:
        self._loop.on_readable(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # a limit on open files is reached; the request waits in the socket
            self._loop.forget(self._listener.fileno())
            self._loop.after(_PAUSE, self._listen)
            return
        connection.settimeout(_LONGEST_ANSWER)  # nobody may block the init by not reading
        _Request(self._loop, self._sandbox, connection)


class _Request:
    def __init__(self, loop: Loop, sandbox: Sandbox, connection: socket.socket) -> None:
        self._loop = loop
        self._sandbox = sandbox
        self._connection = connection
        self._reader = wire.Reader[ControlRequest](connection)
        self._pid = 0
        self._begun = False
        self._timer: Timer | None = None
        self._timed_out = False
        loop.on_readable(connection.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            self._reader.fill()
            while self._connection.fileno() >= 0 and (found := self._reader.take()):
                self._handle(*found)
        except (wire.Closed, json.JSONDecodeError, KeyError, TypeError, TimeoutError):
            self._close()

    def _close(self) -> None:
        if self._pid:
            process.kill_session(self._pid)
        if self._connection.fileno() >= 0:
            self._loop.forget(self._connection.fileno())
            self._reader.close()
            self._connection.close()

    def _answer(self, message: ControlAnswer, descriptors: tuple[int, ...] = ()) -> None:
        try:
            wire.send(self._connection, message, descriptors)
        except (wire.Closed, OSError):
            self._close()

    def _finish(self, error: SandboxError | None, answer: ControlAnswer | None = None) -> None:
        self._answer({"error": error} if error else answer or {})
        self._close()

    def _handle(self, message: ControlRequest, descriptors: list[int]) -> None:
        try:
            if self._begun:
                if self._pid:
                    process.kill_session(self._pid, signal.Signals(message["signal"]))
                return
            self._begun = True
            if message["op"] == "status":
                self._finish(None, {"nodes": self._sandbox.status()})
                return
            if message["op"] == "reshape":
                self._sandbox.reshape(
                    from_json(message["lab"]),
                    frozenset(message["restart"]),
                    lambda error: self._finish(error, {"nodes": self._sandbox.status()}),
                )
                return
            handle = names.node(message["node"], self._sandbox.nodes)
            node = self._sandbox.nodes[handle] if handle is not None else None
            if not node:
                known = ", ".join(sorted(each.spec.title for each in self._sandbox.nodes.values()))
                text = f"lab {self._sandbox.lab.name} has no node {message['node']!r}."
                self._finish({"kind": "input", "message": text, "remedy": f"Its nodes are: {known}."})
            elif message["op"] == "stop":
                self._sandbox.stop(node.spec.name, self._finish)
            elif message["op"] == "start":
                self._sandbox.start(node.spec.name, message.get("within"), self._finish)
            elif message["op"] == "exec":
                self._exec(node, message, descriptors)
            elif message["op"] == "connect":
                self._connect(node, message["path"])
        except OSError as error:
            self._finish(refused_by_system(str(message["op"]), error))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _exec(self, node: RunningNode, message: ControlRequest, descriptors: list[int]) -> None:
        master = slave = -1
        try:
            if message["terminal"]:
                master, slave = process.open_terminal(node.pid)
                streams = (slave, slave, slave)
            else:
                first, second, third = descriptors
                streams = (first, second, third)
            self._pid = node.spawn(message["argv"], streams, message["env"], terminal=message["terminal"])
            self._loop.on_exit(self._pid, lambda status: self._ended(node, status))
            self._answer({"started": True}, (master,) if message["terminal"] else ())
        except ProcessLookupError:
            self._finish(_is_off(node))
            return
        finally:
            for descriptor in (master, slave):
                if descriptor >= 0:
                    os.close(descriptor)
        if self._pid and message["timeout"] is not None:
            self._timer = self._loop.after(message["timeout"], self._expired)

    def _connect(self, node: RunningNode, path: str) -> None:
        try:
            self._pid = node.connect(path, self._report)
        except ProcessLookupError:
            self._finish(_is_off(node))
        else:
            self._loop.on_exit(self._pid, self._connected)

    def _report(self, outcome: socket.socket | OSError) -> None:
        """Answer from the process that has connected, or could not."""
        if isinstance(outcome, OSError):
            wire.send(self._connection, {"refused": outcome.strerror or str(outcome)})
        else:
            wire.send(self._connection, {"connected": True}, (outcome.fileno(),))

    def _connected(self, _status: int) -> None:
        self._pid = 0
        self._close()

    def _expired(self) -> None:
        self._timed_out = True
        if self._pid:
            process.kill_session(self._pid)

    def _ended(self, node: RunningNode, status: int) -> None:
        node.drain_log()  # what the command wrote there
        self._pid = 0
        if self._timer:
            self._timer.cancel()
        if self._connection.fileno() >= 0:
            self._finish(None, {"exit": status, "timeout": self._timed_out})


def _is_off(node: RunningNode) -> SandboxError:
    text = f"node {node.spec.title} is {node.state}, so nothing can run in it."
    return {"kind": "input", "message": text, "remedy": "Start the node first."}
