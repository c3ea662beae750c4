"""Routes from an NVA through the route server to a VM's kernel: `python -m tests.bench.pipeline [--runs N]`.

An appliance of a running overview lab holds the routes in its kernel and starts to redistribute them; the clock stops
when every machine and fabric has acknowledged. The split, by the time stamps of those who worked:

    speaker and policy   from FRR's command to the route server process's last report
    feed                 from that report to the controller's having read it
    oracle               from there to the controller's last conclusion
    kernel               from there to the VM agent's acknowledgement
    fabric               from there to the fabric's
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from labkit.feed.status import PlatformStatus
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.resources import topologies
from labkit.runtimes.select import SANDBOX, runtime

SIZES = (1_000, 10_000)
NVA, VM, FABRIC = "sdwan-nva", "vm1", "vnet1"
PATIENCE = 120.0
PARTS = ("total", "speaker and policy", "feed", "oracle", "kernel", "fabric")


def batch(count: int, verb: str) -> str:
    return "".join(f"route {verb} blackhole 20.{n >> 8}.{n & 255}.0/24 proto static\n" for n in range(count))


def run(client: LabClient, node: str, *argv: str, given: str | None = None) -> str:
    done = client.runtime.exec(client.record.lab, node, argv, input=given, timeout=120)
    if done.rc != 0:
        sys.exit(f"{node}: {' '.join(argv)}: {done.stderr}{done.stdout}")
    return done.stdout


def redistribute(client: LabClient, *, yes: bool) -> None:
    command = ("" if yes else "no ") + "redistribute kernel"
    lines = ("configure terminal", "router bgp 65001", "address-family ipv4 unicast", command)
    run(client, NVA, "vtysh", *(part for line in lines for part in ("-c", line)))


def when_installed(client: LabClient, count: int) -> PlatformStatus:
    """The controller's status once the VM's kernel has so many of the routes and everything is acknowledged."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = client.fetch(PlatformStatus, "status")
        if status.programmed and run(client, VM, "ip", "route", "show", "root", "20.0.0.0/8").count("\n") == count:
            return status
    sys.exit(f"{VM} did not get to {count} routes within {PATIENCE:.0f} s: {status}")


def measure(client: LabClient, count: int) -> dict[str, float]:
    run(client, NVA, "ip", "-batch", "-", given=batch(count, "add"))
    began = time.time()
    redistribute(client, yes=True)
    status = when_installed(client, count)
    ended = {name: status.nodes[name].applied_at for name in (VM, FABRIC)}
    redistribute(client, yes=False)
    when_installed(client, 0)
    run(client, NVA, "ip", "-batch", "-", given=batch(count, "delete"))
    return {
        "total": max(ended.values()) - began,
        "speaker and policy": status.reported - began,
        "feed": status.received - status.reported,
        "oracle": status.concluded - status.received,
        "kernel": ended[VM] - status.concluded,
        "fabric": ended[FABRIC] - status.concluded,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    text = (topologies() / "overview" / "lab.yml").read_text()
    peers = "peers: [sdwan-nva, security-nva]"
    assert peers in text
    text = text.replace(peers, f"{peers}, routes_per_peer: 100000, total_prefixes: 200000")
    text = text.replace("name: overview", "name: overview-bench")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.lab.yml"
        file.write_text(text)
        record = lifecycle.up(str(file), runtime(SANDBOX), lifecycle.Silent()).record
    try:
        client = LabClient(record)
        table = Table(title=f"from {NVA} through rs1 to {VM}'s kernel: seconds, medians of {options.runs} runs")
        for column in ("routes", *PARTS):
            table.add_column(column, justify="right")
        for count in SIZES:
            runs = [measure(client, count) for _ in range(options.runs)]
            table.add_row(f"{count:,}", *(f"{median(r[part] for r in runs):.2f}" for part in PARTS))
        Console().print(table)
    finally:
        lifecycle.down(record)


if __name__ == "__main__":
    main()
