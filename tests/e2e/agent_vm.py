"""A VM for the agent's tests: a network namespace of the test's own with an eth0, a real agent, and a feed to it.

Works as root and, through a user namespace, as an ordinary user. Nothing outside the namespace is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, unix_serve

from tests.e2e import waiting

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
PROTOCOL = "65"

Group = tuple[str, ...]
"""A next hop type and its next hops."""


def via(*next_hops: str) -> Group:
    return ("VirtualNetworkGateway", *next_hops)


INTERNET: Group = ("Internet",)
NOWHERE: Group = ("None",)
LOCAL: Group = ("VnetLocal",)
PEERED: Group = ("VNetPeering",)


def wire(groups: Mapping[int, Group], routes: Mapping[str, int]) -> dict[str, Any]:
    return {
        "groups": {str(n): {"type": kind, "next_hops": hops} for n, (kind, *hops) in groups.items()},
        "routes": dict(routes),
    }


def delta(
    groups: Mapping[int, Group] | None = None,
    routes: Mapping[str, int] | None = None,
    removed_routes: Iterable[str] = (),
    removed_groups: Iterable[int] = (),
) -> dict[str, Any]:
    changed = wire(groups or {}, routes or {})
    return {**changed, "removed_routes": list(removed_routes), "removed_groups": list(removed_groups)}


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline; its last value is shown if it never holds."""
    waiting.eventually(condition, bool, DEADLINE, what)


