"""A bed for BGP tests: one network of our own with an ExaBGP instance, FRRs and raw speakers, and a feed server.

Everything lives in namespaces under one process; closing the bed kills that, and the kernel frees the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import jinja2
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, unix_serve

from labkit.azure.model import ROUTE_SERVER_ASN, RouteServer
from labkit.resources import templates as templates_folder
from tests.e2e.waiting import SOON, eventually

INSTANCE = "10.1.0.4"
REPOSITORY = Path(__file__).parents[2]

T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = SOON) -> T:
    """The first true value of a condition; an AssertionError that names it otherwise."""
    value = eventually(condition, bool, seconds, what)
    assert value
    return value


def children(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def frr_root() -> Path:
    """A root file system with FRR: the one named by LABKIT_TEST_ROOT, or the labs' own image."""
    named = os.environ.get("LABKIT_TEST_ROOT")
    if named:
        return Path(named)
    from labkit.runtimes.image import images

    return images.ensure(images.node_image(), on_progress=lambda *_: None).layers[-1]


class FeedServer:
    """A controller's side of one instance's feed, with a memory of what the instance sent."""

    def __init__(self, path: Path) -> None:
        self.config: dict[str, Any] | None = None
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.down = ""
        self.routes: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: dict[int, Any] = {}
        self.refused: list[tuple[str, str, str]] = []
        self._path = path
        self._connection: ServerConnection | None = None
        self._seq = 0
        self._server: Server | None = None

    def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = unix_serve(self._serve, str(self._path), compression=None, max_size=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
        if self._connection is not None:
            self._connection.close()
        self._path.unlink(missing_ok=True)

    def configure(self, server: RouteServer, own: Iterable[str] = ("10.1.0.0/16",), spokes: Iterable[str] = ()) -> None:
        self.config = {
            "type": "config",
            "instance": 0,
            "server": TypeAdapter(RouteServer).dump_python(server, mode="json"),
            "neighbours": TypeAdapter(RouteServer).dump_python(server, mode="json")["peers"],
            "originated": {"own": list(own), "spokes": list(spokes)},
        }
        if self._connection is not None:
            self._send(self.config)

    def refresh(self) -> None:
        """Have all NVAs advertise their routes again."""
        self._send({"type": "refresh"})

    def advertised(self, peer: str) -> dict[str, Any]:
        """What the instance answers that it advertises to a peer: attributes by prefix."""
        self._send({"type": "adj-rib-out", "peer": peer})
        asked = self._seq
        groups = until(f"answer {asked}", lambda: [self.answers[asked]] if asked in self.answers else None)[0]
        return {prefix: group["attributes"] for group in groups for prefix in group["prefixes"]}

    def prefixes(self, peer: str) -> set[str]:
        return {prefix for name, prefix in list(self.routes) if name == peer}

    def state(self, peer: str) -> str:
        return str(self.sessions.get(peer, {}).get("state"))

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._connection is not None
        self._seq += 1
        self._connection.send(json.dumps({"seq": self._seq, **message}))

    def _serve(self, connection: ServerConnection) -> None:
        hello = json.loads(connection.recv())
        assert hello["role"] == "routeserver", hello
        self._connection, self._seq = connection, 0
        if self.config is not None:
            self._send(self.config)
        try:
            for text in connection:
                self._take(json.loads(text))
        except ConnectionClosed:
            pass

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "routes":
            self.answers[message["query"]] = message["routes"]
            return
        if message["type"] == "refused":
            self.refused.append((message["address"], message["peer"], message["reason"]))
            return
        if message["type"] in ("snapshot", "down"):
            self.sessions, self.routes = {}, {}
        self.down = message.get("reason", "") if message["type"] == "down" else ""
        for peer, session in message.get("sessions", {}).items():
            self.sessions[peer] = session
            if session["state"] != "Established":
                for key in [k for k in self.routes if k[0] == peer]:
                    del self.routes[key]
        for group in message.get("withdrawn", ()):
            for prefix in group["prefixes"]:
                self.routes.pop((group["peer"], prefix), None)
        for group in message.get("routes", message.get("announced", ())):
            for prefix in group["prefixes"]:
                self.routes[group["peer"], prefix] = group["attributes"]
        self.messages.append((time.time(), message))


_WITH_A_CLOCK = """
import runpy, sys, time
machines, clock = time.time, sys.argv[1]
time.time = lambda: machines() + int(open(clock).read())
runpy.run_module("labkit.routeserver.exabgp", run_name="__main__")
"""
"""The instance's program in an interpreter whose wall clock is the file that its argument names."""


@dataclass
class Bed:
    """The network: a bridge with the instance's address, and a namespace for every other speaker."""

    directory: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> Bed:
        self.feed = FeedServer(self.directory / "feed.sock")
        self.feed.start()
        self._user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = (
            "mount -t proc proc /proc && mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && "
            f"ip link add br0 type bridge && ip address add {INSTANCE}/24 dev br0 && ip link set br0 up && "
            "echo ready && exec cat"
        )
        namespaces = [*self._user, "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        self._init = subprocess.Popen(
            ["unshare", *namespaces, "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "ready\n"
        (pid,) = children(self._init.pid)
        user = ["--user", "--preserve-credentials"] if self._user else []
        self._enter = ["nsenter", "-t", str(pid), *user, "--net", "--mount", "--pid", "--uts", "--ipc", "--"]
        self.exabgp: subprocess.Popen[str] | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._init.kill()
        self._init.wait()
        for process in self.processes:
            process.kill()  # an nsenter whose child is stopped is stopped too, and would not notice the end
            process.wait()
        self.feed.stop()
        if error is not None:
            for log in sorted(self.directory.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")

    # Processes.

    def run(self, argv: Sequence[str], node: str = "", text: str = "") -> str:
        inside = ["nsenter", f"--net=/run/netns/{node}", "--"] if node else []
        done = subprocess.run(
            [*self._enter, *inside, *argv], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
        return done.stdout

    def spawn(self, argv: Sequence[str], log: str, node: str = "", **pipes: Any) -> subprocess.Popen[str]:
        """Start a process; its standard error, and its output unless piped, go to a log."""
        inside = ["nsenter", f"--net=/run/netns/{node}", "--"] if node else []
        with (self.directory / f"{log}.log").open("a") as file:
            pipes.setdefault("stdout", file)
            process = subprocess.Popen([*self._enter, *inside, *argv], stderr=file, text=True, **pipes)
        self.processes.append(process)
        return process

    def add_node(self, node: str, address: str) -> None:
        """A namespace with one interface on the network."""
        commands = (
            f"netns add {node}",
            f"link add name port-{node} type veth peer name eth0 netns {node}",
            f"link set port-{node} master br0 up",
        )
        for command in commands:
            self.run(["ip", *command.split()])
        for command in (f"address add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            self.run(["ip", *command.split()], node)

    # ExaBGP.

    def start_exabgp(self, peers: Mapping[str, int], watchdog: int = 20) -> None:
        """Start the instance as a lab does, from the lab's templates, for peers by address with their ASNs."""
        templates = jinja2.Environment(loader=jinja2.FileSystemLoader(templates_folder()), autoescape=False)
        facts: dict[str, Any] = {
            "node": "rs1-0",
            "address": INSTANCE,
            "asn": ROUTE_SERVER_ASN,
            "hold_time": 180,
            "peers": [{"name": f"peer{i}", "address": a, "asn": n} for i, (a, n) in enumerate(peers.items())],
        }
        config = templates.get_template("exabgp.conf.j2").render(facts)
        assert "run python3 " in config
        file = self.directory / "exabgp.conf"
        file.write_text(config.replace("run python3 ", f"run {sys.executable} "))
        settings = {
            "EXABGP_ENVFILE": str(self.directory / "exabgp.env"),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path[1:]]),
            "PYTHONDONTWRITEBYTECODE": "1",  # ExaBGP's umask would leave files that others can't read
            "LABKIT_NODE": "rs1-0",
            "LABKIT_FEED": str(self.directory / "feed.sock"),
            "LABKIT_WATCHDOG": str(watchdog),
            "LABKIT_EXABGP_CONF": str(file),
        }
        Path(settings["EXABGP_ENVFILE"]).write_text(templates.get_template("exabgp.env.j2").render(facts))
        self.set_clock(0)
        argv = [*(f"{k}={v}" for k, v in settings.items()), sys.executable, "-c", _WITH_A_CLOCK, str(self._clock)]
        self.exabgp = self.spawn(["env", *argv], "exabgp")

    @property
    def _clock(self) -> Path:
        return self.directory / "clock"

    def set_clock(self, seconds: int) -> None:
        """Set the wall clock of the instance, so many seconds from the machine's."""
        new = self.directory / "clock.new"
        new.write_text(str(seconds))
        new.rename(self._clock)

    def speaker_pid(self) -> int | None:
        """ExaBGP's own process id."""
        assert self.exabgp is not None
        found = children(self.exabgp.pid)
        return found[0] if found else None

    def keeper_pid(self) -> int | None:
        speaker = self.speaker_pid()
        found = children(speaker) if speaker else []
        return found[0] if found else None

    def worker_pid(self) -> int | None:
        keeper = self.keeper_pid()
        found = children(keeper) if keeper else []
        return found[0] if found else None

    def ready(self) -> bool:
        return "exabgp" in self.run(["sh", "-c", "ls /run/labkit-ready 2>/dev/null || true"])

    # FRR.

    def start_frr(self, node: str, address: str, asn: int, routes: Iterable[str] = (), more: str = "") -> None:
        """A node with a bgpd (without zebra) that peers with the instance."""
        self.add_node(node, address)
        root, home = f"/run/roots/{node}", f"/run/roots/{node}/etc/frr"
        config = (
            f"frr defaults datacenter\nhostname {node}\nrouter bgp {asn}\n coalesce-time 0\n bgp router-id {address}\n"
            " no bgp ebgp-requires-policy\n no bgp network import-check\n"
            f" neighbor {INSTANCE} remote-as 65515\n neighbor {INSTANCE} timers 3 9\n"
            f" neighbor {INSTANCE} timers connect 1\n neighbor {INSTANCE} advertisement-interval 0\n{more}"
            " address-family ipv4 unicast\n" + "".join(f"  network {r}\n" for r in routes) + " exit-address-family\n"
        )
        script = (
            f"mkdir -p {root} && mount --bind {frr_root()} {root} && mount -t tmpfs tmpfs {root}/run && "
            f"mount -t tmpfs tmpfs {root}/var/lib/frr && cp {root}/etc/group {root}/run/group && "
            f"sed -i 's/^frrvty:.*/frrvty:x:0:root/' {root}/run/group && "
            f"mount --bind {root}/run/group {root}/etc/group && "
            f"mount -t tmpfs tmpfs {home} && mkdir {root}/run/frr && touch {home}/vtysh.conf && cat > {home}/bgpd.conf"
        )
        self.run(["sh", "-c", script], text=config)
        self.start_bgpd(node)

    def start_bgpd(self, node: str) -> None:
        daemon = ["/usr/lib/frr/bgpd", "--no_zebra", "-u", "root", "-g", "root", "-f", "/etc/frr/bgpd.conf"]
        self.spawn(["chroot", f"/run/roots/{node}", *daemon, "--log", "stdout"], f"bgpd-{node}", node)

    def bgpd_pid(self, node: str) -> int:
        """The id of a node's bgpd within the bed."""
        return int(self.run(["cat", f"/run/roots/{node}/run/frr/bgpd.pid"]))

    def vtysh(self, node: str, *commands: str) -> str:
        arguments = [word for command in commands for word in ("-c", command)]
        return self.run(["chroot", f"/run/roots/{node}", "vtysh", *arguments], node)

    def network(self, node: str, asn: int, *lines: str) -> None:
        """Change the networks that an FRR announces, such as `network 10.9.0.0/16` or `no network ...`."""
        self.vtysh(node, "configure terminal", f"router bgp {asn}", "address-family ipv4 unicast", *lines)

    def neighbor(self, node: str) -> dict[str, Any]:
        """What an FRR shows of its session with the instance; {} while its bgpd is starting."""
        try:
            shown: dict[str, Any] = json.loads(self.vtysh(node, f"show bgp neighbors {INSTANCE} json"))
        except AssertionError:
            return {}
        neighbor: dict[str, Any] = shown.get(INSTANCE, {})
        return neighbor

    def established(self, node: str) -> bool:
        return bool(self.neighbor(node).get("bgpState") == "Established")

    def learned(self, node: str) -> dict[str, str]:
        """The AS paths by prefix that an FRR got from the instance and uses."""
        shown = json.loads(self.vtysh(node, "show bgp ipv4 unicast json"))["routes"]
        return {
            prefix: path["path"]
            for prefix, paths in shown.items()
            for path in paths
            if path["peerId"] == INSTANCE and path.get("valid")
        }

    # Raw speakers.

    def answer(self, node: str, *messages: bytes) -> list[tuple[int, bytes]]:
        """The messages, as (type, body), that the instance sends to one connection with these, until it closes it."""
        script = str(Path(__file__).with_name("raw_speaker.py"))
        lines = "".join(m.hex() + "\n" for m in messages)
        answers = (line.split(" ") for line in self.run([sys.executable, script, INSTANCE], node, lines).splitlines())
        return [(int(kind), bytes.fromhex(body)) for _, kind, body in answers]

    def raw_speaker(
        self, node: str, address: str, asn: int, *, refreshes: bool = True, ipv6: bool = False
    ) -> RawSpeaker:
        """A node with a speaker of bytes, with or without the capabilities of route refresh and of IPv6 unicast."""
        self.add_node(node, address)
        return RawSpeaker(self, node, address, asn, refreshes=refreshes, ipv6=ipv6)


class RawSpeaker:
    """A BGP speaker of bytes, in a namespace of its own. `received` grows by (Unix time, type, body)."""

    def __init__(self, bed: Bed, node: str, address: str, asn: int, *, refreshes: bool, ipv6: bool) -> None:
        self.asn, self.address = asn, address
        self.received: list[tuple[float, int, bytes]] = []
        script = str(Path(__file__).with_name("raw_speaker.py"))
        self._process = bed.spawn(
            [sys.executable, script, INSTANCE], f"raw-{node}", node, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        threading.Thread(target=self._read, daemon=True).start()
        offered = "010400010001" + "010400020001" * ipv6 + "0200" * refreshes
        self.send(opening(asn, address, bytes.fromhex(offered)), message(4, b""))
        until(f"{node} to have the keep-alive", lambda: any(kind == 4 for _, kind, _ in list(self.received)))

    def send(self, *messages: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(m.hex() + "\n" for m in messages))
        self._process.stdin.flush()

    def updates(self) -> list[tuple[float, bytes]]:
        return [(at, body) for at, kind, body in list(self.received) if kind == 2]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, kind, body = line.split(" ")
            self.received.append((float(at), int(kind), bytes.fromhex(body.strip())))


def message(kind: int, body: bytes) -> bytes:
    """A BGP message."""
    return b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + bytes([kind]) + body


def opening(asn: int, address: str, capabilities: bytes = b"", *, hold_time: int = 180, version: int = 4) -> bytes:
    """An OPEN with the capability of four-octet ASNs, after others."""
    capabilities += b"\x41\x04" + asn.to_bytes(4, "big")
    body = bytes([version]) + (asn if asn < 1 << 16 else 23456).to_bytes(2, "big") + hold_time.to_bytes(2, "big")
    body += bytes(int(part) for part in address.split("."))
    return message(1, body + bytes([len(capabilities) + 2, 2, len(capabilities)]) + capabilities)


def nlri(prefix: str) -> bytes:
    """A prefix as BGP carries it."""
    address, length = prefix.split("/")
    packed = bytes(int(part) for part in address.split("."))
    return bytes([int(length)]) + packed[: (int(length) + 7) // 8]


def attribute(code: int, value: bytes, flags: int = 0x40) -> bytes:
    """A path attribute."""
    if len(value) > 255:
        return bytes([flags | 0x10, code]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, code, len(value)]) + value


def path(*asns: int) -> bytes:
    """The value of an AS_PATH of one sequence, with four bytes an ASN."""
    return bytes([2, len(asns)]) + b"".join(asn.to_bytes(4, "big") for asn in asns) if asns else b""


def usual(speaker: RawSpeaker, *more_asns: int, next_hop: str = "") -> bytes:
    """ORIGIN, AS_PATH and NEXT_HOP of an ordinary announcement."""
    hop = bytes(int(part) for part in (next_hop or speaker.address).split("."))
    return attribute(1, b"\0") + attribute(2, path(speaker.asn, *more_asns)) + attribute(3, hop)


def update(attributes: bytes, announced: Iterable[str] = (), withdrawn: Iterable[str] = ()) -> bytes:
    """An UPDATE."""
    gone = b"".join(nlri(p) for p in withdrawn)
    here = b"".join(nlri(p) for p in announced)
    return message(2, len(gone).to_bytes(2, "big") + gone + len(attributes).to_bytes(2, "big") + attributes + here)


def parse_update(body: bytes) -> tuple[list[str], list[str]]:
    """The prefixes that an UPDATE announces, and those it withdraws."""
    split = 2 + int.from_bytes(body[:2], "big")
    start = split + 2 + int.from_bytes(body[split : split + 2], "big")
    return _prefixes(body[start:]), _prefixes(body[2:split])


def _prefixes(data: bytes) -> list[str]:
    found = []
    while data:
        size = (data[0] + 7) // 8
        address = data[1 : 1 + size].ljust(4, b"\0")
        found.append(f"{'.'.join(str(b) for b in address)}/{data[0]}")
        data = data[1 + size :]
    return found
