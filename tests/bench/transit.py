"""How long routes take through a route server instance: NVA → ExaBGP → feed, and on to another NVA.

    python -m tests.bench.transit [--routes 1000 10000] [--rounds 3]

Real ExaBGP and helper between raw speakers, in namespaces of their own (see `tests.e2e.bgp_bed`). Times are medians in
ms: until the last route is on the feed, alone and when it is relayed to another peer too; until that peer has it; until
a killed worker's successor has reported. The share of our own process follows, split, measured apart by giving the same
lines to the same code without any I/O.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from labkit.azure.model import BgpPeer, RouteServer
from labkit.azure.rules.acceptance import Originated
from labkit.feed.bgp import ROUTE_SERVER
from labkit.routeserver import wire
from labkit.routeserver.instance import InstanceState
from labkit.routeserver.policy import PolicyConfig
from labkit.routeserver.recovery import Recovered
from labkit.routeserver.worker import MAX_COALESCED
from tests.e2e.bgp_bed import INSTANCE, Bed, RawSpeaker, parse_update, until, update, usual

A, B = "10.1.0.10", "10.1.0.20"
PEERS = (BgpPeer("a", 65001, IPv4Address(A)), BgpPeer("b", 65002, IPv4Address(B)))
SERVER = RouteServer(
    "rs1",
    "vnet1",
    (IPv4Address(INSTANCE), IPv4Address("10.1.0.5")),
    PEERS,
    branch_to_branch=True,
    routes_per_peer=10**6,
    total_prefixes=10**6,
)

SHAPES: dict[str, Callable[[int], int]] = {"shared": lambda n: n, "10 a path": lambda _: 10, "distinct": lambda _: 1}
"""How many routes have the same attributes."""


def prefixes(count: int) -> list[str]:
    """So many /24s outside the virtual network's range."""
    return [f"{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(count)]


def updates(speaker: RawSpeaker, routes: Sequence[str], alike: int) -> list[bytes]:
    """The routes in UPDATEs of at most 200 prefixes, `alike` of them with the same attributes."""
    messages = []
    for i in range(0, len(routes), alike):
        attributes = usual(speaker, 100_000 + i)
        group = routes[i : i + alike]
        messages += [update(attributes, group[j : j + 200]) for j in range(0, len(group), 200)]
    return messages


def through(count: int, alike: int, *, relay: bool) -> dict[str, float]:
    """One run with real speakers: seconds from the first byte sent, and to recover from a killed worker."""
    with tempfile.TemporaryDirectory(prefix="transit-") as directory, Bed(Path(directory)) as bed:
        bed.feed.configure(replace(SERVER, branch_to_branch=relay))
        bed.start_exabgp({A: 65001, B: 65002})
        until("readiness", bed.ready)
        a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
        routes = prefixes(count)
        messages = updates(a, routes, alike)
        began = time.time()
        a.send(*messages)
        until("the feed", lambda: len(bed.feed.routes) == count, 120)
        if relay:
            until("the other peer", lambda: sum(len(parse_update(body)[0]) for _, body in b.updates()) > count, 120)
        fed = max(at for at, m in bed.feed.messages if m["type"] == "delta" and m["announced"]) - began
        passed = b.updates()[-1][0] - began
        worker = bed.worker_pid()
        assert worker is not None
        reported = len(bed.feed.messages)
        killed = time.time()
        os.kill(worker, signal.SIGKILL)
        until("a snapshot", lambda: len(bed.feed.messages) > reported, 120)
        recovered = bed.feed.messages[reported][0] - killed
        return {"feed": fed, "peer": passed, "recovery": recovered}


def ours(count: int, alike: int) -> dict[str, float]:
    """The same without I/O: seconds in each part of our own process."""
    routes = prefixes(count)
    lines = []
    for i in range(0, count, alike):
        group = routes[i : i + alike]
        for j in range(0, len(group), 200):
            neighbor = {
                "address": {"local": INSTANCE, "peer": A},
                "asn": {"local": 65515, "peer": 65001},
                "router-id": INSTANCE,
                "direction": "receive",
                "message": {
                    "update": {
                        "attribute": {
                            "origin": "igp",
                            "as-path": {"0": {"element": "as-sequence", "value": [65001, 100_000 + i]}},
                        },
                        "announce": {"ipv4 unicast": {A: group[j : j + 200]}},
                    }
                },
            }
            head = {"exabgp": "5.0.0", "time": 1.0, "host": "rs1-0", "pid": 1, "ppid": 1, "counter": 1}
            lines.append(json.dumps({**head, "type": "update", "neighbor": neighbor}))
    instance = InstanceState(Recovered(dict.fromkeys((A, B), ("Established", 1.0)), {}, {}, {}), now=1.0)
    instance.configure(PolicyConfig(0, SERVER, Originated((IPv4Network("10.1.0.0/16"),))))
    instance.snapshot(1.0)
    times = [time.perf_counter()]
    events = [wire.decode(line) for line in lines]
    times.append(time.perf_counter())
    for event in events:
        assert isinstance(event, wire.Update)
        instance.update(event)
    times.append(time.perf_counter())
    instance.settle()
    times.append(time.perf_counter())
    report = instance.delta(2.0)
    assert report is not None
    delta = ROUTE_SERVER.up.encode(report)
    times.append(time.perf_counter())
    commands = 0
    while instance.out:
        for change in instance.changes(MAX_COALESCED):
            assert change.attributes is not None
            commands += len(list(wire.announce(change.peers, change.attributes, change.prefixes)))
    times.append(time.perf_counter())
    assert delta
    assert commands
    names = ("decode", "Adj-RIB-In", "policy", "delta", "Adj-RIB-Out")
    return {name: b - a for name, a, b in zip(names, times, times[1:], strict=False)}


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    header: list[str] | None = None
    for count in options.routes:
        for shape, alike in SHAPES.items():
            rounds = []
            for _ in range(options.rounds):
                alone = {"feed alone": through(count, alike(count), relay=False)["feed"]}
                rounds.append(alone | through(count, alike(count), relay=True) | ours(count, alike(count)))
            medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
            if header is None:
                header = [f"{'routes':>7} {'attributes':<10}", *(f"{name:>11}" for name in medians)]
                print(" ".join(header))
            print(f"{count:>7} {shape:<10}", *(f"{value * 1000:>11.1f}" for value in medians.values()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
