"""What a running lab shows of itself, read once per look: BGP tables, effective routes, kernel FIBs, counters."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from threading import Lock
from typing import Any, TypeVar

from pydantic import TypeAdapter

from labkit.azure.model import Azure, Origin, PathAttributes
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.errors import CheckFailed
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import frontends, owners
from labkit.operate.look.client import LabClient

T = TypeVar("T")

ESTABLISHED = "Established"
"""A BGP session that stands, in FRR's words and in ours."""

_AZURE: TypeAdapter[Azure] = TypeAdapter(Azure)

_OFF = ("stopped", "exited")
_NO_BGPD = "bgpd is not running"


@dataclass(frozen=True, slots=True)
class BgpPath:
    """One path in an FRR node's BGP table: from which neighbour, with which next hop and AS path.

    `attributes` are all that the rules read, in their form.
    """

    prefix: IPv4Network
    neighbour: IPv4Address
    next_hop: IPv4Address
    as_path: tuple[int, ...]
    best: bool
    attributes: PathAttributes


@dataclass(frozen=True, slots=True)
class FrrState:
    """The BGP state of an FRR node: session states by neighbour address, and every path it holds."""

    sessions: dict[IPv4Address, str]
    paths: tuple[BgpPath, ...]


@dataclass(frozen=True, slots=True)
class KernelPath:
    """One route of a node's kernel; `gateways` is empty for on-link and blackhole routes."""

    prefix: IPv4Network
    type: str
    gateways: tuple[IPv4Address, ...]
    protocol: str


class BgpIsGoneError(CheckFailed):
    """An FRR node whose bgpd does not run."""


