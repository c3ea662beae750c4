"""A machine's kernel routes, followed through every moment from outside: each message that route netlink sends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address

from labkit.pytest import RunningLab
from tests.e2e.chaos.fib import Fib, Hop
from tests.e2e.in_lab import Dialogue, dialogue, run

LISTEN = """
    import select, socket, sys
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    kernel.bind((0, 0))
    for group in (7, 32):  # RTNLGRP_IPV4_ROUTE, RTNLGRP_NEXTHOP
        kernel.setsockopt(270, 1, group)
    heard = []
    while True:
        ready, _, _ = select.select([kernel, sys.stdin], [], [])
        if kernel in ready:  # first: what came before a question belongs to its answer
            heard.append(kernel.recv(1 << 16).hex())
        elif sys.stdin.readline():
            print(" ".join(heard))
            heard = []
        else:
            break
"""


class Watch:
    """What a machine's kernel had as next hops, from one call of `since` to the next."""

    def __init__(self, lab: RunningLab, machine: str, listener: Dialogue) -> None:
        self._lab, self._machine, self._listener = lab, machine, listener
        self.fib = self._dump()
        while self._take():  # routes and nexthops are of different moments
            self.fib = self._dump()
        self.messages: list[str] = []
        """What the kernel reported before the last call of `since`, after the call before it."""

    def since(self, addresses: Iterable[IPv4Address]) -> Mapping[IPv4Address, frozenset[Hop]]:
        """Every next hop that packets to these addresses had at any moment since the last call; not those before."""
        watched = {address: set(self.fib.hops(address)) for address in addresses}
        self.messages = []
        for buffer in self._listener.ask().split():
            for message in self.fib.take(bytes.fromhex(buffer)):
                self.messages.append(message)
                for address in watched:
                    watched[address] |= self.fib.hops(address)
        return {address: frozenset(hops) for address, hops in watched.items()}

    def missed(self) -> list[str]:
        """Where the kernel is not what the messages made of it: then what was watched proves nothing."""
        self._take()
        there = self._dump()
        while self._take():  # routes and nexthops are of different moments
            there = self._dump()
        addresses = [prefix[0] for prefix in there.prefixes | self.fib.prefixes]
        pairs = [(address, self.fib.hops(address), there.hops(address)) for address in addresses]
        self.fib = there
        return [f"{self._machine} {address}: {had}, in truth {has}" for address, had, has in pairs if had != has]

    def _take(self) -> bool:
        """Whether the kernel has reported something since it was last asked; the table follows it."""
        reported = self._listener.ask().split()
        for buffer in reported:
            for _ in self.fib.take(bytes.fromhex(buffer)):
                pass
        return bool(reported)

    def _dump(self) -> Fib:
        shown = (run(self._lab, self._machine, "ip", "-j", what) for what in ("route", "nexthop"))
        routes, nexthops = (json.loads(text or "[]") for text in shown)
        return Fib(routes, nexthops)


@contextmanager
def watching(lab: RunningLab, machine: str) -> Iterator[Watch]:
    """Follow a machine's kernel while the context lasts; the machine must stay on."""
    with dialogue(lab, machine, LISTEN) as listener:
        yield Watch(lab, machine, listener)
