"""A rack for the fabric: network namespaces of our own, nodes with real stacks, the real process on a real feed.

Nothing here needs the lab's runtime or its image. The host must have iproute2, nftables and util-linux (`setpriv`) and,
where the tests do not run as root, user namespaces. Nodes send and receive through Python's own sockets, so `ping` and
`traceroute` are not needed. Whatever happens, the kernel takes everything back with the process.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, unix_serve

from tests.e2e.packets import Namespace as AnyNamespace
from tests.e2e.packets import Node
from tests.e2e.waiting import eventually

BRIDGE_MAC = "12:34:56:78:9a:bc"
SEED = 4711
"""Where the hash of flows starts."""
DEADLINE = 60.0

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 5, 1 << 12, 1 << 14, 1 << 18
# What a container engine leaves a process, and NET_ADMIN.
_CAPABILITIES = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_bind_service",
    "net_raw",
    "sys_chroot",
    "mknod",
    "audit_write",
    "setfcap",
    "net_admin",
]
_FABRIC_SYSCTLS = {
    "conf/default/proxy_arp_pvlan": "1",
    "conf/default/forwarding": "1",
    "conf/default/rp_filter": "0",
    "conf/all/rp_filter": "0",
}
_NODE_SYSCTLS = {
    "conf/default/rp_filter": "0",
    "conf/all/rp_filter": "0",
    "conf/default/send_redirects": "0",
    "conf/all/send_redirects": "0",
    "conf/default/accept_redirects": "0",
    "conf/all/accept_redirects": "0",
}

P = ParamSpec("P")
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, None)


def in_own_namespaces(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a child process in namespaces of its own; as root of its own user namespace if it is not root."""
    return _apart(test, user=os.geteuid() != 0)


def in_own_user_namespace(test: Callable[P, None]) -> Callable[P, None]:
    """The same, in a user namespace even for root: with NET_ADMIN there, and none on the machine itself."""
    return _apart(test, user=True)


def _apart(test: Callable[P, None], *, user: bool) -> Callable[P, None]:
    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            status = 1
            try:
                _enter_namespaces(user=user)
                test(*args, **kwargs)
                status = 0
            except BaseException:  # noqa: BLE001 - the parent reports it, whatever it is
                os.write(writer, traceback.format_exc().encode())
            finally:
                sys.stdout.flush()
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as report:
            text = report.read()
        _, status = os.waitpid(child, 0)
        if status:
            pytest.fail(text or f"the test's process ended with status {status}", pytrace=False)

    return wrapped


