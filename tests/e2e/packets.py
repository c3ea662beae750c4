"""Nodes that send and receive real packets through their own kernels, by Python's sockets."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from tests.e2e.waiting import SOON

ETH_P_ALL, ETH_P_IP, ETH_P_ARP = 0x0003, 0x0800, 0x0806
ICMP, TCP, UDP = 1, 6, 17
ECHO_REPLY, ECHO_REQUEST, TIME_EXCEEDED = 0, 8, 11
BROADCAST = "ff:ff:ff:ff:ff:ff"


class Namespace(Protocol):
    """Where a node lives; `fd` holds it."""

    fd: int

    def inside(self) -> AbstractContextManager[None]: ...

    def run(self, *argv: str) -> str: ...

    def batch(self, *lines: str) -> None: ...

    def sysctl(self, settings: dict[str, str], /) -> None: ...


@dataclass(frozen=True)
class Frame:
    """A frame as it came in; of IPv4 also addresses, TTL, protocol and ports (0 where there are none)."""

    destination: str
    source: str
    ethertype: int
    ip_source: str = ""
    ip_destination: str = ""
    ttl: int = 0
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0


@dataclass(frozen=True)
class Answer:
    """An ICMP answer: from whom, its type, and the TTL it arrived with."""

    sender: str
    type: int
    ttl: int


def _mac(raw: bytes) -> str:
    return raw.hex(":")


def parse(raw: bytes) -> Frame:
    """Read a frame."""
    destination, source, ethertype = _mac(raw[:6]), _mac(raw[6:12]), int.from_bytes(raw[12:14])
    if ethertype != ETH_P_IP:
        return Frame(destination, source, ethertype)
    header = (raw[14] & 15) * 4
    ports = struct.unpack_from("!HH", raw, 14 + header) if raw[23] in (TCP, UDP) else (0, 0)
    return Frame(
        destination,
        source,
        ethertype,
        socket.inet_ntoa(raw[26:30]),
        socket.inet_ntoa(raw[30:34]),
        raw[22],
        raw[23],
        *ports,
    )


class Sniffer:
    """Sees every frame that comes in on a node's eth0 from the moment it is made."""

    def __init__(self, node: Node) -> None:
        with node.namespace.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("eth0", 0))
        self._socket.setblocking(False)

    def frames(self) -> list[Frame]:
        """What came in since the last call."""
        frames: list[Frame] = []
        while True:
            try:
                raw, (_, _, kind, *_) = self._socket.recvfrom(65536)
            except BlockingIOError:
                return frames
            if kind != socket.PACKET_OUTGOING:
                frames.append(parse(raw))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


