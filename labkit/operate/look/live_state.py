"""What a running lab shows of itself, each part read once: BGP tables, effective routes, kernel FIBs, counters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from threading import Lock
from typing import Any, TypeVar

from labkit.azure.forwarding import Backend, Surroundings
from labkit.azure.model import Azure
from labkit.azure.rules.rows import EffectiveTable
from labkit.daemons.protocol import Tables
from labkit.daemons.registry import DAEMONS
from labkit.daemons.tables import BgpNeighbour, BgpTable, Query
from labkit.errors import CheckFailed
from labkit.feed.state import PlatformState
from labkit.lab.model import Lab
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.lab.plan.nodes import frontends, owners
from labkit.lab.plan.speakers import static_prefixes
from labkit.lab.sessions import daemon_of, router_daemons
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelPath, read
from labkit.predict.surroundings import surroundings
from labkit.runtimes.protocol import NotListening

T = TypeVar("T")


class BgpIsGoneError(CheckFailed):
    """A router whose BGP daemon does not run."""


class LiveState:
    """The state of a running lab. Everything is read once, when first asked for; safe to share among threads."""

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
            except BaseException as error:  # noqa: BLE001 - those who wait must get it, whatever it is
                future.set_exception(error)
        return future.result()

    @cached_property
    def owners(self) -> dict[IPv4Address, str]:
        """The node that owns each address, or the load balancer whose frontend has it."""
        return {**frontends(self.lab), **owners(self.lab)}

    def name_of(self, address: IPv4Address) -> str:
        """What has an address, as lab files name it: a node by any of its addresses, a further NIC by its own.

        An address that nobody has is its own name.
        """
        further = (nic.name for nic in self.lab.azure.nics if address in nic.addresses and nic.name != nic.machine)
        name = next(further, None)
        is_primary = name is not None and self.lab.azure.primary_nic(self.lab.azure.nic[name].machine).name == name
        return name if name is not None and not is_primary else self.owners.get(address, str(address))

    @property
    def state(self) -> PlatformState:
        """Everything that the controller knows."""
        return self._once(("state",), lambda: self.client.fetch(PlatformState, "state"))

    @property
    def azure(self) -> Azure:
        """Azure's objects as they are now: the lab's own, and what operators have made of them."""
        return self.state.azure

    def surroundings(self, virtual_network: str) -> Surroundings:
        """What the fabric of a virtual network knows apart from effective routes."""
        balancers = self.azure.load_balancers
        backends = self.state.status.backends if balancers else ()
        up = {(backend.load_balancer, backend.backend) for backend in backends if backend.up}
        frontends = {
            balancer.address: [
                Backend(self.azure.nic[name].address, (balancer.name, name) in up) for name in balancer.backends
            ]
            for balancer in balancers
        }
        return surroundings(self.lab, self.azure, virtual_network, frontends, self.state.idle)

    @property
    def off(self) -> frozenset[str]:
        """The nodes that are powered off, or whose command ended."""
        return self._once(("off",), self._off)

    def bgp(self, node: str) -> BgpTable:
        """The BGP table of a router.

        Raises:
            BgpIsGoneError: its daemon does not run.
            CheckFailed: it does not answer.
        """
        return self._once(("bgp", node), lambda: self._ask(node, self._tables(node).table()))

    def neighbours(self, node: str) -> Mapping[IPv4Address, BgpNeighbour]:
        """The BGP neighbours of a router, by address; raises as `bgp` does."""
        found = self._once(("neighbours", node), lambda: self._ask(node, self._tables(node).neighbours()))
        return {neighbour.address: neighbour for neighbour in found}

    def has_bgp(self, node: str) -> bool:
        """Whether a router is on and its BGP daemon runs: what is gone has neither sessions nor routes.

        False as well for one in an image of the user's own.
        """
        if node in self.off or node not in router_daemons(self.lab):
            return False
        try:
            self.bgp(node)
        except BgpIsGoneError:
            return False
        return True

    def kernel(self, node: str, table: int = RT_TABLE_MAIN) -> tuple[KernelPath, ...]:
        """A routing table of a node's kernel, by default the main one."""
        return self._once(("kernel", node, str(table)), lambda: self._kernel(node, table))

    def is_by_bgp(self, node: str, prefix: str, protocol: str) -> bool:
        """Whether a route of a node's kernel, which is there by this protocol, is one that a router has by BGP."""
        daemon = router_daemons(self.lab).get(node)
        if daemon is None or protocol != DAEMONS[daemon].tables.KERNEL_PROTOCOL:
            return False
        return IPv4Network(prefix) not in static_prefixes(self.lab, node, self.azure)

    def table_from(self, node: str, source: IPv4Address) -> int | None:
        """The routing table that packets with a source address follow by a node's first policy rule for it, if any."""
        tables = self._once(("rules", node), lambda: self._rules(node))
        return tables.get(source)

    def effective(self, name: str) -> EffectiveTable:
        """The effective routes of a NIC, by its own name or as the primary one of a machine."""
        return self.state.effective[self.lab.azure.find_nic(name).name]

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
        return frozenset(node.name for node in status.nodes if node.off) if status else frozenset()

    def _tables(self, node: str) -> Tables:
        if node not in router_daemons(self.lab):
            raise CheckFailed(f"{node}'s tables can't be read. {self.lab.own_routers.get(node, '')}".strip())
        return daemon_of(self.lab, node).tables

    def _ask(self, node: str, query: Query[T]) -> T:
        try:
            return self.client.ask(node, self._tables(node), query)
        except NotListening as error:
            raise BgpIsGoneError(f"{node}: BGP is not running.") from error

    def _kernel(self, node: str, table: int) -> tuple[KernelPath, ...]:
        return read(self.output(node, "ip", "-j", "-4", "route", "show", "table", str(table)))

    def _rules(self, node: str) -> Mapping[IPv4Address, int]:
        found: dict[IPv4Address, int] = {}
        for rule in json.loads(self.output(node, "ip", "-j", "-4", "-N", "rule", "show")):
            if rule["src"] != "all" and "srclen" not in rule:
                found.setdefault(IPv4Address(rule["src"]), int(rule["table"]))
        return found

    def _foreign_packets(self, node: str) -> int:
        found = json.loads(self.output(node, "nft", "-j", "list", "counter", "inet", "labkit", "foreign"))
        return sum(item["counter"]["packets"] for item in found["nftables"] if "counter" in item)