def _enter_namespaces(*, user: bool) -> None:
    flags = _CLONE_NEWNS | _CLONE_NEWNET
    if user:
        uid, gid = os.getuid(), os.getgid()
        _call("unshare", flags | _CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    else:
        _call("unshare", flags)
    _mount("none", "/", "none", _MS_REC | _MS_PRIVATE)


class Namespace:
    """A network namespace, held by a file descriptor and by nothing else."""

    def __init__(self) -> None:
        holder = threading.Thread(target=self._make)
        holder.start()
        holder.join()

    def _make(self) -> None:
        _call("unshare", _CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in it: for the sockets, files of /proc/sys/net and processes that this thread opens meanwhile."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call("setns", self.fd, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", outside, _CLONE_NEWNET)
            os.close(outside)

    def run(self, *argv: str) -> str:
        """Run a command in it and return its output; other namespaces may be named as `/proc/self/fd/N`."""
        with self.inside():
            done = subprocess.run(argv, text=True, capture_output=True, check=False, close_fds=False)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def batch(self, *lines: str) -> None:
        """Run `ip` commands in it."""
        with self.inside():
            done = subprocess.run(
                ["ip", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False
            )
        assert done.returncode == 0, done.stderr

    def sysctl(self, settings: Mapping[str, str]) -> None:
        """Set keys below net/ipv4."""
        with self.inside():
            for key, value in settings.items():
                (Path("/proc/sys/net/ipv4") / key).write_text(value)


def join(a: AnyNamespace, name_a: str, b: AnyNamespace, name_b: str, mac_b: str) -> None:
    """A veth link between two namespaces; the far end is not up yet."""
    os.set_inheritable(b.fd, True)
    a.run("ip", "link", "add", name_a, "type", "veth", "peer", "name", "labkit-tmp", "address", mac_b)
    a.run("ip", "link", "set", "labkit-tmp", "netns", f"/proc/self/fd/{b.fd}")
    b.run("ip", "link", "set", "labkit-tmp", "name", name_b)
    os.set_inheritable(b.fd, False)


class Controller:
    """The controller's end of one feed: every connection gets `snapshot()` first; acknowledgements are collected."""

    def __init__(self, path: Path, snapshot: Callable[[], dict[str, Any]]) -> None:
        self.hellos: list[dict[str, Any]] = []
        self._snapshot = snapshot
        self._path = path
        self.found: list[dict[str, Any]] = []
        self._acks: queue.Queue[tuple[int, str | None, float]] = queue.Queue()
        self._connection: ServerConnection | None = None
        self._seq = 0
        self._sent = 0.0
        self.start()

    def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = unix_serve(self._serve, str(self._path), compression=None, max_size=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Vanish as a killed process does: no good-bye."""
        if self._connection is not None:
            self._connection.socket.shutdown(socket.SHUT_RDWR)
            self._connection = None
        self._server.shutdown()
        self._path.unlink()

    def _serve(self, connection: ServerConnection) -> None:
        self.hellos.append(json.loads(connection.recv()))
        self._seq = 0
        self._connection = connection
        self.send(self._snapshot())
        try:
            for text in connection:
                ack = json.loads(text)
                if ack["type"] == "probes":
                    self.found += ack["found"]
                    continue
                self._acks.put((ack["seq"], ack["error"], time.monotonic()))
        except ConnectionClosed:
            return

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message with the next number."""
        assert self._connection is not None
        self._seq += 1
        self._sent = time.monotonic()
        self._connection.send(json.dumps({"seq": self._seq, **message}))

    def answer(self, seq: int | None = None) -> tuple[str | None, float]:
        """Wait for an acknowledgement (of the last message by default): its error, and seconds since it was sent."""
        deadline = time.monotonic() + DEADLINE
        while True:
            number, error, at = self._acks.get(timeout=max(0.0, deadline - time.monotonic()))
            if number == (self._seq if seq is None else seq):
                return error, at - self._sent

    def applied(self) -> float:
        """Wait until the last message is true; seconds since it was sent."""
        error, seconds = self.answer()
        assert error is None, error
        return seconds


@dataclass
class Fabric:
    """A virtual network under test."""

    name: str
    rig: Rig
    folder: Path
    namespace: Namespace = field(default_factory=Namespace)
    ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    balancers: dict[str, dict[str, Any]] = field(default_factory=dict)
    peers: dict[str, Fabric] = field(default_factory=dict)
    controller: Controller = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.namespace.sysctl(_FABRIC_SYSCTLS)
        (self.folder / "channel").mkdir(parents=True)
        (self.folder / "ready").mkdir()

    def nic(self, name: str, address: str, *, table: str = "t1", ip_forwarding: bool = False) -> Node:
        """A node in this virtual network: address with prefix length, default route via .1. Routers if forwarding."""
        ip = address.split("/", maxsplit=1)[0]
        mac = self.rig.mac()
        node = self.rig.node(name, ip, mac)
        self.plug(node)
        if ip_forwarding:
            node.namespace.sysctl({"ip_forward": "1"})
        node.namespace.batch("link set lo up", f"addr add {address} dev eth0")
        node.namespace.run("ip", "route", "add", "default", "via", ip.rsplit(".", 1)[0] + ".1", "dev", "eth0")
        self.ports[name] = {
            "type": "nic",
            "mac": mac,
            "address": ip,
            "ip_forwarding": ip_forwarding,
            "table": table,
        }
        return node

    def internet(self, address: str, outside: str) -> Node:
        """The Internet node's leg with its address, and an address that only the Internet has."""
        mac = self.rig.mac()
        node = self.rig.node("internet", outside, mac)
        self.plug(node)
        node.namespace.batch("link set lo up", f"addr add {address} dev eth0", f"addr add {outside}/32 dev lo")
        self.ports["internet"] = {"type": "internet", "mac": mac}
        return node

    def plug(self, node: Node) -> None:
        """Link a node's eth0 to this fabric."""
        join(self.namespace, node.name, node.namespace, "eth0", node.mac)
        node.namespace.batch("link set eth0 up")

    def unplug(self, node: Node) -> None:
        """What happens when a node is stopped: its link is gone."""
        self.namespace.run("ip", "link", "del", node.name)

    def balance(self, name: str, frontend: str, *backends: Node, port: int = 179, interval: float = 0.25) -> None:
        """A load balancer in front of nodes of this virtual network, of whose health nobody knows yet."""
        self.balancers[name] = {
            "address": frontend,
            "backends": {node.name: node.address for node in backends},
            "probe": {"port": port, "interval": interval, "count": 2},
            "healthy": None,
        }

    def peer(self, other: Fabric) -> None:
        """Peer two virtual networks."""
        join(self.namespace, other.name, other.namespace, self.name, self.rig.mac())
        self.peers[other.name] = other
        other.peers[self.name] = self

    def snapshot(self) -> dict[str, Any]:
        """What the controller sends first."""
        peerings = {
            name: {
                "type": "peering",
                "neighbours": [[p["address"], p["mac"]] for p in peer.ports.values() if p["type"] == "nic"],
            }
            for name, peer in self.peers.items()
        }
        return {
            "type": "snapshot",
            "mac": BRIDGE_MAC,
            "seed": SEED,
            "ports": {**self.ports, **peerings},
            "tables": self.tables,
            "load_balancers": self.balancers,
        }

    def start(self) -> float:
        """Start controller and process; seconds from the snapshot until it is true."""
        self.controller = Controller(self.folder / "channel" / "feed.sock", self.snapshot)
        return self.launch()

    def launch(self) -> float:
        """Start the process; seconds from the snapshot until it is true."""
        argv = [
            "setpriv",
            "--bounding-set",
            ",".join(["-all", *(f"+{c}" for c in _CAPABILITIES)]),
            sys.executable,
            "-m",
            "labkit.fabric",
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LABKIT_NODE": self.name,
            "LABKIT_LOG": "DEBUG",
        }
        with self.namespace.inside():
            self.process = subprocess.Popen(
                argv,
                env=environment,
                stdout=(self.folder / "log").open("ab"),
                stderr=subprocess.STDOUT,
                preexec_fn=self._isolate,  # noqa: PLW1509 - system calls only, and no lock that a thread could hold
            )
        seconds = self.controller.applied()
        assert (self.folder / "ready" / "fabric").exists()
        until(self.rig.links_carry, "every link that has a carrier carries packets")
        return seconds

    def _isolate(self) -> None:
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # As in an unprivileged container: /proc/sys is read-only, the platform channel and /run are the node's own.
        _call("unshare", _CLONE_NEWNS)
        _mount("/proc/sys", "/proc/sys", "none", _MS_BIND | _MS_REC)
        read_only = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _mount("none", "/proc/sys", "none", read_only)
        _mount("tmpfs", "/mnt", "tmpfs", 0)
        for name, target in (("channel", "labkit"), ("ready", "labkit-ready")):
            Path(f"/mnt/{target}").mkdir()
            _mount(str(self.folder / name), f"/mnt/{target}", "none", _MS_BIND)
        _mount("/mnt", "/run", "none", _MS_BIND | _MS_REC)

    def kill(self) -> None:
        """SIGKILL the process; what it programmed stays."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """What the process printed."""
        return (self.folder / "log").read_text()

    def counters(self) -> dict[str, int]:
        """Packets of every named counter."""
        listing = json.loads(self.namespace.run("nft", "-j", "list", "counters", "table", "netdev", "labkit"))
        return {o["counter"]["name"]: o["counter"]["packets"] for o in listing["nftables"] if "counter" in o}

    def delta(self, **changes: Mapping[str, Any]) -> float:
        """Send a delta (`ports`, `tables`, `new_tables`) and wait until it is true; seconds."""
        self.controller.send({"type": "delta", **changes})
        return self.controller.applied()


class Rig:
    """Nodes and fabrics of one test."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._macs = count(1)
        self._nodes: list[Node] = []
        self._fabrics: list[Fabric] = []

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="labkit-fabric-")))
        return self

    def __exit__(self, *failure: object) -> None:
        for fabric in self._fabrics:
            if fabric.process is not None:
                fabric.kill()
                if failure[0]:
                    sys.stderr.write(f"--- {fabric.name}\n{fabric.log()}")
        self._stack.close()

    def mac(self) -> str:
        """A MAC no other NIC has."""
        return f"00:0d:3a:00:00:{next(self._macs):02x}"

    def node(self, name: str, address: str, mac: str) -> Node:
        """A node that is not linked yet."""
        namespace = Namespace()
        namespace.sysctl(_NODE_SYSCTLS)
        self._nodes.append(Node(name, address, mac, namespace))
        return self._nodes[-1]

    def fabric(self, name: str = "vnet1") -> Fabric:
        """A virtual network that is not started yet."""
        self._fabrics.append(Fabric(name, self, self._folder / name))
        return self._fabrics[-1]

    def links_carry(self) -> bool:
        """Whether the kernel has dealt with every carrier that came.

        When one end of a veth link is set up, a worker of the kernel gives the other end its queue, and a bridge port
        its state. What is sent before that is lost, and on a busy machine a ping can be faster.
        """
        for namespace in [*(node.namespace for node in self._nodes), *(fabric.namespace for fabric in self._fabrics)]:
            links = json.loads(namespace.run("ip", "-j", "-d", "link"))
            for link in links:
                if "LOWER_UP" not in link["flags"] or "LOOPBACK" in link["flags"]:
                    continue
                port = link.get("linkinfo", {}).get("info_slave_data", {})
                if link["operstate"] != "UP" or port.get("state", "forwarding") != "forwarding":
                    return False
        return True


def table(groups: Mapping[int, tuple[str, ...]], routes: Mapping[str, int]) -> dict[str, Any]:
    """A forwarding table as it stands in messages; a group is its type and its next hops."""
    return {
        "groups": {str(i): {"type": kind, "next_hops": list(hops)} for i, (kind, *hops) in groups.items()},
        "routes": dict(routes),
    }


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll a named condition until it holds."""
    eventually(condition, bool, DEADLINE, what)