class LiveState:
    """One look at a running lab. Everything is read once, when first asked for; safe to share among threads."""

    def __init__(self, lab: Lab, client: LabClient) -> None:
        self.lab = lab
        self.client = client
        self._seen: dict[tuple[str, ...], Future[Any]] = {}
        self._lock = Lock()

    def _once(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        """What `read` gave when `key` was first asked for, or the error that it raised."""
        with self._lock:
            mine = key not in self._seen
            future: Future[T] = self._seen.setdefault(key, Future())
        if mine:
            try:
                future.set_result(read())
            except BaseException as error:  # noqa: BLE001 - those who wait must hear of it, whatever it is
                future.set_exception(error)
        return future.result()

    @cached_property
    def owners(self) -> dict[IPv4Address, str]:
        """The node that owns each address, or the load balancer whose frontend has it."""
        return {**frontends(self.lab), **owners(self.lab)}

    @property
    def state(self) -> dict[str, Any]:
        """The controller's `GET /v1/state`."""
        state: dict[str, Any] = self._once(("state",), lambda: self.client.get("state"))
        return state

    @property
    def azure(self) -> Azure:
        """Azure's objects as they are now: the lab's own, and what operators have made of them."""
        return self._once(("azure",), lambda: _AZURE.validate_python(self.state["azure"]))

    @property
    def backends_up(self) -> dict[IPv4Address, list[IPv4Address]]:
        """What packets whose next hop is a load balancer's frontend may be brought to: the backends that are up."""
        found: dict[IPv4Address, list[IPv4Address]] = {b.address: [] for b in self.lab.azure.load_balancers}
        for row in self.state["status"]["backends"] if found else ():
            if row["state"] == "Up":
                found[IPv4Address(row["frontend"])].append(IPv4Address(row["address"]))
        return found

    @property
    def off(self) -> frozenset[str]:
        """The nodes that are powered off, or whose command ended."""
        return self._once(("off",), self._off)

    def frr(self, node: str) -> FrrState:
        """The BGP state of an FRR node.

        Raises:
            BgpIsGoneError: its bgpd does not run.
            CheckFailed: it does not answer.
        """
        return self._once(("frr", node), lambda: self._frr(node))

    def has_bgp(self, node: str) -> bool:
        """Whether an FRR node is on and its bgpd runs: what is gone has neither sessions nor routes."""
        if node in self.off:
            return False
        try:
            self.frr(node)
        except BgpIsGoneError:
            return False
        return True

    def kernel(self, node: str) -> tuple[KernelPath, ...]:
        """The main routing table of a node's kernel."""
        return self._once(("kernel", node), lambda: self._kernel(node))

    def foreign_packets(self, instance: str) -> int:
        """How many packets came to a route server instance's node that were not addressed to it."""
        return self._once(("foreign", instance), lambda: self._foreign_packets(instance))

    def output(self, node: str, *argv: str) -> str:
        """What a command in a node prints.

        Raises:
            CheckFailed: it fails.
        """
        done = self.client.run(node, *argv)
        if done.rc != 0:
            raise CheckFailed(f"{node}: {' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _off(self) -> frozenset[str]:
        status = self.client.runtime.inspect(self.client.record.lab)
        return frozenset(node.name for node in status.nodes if node.state in _OFF) if status else frozenset()

    def _frr(self, node: str) -> FrrState:
        commands = ("show bgp ipv4 unicast summary json", "show bgp ipv4 unicast detail json")
        try:
            text = self.output(node, "vtysh", *(part for command in commands for part in ("-c", command)))
        except CheckFailed as error:
            raise BgpIsGoneError(error.message) if _NO_BGPD in error.message else error from None
        summary, rest = json.JSONDecoder().raw_decode(text.lstrip())
        table = json.JSONDecoder().raw_decode(text.lstrip()[rest:].lstrip())[0]
        sessions = {IPv4Address(a): peer["state"] for a, peer in summary.get("peers", {}).items()}
        return FrrState(sessions, tuple(_paths(table)))

    def _kernel(self, node: str) -> tuple[KernelPath, ...]:
        rows = json.loads(self.output(node, "ip", "-j", "-4", "route", "show", "table", "main"))
        return tuple(_kernel_path(row) for row in rows)

    def _foreign_packets(self, node: str) -> int:
        found = json.loads(self.output(node, "nft", "-j", "list", "counter", "inet", "labkit", "foreign"))
        return sum(item["counter"]["packets"] for item in found["nftables"] if "counter" in item)


def _paths(table: dict[str, Any]) -> list[BgpPath]:
    paths = []
    for prefix, entry in table.get("routes", {}).items():
        for path in entry["paths"] if isinstance(entry, dict) else entry:
            peer = path.get("peer", {}).get("peerId", "")
            segments = path.get("aspath", {}).get("segments", [])
            hops = [hop["ip"] for hop in path.get("nexthops", []) if hop.get("afi") == "ipv4"]
            if peer in ("", "::", "0.0.0.0") or not hops:  # noqa: S104 - FRR's word for "originated here"
                continue
            as_path = tuple(asn for segment in segments for asn in segment["list"])
            best = bool(path.get("bestpath", {}).get("overall"))
            attributes = _attributes(path, IPv4Address(hops[0]))
            paths.append(
                BgpPath(IPv4Network(prefix), IPv4Address(peer), attributes.next_hop, as_path, best, attributes)
            )
    return paths


def _attributes(path: dict[str, Any], next_hop: IPv4Address) -> PathAttributes:
    as_path: list[int | frozenset[int]] = []
    for segment in path.get("aspath", {}).get("segments", []):
        as_path += [frozenset(segment["list"])] if segment["type"] == "as-set" else segment["list"]
    return PathAttributes(
        next_hop,
        tuple(as_path),
        Origin(str(path["origin"]).lower()),
        path.get("metric"),
        tuple(sorted(_community(text) for text in path.get("community", {}).get("list", []))),
    )


_WELL_KNOWN = {"noExport": NO_EXPORT, "noAdvertise": NO_ADVERTISE}


def _community(text: str) -> tuple[int, int]:
    """A community as FRR prints it: `65517:65517`, or a word for a well-known one."""
    if text in _WELL_KNOWN:
        return _WELL_KNOWN[text]
    high, _, low = text.partition(":")
    return (int(high), int(low)) if low.isdigit() else (65535, 0)


def _kernel_path(row: dict[str, Any]) -> KernelPath:
    prefix = IPv4Network("0.0.0.0/0" if row["dst"] == "default" else row["dst"])
    hops = [row, *row.get("nexthops", [])]
    gateways = tuple(sorted(IPv4Address(hop["gateway"]) for hop in hops if "gateway" in hop))
    return KernelPath(prefix, row.get("type", "unicast"), gateways, str(row.get("protocol", "")))