class FakeController:
    """A controller's end of one agent's feed: what is sent, and what the agent answers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: queue.Queue[ServerConnection] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._connection: ServerConnection | None = None
        self._server: Server | None = None
        self.seq = 0

    def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = unix_serve(self._serve, str(self._path), compression=None, max_size=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Die as a killed controller does: the feed breaks."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.socket.shutdown(socket.SHUT_RDWR)
            self._connection = None

    def _serve(self, connection: ServerConnection) -> None:
        hello = json.loads(connection.recv())
        assert hello == {"type": "hello", "role": "agent", "node": "vm1"}
        self._connections.put(connection)
        try:
            for text in connection:
                self._answers.put(json.loads(text))
        except ConnectionClosed:
            pass

    def accept(self) -> None:
        """Wait for the agent to connect (again)."""
        self._connection = self._connections.get(timeout=DEADLINE)
        self.seq = 0

    def send(self, message: Mapping[str, Any]) -> None:
        assert self._connection is not None
        self.seq += 1
        self._connection.send(json.dumps({"seq": self.seq, **message}))

    def answer(self) -> str | None:
        """The error in the next acknowledgement of the last message."""
        answer = self._answers.get(timeout=DEADLINE)
        assert answer.keys() == {"type", "seq", "error"}
        assert (answer["type"], answer["seq"]) == ("applied", self.seq)
        error: str | None = answer["error"]
        return error

    def tell(self, message: Mapping[str, Any]) -> str | None:
        self.send(message)
        return self.answer()

    def snapshot(self, groups: Mapping[int, Group], routes: Mapping[str, int]) -> str | None:
        return self.tell({"type": "snapshot", "tables": {"eth0": wire(groups, routes)}})

    def delta(
        self,
        groups: Mapping[int, Group] | None = None,
        routes: Mapping[str, int] | None = None,
        removed_routes: Iterable[str] = (),
        removed_groups: Iterable[int] = (),
    ) -> str | None:
        return self.tell({"type": "delta", "tables": {"eth0": delta(groups, routes, removed_routes, removed_groups)}})


class Monitor:
    """`ip monitor` in a VM: what became known of its routes and nexthops."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self._process = vm.popen("ip", "-o", "monitor", "route", "nexthop", stdout=subprocess.PIPE)
        self._lines: queue.Queue[str] = queue.Queue()
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()
        self._marks = 0
        self.lines()

    def lines(self) -> list[str]:
        """What was reported of IPv4 since the last call. A route of our own marks the end."""
        self._marks += 1
        mark = f"Deleted 192.0.2.{self._marks} "
        lines: list[str] = []
        while True:
            # The monitor may not listen yet when the first mark is made, so it is made again.
            self._vm.ip("route", "replace", f"192.0.2.{self._marks}/32", "dev", "lo", "proto", "static")
            self._vm.ip("route", "del", f"192.0.2.{self._marks}/32")
            while line := self._read():
                if mark in line:
                    return lines
                if "192.0.2." not in line and "::" not in line:
                    lines.append(line.strip())

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def _read(self) -> str | None:
        try:
            return self._lines.get(timeout=0.5)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._collector.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Vm:
    """A network namespace with lo, eth0 (10.1.10.4/24) and, beyond its veth, `fabric`."""

    def __init__(self, folder: Path) -> None:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        hold = ["unshare", *user, "--net", "--", "sh", "-c", "echo ready; exec cat"]
        self._holder = subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        enter = ["--user", "--preserve-credentials"] if user else []
        self._enter = ["nsenter", "--target", str(self._holder.pid), *enter, "--net", "--"]
        self.folder = folder
        self.ready = folder / "ready" / "agent"
        self.log = folder / "agent.log"
        self.agent: subprocess.Popen[str] | None = None
        self.interfaces = "eth0"
        self.controller = FakeController(folder / "feed.sock")
        self.ip("link", "set", "lo", "up")

    def plug(self) -> None:
        """Give the VM its NIC."""
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", "fabric")
        self.ip("address", "add", "10.1.10.4/24", "dev", "eth0")
        self.ip("link", "set", "fabric", "up")
        self.ip("link", "set", "eth0", "up")

    def run(self, *command: str, stdin: str | None = None) -> str:
        done = subprocess.run([*self._enter, *command], capture_output=True, text=True, check=False, input=stdin)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def plug_another(self) -> None:
        """Give the VM a second NIC, eth1 (10.1.20.4/24). Packets with a NIC's address follow its routing table."""
        self.interfaces = "eth0 eth1"
        self.ip("link", "add", "eth1", "type", "veth", "peer", "name", "fabric1")
        self.ip("address", "add", "10.1.20.4/24", "dev", "eth1")
        self.ip("link", "set", "fabric1", "up")
        self.ip("link", "set", "eth1", "up")
        self.ip("rule", "add", "from", "10.1.10.4", "lookup", "100")
        self.ip("rule", "add", "from", "10.1.20.4", "lookup", "101")

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._enter, *command], text=True, **options)

    def ip(self, *arguments: str) -> str:
        return self.run("ip", *arguments)

    def routes(self, *selector: str) -> dict[str, str]:
        """The routes as `ip route` shows them: prefix to everything after it, nexthop numbers left out."""
        rows: list[dict[str, Any]] = json.loads(self.ip("-j", "route", "show", *selector) or "[]")
        found: dict[str, str] = {}
        for row in rows:
            hops = sorted(hop["gateway"] for hop in [row, *row.get("nexthops", [])] if "gateway" in hop)
            where = "via " + ", ".join(hops) if hops else row.get("type", "on-link")
            found.setdefault(row["dst"], where)
        return found

    def own(self) -> dict[str, str]:
        """The agent's routes."""
        return self.routes("proto", PROTOCOL)

    def nexthops(self) -> list[dict[str, Any]]:
        """The agent's nexthop objects."""
        rows: list[dict[str, Any]] = json.loads(self.ip("-j", "nexthop", "show") or "[]")
        return [row for row in rows if row.get("protocol") == PROTOCOL]

    def start_agent(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "LABKIT_NODE": "vm1",
            "LABKIT_INTERFACE": self.interfaces,
            "LABKIT_NIC_TABLES": str(int(self.interfaces != "eth0")),
            "LABKIT_FEED": str(self.folder / "feed.sock"),
            "LABKIT_READY": str(self.ready.parent),
        }
        with self.log.open("a") as log:
            self.agent = self.popen(sys.executable, "-m", "labkit.agent", env=environment, stdout=log, stderr=log)
        self.controller.accept()

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()
        self.agent = None

    def close(self) -> None:
        if self.agent is not None:
            self.kill_agent()
        self.controller.stop()
        self._holder.kill()
        self._holder.communicate()