@dataclass
class Node:
    """A machine with one NIC."""

    name: str
    address: str
    mac: str
    namespace: Namespace
    _sequence: int = field(default=0)

    def sniff(self) -> Sniffer:
        """Begin to see what comes in."""
        return Sniffer(self)

    def ping(self, to: str, *, ttl: int = 64, timeout: float = 5.0, source: str = "") -> Answer | None:
        """One ICMP echo request: the first answer to it, or None."""
        self._sequence += 1
        body = struct.pack("!HH", 0x6C6B, self._sequence) + b"labkit--"
        total = checksum(struct.pack("!BBH", ECHO_REQUEST, 0, 0) + body)
        with self.namespace.inside():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with raw:
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            if source:
                raw.bind((source, 0))
            raw.sendto(struct.pack("!BBH", ECHO_REQUEST, 0, total) + body, (to, 0))
            deadline = time.monotonic() + timeout
            while select.select([raw], [], [], max(0.0, deadline - time.monotonic()))[0]:
                packet = raw.recv(4096)
                icmp = packet[(packet[0] & 15) * 4 :]
                # An error quotes the packet it is about, header and eight bytes.
                about = icmp[8 + 20 :] if icmp[0] == TIME_EXCEEDED else icmp
                if icmp[0] in (ECHO_REPLY, TIME_EXCEEDED) and about[4:8] == body[:4]:
                    return Answer(socket.inet_ntoa(packet[12:16]), icmp[0], packet[8])
        return None

    def hops(self, to: str, most: int = 5) -> list[str]:
        """Traceroute: who answered for TTL 1, 2, ... until the destination does (`*`: nobody)."""
        found = []
        for ttl in range(1, most + 1):
            answer = self.ping(to, ttl=ttl)
            found.append(answer.sender if answer else "*")
            if answer is not None and answer.type == ECHO_REPLY:
                break
        return found

    def ask(self, address: str, to: str = BROADCAST) -> str | None:
        """ARP: the MAC that answers for an address; None if nobody does within a second."""
        with self.namespace.inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        with wire:
            wire.bind(("eth0", ETH_P_ARP))
            me = bytes.fromhex(self.mac.replace(":", ""))
            question = struct.pack(
                "!6s6sHHHBBH6s4s6s4s",
                bytes.fromhex(to.replace(":", "")),
                me,
                ETH_P_ARP,
                1,
                ETH_P_IP,
                6,
                4,
                1,
                me,
                socket.inet_aton(self.address),
                bytes(6),
                socket.inet_aton(address),
            )
            wire.send(question)
            while select.select([wire], [], [], 1.0)[0]:
                raw = wire.recv(2048)
                if raw[20:22] == b"\0\2" and socket.inet_ntoa(raw[28:32]) == address:
                    return _mac(raw[22:28])
        return None

    def send(self, to: str, port: int = 9, *, count: int = 1, size: int = 8, source_port: int = 0) -> None:
        """Send UDP datagrams of one flow."""
        with self.namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("", source_port))
            for _ in range(count):
                udp.sendto(bytes(size), (to, port))

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Something on this node that takes TCP connections, and closes them at once."""
        with self.namespace.inside():
            listener = socket.create_server(("", port))

        def serve() -> None:
            with suppress(OSError):  # shut down
                while True:
                    listener.accept()[0].close()

        with listener:
            server = threading.Thread(target=serve)
            server.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                server.join()

    @contextmanager
    def receiving(self, port: int) -> Iterator[socket.socket]:
        """A UDP socket on this node."""
        with self.namespace.inside():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with udp:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            udp.bind(("", port))
            yield udp


class Flow:
    """A steady stream of numbered datagrams from one node to another, while the `with` block lasts."""

    def __init__(self, sender: Node, receiver: Node, to: str = "", per_second: int = 1000, port: int = 7000) -> None:
        self._sender, self._receiver, self._to = sender, receiver, to or receiver.address
        self._pause, self._port = 1 / per_second, port
        self._stop = threading.Event()
        self._arrival = threading.Condition()
        self.sent = 0
        self.arrived: dict[int, float] = {}

    def __enter__(self) -> Flow:
        with self._receiver.namespace.inside():
            self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._in.bind(("", self._port))
        self._in.settimeout(0.3)
        with self._sender.namespace.inside():
            self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._threads = [threading.Thread(target=self._receive), threading.Thread(target=self._send)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in reversed(self._threads):
            thread.join()
        self._in.close()
        self._out.close()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._out.sendto(struct.pack("!I", self.sent), (self._to, self._port))
            self.sent += 1
            # What was missed is not made up for: a burst would only overrun the receiver.
            due = max(due + self._pause, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        # The last ones are still on their way when the sender stops: a silence is the end.
        while True:
            try:
                number = struct.unpack("!I", self._in.recv(64))[0]
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            with self._arrival:
                self.arrived[number] = time.monotonic()
                self._arrival.notify_all()

    def goes_on(self, many: int = 50) -> None:
        """Wait until some more have arrived."""
        last = self.sent + many
        with self._arrival:
            assert self._arrival.wait_for(lambda: max(self.arrived, default=0) >= last, SOON), "the flow stopped"

    @property
    def lost(self) -> list[int]:
        """Numbers that never arrived; read it after the block."""
        return sorted(set(range(self.sent)) - self.arrived.keys())
